"""Results that would be others now: made of stale runs, or without a part that failed."""

import warnings
from pathlib import Path

import pytest

import toolkit as tk


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "study.zarr"


def folds(folder: Path):
    """Score folds, of which those with a file in a folder fail; their mean; what follows."""
    folder.mkdir()

    @tk.stage(version="1")
    def score(x, fold):
        if (folder / f"{x}-{fold}").exists():
            raise ValueError("planted")
        return x * 10 + fold

    @tk.stage(over="fold", missing="allow", version="1")
    def mean(score):
        with (folder / "calls").open("a") as file:
            file.write("m")
        return float(score.mean())

    @tk.stage(version="1")
    def after(mean, gain):
        return mean * gain

    return [score, mean, after]


def test_a_reduction_is_made_anew_when_a_part_that_had_failed_is_mended(store, tmp_path) -> None:
    stages = folds(tmp_path / "faults")
    for name in ("1-1", "1-5"):
        (tmp_path / "faults" / name).touch()
    space = tk.grid(x=[1, 2], fold=[0, 1, 5], gain=[1, 10])
    sweep = tk.Sweep(stages, space, store=store)
    data = sweep.run(progress=False)
    assert data["mean"].values.tolist() == [10, 22]
    (tmp_path / "faults" / "1-1").unlink()
    data = sweep.retry(progress=False)
    assert data["mean"].values.tolist() == [10.5, 22]
    assert data.after.values.tolist() == [[10.5, 105], [22, 220]]
    (tmp_path / "faults" / "1-5").unlink()
    data = sweep.retry(progress=False)
    assert data["mean"].values.tolist() == [12, 22]
    assert data.after.values.tolist() == [[12, 120], [22, 220]]
    assert (data.status_after == tk.Status.DONE).all()
    sweep.run(progress=False)
    assert (tmp_path / "faults" / "calls").read_text() == "m" * 4


def test_a_part_of_a_sweep_may_mend_what_the_reduction_lacks(store, tmp_path) -> None:
    stages = folds(tmp_path / "faults")
    (tmp_path / "faults" / "1-1").touch()
    space = tk.grid(x=[1, 2], fold=[0, 1, 5], gain=[1, 10])
    sweep = tk.Sweep(stages, space, store=store)
    sweep.run(progress=False)
    (tmp_path / "faults" / "1-1").unlink()
    sweep.sel(fold=1).retry(progress=False)
    data = sweep.sel(gain=1).run(progress=False)
    assert data["mean"].values.tolist() == [12, 22]
    whole = sweep.dataset()
    assert whole.status_after.sel(x=1).values.tolist() == [tk.Status.DONE, tk.Status.STALE]
    data = sweep.run(rerun="stale", progress=False)
    assert data.after.values.tolist() == [[12, 120], [22, 220]]


def test_a_reduction_that_lacks_a_part_is_not_reused(tmp_path) -> None:
    stages = folds(tmp_path / "faults")[:2]
    (tmp_path / "faults" / "1-1").touch()
    space = tk.grid(x=[1, 2], fold=[0, 1, 5])
    first = tk.Sweep(stages, space, store=tmp_path / "first.zarr")
    first.run(progress=False)
    (tmp_path / "faults" / "1-1").unlink()
    second = tk.Sweep(stages, space, reuse=[tmp_path / "first.zarr"])
    assert second.explain().stages.reused.to_dict() == {"score": 5, "mean": 1}
    assert second.run(progress=False)["mean"].values.tolist() == [12, 22]


def test_what_was_made_of_a_reduction_that_lacks_a_part_is_not_reused(tmp_path) -> None:
    stages = folds(tmp_path / "faults")
    (tmp_path / "faults" / "1-1").touch()
    space = tk.grid(x=[1, 2], fold=[0, 1, 5], gain=1)
    tk.Sweep(stages, space, store=tmp_path / "first.zarr").run(progress=False)
    (tmp_path / "faults" / "1-1").unlink()
    second = tk.Sweep(stages, space, reuse=[tmp_path / "first.zarr"])
    assert second.explain().stages.reused.to_dict() == {"score": 5, "mean": 1, "after": 0}
    assert second.run(progress=False).after.values.tolist() == [12, 22]


def test_failed_parts_that_are_not_kept_are_made_again_by_retry(store, tmp_path) -> None:
    score, mean, after = folds(tmp_path / "faults")
    (tmp_path / "faults" / "1-1").touch()
    space = tk.grid(x=[1, 2], fold=[0, 1, 5], gain=1)
    passing = tk.stage(score.function, keep=False, version="1")
    sweep = tk.Sweep([passing, mean, after], space, store=store)
    assert sweep.run(progress=False)["mean"].values.tolist() == [12.5, 22]
    (tmp_path / "faults" / "1-1").unlink()
    assert sweep.run(progress=False)["mean"].values.tolist() == [12.5, 22]
    data = sweep.retry(progress=False)
    assert data["mean"].values.tolist() == [12, 22]
    assert data.after.values.tolist() == [12, 22]


def versions(number):
    @tk.stage(version=str(number))
    def fit(x):
        return x * number

    @tk.stage(version="1", keep=False)
    def pass_on(fit):
        return fit

    @tk.stage(version="1")
    def score(pass_on, k):
        return pass_on + k

    @tk.stage(version="1")
    def report(score):
        return -score

    return [fit, pass_on, score, report]


def test_what_is_made_of_stale_results_is_stale_too(store) -> None:
    sweep = tk.Sweep(versions(2), tk.grid(x=[1, 2], k=[10]), store=store)
    sweep.run(progress=False)
    mended = sweep.replace(stages=versions(3)).extend(k=[20])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = mended.run(progress=False)
    assert data.score.values.tolist() == [[12, 22], [14, 24]]
    assert (data.status_score == tk.Status.STALE).all()
    assert (data.status_report == tk.Status.STALE).all()
    assert mended.explain().stages.stale.to_dict() == {
        "fit": 2,
        "pass_on": 0,
        "score": 4,
        "report": 4,
    }
    data = mended.run(rerun="stale", progress=False)
    assert data.score.values.tolist() == [[13, 23], [16, 26]]
    assert (data.report == -data.score).all()
    assert (data.status_score == tk.Status.DONE).all()
    if store is not None:
        assert (tk.open(store).status_score == tk.Status.DONE).all()
