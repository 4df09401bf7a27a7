from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import toolkit as tk
from tests.views.report.conftest import Page
from toolkit.run_status import Status
from toolkit.views.report.cells import cells_of
from toolkit.views.report.choices import Choice, choices
from toolkit.views.report.material import material_of
from toolkit.views.report.points import points_shown
from toolkit.views.stored import snapshot_of_store

Report = Callable[[Path | str], Page]


def swept(path: Path, function: Any, space: Any) -> None:
    tk.Sweep(function, space, store=path).run(progress=False)


def chosen(path: Path) -> dict[str, Choice]:
    material = material_of(path, snapshot_of_store(path))
    return {each.name: each for stage in material.stages for each in choices(stage)}


def test_a_map_is_over_the_two_longest_dims_and_means_over_the_others(
    tmp_path: Path, report: Report
) -> None:
    def model(a: float, b: float, c: float) -> float:
        return a + 10 * b + 100 * c

    space = tk.grid(a=[0.0, 1.0], b=[0.0, 1.0, 2.0, 3.0], c=[0.0, 1.0, 2.0])
    swept(tmp_path / "a.zarr", model, space)
    choice = chosen(tmp_path / "a.zarr")["model"]
    assert (choice.kind, choice.dims, choice.rest) == ("map", ("b", "c"), ("a",))
    shown = cells_of(choice, 100)
    expected = tk.open(tmp_path / "a.zarr").model.mean("a").transpose("b", "c")
    np.testing.assert_allclose(shown.values.values, expected.values)
    assert report(tmp_path / "a.zarr").captions[0] == "model over b and c. Mean over a (2)."


def test_repetitions_are_averaged_even_where_they_are_many(tmp_path: Path, report: Report) -> None:
    def model(a: float, trial: int) -> float:
        return a * 100 + trial

    swept(tmp_path / "a.zarr", model, tk.grid(a=[0.0, 1.0, 2.0], trial=tk.replicates(50)))
    choice = chosen(tmp_path / "a.zarr")["model"]
    assert (choice.kind, choice.dims) == ("line", ("a",))
    shown = cells_of(choice, 100)
    np.testing.assert_allclose(shown.values.values, [24.5, 124.5, 224.5])
    np.testing.assert_allclose(shown.spread, np.full(3, np.arange(50).std()))
    assert "The band is one standard deviation" in report(tmp_path / "a.zarr").captions[0]


def test_repetitions_alone_are_drawn(tmp_path: Path) -> None:
    def model(trial: int) -> float:
        return float(trial)

    swept(tmp_path / "a.zarr", model, tk.grid(trial=tk.replicates(5)))
    assert chosen(tmp_path / "a.zarr")["model"].dims == ("trial",)


def test_inner_dims_are_drawn_where_they_are_longer(tmp_path: Path, report: Report) -> None:
    def wave(a: float, b: float) -> np.ndarray:
        return np.arange(20.0) * a + b

    stage = tk.stage(wave, outputs={"wave": tk.Output(float, dims=("time",), units="mV")})
    swept(tmp_path / "a.zarr", stage, tk.grid(a=[1.0, 2.0, 3.0], b=[0.0, 1.0]))
    choice = chosen(tmp_path / "a.zarr")["wave"]
    assert (choice.kind, choice.dims, choice.rest) == ("map", ("a", "time"), ("b",))
    assert report(tmp_path / "a.zarr").captions[0] == "wave (mV) over a and time. Mean over b (2)."


def test_failed_cells_are_crossed_and_pending_ones_blank(tmp_path: Path, report: Report) -> None:
    def model(a: float, b: float) -> float:
        if a == 2 and b == 1:
            raise ValueError("no")
        return a + b

    sweep = tk.Sweep(model, tk.grid(a=[0.0, 1.0, 2.0], b=[0.0, 1.0]), store=tmp_path / "a.zarr")
    sweep.sel(a=slice(1, 2)).run(progress=False)
    sweep.sel(a=0.0, b=1.0).run(progress=False)
    shown = cells_of(chosen(tmp_path / "a.zarr")["model"], 100)
    status = shown.values.coords["status"].values
    assert (status == Status.FAILED).tolist() == [[False, False], [False, False], [False, True]]
    assert np.isnan(shown.values.values).tolist() == [[True, False], [False, False], [False, True]]
    (caption, *_) = report(tmp_path / "a.zarr").captions
    assert "Crosses: 1 cell of which no run is done and some failed." in caption
    assert "Blank: 1 cell without a value." in caption


def test_blocks_keep_means_and_failures(tmp_path: Path) -> None:
    def model(a: float) -> float:
        if a == 4:
            raise ValueError("no")
        return a

    swept(tmp_path / "a.zarr", model, tk.grid(a=np.arange(5.0)))
    shown = cells_of(chosen(tmp_path / "a.zarr")["model"], 3)
    assert shown.blocks == {"a": 2}
    np.testing.assert_allclose(shown.values.values, [0.5, 2.5, np.nan])
    np.testing.assert_allclose(shown.values.coords["dim_0"].values, [0.5, 2.5, 4.0])
    assert shown.values.coords["status"].values.tolist() == [
        Status.DONE,
        Status.DONE,
        Status.FAILED,
    ]


def test_a_sample_is_a_scatter_over_what_tells_most(tmp_path: Path, report: Report) -> None:
    def model(useless: float, mass: float, radius: float) -> float:
        if mass > 0.95:
            raise ValueError("heavy")
        return (mass - 0.5) ** 2 + radius

    space = tk.sample(300, useless=(0, 1), mass=(0, 1), radius=(0, 0.2), seed=1)
    swept(tmp_path / "a.zarr", model, space)
    choice = chosen(tmp_path / "a.zarr")["model"]
    assert (choice.kind, choice.dims) == ("scatter", ("sample",))
    shown = points_shown(choice)
    assert shown is not None
    assert shown.names == ("mass", "radius")
    assert shown.drawn + shown.failed == 300
    assert shown.failed > 5
    caption = report(tmp_path / "a.zarr").captions[0]
    assert caption.startswith("model over mass and radius. These tell most of it; 1 further")
    assert f"Crosses: {shown.failed} failed runs." in caption


def test_a_table_of_words_and_numbers_is_a_scatter(tmp_path: Path, report: Report) -> None:
    import pandas as pd

    def flow(site: str, rain: float) -> float:
        return rain * len(site)

    table = pd.DataFrame({"site": ["a", "bb", "ccc", "bb"], "rain": [1.0, 2.0, 3.0, 4.0]})
    swept(tmp_path / "a.zarr", flow, tk.space(table))
    page = report(tmp_path / "a.zarr")
    assert page.captions[0].startswith("flow over rain.")
    assert page.pictures == 1


def test_a_table_of_words_alone_is_drawn_by_its_rows(tmp_path: Path, report: Report) -> None:
    import pandas as pd

    swept(
        tmp_path / "a.zarr", lambda site: len(site), tk.space(pd.DataFrame({"site": ["a", "bb"]}))
    )
    assert report(tmp_path / "a.zarr").captions[0].split(" over ")[1] == "row."


def test_points_scattered_over_a_grid_are_read_along_run(tmp_path: Path, report: Report) -> None:
    space = tk.grid(a=np.arange(30.0), b=np.arange(30.0))
    sweep = tk.Sweep(lambda a, b: a * b, space, store=tmp_path / "a.zarr")
    sweep.where(lambda a, b: (a == b) | (a + b == 29)).run(progress=False)
    assert report(tmp_path / "a.zarr").captions[0].split(" over ")[1].startswith("a and b.")


def test_texts_dates_and_complex_numbers_are_named_not_drawn(
    tmp_path: Path, report: Report
) -> None:
    def model(x: int) -> dict[str, Any]:
        return {
            "word": "é" * x,
            "day": np.datetime64("2024-01-01") + np.timedelta64(x, "D"),
            "wave": 1j * x,
            "flag": x > 1,
        }

    outputs = {"word": str, "day": "M8[ns]", "wave": complex, "flag": bool}
    swept(tmp_path / "a.zarr", tk.stage(model, outputs=outputs), {"x": [1, 2, 3]})
    page = report(tmp_path / "a.zarr")
    assert "word (text), day (dates), wave (complex)" in page.sections["results"]
    assert [each.split(" ")[0] for each in page.captions] == ["flag"]


def test_infinite_values_are_left_out_and_counted(tmp_path: Path, report: Report) -> None:
    swept(tmp_path / "a.zarr", lambda x: np.inf if x == 2 else float(x), {"x": [1, 2, 3]})
    assert "1 infinite value left out." in report(tmp_path / "a.zarr").captions[0]


def test_after_a_dozen_pictures_the_others_are_named(tmp_path: Path, report: Report) -> None:
    names = [f"y{number}" for number in range(14)]
    stage = tk.stage(lambda x: tuple(float(x) for _ in names), name="many", outputs=names)
    swept(tmp_path / "a.zarr", stage, {"x": [1, 2, 3]})
    page = report(tmp_path / "a.zarr")
    assert page.pictures == 12
    assert "Left out after 12 pictures: y12, y13." in page.sections["results"]


@pytest.mark.parametrize("name", ["value", "output", "dim_0", "FAILED", "run_", "name"])
def test_a_parameter_may_bear_any_name(tmp_path: Path, report: Report, name: str) -> None:
    stage = tk.stage(lambda **given: sum(given.values()), name="total")
    swept(tmp_path / "a.zarr", stage, tk.grid({name: [1.0, 2.0, 3.0], "other": [1.0, 2.0]}))
    assert report(tmp_path / "a.zarr").pictures == 1


def test_values_by_magnitude_are_said_to_be(tmp_path: Path, report: Report) -> None:
    stage = tk.stage(lambda a, b: 10.0 ** (a + b), name="wide")
    swept(tmp_path / "a.zarr", stage, tk.grid(a=np.arange(6.0), b=np.arange(3.0)))
    assert "Colors by magnitude." in report(tmp_path / "a.zarr").captions[0]


def test_labels_and_units_stand_on_the_picture(tmp_path: Path, report: Report) -> None:
    beta = xr.DataArray([0.1, 0.2], dims="beta", attrs={"units": "1/day", "long_name": "rate"})
    stage = tk.stage(lambda beta, kind: beta, name="peak", outputs={"peak": tk.Output(units="m")})
    swept(tmp_path / "a.zarr", stage, tk.grid(beta=beta, kind=["svm", "a $ }{ <b>"]))
    html = report(tmp_path / "a.zarr").html
    for words in ("rate (1/day)", "peak (m)", "a $ }{ &lt;b&gt;", "svm"):
        assert f">{words}</text>" in html


def test_cells_that_share_a_run_are_said_to(tmp_path: Path, report: Report) -> None:
    space = tk.grid(kernel=["rbf", "linear"], width=[0.1, 0.2, 0.4])
    space = space.when(width=lambda kernel: kernel == "rbf")
    stage = tk.stage(lambda kernel, width: width or 0.0, name="score")
    swept(tmp_path / "a.zarr", stage, space)
    said = report(tmp_path / "a.zarr").sections["space"]
    assert "4 runs: kernel 2 × width 3; 6 cells, of which some share a run" in said
