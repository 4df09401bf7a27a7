"""What all journals of a store have said since the last look."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.storage import JOURNALS
from toolkit.stores.journals.journal import PAGE, SUFFIX, Tail, read_page, read_slots
from toolkit.stores.journals.records import Origin, Record


class Sent(NamedTuple):
    """A record and the journal that it stands in."""

    journal: str
    record: Record


class Tails:
    """Reads the journals of a store, each record once.

    Parameters
    ----------
    path
        Folder of the store.
    identity
        Of the store; journals of another one are left alone.
    done
        How far each journal is folded.
    """

    def __init__(self, path: str, identity: str, done: Mapping[str, int] | None = None) -> None:
        self._folder = os.path.join(path, JOURNALS)
        self._identity = identity
        self._done = dict(done or {})
        self.tails: dict[str, Tail] = {}
        self._promised: dict[str, int] = {}

    def expect(self, journal: str, length: int) -> None:
        """Note that a worker has written a journal up to this length, in bytes."""
        self._promised[journal] = max(length, self._promised.get(journal, 0))

    def unread(self) -> dict[str, int]:
        """Return the journals that could not be read up to where they are written, and how far."""
        return {
            name: tail.offset
            for name, tail in self.tails.items()
            if tail.offset < self._promised.get(name, 0)
        }

    def late(self) -> bool:
        """Whether a journal is shorter here than it was where it was written.

        On a shared file system what one machine writes may come into sight on another one later.
        """
        return any(
            _size(self.tails[name].path) < self._promised[name]
            for name in self.unread().keys() & self._promised.keys()
        )

    def read(self) -> Iterator[Sent]:
        """Yield the records that are new."""
        for name in sorted(journal_names(os.path.dirname(self._folder))):
            tail = self.tails.get(name)
            if tail is None:
                path = os.path.join(self._folder, name)
                page = read_page(path)
                if page is None or page.identity != self._identity:
                    continue
                try:
                    tail = Tail(path, page, self._done.get(name, PAGE))
                except FileNotFoundError:  # folded and deleted since it was listed
                    continue
                self.tails[name] = tail
            for record in tail.read():
                yield Sent(name, record)

    def pass_over(self, journal: str, origin: Origin) -> bool:
        """Count a piece of a journal as read, if it is what comes next; say whether it is."""
        tail = self.tails.get(journal)
        if tail is None or tail.offset != origin.start:
            return False
        tail.offset = origin.end
        return True

    def marks(self) -> Iterator[tuple[str, str, int]]:
        """Yield journal, stage and id of each run that a journal's page notes as in progress."""
        for name, tail in self.tails.items():
            for run, number in read_slots(tail.path):
                known = tail.stages.known.get(number)
                if known is not None:
                    yield name, known[0], run

    def offsets(self) -> dict[str, int]:
        """Return how far each journal has been read."""
        return {name: tail.offset for name, tail in self.tails.items()}

    def delete(self, names: Iterable[str]) -> list[Sent]:
        """Delete journals; return what was written into them since they were read.

        A worker that appends looks afterwards whether its journal is still there. So either it
        saw that the file is gone and writes again, or what it wrote is found here.
        """
        left: list[Sent] = []
        for name in names:
            tail = self.tails.pop(name, None)
            path = os.path.join(self._folder, name)
            try:
                with open(path, "rb", opener=open_plain) as file:
                    os.unlink(path)
                    if tail is not None:
                        left += [Sent(name, record) for record in tail.read_from(file.fileno())]
            except FileNotFoundError:
                continue
        return left


def _size(path: str) -> int:
    try:
        with open(path, "rb", opener=open_plain) as file:  # asks for what is there by now
            return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


def journal_names(path: str) -> set[str]:
    """Return the names of the journals that a store has now."""
    try:
        return {name for name in os.listdir(os.path.join(path, JOURNALS)) if name.endswith(SUFFIX)}
    except (FileNotFoundError, NotADirectoryError):
        return set()
