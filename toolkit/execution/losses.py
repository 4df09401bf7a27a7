"""Batches whose worker died: who is blamed, who is repeated, who runs alone."""

import logging
import os
from collections.abc import Mapping

import numpy as np

from toolkit.errors import SweepError
from toolkit.execution.batch_task import BatchTask
from toolkit.execution.death import Death
from toolkit.execution.executors import Completed
from toolkit.execution.failing import record_death
from toolkit.execution.run_queue import Ids, RunQueue
from toolkit.run_status import Status
from toolkit.stages.failure import RunFailure, may_retry, too_long
from toolkit.stages.stage import Stage
from toolkit.stages.walltime import Walltime
from toolkit.stores.receipt import Receipt
from toolkit.stores.stage_runs import StageRuns

logger = logging.getLogger("toolkit")

CHECKPOINTS = os.path.join(".journal", "checkpoints")
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
    stage
        Says how often a run is tried in one session, and for which exceptions.
    walltime
        Of its runs, None without a limit.

    Attributes
    ----------
    suspect
        The batch that runs alone now, for one of its runs may have killed a worker.
    in_a_row
        Batches that were lost with runs unfinished, since the last one that got done.
    """

    def __init__(
        self, runs: StageRuns, queue: RunQueue, stage: Stage, walltime: Walltime | None
    ) -> None:
        self._runs, self._queue, self._stage, self._walltime = runs, queue, stage, walltime
        self._tried_before: dict[int, int] = {}
        self._settled: set[tuple[str, int]] = set()  # journals of dead workers, with their runs
        self.suspect: BatchTask | None = None
        self.in_a_row = 0

    def note_tried(self, ids: Ids, attempts: int) -> None:
        """Note how often runs were tried in earlier sessions: they begin anew."""
        self._tried_before.update(dict.fromkeys(ids.tolist(), attempts))

    def may_try_again(self, run: int, attempt: int) -> bool:
        """Whether a run whose attempt has failed is tried once more."""
        return attempt - self._tried_before.get(run, 0) < self._stage.max_attempts

    def is_worth_repeating(self, failure: RunFailure, attempt: int) -> bool:
        """Whether a run that failed is tried once more: ``retry_on`` says so, or it gets further.

        A run that exceeded its walltime would do so again, unless it goes on from a checkpoint.
        """
        gets_further = failure.reason == "walltime" and self._has_checkpoint(failure.run)
        return (failure.retryable or gets_further) and self.may_try_again(failure.run, attempt)

    def take(self, each: Completed, in_progress: Mapping[str, tuple[int, ...]]) -> list[Receipt]:
        """Repeat what a dead worker had not finished; blame only the run that it was in.

        Parameters
        ----------
        each
            The batch that was lost.
        in_progress
            By journal, the runs that it notes as begun and not ended.

        Returns
        -------
        list
            Receipts for the runs that are recorded as failed.

        Raises
        ------
        SweepError
            If workers die again and again before any run begins.
        """
        task, death = each.task, each.death or Death()
        ids = task.run_ids()
        left = ids[self._runs.state.status[ids] == Status.PENDING]
        if not len(left):  # its worker died with nothing but the news that all is done
            self.in_a_row = 0
            return []
        logger.warning(
            "A worker died with %d runs of stage %r unfinished, which are run again: %s.",
            len(left),
            self._stage.name,
            death.describe().replace(" in this run", ""),
        )
        self.in_a_row += 1
        if self._runs.sink_spec().path is None:  # no journal says which run it was
            return self._take_in_memory(task, left, death)
        culprits = self._culprits(left, in_progress)
        if self.in_a_row > _LOST_BATCHES and not culprits:
            raise SweepError(
                f"{self.in_a_row} batches in a row were lost with their workers, the last with: "
                f"{each.error}. The workers die before any run begins; look at their logs."
            )
        if self._stage.vectorized and culprits and len(left) > 1:
            self._split(left, task)  # one call held them all
            return []
        receipts = []
        begun = np.zeros(0, np.int64)
        for run, journal in culprits.items():
            is_alone = len(in_progress[journal]) == 1
            is_timed = self._runs.has_begun(journal, run)
            if not is_timed:  # it ran with others, and those before it are not recorded either
                begun = np.union1d(begun, left[: int(np.flatnonzero(left == run)[0]) + 1])
            if not is_alone:  # which of the worker's threads it was is not known
                self._queue.suspect(np.array([run]), task.attempt)
            elif is_timed or death.reason != "walltime":
                receipts += self._blame(run, task.attempt, death)
            else:
                continue
            begun = begun[begun != run]
            left = left[left != run]
        self._queue.repeat(begun, task.attempt, careful=True)
        self._queue.repeat(left[~np.isin(left, begun)], task.attempt, careful=task.careful)
        return receipts

    def _take_in_memory(self, task: BatchTask, left: Ids, death: Death) -> list[Receipt]:
        """Narrow it down: groups in which a run kills its worker run alone, and are split."""
        is_suspect = task == self.suspect
        if is_suspect and len(left) == 1:
            return self._blame(int(left[0]), task.attempt, death, alone=True)
        for part in np.array_split(left, _SUSPECTS if is_suspect else 1):
            self._queue.suspect(part, task.attempt)
        return []

    def _culprits(self, left: Ids, in_progress: Mapping[str, tuple[int, ...]]) -> dict[int, str]:
        """Return the runs that the worker was in, with its journal; each death counts once."""
        found = {}
        waiting = set(left.tolist())
        for journal, runs in in_progress.items():
            for run in waiting.intersection(runs):
                if (journal, run) not in self._settled:
                    self._settled.add((journal, run))
                    found[run] = journal
        return found

    def _split(self, left: Ids, task: BatchTask) -> None:
        for part in np.array_split(left, min(_SUSPECTS, len(left))):
            self._queue.repeat(part, task.attempt)

    def _blame(self, run: int, attempt: int, death: Death, *, alone: bool = False) -> list[Receipt]:
        """Try a run again that killed its worker, or record it as failed."""
        message = death.describe()
        if death.reason == "walltime" and self._walltime is not None:
            names = self._walltime.names
            [limit] = self._walltime.limits(self._runs.catalogue.values([run], names), 1)
            message = too_long(limit)
        failure = RunFailure(
            run=run,
            exception=death.exception,
            message=f"{message} (attempt {attempt})",
            traceback=death.traceback,
            host=death.host,
            retryable=death.reason != "walltime" or may_retry(TimeoutError, self._stage.retry_on),
            reason=death.reason,
            exit_code=death.exit_code,
            log=death.log,
        )
        if not self.is_worth_repeating(failure, attempt):
            return [record_death(self._runs, failure, attempt, death.peak_memory)]
        if alone:
            self._queue.suspect(np.array([run]), attempt + 1)
        else:
            self._queue.repeat(np.array([run]), attempt + 1, careful=True)
        return []

    def _has_checkpoint(self, run: int) -> bool:
        path = self._runs.sink_spec().path
        if path is None:
            return False
        folder = os.path.join(path, CHECKPOINTS, f"{self._stage.name}-{run}-checkpoint")
        try:
            return bool(os.listdir(folder))
        except OSError:
            return False
