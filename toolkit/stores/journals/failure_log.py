"""Failures with their tracebacks: JSON lines beside the journals, each traceback once."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.storage import JOURNALS, explain, reported, write_file

FILE = f"{JOURNALS}/failures.jsonl"

_LONGEST = 1 << 24  # bytes of a line; a failure takes some thousands
_ALWAYS = ("exception", "message", "traceback")
_TEXTS = (*_ALWAYS, "host", "log", "tier")
_NUMBERS = ("attempt", "time", "exit_code")


class FailureLog(Protocol):
    """Where failures are kept."""

    def add(
        self, stage: str, attempt: int, time: float, failures: Iterable[dict[str, Any]]
    ) -> None:
        """Take in failures as a journal has them."""

    def flush(self) -> None:
        """Make what was taken in durable."""

    def read(self, stage: str) -> Iterator[dict[str, Any]]:
        """Yield the failures of a stage, the oldest first."""

    def keep(self, is_kept: Callable[[dict[str, Any]], bool]) -> None:
        """Drop all failures but those of which this is true."""


class MemoryLog:
    """Failures in memory."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []

    def add(
        self, stage: str, attempt: int, time: float, failures: Iterable[dict[str, Any]]
    ) -> None:
        """Take in failures."""
        self._lines += [_line(stage, attempt, time, failure) for failure in failures]

    def flush(self) -> None:
        """Nothing is to be done."""

    def read(self, stage: str) -> Iterator[dict[str, Any]]:
        """Yield the failures of a stage, the oldest first."""
        return (dict(line) for line in self._lines if line["stage"] == stage)

    def keep(self, is_kept: Callable[[dict[str, Any]], bool]) -> None:
        """Drop all failures but those of which this is true."""
        self._lines = [line for line in self._lines if is_kept(line)]


class FileLog:
    """Failures in a file that only the coordinator appends to; a torn line is skipped."""

    def __init__(self, path: str) -> None:
        self._store = path
        self._path = os.path.join(path, FILE)
        self._waiting: list[dict[str, Any]] = []
        self._said: set[str] = set()

    def add(
        self, stage: str, attempt: int, time: float, failures: Iterable[dict[str, Any]]
    ) -> None:
        """Take in failures; they are written by ``flush``."""
        self._waiting += [_line(stage, attempt, time, failure) for failure in failures]

    def flush(self) -> None:
        """Append what was taken in to the file."""
        if not self._waiting:
            return
        # It begins with a line end: what a crash left of the last line is a line of its own.
        raw = b"\n" + self._written(self._waiting)
        with (
            reported(self._store),
            open(self._path, "ab", buffering=0, opener=open_plain) as file,
        ):
            file.write(raw)
        self._waiting = []

    def read(self, stage: str) -> Iterator[dict[str, Any]]:
        """Yield the failures of a stage, the oldest first."""
        yield from (line for line in self._stored() if line["stage"] == stage)
        yield from (dict(line) for line in self._waiting if line["stage"] == stage)

    def keep(self, is_kept: Callable[[dict[str, Any]], bool]) -> None:
        """Drop all failures but those of which this is true, in one rename."""
        self.flush()
        if os.path.exists(self._path):
            self._said.clear()
            raw = self._written([line for line in self._stored() if is_kept(line)])
            with reported(self._store):
                write_file(self._store, FILE, raw)

    def _stored(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the file, tracebacks put in.

        Raises
        ------
        StoreError
            If it cannot be read, or a line is longer than any that is written.
        """
        texts: dict[str, str] = {}
        try:
            with open(self._path, "rb", opener=open_plain) as file:
                while raw := file.readline(_LONGEST):
                    if len(raw) == _LONGEST:
                        raise StoreError(
                            f"{FILE} of store {self._store} is damaged: it has a line of over "
                            f"{_LONGEST:,} bytes. Restore that file from a copy, or delete it: "
                            "what failed stays known, and why does not."
                        )
                    line = _parsed(raw)
                    if "token" in line:
                        texts[str(line["token"])] = str(line.get("text", ""))
                    elif isinstance(line.get("stage"), str) and type(line.get("run")) is int:
                        traceback = texts.get(str(line.get("traceback")), "")
                        yield as_failure(line) | {"traceback": traceback}
        except FileNotFoundError:
            pass
        except OSError as error:
            raise explain(error, self._store) from error

    def _written(self, failures: Iterable[dict[str, Any]]) -> bytes:
        """Return failures as lines, each traceback that was not said before them."""
        lines = []
        for line in failures:
            text = str(line.get("traceback", ""))
            token = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()
            if token not in self._said:
                lines.append(json.dumps({"token": token, "text": text}))
                self._said.add(token)
            lines.append(json.dumps(line | {"traceback": token}))
        return ("\n".join(lines) + "\n").encode()


def last_failures(
    lines: Iterable[dict[str, Any]], status: npt.NDArray[np.uint8]
) -> list[dict[str, Any]]:
    """Return for each failed run what its last attempt died of, by run id.

    Parameters
    ----------
    lines
        Failures of the stage, the oldest first.
    status
        Of its runs, shape ``(n_runs,)``.
    """
    last: dict[int, dict[str, Any]] = {}
    statuses, failed = status.tobytes(), int(Status.FAILED)  # bytes are looked up faster
    for line in lines:
        run = line["run"]
        if 0 <= run < len(statuses) and statuses[run] == failed:
            before = last.get(run)
            if before is None or line.get("attempt", 0) >= before.get("attempt", 0):
                last[run] = line
    return [last[run] for run in sorted(last)]


def as_failure(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a failure with texts where texts belong, and numbers where numbers do.

    A file or journal from elsewhere may say anything; what it says beyond that is left as it is.
    """
    found = {**dict.fromkeys(_ALWAYS, ""), "attempt": 0, **line}
    for name in _TEXTS:
        value = found.get(name, "")
        if type(value) is not str:
            found[name] = _text(value)
    for name in _NUMBERS:
        if name in found and type(found[name]) not in (int, float):
            del found[name]
    return {"attempt": 0, **found}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)[:4000]


def _line(stage: str, attempt: int, time: float, failure: dict[str, Any]) -> dict[str, Any]:
    return {**failure, "stage": stage, "attempt": attempt, "time": time}


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}
