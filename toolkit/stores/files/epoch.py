"""Which store a folder is, and which driver's turn it is: the file ``.journal/epoch.json``."""

import json
import os
from typing import NamedTuple

from toolkit.errors import StoreError
from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.storage import JOURNALS, write_file

FILE = f"{JOURNALS}/epoch.json"
_LONGEST = 1 << 16


class Turn(NamedTuple):
    """Identity of a store and the number of the driver that owns it, which only grows."""

    identity: str
    epoch: int


class StaleWorker(StoreError):  # noqa: N818  (what happened, not an error of the user)
    """Another driver has taken the store over; this worker's driver is gone."""


class StoreGone(StoreError):  # noqa: N818  (what happened, not an error of the user)
    """The store was deleted, or deleted and made again, while this worker worked for it."""


class TurnFile:
    """Reads the turn of a store again only where its file has changed."""

    def __init__(self, path: str) -> None:
        self._path = os.path.join(path, FILE)
        self._signature: tuple[int, int, int] | None = None
        self._turn: Turn | None = None

    def read(self, *, thoroughly: bool = False) -> Turn | None:
        """Return the turn, None where the store is gone.

        A look at the file's time costs 1 us, reading it 20 us. ``thoroughly`` opens the file,
        which makes a shared file system ask its server.
        """
        try:
            found = os.stat(self._path)
            signature = (found.st_ino, found.st_mtime_ns, found.st_size)
            if thoroughly or signature != self._signature:
                with open(self._path, "rb", opener=open_plain) as file:
                    self._turn = _parse(file.read(_LONGEST))
                self._signature = signature
        except OSError:
            self._signature, self._turn = None, None
        return self._turn

    def require(self, identity: str, epoch: int, *, thoroughly: bool = False) -> None:
        """Raise unless the store is still this one and no later driver has its turn."""
        turn = self.read(thoroughly=thoroughly)
        if turn is None or turn.identity != identity:
            store = os.path.dirname(os.path.dirname(self._path))
            found = "it is not there" if turn is None else "another store has its place"
            raise StoreGone(
                f"Store {store} is not the one this worker was started for: {found}. "
                "Run the sweep again: it makes a new store."
            )
        if turn.epoch > epoch:
            raise StaleWorker(
                f"Another driver has taken over the store (turn {turn.epoch}, this worker "
                f"belongs to turn {epoch}). Nothing is to be done: that driver goes on."
            )


def read_turn(path: str) -> Turn | None:
    """Return the turn of the store in this folder, None where there is none."""
    return TurnFile(path).read(thoroughly=True)


def write_turn(path: str, turn: Turn) -> None:
    """Write the turn, at once for every reader."""
    text = json.dumps({"identity": turn.identity, "epoch": turn.epoch})
    write_file(path, FILE, text.encode(), "power")


def _parse(raw: bytes) -> Turn | None:
    try:
        document = json.loads(raw)
        return Turn(str(document["identity"]), int(document["epoch"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
