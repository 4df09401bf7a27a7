"""A store in memory, for sweeps without a store on disk: the same arrays over a dict."""

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from toolkit.stores.arrays.hierarchy import Hierarchy
from toolkit.stores.files.storage import Memory
from toolkit.stores.journals.events import Events, MemoryEvents
from toolkit.stores.journals.failure_log import FailureLog, MemoryLog
from toolkit.stores.journals.journal import Durability
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.journals.records import Origin, Record, Stages
from toolkit.stores.journals.run_logs import MemoryRunLogs, RunLogs
from toolkit.stores.journals.scanning import scan
from toolkit.stores.runs.roster import Roster, new_hierarchy
from toolkit.stores.runs.stage_runs import StageRuns


class MemoryStore:
    """Results in memory. No lock and no journals: records travel back in receipts.

    Parameters
    ----------
    provenance
        As for ``ZarrStore``.
    """

    def __init__(self, provenance: dict[str, Any] | None = None) -> None:
        self.path: str | None = None
        self.epoch = 0
        self.durability: Durability = "process"
        self.is_writable = True
        self.accepts_late = True
        self.lock: AbstractContextManager[Any] = threading.RLock()
        self.storage = Memory()
        self.hierarchy = Hierarchy(self.storage)
        self.identity = new_hierarchy(self.hierarchy, provenance or {})
        self.hierarchy.commit()
        self.failure_log: FailureLog = MemoryLog()
        self.run_logs: RunLogs = MemoryRunLogs()
        self.events: Events = MemoryEvents()
        self._roster = Roster(self, {})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, in the order in which they were made."""
        return self._roster.names

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the store."""
        found: dict[str, Any] = self.hierarchy.attributes("").get("provenance", {})
        return found

    def stage(self, name: str, *, create: bool = False) -> StageRuns:
        """Return the runs of a stage, made if it is new and ``create`` says so."""
        return self._roster.stage(name, create=create)

    def acquire(self) -> None:
        """Begin a turn: nobody else sees this store, but what runs now may be other code."""
        self.epoch += 1

    def release(self) -> None:
        """Bring all that was collected into the arrays."""
        for runs in self._roster.open_runs:
            runs.collect()
            runs.fold(force=True)

    def pull(self, receipts: Iterable[Receipt]) -> None:
        """Hand the records of receipts to their stages."""
        for receipt in receipts:
            self._roster.route(self._sent(receipt))
        self._roster.drain()

    def pass_over(self, journal: str, origin: Origin) -> bool:  # noqa: ARG002  (part of the contract)
        """Return False: there are no journals."""
        return False

    def offsets(self) -> dict[str, int]:
        """Return nothing: there are no journals."""
        return {}

    def marks(self, stage: str) -> dict[str, set[int]]:  # noqa: ARG002  (part of the contract)
        """Return nothing: a process that dies takes its notes with it."""
        return {}

    def write_marker(self) -> None:
        """Nothing is to be done."""

    def check(self) -> None:
        """Nothing is to be done."""

    def _sent(self, receipt: Receipt) -> Iterable[tuple[str, Record]]:
        for record in scan(receipt.records, Stages()):
            yield "", record
