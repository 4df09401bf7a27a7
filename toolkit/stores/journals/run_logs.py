"""What runs have printed, warned of and logged, by run: bounded, the oldest giving way."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from toolkit.stages.said import RunLog
from toolkit.stores.files.lines import Lines
from toolkit.stores.files.storage import JOURNALS

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

    def read(self, stage: str) -> Iterator[tuple[int, RunLog]]:
        """Yield what runs of a stage said, each with its attempt, the oldest first."""

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

    def read(self, stage: str) -> Iterator[tuple[int, RunLog]]:
        """Yield what runs of a stage said, each with its attempt, the oldest first."""
        return _of_stage(self._lines, stage)

    def text(self, stage: str, run: int) -> str:
        """Return what the last attempt at a run said."""
        return _last(self.read(stage), run)


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

    def read(self, stage: str) -> Iterator[tuple[int, RunLog]]:
        """Yield what runs of a stage said, each with its attempt, the oldest first."""
        yield from _of_stage(self._lines.read(), stage)
        yield from _of_stage(self._waiting, stage)

    def text(self, stage: str, run: int) -> str:
        """Return what the last attempt at a run said."""
        return _last(self.read(stage), run)


def _line(stage: str, attempt: int, log: RunLog) -> dict[str, Any]:
    return {"version": 1, "stage": stage, "attempt": attempt, "runs": log.runs, "text": log.text}


def _size(log: RunLog) -> int:
    return 100 + len(log.text or "") + 16 * len(log.runs)


def _of_stage(lines: Iterable[dict[str, Any]], stage: str) -> Iterator[tuple[int, RunLog]]:
    """Yield what lines say of a stage; what is said otherwise than here is skipped."""
    for line in lines:
        if line.get("stage") != stage:
            continue
        try:
            runs = tuple((int(lo), int(hi)) for lo, hi in line["runs"])
            attempt, text = int(line["attempt"]), line["text"]
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if isinstance(text, str | None):
            yield attempt, RunLog(runs, text)


def _last(logs: Iterable[tuple[int, RunLog]], run: int) -> str:
    found: str | None = ""
    attempts = 0
    for attempt, log in logs:
        if attempt >= attempts and any(lo <= run < hi for lo, hi in log.runs):
            found, attempts = log.text, attempt
    return LEFT_OUT if found is None else found
