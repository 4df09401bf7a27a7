"""Pictures of a live job and of a store show what the dataset holds."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import toolkit as tk
from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.views.pictures import Pictures


def peak(beta: float, gamma: float, trial: int) -> float:
    """A number that tells where it comes from; some runs fail."""
    if beta > 0.45 and gamma > 0.15:
        raise ValueError("too steep")
    return 100 * beta + gamma + trial


def space() -> tk.Space:
    beta = xr.DataArray(
        np.linspace(0.1, 0.5, 5),
        dims="beta",
        attrs={"units": "1/day", "long_name": "transmission rate"},
    )
    return tk.grid(beta=beta, gamma=[0.2, 0.1], trial=tk.replicates(4))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "sir.zarr"
    tk.Sweep(peak, space(), store=path).run(progress=False)
    return path


def test_a_map_is_the_mean_of_the_dataset_over_all_other_dims(stored: Path) -> None:
    data = tk.open(stored)
    picture = Pictures.of_store(stored).draw("peak", x="beta", y="gamma")
    expected = data.peak.mean("trial").transpose("gamma", "beta")
    assert picture.kind == "map"
    assert picture.values.dtype == np.float32
    np.testing.assert_allclose(picture.values, expected.values, rtol=1e-6)
    np.testing.assert_array_equal(picture.x.labels, data.beta.values)
    np.testing.assert_array_equal(picture.y.labels, data.gamma.values)  # type: ignore[union-attr]
    assert picture.x.title == "transmission rate (1/day)"
    assert picture.note == "mean over trial (4)"
    assert picture.n_missing == 1


def test_turned_sides_turn_the_picture(stored: Path) -> None:
    pictures = Pictures.of_store(stored)
    one, other = pictures.draw("peak", "beta", "gamma"), pictures.draw("peak", "gamma", "beta")
    np.testing.assert_array_equal(one.values, other.values.T)


def test_cells_whose_runs_all_failed_are_marked_and_no_others(stored: Path) -> None:
    pictures = Pictures.of_store(stored)
    status = tk.open(stored).status.transpose("gamma", "beta", "trial")
    expected = (status == Status.FAILED).all("trial").values
    assert expected.sum() == 1
    picture = pictures.draw("peak", "beta", "gamma")
    np.testing.assert_array_equal(picture.failed, expected)
    np.testing.assert_array_equal(pictures.draw("peak", "gamma", "beta").failed, expected.T)
    line = pictures.draw("peak", "beta", where={"gamma": 0.2})
    np.testing.assert_array_equal(line.failed, expected[1:])
    assert pictures.draw("peak", "beta").failed is None  # others of the mean have a value
    assert pictures.draw("seconds", "beta", "gamma").failed is None
    coarse = pictures.draw("peak", "beta", "gamma", most=(2, 3))
    np.testing.assert_array_equal(coarse.failed, [[False] * 3, [False, False, True]])
    assert coarse.n_failed == 1


def test_slices_of_an_output_share_their_scale(stored: Path) -> None:
    pictures = Pictures.of_store(stored)
    slices = [pictures.draw("peak", "beta", "gamma", where={"trial": n}) for n in range(4)]
    assert len({(each.low, each.high) for each in slices}) == 1
    everything = tk.open(stored).peak
    assert slices[0].low == pytest.approx(float(everything.min()))
    assert slices[0].high == pytest.approx(float(everything.max()))
    assert slices[2].note == "trial = 2"


def test_a_line_comes_with_the_range_of_what_it_is_the_mean_of(stored: Path) -> None:
    data = tk.open(stored).peak.sel(gamma=0.1)
    picture = Pictures.of_store(stored).draw("peak", "beta", where={"gamma": 0.1})
    assert picture.kind == "line"
    assert picture.values.shape == (1, 5)
    np.testing.assert_allclose(picture.values[0], data.mean("trial"), rtol=1e-6)
    assert picture.band is not None
    np.testing.assert_allclose(picture.band, [data.min("trial"), data.max("trial")], rtol=1e-6)


def test_states_are_codes_and_a_failed_run_leads(stored: Path) -> None:
    picture = Pictures.of_store(stored).draw("status", "beta", "gamma")
    assert picture.words[Status.FAILED] == "failed"
    assert set(np.unique(picture.values)) == {Status.DONE, Status.FAILED}
    assert (picture.values == Status.FAILED).sum() == 1
    assert picture.note == "failed where any is, over trial (4)"


def test_run_times_are_drawn_too(stored: Path) -> None:
    picture = Pictures.of_store(stored).draw("seconds", "beta", "gamma", where={"trial": 1})
    data = tk.open(stored).seconds.sel(trial=1).transpose("gamma", "beta")
    np.testing.assert_allclose(picture.values, data.values)
    assert picture.title == "wall time of the run (s)"


def test_what_is_wrong_is_said_with_what_there_is(stored: Path) -> None:
    pictures = Pictures.of_store(stored)
    with pytest.raises(ToolkitError, match=r"no output 'size'.*peak, status, seconds"):
        pictures.draw("size")
    with pytest.raises(ToolkitError, match=r"no dim 'rate'; it has beta, gamma, trial"):
        pictures.draw("peak", "rate")
    with pytest.raises(ToolkitError, match=r"no label 0\.7; it has 0\.1, 0\.2"):
        pictures.draw("peak", "gamma", where={"beta": 0.7})
    with pytest.raises(ToolkitError, match="no label 'low'"):
        pictures.draw("peak", "gamma", where={"beta": "low"})


def test_many_cells_are_means_of_neighbors_and_the_note_says_so() -> None:
    def wave(beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        return beta + gamma

    sweep = tk.Sweep(
        tk.stage(wave, vectorized=True), tk.grid(beta=range(300), gamma=range(205)), store=None
    )
    job = sweep.start()
    job.result(60)
    pictures = Pictures.of_job(job)
    picture = pictures.draw("wave", "beta", "gamma", most=(100, 100))
    assert picture.values.shape == (69, 100)
    assert picture.note == "a cell is the mean of 3 gamma × 3 beta"
    assert picture.values[0, 0] == pytest.approx(2.0)
    assert picture.values[-1, -1] == pytest.approx(298 + 204)
    assert picture.x.labels[0] == 1.0
    assert (picture.x.each, picture.low, picture.high) == (3, 0.0, 299 + 204.0)
    states = pictures.draw("status", "beta", "gamma", most=(100, 100))
    assert (states.values == Status.DONE).all()


def test_a_live_look_reads_only_what_has_ended_since_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    gather = StageRuns.gather

    def noted(self: StageRuns, variable: str, wanted: Any, into: Any) -> None:
        read.append(int(wanted.sum()))
        gather(self, variable, wanted, into)

    monkeypatch.setattr(StageRuns, "gather", noted)

    def slow(beta: int) -> float:
        time.sleep(0.004)
        return beta + 0.5

    path = tmp_path / "slow.zarr"
    job = tk.Sweep(slow, tk.grid(beta=range(400)), store=path).start()
    pictures = Pictures.of_job(job)
    seen = [np.zeros(400, bool)]
    while not job.is_finished:
        if "slow" in pictures.outputs:
            values = pictures.draw("slow", "beta").values[0]
            there = ~np.isnan(values)
            np.testing.assert_array_equal(values[there], np.flatnonzero(there) + 0.5)
            assert (there >= seen[-1]).all(), "what was there is there still"
            seen.append(there)
        time.sleep(0.05)
    job.result()
    assert any(0 < each.sum() < 400 for each in seen), "the picture fills in while it runs"
    values = pictures.draw("slow", "beta").values
    np.testing.assert_array_equal(values[0], np.arange(400) + 0.5)
    assert sum(read) == 400
    np.testing.assert_array_equal(Pictures.of_store(path).draw("slow", "beta").values, values)


def test_a_run_made_again_shows_its_new_value(tmp_path: Path) -> None:
    sweep = tk.Sweep(counted, tk.grid(beta=[1.0, 2.0], folder=str(tmp_path)))
    sweep.run(progress=False)
    job = sweep.start(rerun="all")
    pictures = Pictures.of_job(job)
    job.result(30)
    assert sorted(pictures.draw("counted", "beta").values[0].tolist()) == [3.0, 4.0]


def counted(beta: float, folder: str) -> float:
    """Return the number of the call."""
    _ = beta
    number = len(list(Path(folder).iterdir())) + 1
    (Path(folder) / f"{number}.call").touch()
    return float(number)


def test_outputs_with_inner_dims_are_lines_and_maps_over_them(tmp_path: Path) -> None:
    def course(beta: float) -> xr.DataArray:
        time = xr.DataArray(np.arange(5) * 2.0, dims="time", attrs={"units": "d"})
        return (beta * time).assign_coords(time=time).rename("course")

    path = tmp_path / "course.zarr"
    data = tk.Sweep(course, tk.grid(beta=[1.0, 2.0, 3.0]), store=path).run(progress=False)
    pictures = Pictures.of_store(path)
    assert pictures.default("course") == ("time", None)
    line = pictures.draw("course", "time", where={"beta": 2.0})
    np.testing.assert_allclose(line.values[0], data.course.sel(beta=2.0))
    assert line.x.title == "time (d)"
    picture = pictures.draw("course", "time", "beta")
    np.testing.assert_allclose(picture.values, data.course.transpose("beta", "time"))
    over = pictures.draw("course", "beta", where={"time": 4.0})
    np.testing.assert_allclose(over.values[0], data.course.sel(time=4.0))


def test_a_sample_is_points_over_two_of_its_parameters() -> None:
    def area(width: float, height: float) -> float:
        return width * height

    sweep = tk.Sweep(area, tk.sample(32, width=(0.0, 1.0), height=(1.0, 2.0)))
    job = sweep.start()
    data = job.result(30)
    pictures = Pictures.of_job(job)
    assert pictures.default("area") == ("width", "height")
    picture = pictures.draw("area")
    assert picture.kind == "scatter"
    np.testing.assert_allclose(picture.values[0], data.area, rtol=1e-6)
    np.testing.assert_allclose(picture.x.labels, data.width)
    np.testing.assert_allclose(picture.y.labels, data.height)  # type: ignore[union-attr]
    upwards = pictures.draw("area", "width")
    assert (upwards.kind, upwards.y) == ("scatter", None)


def test_points_that_a_refinement_chose_are_points(tmp_path: Path) -> None:
    def bump(beta: float) -> float:
        return float(np.exp(-((beta - 0.3) ** 2) / 0.001))

    path = tmp_path / "bump.zarr"
    sweep = tk.Sweep(bump, tk.grid(beta=[0.0, 0.5, 1.0]), store=path)
    sweep.run(progress=False)
    sweep.refine("bump", dims="beta", points=20, progress=False)
    pictures = Pictures.of_store(path, flat=True)
    assert pictures.default("bump") == ("beta", None)
    picture = pictures.draw("bump")
    data = tk.open(path, flat=True)
    assert picture.values.shape == (1, 23)
    np.testing.assert_allclose(picture.x.labels, data.beta)
    np.testing.assert_allclose(picture.values[0], data.bump, rtol=1e-6, atol=1e-38)


def test_stages_are_told_apart_and_each_has_its_own_dims() -> None:
    @tk.stage(outputs=["base"])
    def prepare(beta: float) -> float:
        return beta * 2

    @tk.stage(outputs=["total"])
    def add(base: float, gamma: float) -> float:
        return base + gamma

    sweep = tk.Sweep([prepare, add], tk.grid(beta=[1.0, 2.0], gamma=[0.0, 1.0, 2.0]))
    job = sweep.start()
    data = job.result(30)
    pictures = Pictures.of_job(job)
    assert set(pictures.outputs) == {
        "base",
        "total",
        "status_prepare",
        "status_add",
        "seconds_prepare",
        "seconds_add",
    }
    assert list(pictures.dims("base")) == ["beta"]
    np.testing.assert_allclose(
        pictures.draw("total", "beta", "gamma").values, data.total.transpose("gamma", "beta")
    )


def test_words_and_numbers_that_descend_stand_as_the_dataset_has_them() -> None:
    def score(model: str, rate: float) -> float:
        return rate if model == "svm" else -rate

    sweep = tk.Sweep(score, tk.grid(model=["svm", "forest"], rate=[0.1, 0.01, 0.001]))
    job = sweep.start()
    data = job.result(30)
    picture = Pictures.of_job(job).draw("score", "rate", "model")
    np.testing.assert_allclose(picture.values, data.score.transpose("model", "rate"), rtol=1e-6)
    assert picture.x.is_log
    assert picture.y is not None
    assert picture.y.words() == ["svm", "forest"]


def test_cells_that_a_space_leaves_out_are_blank() -> None:
    def ratio(beta: float, gamma: float) -> float:
        return beta / gamma

    space = tk.grid(beta=[1.0, 2.0, 3.0], gamma=[1.0, 2.0, 3.0]).where(
        lambda beta, gamma: beta >= gamma
    )
    job = tk.Sweep(ratio, space).start()
    data = job.result(30)
    pictures = Pictures.of_job(job)
    picture = pictures.draw("ratio", "beta", "gamma")
    np.testing.assert_allclose(
        picture.values, data.ratio.transpose("gamma", "beta"), rtol=1e-6, equal_nan=True
    )
    assert np.isnan(pictures.draw("status", "beta", "gamma").values).sum() == 3
