"""``job.retry()`` runs failed runs again: at once while the sweep runs, else in a new job."""

import time
from pathlib import Path

import pytest

import toolkit as tk
from toolkit.errors import SweepError


def mended(number: int, folder: str) -> float:
    """Fail for every third number until a file says that the model is mended."""
    time.sleep(0.005)
    if number % 3 == 0 and not (Path(folder) / "mended").exists():
        raise ValueError("not mended yet")
    return float(number)


def test_while_it_runs_failed_runs_are_run_again_in_the_same_job(tmp_path: Path) -> None:
    space = tk.grid(number=range(300), folder=str(tmp_path))
    job = tk.Sweep(mended, space, store=tmp_path / "a.zarr").start()
    deadline = time.monotonic() + 30
    while not job.progress.failed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.progress.failed
    (tmp_path / "mended").touch()
    assert job.retry() is job
    data = job.result(60)
    assert job.progress.failed == 0
    assert int(data.mended.notnull().sum()) == 300
    assert int(data.attempts.max()) == 2


def test_who_asks_is_told_of_the_end_and_at_once_where_it_has_come(tmp_path: Path) -> None:
    job = tk.Sweep(mended, tk.grid(number=range(1, 3), folder=str(tmp_path))).start()
    told: list[bool] = []
    job.tell_end(lambda: told.append(job.is_finished))
    job.result(30)
    assert told
    assert all(told)
    before = len(told)
    job.tell_end(lambda: told.append(job.is_finished))
    assert told[before:] == [True]


def test_after_the_end_a_new_job_runs_what_failed_and_nothing_else(tmp_path: Path) -> None:
    space = tk.grid(number=range(30), folder=str(tmp_path))
    job = tk.Sweep(mended, space, store=tmp_path / "a.zarr").start()
    job.result(30)
    assert job.progress.failed == 10
    (tmp_path / "mended").touch()
    again = job.retry()
    assert again is not job
    data = again.result(30)
    assert again.progress.done == 30
    assert int((data.attempts == 2).sum()) == 10


def test_a_function_that_was_defined_anew_is_not_run_in_its_old_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tk.grid(number=range(3), folder=str(tmp_path))
    job = tk.Sweep(mended, space).start()
    job.result(30)

    def anew(number: int) -> float:
        return number * 2.0

    anew.__qualname__ = "mended"
    monkeypatch.setitem(globals(), "mended", anew)
    with pytest.raises(SweepError, match="defined anew"):
        job.retry()
