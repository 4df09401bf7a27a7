"""A sweep is watched: from what its engines let others see, in the thread that wants to know."""

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.failure_kinds import FailureKinds, together
from toolkit.execution.observation import FailureKind, Moment, StageSeen
from toolkit.execution.run_queue import Ids
from toolkit.execution.times import MOST_SLOW, Times
from toolkit.run_status import Status
from toolkit.stages.failure import RunFailure
from toolkit.stores.runs.outcomes import failed
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.runs.state import count_statuses

if TYPE_CHECKING:
    from toolkit.execution.chain import Step

_PATIENCE = 0.25  # seconds that the first look waits for the first count
_RECOUNT_SECONDS = 5.0  # between two counts of a stage that has not begun
_UNKNOWN = RunFailure(
    run=-1, exception="", message="Why these runs failed is not known.", traceback=""
)


class StageWatch:
    """What is kept between two looks at one stage.

    Parameters
    ----------
    step
        The stage, and its engine as soon as it has one.
    """

    def __init__(self, step: "Step") -> None:
        self._step = step
        self._times = Times()
        self._earlier = _Earlier()
        self._counted_at = float("-inf")
        self._counts: NDArray[np.int64] = np.zeros(len(Status), np.int64)
        self._lock = threading.Lock()

    def look(self, *, is_ended: bool) -> StageSeen:
        """Return how the stage stands.

        Parameters
        ----------
        is_ended
            Whether nothing runs any more: the look is the last word.
        """
        step = self._step
        with self._lock:  # of those who watch: several may
            moment = None
            if step.engine is not None:
                patience = 0.0 if len(step.ids) or is_ended else _PATIENCE
                moment = step.engine.moment(patience=patience)
            if moment is None or not moment.counts.sum():
                return self._waiting(step)
            return self._seen(step, moment, is_ended=is_ended)

    def _seen(self, step: "Step", moment: Moment, *, is_ended: bool) -> StageSeen:
        self._times.look(moment, step.runs.began_at, is_last=is_ended)
        slowest = [
            each
            for each in self._times.slowest
            if not (each.is_running and _has_ended(each.run, moment))
        ]
        earlier = self._earlier.kinds(step.runs, moment.earlier)
        kinds = together(moment.kinds, earlier) if earlier else list(moment.kinds)
        keys = {(each.exception, each.where) for each in moment.kinds}
        new = sum((each.exception, each.where) not in keys for each in earlier)
        return StageSeen(
            name=step.name,
            catalogue=step.runs.catalogue,
            counts=moment.counts,
            running=0 if is_ended else moment.running,
            kinds=tuple(kinds),
            n_kinds=moment.n_kinds + new,
            seconds=self._times.median,
            slowest=tuple(slowest[: 2 * MOST_SLOW]),
            rate=moment.rate if moment.pending and not is_ended else None,
            tiers=moment.tiers,
            core_hours=moment.core_hours,
            gpu_hours=moment.gpu_hours,
            has_begun=moment.has_begun,
        )

    def _waiting(self, step: "Step") -> StageSeen:
        """Return how a stage stands that has not begun, or has not been counted yet."""
        if not len(step.ids):
            counts = np.zeros(len(Status), np.int64)
            counts[Status.PENDING] = len(step.prepared.space)
            return StageSeen(name=step.name, catalogue=step.runs.catalogue, counts=counts)
        if time.monotonic() - self._counted_at > _RECOUNT_SECONDS:
            self._counted_at = time.monotonic()
            self._counts = count_statuses(step.runs.state.status[_asked(step)])
        return StageSeen(name=step.name, catalogue=step.runs.catalogue, counts=self._counts)


class _Earlier:
    """Why runs failed of which this session knows no more than that: read once from the log."""

    def __init__(self) -> None:
        self._ids: Ids | None = None
        self._found: FailureKinds | None = None

    def kinds(self, runs: StageRuns, ids: Ids) -> tuple[FailureKind, ...]:
        """Return them by kind; those of which the log says nothing are of one kind."""
        if not len(ids):
            return ()
        if self._found is None:
            self._found = FailureKinds()
            for record in runs.logged_failures(ids):
                self._found.add(failed(0, record).failure)
        if ids is not self._ids:
            self._ids = ids
            self._found.settle(len(ids), lambda: ids)
        rest = self._found.earlier
        found = self._found.kinds()
        if not len(rest):
            return found
        shown = tuple(rest[:MOST_SLOW].tolist())
        first = RunFailure(shown[0], _UNKNOWN.exception, _UNKNOWN.message, "")
        unknown = FailureKind(exception="", where="", count=len(rest), runs=shown, first=first)
        return (*found, unknown)


def _asked(step: "Step") -> Ids | slice:
    """Return the runs of a stage that has not begun, as a slice where that is the same."""
    ids = step.ids
    is_span = step.wanted is None and len(ids) == ids[-1] - ids[0] + 1
    return slice(int(ids[0]), int(ids[-1]) + 1) if is_span else step.asked


def _has_ended(run: int, moment: Moment) -> bool:
    return bool(moment.status[run] != Status.PENDING)
