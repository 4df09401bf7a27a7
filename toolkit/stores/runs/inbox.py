"""Records of one stage that journals have delivered, until they are taken into its state."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stores.journals.records import Block, Errors, Logs, Record, Started
from toolkit.stores.runs.begun import Begun
from toolkit.stores.runs.fold import Fold
from toolkit.stores.runs.home import Home
from toolkit.stores.runs.outcomes import Collected, Failed, Settler, failed
from toolkit.stores.runs.pending import Part

Ids = npt.NDArray[np.int64]


class Inbox:
    """Takes records in the order in which they come, and gives what they brought once.

    Parameters
    ----------
    stage
        Name of the stage.
    home
        Where failures and what runs said are kept.
    fold
        Is told how far each journal was read.

    Attributes
    ----------
    begun
        The runs that began and have no outcome yet.
    settler
        Takes outcomes into the state; set before the first ``drain``.
    """

    settler: Settler

    def __init__(self, stage: str, home: Home, fold: Fold) -> None:
        self._stage, self._home, self._fold = stage, home, fold
        self.begun = Begun()
        self._records: list[tuple[str, Record]] = []
        self._failures: list[Failed] = []
        self._outcomes: list[
            tuple[list[Ids], list[npt.NDArray[np.uint8]], list[npt.NDArray[np.float32]], list[Part]]
        ] = []

    def deliver(self, journal: str, record: Record) -> None:
        """Take a record, unless the arrays hold what it says."""
        if not journal or record.origin.end > self._fold.folded.get(journal, 0):
            self._records.append((journal, record))

    def drain(self) -> None:
        """Take what was delivered into the state."""
        delivered, self._records = self._records, []
        blocks: list[tuple[str, Block, bool]] = []
        for journal, record in delivered:
            if journal:
                self._fold.seen[journal] = record.origin.end
            if isinstance(record, Block) and not self.settler.is_inside(record):
                continue
            is_late = record.origin.epoch < self._home.epoch and not self._home.accepts_late
            if isinstance(record, Block):
                counting = self.begun.counting(record) if is_late else record
                if counting is not None:
                    blocks.append((journal, counting, is_late))
                self.begun.end(journal, record)
            elif isinstance(record, Started):
                self.begun.begin(journal, record.run, record.origin.time)
            elif isinstance(record, Errors):
                self.report(record.origin.attempt, record.origin.time, record.failures)
            elif isinstance(record, Logs):
                self._home.run_logs.add(self._stage, record.origin.attempt, record.logs)
        for journal, offset in self._home.offsets().items():
            self._fold.seen[journal] = max(offset, self._fold.seen.get(journal, 0))
        if blocks:
            self._outcomes.append(self.settler.settle(blocks))

    def report(self, attempt: int, when: float, found: list[dict[str, Any]]) -> None:
        """Keep failures of an attempt, in the log of the store too."""
        self._home.failure_log.add(self._stage, attempt, when, found)
        self._failures += [failed(attempt, item) for item in found]

    def collected(self, status: npt.NDArray[np.uint8], marks: dict[str, set[int]]) -> Collected:
        """Return what came since the last time.

        Parameters
        ----------
        status
            Of all runs, shape ``(n_runs,)``.
        marks
            By journal: the runs that its page notes as in progress.
        """
        outcomes, self._outcomes = self._outcomes, []
        failures, self._failures = self._failures, []
        ids = [part for item in outcomes for part in item[0]]
        statuses = [part for item in outcomes for part in item[1]]
        seconds = [part for item in outcomes for part in item[2]]
        return Collected(
            ids=np.concatenate([np.zeros(0, np.int64), *ids]),
            statuses=np.concatenate([np.zeros(0, np.uint8), *statuses]),
            seconds=np.concatenate([np.zeros(0, np.float32), *seconds]),
            parts=tuple(part for item in outcomes for part in item[3]),
            failures=tuple(failures),
            started=self.begun.in_progress(status, marks),
            schema=self.settler.schema,
        )

    def forget(self, journals: Iterable[str]) -> None:
        """Forget journals that were folded and deleted."""
        for journal in journals:
            self.begun.forget(journal)
