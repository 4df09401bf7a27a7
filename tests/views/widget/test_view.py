"""The widget is told how a job stands, and its buttons do what they say."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit as tk
from tests.views.specimens import in_the_middle
from toolkit.execution.job import Job
from toolkit.views.snapshot import Snapshot

pytest.importorskip("anywidget", reason="no anywidget. To add: the notebook extra")

from toolkit.views.widget.view import JobView


def slow(beta: float, gamma: float) -> float:
    """A run of some milliseconds; those of large beta and gamma fail."""
    time.sleep(0.003)
    if beta > 0.85 and gamma > 0.85:
        raise ValueError("too steep")
    return beta + 10 * gamma


def mended(beta: float, folder: str) -> float:
    """Fail until a file says that the model is mended."""
    if not (Path(folder) / "mended").exists():
        if beta > 2:
            raise ValueError("not mended yet")
        return beta
    return beta


LABELS = np.linspace(0, 1, 16)


@pytest.fixture
def job() -> Iterator[Job]:
    job = tk.Sweep(slow, tk.grid(beta=LABELS, gamma=LABELS)).start()
    yield job
    job.cancel()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str]]]:
    """List what went over the comm: the thread, and the names of what was sent."""
    from comm.base_comm import BaseComm

    found: list[tuple[str, set[str]]] = []

    def send(self: Any, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        del self, metadata, buffers
        if data["method"] == "update":
            names = set(data["state"]) | {str(path[0]) for path in data["buffer_paths"]}
            found.append((threading.current_thread().name, names))

    monkeypatch.setattr(BaseComm, "send", send)
    return found


def until(what: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert what()


def grid_of(view: JobView) -> np.ndarray:
    document = view.widget.picture
    values = np.frombuffer(view.widget.grid, np.float32)
    assert len(values) == document["size"]
    return values


def test_the_picture_fills_in_while_the_sweep_runs_and_ends_as_the_dataset(job: Job) -> None:
    view = JobView(job)
    view.show()
    until(lambda: view.widget.picture.get("name") == "slow")
    until(lambda: np.isfinite(grid_of(view)).any())
    assert not np.isfinite(grid_of(view)).all()
    data = job.result(60)
    view.finish()
    values = grid_of(view).reshape(16, 16)
    np.testing.assert_allclose(values, data.slow.transpose("gamma", "beta"), rtol=1e-6)
    assert view.widget.state["state"] == "done"
    counts = view.widget.state["counts"]
    assert (counts["done"], counts["failed"], counts["pending"]) == (247, 9, 0)
    [group] = view.widget.failures
    assert group["count"] == 9
    assert "too steep" in group["traceback"]
    assert "reproduce(" in group["reproduce"]
    assert set(group["labels"]) == {"beta", "gamma"}


def test_at_most_four_messages_a_second_come_and_from_its_own_thread(
    job: Job, sent: list[tuple[str, set[str]]]
) -> None:
    view = JobView(job)
    view.show()
    del sent[:]
    began = time.monotonic()
    job.result(60)
    took = time.monotonic() - began
    view.finish()
    assert 0 < len(sent) <= 4 * took + 2
    assert {name for name, _ in sent} == {"toolkit-widget"}
    assert any("grid" in names for _, names in sent)
    labels = [names for _, names in sent if "sides" in names]
    assert len(labels) <= 2, "labels are sent once, not with every look"


def test_another_output_slice_and_line_are_drawn_at_once(job: Job) -> None:
    view = JobView(job)
    view.look()
    job.result(60)
    view.answer({"do": "choose", "output": "status", "x": "beta", "y": "gamma", "where": {}})
    assert view.widget.picture["name"] == "status"
    assert view.widget.picture["words"]["2"] == "failed"
    view.answer({"do": "choose", "output": "slow", "x": "gamma", "y": None, "where": {"beta": 3}})
    assert view.widget.picture["kind"] == "line"
    assert view.widget.picture["note"] == "beta = 0.2"
    np.testing.assert_allclose(grid_of(view), LABELS[3] + 10 * LABELS, rtol=1e-6)
    sliced = [dim["name"] for dim in view.widget.options["dims"] if dim["is_sliced"]]
    assert sliced == ["beta"]
    view.answer({"do": "choose", "output": "slow", "x": "nonsense", "where": {"gone": 2}})
    assert (view.widget.options["chosen"]["x"], view.widget.picture["kind"]) == ("beta", "map")


def test_buttons_pause_resume_and_cancel(job: Job) -> None:
    view = JobView(job)
    view.look()
    assert view.widget.state["can"] == ["pause", "cancel"]
    until(lambda: job.progress.done > 0)
    view.answer({"do": "pause"})
    view.look()
    assert "resume" in view.widget.state["can"]
    assert view.widget.state["state"] == "paused"
    view.answer({"do": "resume"})
    view.answer({"do": "cancel"})
    until(lambda: job.is_finished)
    view.look()
    assert view.widget.state["state"] == "cancelled"
    assert view.widget.state["can"] == ["retry"]
    assert view.widget.state["counts"]["pending"] > 0


def test_a_region_drawn_with_the_mouse_comes_first(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    focus = Job.focus

    def noted(self: Job, **labels: Any) -> None:
        asked.append(labels)
        focus(self, **labels)

    monkeypatch.setattr(Job, "focus", noted)
    view = JobView(job)
    until(lambda: view.look() or view.widget.picture.get("name") == "slow")
    view.answer({"do": "focus", "x": [2, 4], "y": [15, 15]})
    assert view.widget.state["said"] == ""
    assert asked == [{"beta": LABELS[2:5].tolist(), "gamma": [1.0]}]
    expected = "Runs with beta from 0.1333 to 0.2667 and gamma = 1 come first."
    assert view.widget.state["focus"] == expected
    view.answer({"do": "unfocus"})
    assert asked[1] == {}
    assert view.widget.state["focus"] == ""


def test_retry_after_the_end_is_shown_in_the_same_widget(tmp_path: Path) -> None:
    sweep = tk.Sweep(mended, tk.grid(beta=[1.0, 2.0, 3.0], folder=str(tmp_path)))
    job = sweep.start()
    view = JobView(job)
    view.show()
    job.result(30)
    view.finish()
    assert view.widget.state["counts"]["failed"] == 1
    (tmp_path / "mended").touch()
    view.answer({"do": "retry"})
    assert view.job is not job
    view.job.result(30)
    view.finish()
    assert view.widget.state["counts"]["done"] == 3
    assert sorted(grid_of(view).tolist()) == [1.0, 2.0, 3.0]


def test_a_look_that_fails_is_said_and_the_sweep_goes_on(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def broken(job: Job) -> Snapshot:
        del job
        calls.append(1)
        if len(calls) > 2:
            raise OSError("the disk is gone")
        return in_the_middle()

    view = JobView(job, look=broken)
    view.show()
    until(lambda: "the disk is gone" in view.widget.state["said"])
    assert view.widget.state["said"].startswith("How the sweep stands cannot be seen now: OSError")
    monkeypatch.setattr("toolkit.views.pictures.Pictures.draw", lambda *_, **__: 1 / 0)
    view.look()
    assert "The picture cannot be drawn now: ZeroDivisionError" in view.widget.state["said"]
    data = job.result(60)
    assert int(data.slow.notnull().sum()) == 247


def test_what_the_browser_asks_wrongly_is_said(job: Job) -> None:
    view = JobView(job)
    view.look()
    view.answer({"do": "explode"})
    assert "asks for 'explode'" in view.widget.state["said"]
    view.answer({"do": "choose", "output": "gone"})
    assert "no output 'gone'" in view.widget.state["said"]
    view.answer({"do": "pause"})
    assert view.widget.state["said"] == ""
    job.resume()
