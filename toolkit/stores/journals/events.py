"""The log of a sweep: what happened, when, and who did it, as JSON lines in the store.

Whoever holds the store's lock writes it, with one call: ``store.events.note("counted", n=12)``. It
is for people and their tools; nothing in a store depends on it.
"""

import contextlib
import datetime
import os
import socket
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from toolkit.errors import StoreError
from toolkit.stores.files.lines import Lines
from toolkit.stores.files.storage import JOURNALS

FILE = f"{JOURNALS}/events.jsonl"
VERSION = 1
MOST_BYTES, FILES = 1 << 20, 4
LONGEST_TEXT = 500


class Events(Protocol):
    """Where events are noted."""

    def note(self, event: str, **fields: object) -> None:
        """Note that something happened; never raises for want of space.

        Parameters
        ----------
        event
            What happened: a verb in the past, such as ``"worker_left"``.
        **fields
            Numbers, texts, and lists or mappings of these. Texts are cut after 500 characters.
        """

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield what was noted, the oldest first."""


class MemoryEvents:
    """Events of a store in memory: the latest 10,000."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._session = _new_session()

    def note(self, event: str, **fields: object) -> None:
        """Note an event."""
        self._lines.append(_line(event, self._session, fields))

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield what was noted, the oldest first."""
        return iter(tuple(self._lines))


class FileEvents:
    """Events in files of 1 MB, of which there are four at most."""

    def __init__(self, path: str) -> None:
        self._lines = Lines(path, FILE, most_bytes=MOST_BYTES, files=FILES)
        self._session = _new_session()
        self._lock = threading.Lock()

    def note(self, event: str, **fields: object) -> None:
        """Note an event: it is in the file when this returns."""
        # What happens is worth more than the note of it: a full disk is for others to report.
        with self._lock, contextlib.suppress(StoreError):
            self._lines.append([_line(event, self._session, fields)])

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield what was noted, the oldest first; lines that are no events are skipped."""
        for line in self._lines.read():
            if isinstance(line.get("event"), str) and isinstance(line.get("version"), int):
                yield line


def _line(event: str, session: str, fields: dict[str, object]) -> dict[str, Any]:
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    head = {"version": VERSION, "time": time, "event": event, "session": session}
    return {
        **head,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **{name: _plain(value) for name, value in fields.items() if name not in head},
    }


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _new_session() -> str:
    return uuid.uuid4().hex[:12]
