"""``tk.plot.setup_offline``: in a fresh process, with stand-ins that note what is asked of them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import toolkit as tk

STAND_INS = {
    "holoviews/__init__.py": """
import os, sys
class extension:
    _loaded = False
    def __init__(self, *backends, **options):
        type(self)._loaded = True
        resources = os.environ.get("BOKEH_RESOURCES")
        early = "hvplot.xarray" in sys.modules
        print("extension", *backends, "inline" if options.get("inline") else "", resources, early)
""",
    "hvplot/__init__.py": "",
    "hvplot/xarray.py": "print('hvplot.xarray')",
}


def said(folder: Path, code: str) -> list[str]:
    """What a fresh interpreter prints that has the stand-ins."""
    for name, text in STAND_INS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    root = Path(tk.__file__).parents[1]
    setup = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(root)!r}]\nimport toolkit as tk\n"
    return lines_of(setup + code)


def lines_of(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_draws_comes_with_the_page_before_hvplot_is_loaded(tmp_path: Path) -> None:
    lines = said(tmp_path, "tk.plot.setup_offline(); tk.plot.setup_offline()")
    assert lines == ["extension bokeh inline inline False", "hvplot.xarray"]


@pytest.mark.parametrize(
    ("before", "what"),
    [
        ("import hvplot.xarray", "hvplot was imported before tk.plot.setup_offline()"),
        (
            "import holoviews; holoviews.extension('bokeh')",
            "holoviews.extension() was called before tk.plot.setup_offline()",
        ),
    ],
)
def test_too_late_is_an_error_that_says_to_restart(tmp_path: Path, before: str, what: str) -> None:
    code = f"{before}\ntry:\n    tk.plot.setup_offline()\nexcept tk.ToolkitError as error:\n"
    lines = said(tmp_path, code + "    print(error)")
    assert lines[-1].startswith(what)
    assert "Restart the kernel, and call tk.plot.setup_offline() first" in lines[-1]


def test_without_hvplot_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvplot", None)
    monkeypatch.setitem(sys.modules, "holoviews", None)
    with pytest.raises(tk.ToolkitError, match=r"needs holoviews and hvplot.*toolkit\[viz\]'"):
        tk.plot.setup_offline()


def test_without_matplotlib_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(tk.ToolkitError, match=r"drawn by matplotlib.*toolkit\[viz\]'"):
        tk.plot.scaling(pd.DataFrame({"workers": [1, 2], "rate": [1.0, 2.0]}))


def test_the_real_hvplot_brings_what_it_draws_with_or_is_said_to_be_missing() -> None:
    """Where the extra is installed: in IPython, as in the cells of a notebook."""
    if importlib.util.find_spec("hvplot") is None:
        with pytest.raises(tk.ToolkitError, match="not installed"):
            tk.plot.setup_offline()
        return
    code = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
for cell in (
    "import toolkit as tk; tk.plot.setup_offline()",
    "import xarray as xr; plot = xr.DataArray([1, 2], dims='x', name='v').hvplot()",
    "import hvplot.xarray; plot = xr.DataArray([1, 2], dims='x', name='v').hvplot()",
):
    with capture_output() as said:
        shell.run_cell(cell).raise_error()
    page = "".join(str(text) for each in said.outputs for text in each.data.values())
    print(len(page) > 2_000_000, "cdn.bokeh.org" in page)
"""
    assert lines_of(code) == ["True False", "False False", "False False"]
