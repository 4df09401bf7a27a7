"""Batches whose worker died: who is blamed, who is repeated, who runs alone."""

import time
from collections.abc import Mapping

import numpy as np

from toolkit.errors import SweepError
from toolkit.execution.batch_task import BatchTask
from toolkit.execution.chances import Chances
from toolkit.execution.death import Death
from toolkit.execution.executors import Completed
from toolkit.execution.failing import record_death
from toolkit.execution.lanes import Lanes
from toolkit.execution.obituaries import Obituaries
from toolkit.execution.run_queue import Ids
from toolkit.run_status import Status
from toolkit.stages.failure import RunFailure, may_retry, too_long
from toolkit.stages.needs import Needs
from toolkit.stages.stage import Stage
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.runs.stage_runs import StageRuns

_LOST_BATCHES = 20
_SUSPECTS = 16  # into so many parts is a group split in which a run kills its worker


class Losses:
    """Decides what becomes of the runs of a dead worker.

    Parameters
    ----------
    runs
        Of the stage.
    queue
        Where runs go that are to be repeated.
    stage
        Their stage.
    limits
        Say how long each run may take; None without limits.
    chances
        Say whether a run that killed its worker is tried again.

    Attributes
    ----------
    suspect
        The batch that runs alone now, for one of its runs may have killed a worker.
    in_a_row
        Batches that were lost before one of their runs began, since the last one of which more is
        known.
    obituaries
        Tell of the workers that died.
    """

    def __init__(
        self, runs: StageRuns, queue: Lanes, stage: Stage, limits: Needs | None, chances: Chances
    ) -> None:
        self._runs, self._queue, self._stage, self._limits = runs, queue, stage, limits
        self._chances = chances
        self._parted: set[int] = set()  # runs that had too little memory with others
        self._settled: set[tuple[str, int]] = set()  # journals of dead workers, with their runs
        self.suspect: BatchTask | None = None
        self.in_a_row = 0
        self._told: Death | None = None
        self.obituaries = Obituaries(stage.name)

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
        is_news = each.death is None or each.death is not self._told  # once, however many it had
        if is_news and not death.handed_on:
            self.obituaries.tell(death)
        self._told = each.death
        self.in_a_row += 1
        if self._runs.sink_spec().path is None:  # no journal says which run it was
            return self._take_in_memory(task, left, death)
        culprits = self._culprits(left, in_progress)
        if culprits:
            self.in_a_row = 0
        if self.in_a_row > _LOST_BATCHES:
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
            if not is_alone and death.reason == "memory" and self._may_part(run, task.tier):
                self._queue.repeat(np.array([run]), task.attempt, careful=True)
            elif not is_alone:  # which of the worker's threads it was is not known
                self._queue.suspect(np.array([run]), task.attempt)
            elif is_timed or death.reason != "walltime":
                receipts += self._blame(run, task, death)
            else:
                continue
            begun = begun[begun != run]
            left = left[left != run]
        self._queue.repeat(begun, task.attempt, careful=True)
        # Nobody has begun the others: what is to be in random order, stays so.
        self._queue.give_back(task.of_runs(left[~np.isin(left, begun)]), 0)
        return receipts

    def alive(self, in_progress: Mapping[str, tuple[int, ...]]) -> list[tuple[str, int]]:
        """Return the runs in progress, each with its journal, whose workers are not known dead."""
        each = ((journal, run) for journal, runs in in_progress.items() for run in runs)
        return [pair for pair in each if pair not in self._settled]

    def held(self, task: BatchTask, in_progress: Mapping[str, tuple[int, ...]]) -> float:
        """Return for how many seconds a batch that is lost held its worker, as far as is known.

        Those of its runs that have ended, and the time since the one began that had not: short
        runs have no record of that, nor have those of the first wave without a walltime.

        Parameters
        ----------
        task
            The batch, before :meth:`take`.
        in_progress
            As there.
        """
        ids = task.run_ids()
        has_ended = self._runs.state.status[ids] != Status.PENDING
        seconds = float(np.nansum(self._runs.state.seconds[ids[has_ended]], dtype=float))
        waiting = set(ids[~has_ended].tolist())
        begun = [
            since
            for journal, runs in in_progress.items()
            for run in waiting.intersection(runs)
            if (journal, run) not in self._settled
            and (since := self._runs.began_at(journal, run)) is not None
        ]
        return seconds + max(0.0, time.time() - min(begun, default=float("inf")))

    def _take_in_memory(self, task: BatchTask, left: Ids, death: Death) -> list[Receipt]:
        """Narrow it down: groups in which a run kills its worker run alone, and are split."""
        is_suspect = task == self.suspect
        if is_suspect and len(left) == 1:
            return self._blame(int(left[0]), task, death, alone=True)
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

    def _may_part(self, run: int, tier: int) -> bool:
        """Whether runs that had too little memory together are tried again, each for itself.

        Each has a worker of its own then where it belongs. One that only helped there goes back;
        for as often as that may happen, it happens once.
        """
        placement = self._queue.placement
        if placement is None:
            return False
        if placement.leave_alone(run, tier):
            return True
        is_first = int(placement.tier[run]) != tier and run not in self._parted
        self._parted.add(run)
        return is_first

    def _split(self, left: Ids, task: BatchTask) -> None:
        for part in np.array_split(left, min(_SUSPECTS, len(left))):
            self._queue.repeat(part, task.attempt)

    def _blame(
        self, run: int, task: BatchTask, death: Death, *, alone: bool = False
    ) -> list[Receipt]:
        """Try a run again that killed its worker, or record it as failed."""
        message, attempt = death.describe(), task.attempt
        if death.reason == "walltime" and self._limits is not None:
            values = self._runs.catalogue.values([run], self._limits.names)
            [limit] = self._limits.limits(values, 1)
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
            tier=self._queue.tier_name(task.tier),
        )
        if not self._chances.has_another(failure, attempt, task.tier):
            return [record_death(self._runs, failure, attempt, death.peak_memory)]
        if alone:
            self._queue.suspect(np.array([run]), attempt + 1)
        else:
            self._queue.repeat(np.array([run]), attempt + 1, careful=True)
        return []
