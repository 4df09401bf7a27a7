"""How many of the runs asked for are done, failed, blocked and pending."""

import threading

import numpy as np

from toolkit.execution.progress import Progress
from toolkit.execution.run_queue import Ids
from toolkit.run_status import Status
from toolkit.stores.stage_runs import StageRuns
from toolkit.stores.state import count_statuses


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
    """

    def __init__(self, runs: StageRuns, stage: str, lock: threading.RLock) -> None:
        self._runs, self._stage, self._lock = runs, stage, lock
        self._ids: list[Ids | slice] = []
        self._counts = np.zeros(len(Status), np.int64)

    @property
    def asked(self) -> int:
        """How many runs were asked for."""
        return int(self._counts.sum())

    def add(self, ids: Ids | slice) -> None:
        """Count these runs too, from the next count on."""
        self._ids.append(ids)

    def count(self) -> None:
        """Count anew."""
        with self._lock:
            status = self._runs.state.status
            none = np.zeros(len(Status), np.int64)
            self._counts = sum((count_statuses(status[ids]) for ids in self._ids), start=none)

    def progress(self, seconds_per_run: float, elapsed: float) -> Progress:
        """Return the latest counts.

        Parameters
        ----------
        seconds_per_run
            Of all threads together, 0 where that is unknown.
        elapsed
            Seconds since the start.
        """
        counts = self._counts
        pending = int(counts[Status.PENDING])
        return Progress(
            done=int(counts[Status.DONE] + counts[Status.STALE]),
            failed=int(counts[Status.FAILED]),
            blocked=int(counts[Status.BLOCKED]),
            pending=pending,
            total=int(counts.sum()),
            elapsed=elapsed,
            seconds_left=pending * seconds_per_run if seconds_per_run else None,
            stage=self._stage,
        )
