"""Sweeps of several stages as one sweep: limits, counts and requests reach over all stages."""

import threading
import time

import numpy as np
import pytest

import toolkit as tk


def test_max_failures_counts_the_failures_of_all_stages() -> None:
    def a(x):
        if x < 5:
            raise ValueError("planted in a")
        return x

    def b(a):
        if a < 10:
            raise ValueError("planted in b")
        return a

    sweep = tk.Sweep([a, b], tk.grid(x=range(20)))
    with pytest.raises(tk.RunsFailedError, match=r"\d+ runs failed, more than max_failures=6"):
        sweep.run(max_failures=6, progress=False)


def test_the_time_limit_is_that_of_all_stages() -> None:
    ended = []

    def a(x):
        time.sleep(0.02)
        ended.append(time.monotonic())
        return x

    def b(a):
        ended.append(time.monotonic())
        return a

    sweep = tk.Sweep([a, b], tk.grid(x=range(4)))
    sweep.run(time_limit=0.05, progress=False)
    before_b = len(ended)
    assert before_b <= 4
    data = sweep.run(progress=False)
    assert data.b.values.tolist() == [0, 1, 2, 3]


class Watch:
    """What functions that run in this process share with the test; pickled it is nothing."""

    def __init__(self) -> None:
        self.job = None
        self.seen = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __reduce__(self):
        return object, ()


def test_counts_add_up_while_stages_follow_each_other(tmp_path) -> None:
    watch = Watch()

    def a(x):
        assert watch.go.wait(60)
        watch.seen.append(watch.job.progress)
        return x

    def b(a, k):
        watch.seen.append(watch.job.progress)
        return a * k

    sweep = tk.Sweep([a, b], tk.grid(x=range(3), k=[1, 2]), store=tmp_path / "s.zarr")
    watch.job = sweep.start()
    watch.go.set()
    watch.job.result(60)
    assert len(watch.seen) == 3 + 6
    assert {each.total for each in watch.seen} == {3 + 6}
    done = [each.done for each in watch.seen]
    assert done == sorted(done)


def test_a_stage_that_has_not_counted_its_runs_yet_counts_as_waiting() -> None:
    def a(x):
        return x

    def b(a):
        return a

    job = tk.Sweep([a, b], tk.grid(x=range(3))).start()
    job.result(60)
    chain = job._chain
    fresh = chain._prepare_engine(chain.steps[1])
    assert fresh.progress().total == 0
    assert (job.progress.done, job.progress.total) == (6, 6)


def test_focus_holds_for_the_stages_to_come() -> None:
    watch = Watch()

    def a(x):
        watch.begun.set()
        assert watch.go.wait(60)
        return x

    def b(a):
        watch.seen.append(a)
        time.sleep(0.005)  # slow enough for the first wave to be single runs
        return a

    sweep = tk.Sweep([a, b], tk.grid(x=range(60)))
    watch.job = sweep.start()
    assert watch.begun.wait(60)
    watch.job.focus(x=slice(50, None))
    watch.go.set()
    watch.job.result(60)
    place = np.array([watch.seen.index(x) for x in range(60)])
    assert place[50:].max() < 30
