"""The journal that all sinks of a process write to, one for each store."""

import os
import threading

from toolkit.stages.schema import Schema
from toolkit.stores.files.epoch import TurnFile
from toolkit.stores.files.packing import Buffer
from toolkit.stores.files.storage import JOURNALS, reported
from toolkit.stores.journals.journal import Journal
from toolkit.stores.journals.receipt import SinkSpec


class SharedJournal:
    """A journal, or a list of records in memory, with what it has been told about the stages."""

    def __init__(self, journal: Journal | None) -> None:
        self.journal = journal
        self.lock = threading.Lock()
        self.names_lock = threading.Lock()  # a long write does not keep another batch from it
        self.pending: list[Buffer] = []
        self.numbers: dict[str, int] = {}
        self.said: dict[str, Schema | None] = {}
        self.threads: dict[int, int] = {}

    def number(self, stage: str) -> int:
        """Return the number by which records name a stage."""
        with self.names_lock:
            return self.numbers.setdefault(stage, len(self.numbers))

    def slot(self) -> memoryview:
        """Return the slot of this thread: the run in progress and its stage."""
        if self.journal is None:
            return memoryview(bytearray(b"\xff" * 16)).cast("q")
        with self.names_lock:
            return self.journal.slot(
                self.threads.setdefault(threading.get_ident(), len(self.threads))
            )

    def append(self, buffers: list[Buffer]) -> None:
        """Write records; in memory they are copied and wait for a receipt."""
        if self.journal is None:
            self.pending += [bytes(buffer) for buffer in buffers]
        else:
            self.journal.append(buffers)


_shared: dict[str, tuple[tuple[int, str, int], SharedJournal]] = {}
_shared_lock = threading.Lock()


def close_journals() -> None:
    """Close all journals of this process."""
    with _shared_lock:
        for _, shared in _shared.values():
            if shared.journal is not None:
                shared.journal.close()
        _shared.clear()


def shared_journal(spec: SinkSpec, turn: TurnFile | None) -> SharedJournal:
    """Return the journal of this process for a store; each sink in memory has one of its own.

    Raises
    ------
    StoreGone, StaleWorker
        If it has to be made, and the store is gone or another driver has taken it over.
    """
    if spec.path is None:
        return SharedJournal(None)
    key = (os.getpid(), spec.identity, spec.epoch)
    with _shared_lock:
        known, shared = _shared.get(spec.path, (None, None))
        if known == key and shared is not None:
            return shared
        if turn is not None:
            turn.require(spec.identity, spec.epoch, thoroughly=True)
        if shared is not None and shared.journal is not None:
            with shared.lock:
                shared.journal.close()
        with reported(spec.path):
            folder = os.path.join(spec.path, JOURNALS)
            journal = Journal(folder, spec.identity, spec.epoch, spec.durability)
        shared = SharedJournal(journal)
        _shared[spec.path] = (key, shared)
        return shared


def forget_journal(spec: SinkSpec, shared: SharedJournal) -> None:
    """Close a journal; whoever writes next begins another."""
    with _shared_lock:
        if spec.path is not None and _shared.get(spec.path, (None, None))[1] is shared:
            del _shared[spec.path]
            if shared.journal is not None:
                shared.journal.close()
