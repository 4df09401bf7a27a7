"""A long run at the beginning holds nobody up but itself."""

import time

import numpy as np
import pytest

import toolkit as tk
from toolkit.execution import overdue
from toolkit.execution.lanes import Lanes
from toolkit.execution.overdue import Overdue
from toolkit.execution.pace import Pace
from toolkit.execution.window import Window


@pytest.mark.parametrize("order", ["given", "random", "coarse"])
def test_runs_beside_a_long_first_one_are_done_meanwhile(tmp_path, order):
    gate = tmp_path / "gate"

    def waits(x):
        time.sleep(0.002)
        while x == long and not gate.exists():
            time.sleep(0.01)
        return x

    long = 0
    with tk.cluster("local", workers=2, dashboard=None) as cluster:
        job = tk.Sweep(waits, {"x": range(200)}, store=tmp_path / "s.zarr").start(
            cluster, order=order
        )
        try:
            end = time.monotonic() + 120
            while job.progress.pending > 1:
                assert time.monotonic() < end, job.progress
                time.sleep(0.05)
            assert not job.is_finished
        finally:
            gate.touch()
        data = job.result(timeout=120)
    assert data.waits.values.tolist() == list(range(200))
    assert (data.attempts == 1).all()


class NoPositions:
    def positions(self, ids):
        return ()


@pytest.fixture
def scene(monkeypatch):
    monkeypatch.setattr(overdue, "_PATIENCE", -1.0)
    queue = Lanes("given")
    queue.add(np.arange(40), NoPositions())
    window = Window(queue, Pace())
    tasks = queue.first_wave(4, at_once=4, seconds=0.001)
    for task in tasks:
        window.sent(task)
    return queue, window, tasks


def test_what_was_taken_back_does_not_come_back_twice(scene):
    queue, window, tasks = scene
    first = tasks[0]
    assert first.n_runs == 37
    watch = Overdue(window, queue)
    watch.look({"one": (4,), "two": ()})  # it is in another run: its rest is run
    assert len(queue) == 0
    watch.look({"one": (first.first,)})
    watch.look({"one": (first.first,)})
    assert len(queue) == 36
    ended = window.back(first)
    assert ended.run_ids().tolist() == [first.first]
    queue.give_back(ended, 1)
    assert len(queue) == 36
    for task in tasks[1:]:
        assert window.back(task) == task
    assert window.first_batches() == []
