"""Counts of the runs that were asked for, and of those that are to come."""

import threading
from types import SimpleNamespace

import numpy as np

from toolkit.execution.tally import Tally
from toolkit.run_status import Status


def tally(status, to_come=lambda: 0):
    runs = SimpleNamespace(state=SimpleNamespace(status=np.array(status, np.uint8)))
    return Tally(runs, "stage", threading.RLock(), to_come)


def test_runs_that_come_one_by_one_are_counted_in_few_parts():
    rng = np.random.default_rng(0)
    status = rng.choice([Status.PENDING, Status.DONE, Status.FAILED], 3000)
    counted = tally(status)
    for start in range(1000):
        counted.add(slice(start, start + 1))
    for run in rng.permutation(np.arange(1000, 3000)).tolist():
        counted.add(np.array([run]))
    counted.count()
    progress = counted.progress(0.0, 0.0)
    assert progress.total == counted.asked == 3000
    assert progress.done == np.count_nonzero(status == Status.DONE)
    assert counted.pending == progress.pending == np.count_nonzero(status == Status.PENDING)
    assert np.array_equal(counted.pending_ids(), np.flatnonzero(status == Status.PENDING))
    assert len(counted._ids) < 15


def test_runs_to_come_are_pending_and_counted_together_with_those_that_came():
    left = [5]
    counted = tally([Status.DONE, Status.PENDING], lambda: left[0])
    assert counted.progress(0.0, 0.0).total == 5
    left[0] = 3
    counted.add(slice(0, 2))
    assert counted.progress(0.0, 0.0).total == 5
    counted.count()
    progress = counted.progress(0.0, 0.0)
    assert (progress.total, progress.done, progress.pending) == (5, 1, 4)
