"""Looks now and then at the runs that ended, and places those that wait accordingly."""

import time
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.tiers import Ladder
from toolkit.execution.lanes import Lanes
from toolkit.execution.placement import Ids, Placement, Timed
from toolkit.execution.work import Work
from toolkit.run_status import Status
from toolkit.stages.needs import Needs
from toolkit.stores.runs.stage_runs import StageRuns

SLOW_RUN = 0.005
_LEAST_PAUSE = 2.0
_SHARE = 0.02  # of the time that may be spent on this
_RECALLED = 4096

InProgress = tuple[str, int]
"""The journal of a worker, and the run that it is in."""


class Learning:
    """Keeps the placement of a stage's runs up to what has been seen.

    Parameters
    ----------
    placement
        Of the runs.
    runs
        Of the stage.
    queue
        Where they wait.
    """

    def __init__(self, placement: Placement, runs: StageRuns, queue: Lanes) -> None:
        self._placement, self._runs, self._queue = placement, runs, queue
        self._next = 0.0
        self._seen = 0
        self._began: dict[InProgress, float] = {}

    @property
    def in_progress(self) -> Mapping[InProgress, float]:
        """When the runs in progress were seen first."""
        return self._began

    @property
    def began(self) -> dict[int, float]:
        """When the runs in progress were seen first, by their ids."""
        return {run: began for (_, run), began in self._began.items()}

    @classmethod
    def begin(cls, work: Work, ladder: Ladder, needs: Needs, queue: Lanes) -> "Learning":
        """Place all runs of a stage on the tiers of a cluster, and put those that wait there.

        Raises
        ------
        ClusterError
            If no tier can serve one of them.
        """
        catalogue = work.runs.catalogue
        names = [name for name in catalogue.names if name in work.binding.uses]
        placement = Placement(ladder, needs, names)
        if needs.fixed is None:
            exist = np.flatnonzero(work.runs.state.status != Status.SKIPPED)
        else:  # all alike: no list of the ids of millions of runs
            exist = np.arange(1 if catalogue.n_runs else 0)
        placement.register(exist, catalogue)
        if len(ladder) > 1:
            placement.recall(*ended_runs(work.runs))
        queue.place(placement)
        return cls(placement, work.runs, queue)

    def look(self, seconds_per_run: float, in_progress: Iterable[InProgress] = ()) -> None:
        """Learn, if that is worth it: runs are slow or climb, and some ended since the last look.

        Parameters
        ----------
        seconds_per_run
            As measured so far, 0 while that is unknown.
        in_progress
            What workers are in.
        """
        begun = time.monotonic()
        self._began = {each: self._began.get(each, begun) for each in in_progress}
        if begun < self._next or not (self._placement.has_news or seconds_per_run >= SLOW_RUN):
            return
        state = self._runs.state
        done = state.status == Status.DONE
        running = self._running(seconds_per_run, begun)
        has_news = self._placement.has_news or len(running.ids) > 0
        if np.count_nonzero(done) < 1.1 * self._seen and not has_news:
            return
        self._seen = int(np.count_nonzero(done))
        known = np.union1d(np.flatnonzero(done), np.flatnonzero(self._placement.climbed))
        took = np.where(done[known], state.seconds[known], self._expected(known))
        pending = np.flatnonzero((state.status == Status.PENDING) & (state.attempts == 0))
        if self._placement.learn(
            Timed(ids=known, seconds=took.astype(np.float32)),
            pending,
            self._runs.catalogue,
            running=running,
        ):
            self._queue.rearrange()
        now = time.monotonic()
        self._next = now + max(_LEAST_PAUSE, (now - begun) / _SHARE)

    def _running(self, seconds_per_run: float, now: float) -> Timed:
        """Return the runs in progress that take longer than most, and for how long by now."""
        climbed, status = self._placement.climbed, self._runs.state.status
        least = max(_LEAST_PAUSE, seconds_per_run)
        found = {
            run: now - began
            for (_, run), began in self._began.items()
            if now - began > least and status[run] == Status.PENDING and not climbed[run]
        }
        return Timed(
            ids=np.fromiter(found, np.int64, len(found)),
            seconds=np.fromiter(found.values(), np.float32, len(found)),
        )

    def _expected(self, ids: Ids) -> NDArray[np.float32]:
        seconds = self._placement.seconds
        return seconds[ids] if len(seconds) else np.full(len(ids), np.nan, np.float32)


def ended_runs(runs: StageRuns) -> tuple[Timed, NDArray[np.float32]]:
    """Return runs that ended well, 4,096 at most, and the peak memory of each in bytes."""
    state = runs.state
    ids = np.flatnonzero(state.status == Status.DONE)
    if len(ids) > _RECALLED:
        ids = np.random.default_rng(0).choice(ids, _RECALLED, replace=False)
    return Timed(ids=ids, seconds=state.seconds[ids]), state.peak_memory[ids]
