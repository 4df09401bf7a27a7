"""A failed run as a value: what was raised, where, and whether it may be tried again."""

import functools
import os
import socket
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

LONGEST_TRACEBACK = 20_000
LONGEST_MESSAGE = 4_000
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
    log
        What the run printed, warned of and logged: the first and last part.
    """

    run: int
    exception: str
    message: str
    traceback: str
    host: str = ""
    retryable: bool = False
    log: str = ""


def describe_failure(run: int, error: BaseException, retry_on: Sequence[str] = ()) -> RunFailure:
    """Return what is kept of an exception. An exception whose text raises is no obstacle."""
    kind = type(error)
    return RunFailure(
        run=run,
        exception=type_name(kind),
        message=_shorten(_text(error), LONGEST_MESSAGE),
        traceback=_shorten(_formatted(error), LONGEST_TRACEBACK),
        host=_host(),
        retryable=any(
            type_name(base) in retry_on or base.__name__ in retry_on for base in kind.__mro__
        ),
    )


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
