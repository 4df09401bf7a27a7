"""A failed run as a value: what was raised, where, and whether it may be tried again."""

import functools
import os
import re
import socket
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any

import numpy.typing as npt

from toolkit.errors import CommandError

TIER_VARIABLE = "TOOLKIT_TIER"
"""Environment variable by which a worker process knows its tier."""
LONGEST_TRACEBACK = 20_000
LONGEST_MESSAGE = 4_000
REASONS = (
    "exception",
    "walltime",  # the run's own limit
    "memory",
    "time limit",  # of the worker's job
    "preempted",
    "cancelled",
    "node lost",
    "worker died",
)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<name>.*)$', re.M)
_LIBRARY = re.compile(r"[/\\](site-packages|dist-packages|lib[/\\]python3[^/\\]*)[/\\]|^<frozen ")
# Frames of what interrupts or listens to a run, wherever the package was installed.
_OURS = re.compile(r"[/\\]toolkit[/\\](execution|stages)[/\\]\w+\.py$")
_OUR_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True)
class RunFailure:
    """Why one run failed.

    Parameters
    ----------
    run
        The run's id.
    exception
        Name of the type, qualified by its module unless it is built in.
    message
        Text of the exception, at most 4,000 characters.
    traceback
        As Python prints it, from the user's first frame on, at most 20,000 characters.
    host
        Name of the machine.
    retryable
        Whether the stage's ``retry_on`` names the type or one it derives from.
    reason
        One of ``REASONS``.
    exit_code
        Of the process that died in the run, or of the program that failed; minus the signal's
        number where a signal ended it.
    log
        What the run printed, warned of and logged, the first and last part; or the last that its
        process, or its program on standard error, wrote.
    tier
        Of its worker, ``""`` where workers are alike.
    """

    run: int
    exception: str
    message: str
    traceback: str
    host: str = ""
    retryable: bool = False
    reason: str = "exception"
    exit_code: int | None = None
    log: str = ""
    tier: str = ""


class RunTooLong(BaseException):
    """Interrupts a run that exceeds its walltime; no ``except Exception`` of the run stops it."""

    def __init__(self, walltime: float) -> None:
        super().__init__(too_long(walltime))


class RunStopped(BaseException):
    """Ends a run of which the sweep was cancelled: it has not failed and may run again."""


class PartialFailureError(Exception):
    """Raised by a vectorized function for which some of its runs failed: it need not run again.

    Parameters
    ----------
    result
        Of all runs, an array of shape ``(n_runs, …)``; what it holds of failed ones is not read.
    errors
        What happened to each failed run, by its position in the batch.
    """

    def __init__(self, result: npt.NDArray[Any], errors: Mapping[int, Exception]) -> None:
        first = next(iter(errors.values()))
        super().__init__(f"{len(errors)} of {len(result)} runs failed, the first with: {first}")
        self.result, self.errors = result, dict(errors)


def too_long(walltime: float) -> str:
    """Return what is said of a run that was ended for its walltime, in seconds."""
    return f"the run took longer than its walltime of {walltime:g} s and was ended"


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception ends the sweep, and is not the failure of the run that it came up in.

    That is the end of a run in a cancelled sweep, and the user's Ctrl-C in the main thread:
    elsewhere a run raised it.
    """
    if isinstance(error, RunStopped):
        return True
    at_terminal = threading.current_thread() is threading.main_thread()
    return at_terminal and isinstance(error, KeyboardInterrupt)


def may_retry(kind: type[BaseException], retry_on: Sequence[str]) -> bool:
    """Whether ``retry_on`` names a type of exception or one that it derives from."""
    return any(type_name(base) in retry_on or base.__name__ in retry_on for base in kind.__mro__)


def describe_failure(run: int, error: BaseException, retry_on: Sequence[str] = ()) -> RunFailure:
    """Return what is kept of an exception. An exception whose text raises is no obstacle."""
    kind = TimeoutError if isinstance(error, RunTooLong) else type(error)
    program = error if isinstance(error, CommandError) else None
    return RunFailure(
        run=run,
        exception=type_name(kind),
        message=_shorten(_text(error), LONGEST_MESSAGE),
        traceback=_shorten(_formatted(error), LONGEST_TRACEBACK),
        host=_host(),
        retryable=may_retry(kind, retry_on),
        reason=_reason(error),
        exit_code=None if program is None else program.exit_code,
        log="" if program is None else program.stderr,
        tier=os.environ.get(TIER_VARIABLE, ""),
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, RunTooLong):
        return "walltime"
    return "memory" if isinstance(error, MemoryError) else "exception"


def type_name(kind: type) -> str:
    """Return the name of a type, qualified unless it is built in.

    Examples
    --------
    >>> type_name(ValueError), type_name(socket.timeout), type_name(RunFailure)
    ('ValueError', 'TimeoutError', 'toolkit.stages.failure.RunFailure')
    """
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


@functools.lru_cache(maxsize=1024)
def own_frame(traceback: str) -> str:
    """Return the innermost line of the user's code, such as ``study.py:12 in simulate``.

    Installed libraries are the user's code only where nothing else is.

    Parameters
    ----------
    traceback
        As Python prints it; it may be of another machine.

    Examples
    --------
    >>> own_frame('  File "/home/me/study.py", line 12, in simulate')
    'study.py:12 in simulate'
    >>> own_frame('  File "/tmp/ipykernel_7/307.py", line 3, in fit')
    'notebook cell:3 in fit'
    """
    frames = [each for each in _FRAME.finditer(traceback) if not _OURS.search(each["file"])]
    if not frames:
        return ""
    own = [each for each in frames if not _LIBRARY.search(each["file"])]
    last = (own or frames)[-1]
    name = "notebook cell" if is_cell(last["file"]) else PurePath(last["file"]).name
    return f"{name}:{last['line']} in {last['name']}"


def is_cell(file: str) -> bool:
    """Whether a file is what a kernel keeps of a cell, under a name that says nothing."""
    return file.startswith("<ipython-input-") or any(
        part.startswith("ipykernel_") for part in PurePath(file).parts[:-1]
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001  (whatever a user's __str__ does, the run's failure is kept)
        return f"<the text of this exception cannot be made: {type_name(type(problem))}>"


def _formatted(error: BaseException) -> str:
    try:
        lines: Iterable[str] = traceback.TracebackException(
            type(error), error, _user_frames(error.__traceback__), compact=True
        ).format()
        return "".join(lines)
    except Exception:  # noqa: BLE001  (see _text)
        return f"{type_name(type(error))}: {_text(error)}\n"


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not file.startswith(_OUR_FOLDER):
            return frames
        frames = frames.tb_next
    return None


def _shorten(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    kept = length // 2 - 40
    return f"{text[:kept]}\n… {len(text) - 2 * kept} characters left out …\n{text[-kept:]}"


@functools.cache
def _host() -> str:
    return socket.gethostname()
