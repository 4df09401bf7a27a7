"""`import toolkit` and `toolkit --help` are light."""

import json
import subprocess
import sys

import pytest

LATER = {"bokeh", "distributed", "matplotlib", "torch"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after ``code``."""
    report = "import json, sys; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import toolkit",
        "import toolkit\nfor name in toolkit.__all__: getattr(toolkit, name)",
        "from toolkit import *",
    ],
    ids=["package", "names", "star"],
)
def test_importing_the_toolkit_leaves_heavy_libraries_for_later(code: str) -> None:
    assert loaded_by(code) & LATER == set()


def test_importing_the_package_alone_loads_no_array_library() -> None:
    assert loaded_by("import toolkit") & {"dask", "numpy", "pandas", "xarray", "zarr"} == set()


def test_help_loads_no_array_library() -> None:
    code = "import sys\nfrom toolkit.cli import main\nsys.argv = ['toolkit', '--help']\n"
    code += "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    loaded = loaded_by(code)
    assert loaded & ({"dask", "pandas", "xarray", "zarr"} | LATER) == set()


def test_the_worker_path_loads_numpy_only() -> None:
    code = "import toolkit.spaces.seeds, toolkit.spaces.points, toolkit.stages.batch\n"
    code += "import toolkit.stages.current, toolkit.stores.runs.sink"
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert loaded & ({"dask", "pandas", "scipy", "xarray", "zarr"} | LATER) == set()
