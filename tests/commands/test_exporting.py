import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import Result

import toolkit as tk

Toolkit = Callable[..., Result]

RICH = """
import datetime
import numpy as np
import toolkit as tk

def rich(x):
    return {
        "n": x,
        "good": x > 1,
        "word": "é" * x,
        "day": np.datetime64("2024-01-01") + np.timedelta64(x, "D"),
        "wave": np.arange(3.0) * x,
        "ragged": np.arange(x),
    }

outputs = {
    "n": int, "good": bool, "word": str, "day": "M8[ns]", "wave": ("time",),
    "ragged": tk.ragged("spike"),
}
sweep = tk.Sweep(tk.stage(rich, outputs=outputs), {"x": [1, 2, 3]}, store="rich.zarr")
"""


@pytest.mark.parametrize("out", ["out.csv", "out.parquet"])
def test_a_table_has_a_row_for_each_run(toolkit: Toolkit, out: str) -> None:
    toolkit("run study.py", code=1)
    done = toolkit(f"export sir.zarr {out}")
    assert done.stdout == f"{out}: 12 rows of 10 columns\n"
    table = pd.read_csv(out) if out.endswith("csv") else pd.read_parquet(out)
    assert list(table.columns) == [
        "run", "beta", "gamma", "infected", "peak", "rate", "status", "attempts", "seconds",
        "peak_memory",
    ]  # fmt: skip
    assert table.status.tolist() == ["done"] * 11 + ["failed"]
    assert table.peak[0] == pytest.approx(2)
    assert np.isnan(table.peak[11])


def test_netcdf_is_what_the_store_reads_as(toolkit: Toolkit) -> None:
    toolkit("run study.py", code=1)
    toolkit("export sir.zarr out.nc")
    with xr.open_dataset("out.nc") as written:
        xr.testing.assert_equal(written.load(), tk.open("sir.zarr").load())


def test_every_kind_of_output_can_be_exported(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(RICH)
    toolkit("run study.py")
    toolkit("export rich.zarr out.nc")
    with xr.open_dataset("out.nc") as written:
        assert written.word.values.tolist() == ["é", "éé", "ééé"]
        assert written.day.sel(x=2).values == np.datetime64("2024-01-03")
        assert written.wave.dims == ("x", "time")
    done = toolkit("export rich.zarr out.csv")
    assert "Left out: ragged, wave" in done.stderr or "Left out: wave, ragged" in done.stderr
    table = pd.read_csv("out.csv")
    assert table.good.tolist() == [False, True, True]
    assert table.word.tolist() == ["é", "éé", "ééé"]


def test_complex_numbers_have_no_place_in_netcdf(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import toolkit as tk\ndef f(x):\n    return x * 1j\n"
        "sweep = tk.Sweep(f, {'x': [1, 2]}, store='f.zarr')\n"
    )
    toolkit("run study.py")
    assert "'f' has complex numbers" in toolkit("export f.zarr out.nc", code=2).stderr
    assert sorted(path.name for path in folder.glob("*out*")) == []


def test_objects_are_left_out_and_never_unpickled(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import toolkit as tk\nclass Model:\n    pass\n"
        "def f(x):\n    return {'model': Model(), 'y': x}\n"
        "sweep = tk.Sweep(f, {'x': [1, 2]}, store='f.zarr')\n"
    )
    toolkit("run study.py")
    assert "Left out: model" in toolkit("export f.zarr out.nc").stderr
    assert "Left out: model" in toolkit("export f.zarr out.csv").stderr


def test_a_file_that_is_there_is_replaced_in_one_step(toolkit: Toolkit, folder: Path) -> None:
    toolkit("run study.py beta=.1")
    (folder / "out.csv").write_text("old")
    toolkit("export sir.zarr out.csv")
    assert len(pd.read_csv("out.csv")) == 3
    assert [path.name for path in folder.glob(".*part*")] == []


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("out.xlsx", "ends in none of .nc, .csv, .parquet"),
        ("nowhere/out.csv", "there is no nowhere"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_impossible_place_is_an_error(
    toolkit: Toolkit, folder: Path, out: str, says: str
) -> None:
    toolkit("run study.py beta=.1")
    (folder / "folder.csv").mkdir()
    assert says in toolkit(f"export sir.zarr {out}", code=2).stderr


def test_a_missing_library_is_named_with_the_command_that_adds_it(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    toolkit("run study.py beta=.1")
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    done = toolkit("export sir.zarr out.parquet", code=2)
    assert "pyarrow" in done.stderr
    assert sys.executable in done.stderr.splitlines()[-1]
    assert "install" in done.stderr.splitlines()[-1]
