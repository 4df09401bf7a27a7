"""Runs that will outlast their worker's job are ended before it, and go on where jobs last."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from toolkit.clusters.tiers import Ladder, Tier
from toolkit.execution import outlasting
from toolkit.execution.outlasting import Outlasting
from toolkit.resources import Resources
from toolkit.run_status import Status


class Executor:
    """Whose workers' jobs end in so many seconds."""

    def __init__(self, seconds, tier="small"):
        self.seconds, self.tier, self.handed_on = seconds, tier, []

    def job_of(self, journal):
        return self.tier, self.seconds

    def hand_on(self, journal):
        self.handed_on.append(journal)
        return True


def rule(ended=(), *, checkpoint=False, walltimes=(60.0, 600.0)):
    """Return what decides, and what it noted, once runs have ended after so many seconds."""
    n = len(ended) + 10
    state = SimpleNamespace(
        status=np.full(n, Status.PENDING, np.uint8), seconds=np.full(n, np.nan, np.float32)
    )
    state.seconds[10:], state.status[10:] = ended, Status.DONE
    names = ("small", "large", "huge")
    ladder = Ladder(
        [Tier(name=name, walltime=each) for name, each in zip(names, walltimes, strict=False)]
    )
    placement = SimpleNamespace(
        ladder=ladder, tier=np.zeros(n, np.uint8), needs=lambda run: Resources()
    )
    noted = []
    return Outlasting(
        SimpleNamespace(state=state),
        SimpleNamespace(placement=placement),
        SimpleNamespace(has_checkpoint=lambda run: checkpoint),
        lambda **given: noted.append(given),
    ), noted


def look(decides, lasted, executor, together=()):
    """Have runs 0, 1, … be seen after so many seconds, each with a worker of its own."""
    now = time.monotonic()
    began = {(f"w{run}", run): now - seconds for run, seconds in enumerate(lasted)}
    workers = {f"w{run}": (run, *together) for run in range(len(lasted))}
    decides._next = 0.0
    decides.look(began, workers, executor)
    return executor.handed_on


def test_a_run_longer_than_all_short_ones_goes_on_where_the_long_ones_did():
    decides, noted = rule([1, 20, 29, 85, 85])
    assert look(decides, [31], Executor(25)) == ["w0"]
    assert noted == [{"run": 0, "seconds": 31.0}]


@pytest.mark.parametrize(
    ("ended", "left", "why"),
    [
        ([1, 20, 29, 85], 25, "one long run says too little"),
        ([1, 20, 29, 40, 85, 85], 25, "one in three got done in time"),
        ([1, 20, 29, 85, 85], 55, "the job lasts long enough"),
        ([], 25, "nothing is known"),
    ],
)
def test_a_run_stays_where(ended, left, why):
    decides, noted = rule(ended)
    assert look(decides, [31], Executor(left)) == [], why
    assert noted == []


def test_runs_in_progress_elsewhere_count_for_as_long_as_they_have_gone_on():
    decides, _ = rule([1, 20, 29])
    executor = Executor(25)
    assert look(decides, [31, 70, 50], executor) == []
    executor.seconds = 15
    assert look(decides, [31, 70, 50], executor)[:1] == ["w0"]


def test_what_was_seen_of_a_run_counts_when_it_has_begun_again():
    decides, _ = rule()
    executor = Executor(1000)
    look(decides, [0, 70, 70], executor)
    executor.seconds = 25
    assert look(decides, [31], executor) == ["w0"]


def test_a_run_is_ended_once_and_never_beside_another_or_with_a_checkpoint():
    decides, noted = rule([85, 85])
    executor = Executor(25)
    look(decides, [31], executor)
    assert look(decides, [33], executor) == ["w0"]
    assert len(noted) == 1
    assert look(rule([85, 85])[0], [31], Executor(25), together=[5]) == []
    assert look(rule([85, 85], checkpoint=True)[0], [31], Executor(25)) == []


def test_a_run_is_not_ended_where_no_job_lasts_longer():
    assert look(rule([85, 85], walltimes=(60.0, 60.0))[0], [31], Executor(25)) == []
    assert look(rule([85, 85], walltimes=(60.0,))[0], [31], Executor(25)) == []


def test_a_run_that_belongs_to_a_larger_tier_by_now_is_ended_on_the_smaller():
    decides, _ = rule([85, 85])
    decides._queue.placement.tier[:] = 1
    assert look(decides, [31], Executor(25)) == ["w0"]
    assert look(rule([85, 85])[0], [31], Executor(25, "large")) == []
    assert look(rule([85, 85])[0], [31], Executor(25, "")) == [], "nothing is known of its job"


def test_a_run_is_no_evidence_for_itself():
    assert look(rule()[0], [61, 61], Executor(-1)) == []
    assert look(rule()[0], [61, 61, 61], Executor(-1)) == ["w0", "w1", "w2"]


def test_what_has_just_begun_is_left_alone():
    assert look(rule([85, 85])[0], [outlasting._LEAST_SECONDS - 1], Executor(2)) == []
