"""Batches whose worker died: who is blamed, who is repeated, who runs alone."""

import logging

import numpy as np

from toolkit.errors import SweepError
from toolkit.execution.batch_task import BatchTask
from toolkit.execution.executors import Completed
from toolkit.execution.failing import record_death
from toolkit.execution.run_queue import Ids, RunQueue
from toolkit.run_status import Status
from toolkit.stores.sink import Receipt
from toolkit.stores.stage_runs import StageRuns

logger = logging.getLogger("toolkit")

_LOST_BATCHES = 20
_SUSPECTS = 16  # into so many parts is a group split in which a run kills its worker


class Losses:
    """Decides what becomes of the runs of a dead worker, and how often a run may be tried.

    Parameters
    ----------
    runs
        Of the stage.
    queue
        Where runs go that are to be repeated.
    max_attempts
        How often a run is tried in one session.

    Attributes
    ----------
    suspect
        The batch that runs alone now, for one of its runs may have killed a worker.
    in_a_row
        Batches that were lost since the last one that came back.
    """

    def __init__(self, runs: StageRuns, queue: RunQueue, max_attempts: int) -> None:
        self._runs, self._queue, self._max_attempts = runs, queue, max_attempts
        self._tried_before: dict[int, int] = {}
        self.suspect: BatchTask | None = None
        self.in_a_row = 0

    def note_tried(self, ids: Ids, attempts: int) -> None:
        """Note how often runs were tried in earlier sessions: they begin anew."""
        self._tried_before.update(dict.fromkeys(ids.tolist(), attempts))

    def may_try_again(self, run: int, attempt: int) -> bool:
        """Whether a run whose attempt has failed is tried once more."""
        return attempt - self._tried_before.get(run, 0) < self._max_attempts

    def take(self, each: Completed, in_progress: set[int]) -> list[Receipt]:
        """Repeat what a dead worker had not finished; blame only the run that it was in.

        Parameters
        ----------
        each
            The batch that was lost.
        in_progress
            Runs that journals note as begun and not ended.

        Returns
        -------
        list
            Receipts for the runs that are recorded as failed.

        Raises
        ------
        SweepError
            If workers die again and again before any run begins.
        """
        self.in_a_row += 1
        task = each.task
        ids = task.run_ids()
        left = ids[self._runs.state.status[ids] == Status.PENDING]
        culprits = np.intersect1d(left, list(in_progress))
        attempt = task.attempt
        logger.warning("a worker died with %d runs unfinished: %s", len(left), each.error)
        in_memory = self._runs.sink_spec().path is None  # no journal says which run it was
        if in_memory and not (task == self.suspect and len(left) == 1):
            parts = _SUSPECTS if task == self.suspect else 1
            for part in np.array_split(left, parts):
                self._queue.suspect(part, attempt)
            return []
        if in_memory:
            culprits = left
        if self.in_a_row > _LOST_BATCHES and not len(culprits):
            raise SweepError(
                f"{self.in_a_row} batches in a row were lost with their workers, the last with: "
                f"{each.error}. The workers die before any run begins; look at their logs."
            )
        self._queue.repeat(np.setdiff1d(left, culprits), attempt)
        receipts = []
        for run in culprits.tolist():
            if self.may_try_again(run, attempt):
                hand_out = self._queue.suspect if in_memory else self._queue.repeat
                hand_out(np.array([run]), attempt + 1)
            else:
                receipts.append(record_death(self._runs, run, attempt, each.error))
        return receipts
