"""How many of the runs asked for are done, failed, blocked and pending."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.progress import Progress
from toolkit.execution.run_queue import Ids
from toolkit.run_status import Status
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.runs.state import count_statuses


class Tally:
    """Counts the runs of one stage; other threads may read it at any time.

    Parameters
    ----------
    runs
        Of the stage.
    stage
        Its name.
    lock
        Of whoever changes the runs.
    to_come
        Returns how many runs are still to be asked for, which are pending until then.
    """

    def __init__(
        self,
        runs: StageRuns,
        stage: str,
        lock: threading.RLock,
        to_come: Callable[[], int] = lambda: 0,
    ) -> None:
        self._runs, self._stage, self._lock = runs, stage, lock
        self._to_come = to_come
        self._ids: list[Ids | slice] = []
        self._counts = np.zeros(len(Status), np.int64)
        self._seen = (self._counts, to_come())  # together: others read while this one counts

    @property
    def asked(self) -> int:
        """How many runs were asked for."""
        return int(self._counts.sum())

    @property
    def pending(self) -> int:
        """How many of them had no outcome at the latest count."""
        return int(self._counts[Status.PENDING])

    @property
    def parts(self) -> tuple[Ids | slice, ...]:
        """The runs that were asked for."""
        return tuple(self._ids)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Runs by the number of their status as of the latest count, those to come pending."""
        counts, to_come = self._seen
        found = counts.copy()
        found[Status.PENDING] += to_come
        return found

    def pending_ids(self) -> Ids:
        """Return those that have no outcome now."""
        return self.ids_of(Status.PENDING)

    def ids_of(self, wanted: Status) -> Ids:
        """Return those that have a status now, ascending."""
        with self._lock:
            status = self._runs.state.status
            found = [np.zeros(0, np.int64)]
            for ids in self._ids:
                at = np.flatnonzero(status[ids] == wanted)
                found.append(at + ids.start if isinstance(ids, slice) else ids[at])
            return np.unique(np.concatenate(found))

    def pending_of(self, tier: NDArray[np.uint8], number: int) -> int:
        """Return how many of a tier have no outcome now; ``tier`` is that of each run, by id."""
        status = self._runs.state.status
        return sum(
            int(np.count_nonzero((status[ids] == Status.PENDING) & (tier[ids] == number)))
            for ids in self._ids
        )

    def add(self, ids: Ids | slice) -> None:
        """Count these runs too, from the next count on.

        Runs that come one by one are kept together: counting goes through few parts.
        """
        while self._ids and (joined := _joined(self._ids[-1], ids)) is not None:
            self._ids.pop()
            ids = joined
        self._ids.append(ids)

    def count(self) -> None:
        """Count anew."""
        with self._lock:
            status = self._runs.state.status
            none = np.zeros(len(Status), np.int64)
            self._counts = sum((count_statuses(status[ids]) for ids in self._ids), start=none)
            self._seen = (self._counts, self._to_come())

    def progress(self, seconds_per_run: float, elapsed: float) -> Progress:
        """Return the latest counts.

        Parameters
        ----------
        seconds_per_run
            Of all threads together, 0 where that is unknown.
        elapsed
            Seconds since the start.
        """
        counts, to_come = self._seen
        pending = int(counts[Status.PENDING]) + to_come
        return Progress(
            done=int(counts[Status.DONE] + counts[Status.STALE]),
            failed=int(counts[Status.FAILED]),
            blocked=int(counts[Status.BLOCKED]),
            pending=pending,
            total=int(counts.sum()) + to_come,
            elapsed=elapsed,
            seconds_left=pending * seconds_per_run if seconds_per_run else None,
            stage=self._stage,
        )


def _joined(before: Ids | slice, ids: Ids | slice) -> Ids | slice | None:
    """Return two parts as one, None where that is no gain."""
    if isinstance(before, slice) and isinstance(ids, slice):
        return slice(before.start, ids.stop) if before.stop == ids.start else None
    if isinstance(before, slice) or isinstance(ids, slice):
        return None
    return np.concatenate([before, ids]) if len(before) <= 2 * len(ids) else None
