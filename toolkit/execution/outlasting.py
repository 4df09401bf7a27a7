"""Runs that will outlast their worker's job: they are not left there until its end."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.chances import Chances
from toolkit.execution.executors import Executor
from toolkit.execution.lanes import Lanes
from toolkit.execution.learning import InProgress
from toolkit.run_status import Status
from toolkit.stores.runs.stage_runs import StageRuns

Floats = NDArray[np.floating]

_PAUSE = 2.0
_SURE = 0.75
_LEAST_SECONDS = 5.0  # that a run has taken: below, little is gained


class Outlasting:
    """Ends a run whose worker's job ends before it very likely does, so that it climbs at once.

    Of a run nothing may be known but for how long it has gone on. That says much: of the runs that
    took as long, some ended within the time that its worker has, and others did not. Where three of
    four did not, with one more of each kind assumed (Laplace's rule of succession), it is ended,
    and goes on where jobs last longer. It would be ended later else, with nothing to show for it.

    Parameters
    ----------
    runs
        Of the stage.
    queue
        Knows the tiers.
    chances
        Know whether a run has a checkpoint from which it would go on in the next job.
    note
        Called with a run that is ended, and for how many seconds it had gone on.
    """

    def __init__(
        self, runs: StageRuns, queue: Lanes, chances: Chances, note: Callable[..., None]
    ) -> None:
        self._runs, self._queue, self._chances, self._note = runs, queue, chances, note
        self._next = 0.0
        self._lasted: dict[int, float] = {}  # at least, of runs that have not ended
        self._handed_on: set[InProgress] = set()

    def look(
        self,
        began: Mapping[InProgress, float],
        in_progress: Mapping[str, tuple[int, ...]],
        executor: Executor,
    ) -> None:
        """End those that will not get done where they are, now and then.

        Parameters
        ----------
        began
            When the runs in progress did, by the clock that never goes back.
        in_progress
            By journal, the runs that its worker is in: where there are several, none is ended.
        executor
            Knows when the jobs of workers end.
        """
        placement, now = self._queue.placement, time.monotonic()
        if placement is None or len(placement.ladder) == 1 or now < self._next:
            return
        self._next = now + _PAUSE
        late = {each: now - since for each, since in began.items() if now - since > _LEAST_SECONDS}
        for (_, run), seconds in late.items():
            self._lasted[run] = max(seconds, self._lasted.get(run, 0.0))
        if not late:
            return
        state = self._runs.state
        self._lasted = {
            run: seconds
            for run, seconds in self._lasted.items()
            if state.status[run] != Status.DONE
        }
        ended = np.sort(
            state.seconds[(state.status == Status.DONE) & (state.seconds > _LEAST_SECONDS)]
        )
        lasting = np.sort([*self._lasted.values()])
        numbers = {each.name: number for number, each in enumerate(placement.ladder.tiers)}
        for (journal, run), seconds in late.items():
            if len(in_progress.get(journal, ())) != 1 or (journal, run) in self._handed_on:
                continue
            tier, left = executor.job_of(journal)
            if tier not in numbers:
                continue
            # Where it belongs by now may be another tier than the one that it is on.
            if placement.ladder.above(numbers[tier], "walltime", placement.needs(run)) is None:
                continue
            most = seconds + left
            n_later = _above(ended, most) + _above(lasting, most)
            n_later -= self._lasted.get(run, 0.0) > most  # it is no evidence for itself
            n_within = _above(ended, seconds) - _above(ended, most)
            if (n_later + 1) / (n_later + n_within + 2) < _SURE or self._chances.has_checkpoint(
                run
            ):
                continue
            if executor.hand_on(journal):
                self._handed_on.add((journal, run))
                self._note(run=run, seconds=round(seconds, 1))


def _above(ascending: Floats, value: float) -> int:
    """Return how many are more than a value."""
    return len(ascending) - int(np.searchsorted(ascending, value, side="right"))
