"""What runs have printed, warned of and logged, by run: bounded, the oldest giving way."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from toolkit.stages.said import RunLog
from toolkit.stores.lines import Lines
from toolkit.stores.storage import JOURNALS

FILE = f"{JOURNALS}/run_logs.jsonl"
MOST_BYTES = 64 << 20  # of a store, in two files; in memory an eighth of it
LEFT_OUT = (
    "This run said something that was not kept: a session keeps so much only, and of failed "
    "runs as much again."
)


class RunLogs(Protocol):
    """Where it is kept what runs have said."""

    def add(self, stage: str, attempt: int, logs: Iterable[RunLog]) -> None:
        """Take in what runs of a stage have said."""

    def flush(self) -> None:
        """Make what was taken in durable."""

    def text(self, stage: str, run: int) -> str:
        """Return what the last attempt at a run said, ``""`` where that was nothing."""


class MemoryRunLogs:
    """What runs have said, in memory."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque()
        self._size = 0

    def add(self, stage: str, attempt: int, logs: Iterable[RunLog]) -> None:
        """Take in what runs of a stage have said."""
        for log in logs:
            self._lines.append(_line(stage, attempt, log))
            self._size += _size(log)
        while self._size > MOST_BYTES // 8:
            line = self._lines.popleft()
            self._size -= _size(RunLog(line["runs"], line["text"]))

    def flush(self) -> None:
        """Nothing is to be done."""

    def text(self, stage: str, run: int) -> str:
        """Return what the last attempt at a run said."""
        return _last(self._lines, stage, run)


class FileRunLogs:
    """What runs have said, in a file that only the coordinator appends to."""

    def __init__(self, path: str) -> None:
        self._lines = Lines(path, FILE, most_bytes=MOST_BYTES // 2)
        self._waiting: list[dict[str, Any]] = []

    def add(self, stage: str, attempt: int, logs: Iterable[RunLog]) -> None:
        """Take in what runs of a stage have said; it is written by ``flush``."""
        self._waiting += [_line(stage, attempt, log) for log in logs]

    def flush(self) -> None:
        """Append what was taken in to the file."""
        self._lines.append(self._waiting)
        self._waiting = []

    def text(self, stage: str, run: int) -> str:
        """Return what the last attempt at a run said."""

        def lines() -> Iterator[dict[str, Any]]:
            yield from self._lines.read()
            yield from self._waiting

        return _last(lines(), stage, run)


def _line(stage: str, attempt: int, log: RunLog) -> dict[str, Any]:
    return {"version": 1, "stage": stage, "attempt": attempt, "runs": log.runs, "text": log.text}


def _size(log: RunLog) -> int:
    return 100 + len(log.text or "") + 16 * len(log.runs)


def _last(lines: Iterable[dict[str, Any]], stage: str, run: int) -> str:
    found: str | None = ""
    attempts = 0
    for line in lines:
        try:
            attempt = int(line["attempt"])
            text = line["text"]
            is_meant = line["stage"] == stage and any(lo <= run < hi for lo, hi in line["runs"])
        except (KeyError, TypeError, ValueError):
            continue
        if is_meant and attempt >= attempts and isinstance(text, str | None):
            found, attempts = text, attempt
    return LEFT_OUT if found is None else found
