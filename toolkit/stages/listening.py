"""While a batch runs, what its runs print, warn of and log is noted, and shown as ever.

The streams, warnings and logging belong to the process, so they are listened to once for all
batches that it works on; whose run is speaking is asked when something is said. A run that says
nothing costs nothing.
"""

import contextlib
import logging
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.errors import SweepError
from toolkit.stages.current import Cursor, speaking
from toolkit.stages.said import Said, allowance

_FILTER = ("always", None, Warning, None, 0)
_NOTED = "_noted_by_toolkit"
_EMIT = logging.StreamHandler.emit.__code__
_REMEMBERED = 10_000
_KEPT = 32  # of streams: there are two, but in tests and notebooks, which change them


def check_log_level(level: object) -> int:
    """Return a level of ``logging`` as a number.

    Raises
    ------
    SweepError
        If it is neither a number nor the name of a level.

    Examples
    --------
    >>> check_log_level("info"), check_log_level(25)
    (20, 25)
    """
    known = logging.getLevelNamesMapping()
    if isinstance(level, str) and level.upper() in known:
        return known[level.upper()]
    if isinstance(level, int) and not isinstance(level, bool) and level >= 0:
        return level
    raise SweepError(
        f"log_level={level!r} is not a level of logging. Give a number, or one of "
        f"{', '.join(sorted(known, key=known.__getitem__))}."
    )


@contextmanager
def listening(log_level: int) -> Iterator[None]:
    """Note what runs say; records of ``logging`` from this level on."""
    with _lock:
        _ear.open(log_level)
    try:
        yield
    finally:
        with _lock:
            _ear.close()


class _Ear:
    """What listens in this process: for as long as one batch at least is being run."""

    def __init__(self) -> None:
        self._batches = 0
        self._handler = _Handler()
        self._streams: dict[str, Listener] = {}
        self._kept: deque[Listener] = deque(maxlen=_KEPT)
        self._level_before: int | None = None
        self._show_before: Any = None
        self._added_filter = False
        self._shows_each: tuple[type[Warning], ...] = ()
        self._shown: set[tuple[object, ...]] = set()

    def open(self, log_level: int) -> None:
        self._batches += 1
        root = logging.getLogger()
        if log_level < root.level:
            self._level_before = root.level if self._level_before is None else self._level_before
            root.setLevel(log_level)
        if self._batches > 1:
            return
        root.addHandler(self._handler)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, Listener):
                self._streams[name] = self._listener(stream)
                setattr(sys, name, self._streams[name])
        if warnings.showwarning is not _show:
            self._show_before = warnings.showwarning
            warnings.showwarning = _show
        # By default Python tells of a warning once for each place: of which run, is chance.
        wanted: list[Any] = [each[2] for each in warnings.filters if each[0] == "always"]
        self._shows_each = tuple(wanted)
        if _FILTER not in warnings.filters:
            warnings.simplefilter("always", append=True)
            self._added_filter = True

    def _listener(self, stream: Any) -> "Listener":
        """Return what listens to a stream, the same one each time.

        Another thread may be in the middle of a print when a stream is given back, and Python
        before 3.14 holds no reference to what it prints to: it must not be freed then.
        """
        found = next((each for each in self._kept if each.stream is stream), None)
        if found is None:
            found = Listener(stream)
            self._kept.append(found)
        return found

    def close(self) -> None:
        self._batches -= 1
        if self._batches:
            return
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if self._level_before is not None:
            root.setLevel(self._level_before)
            self._level_before = None
        for name, stream in self._streams.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.stream)
        self._streams.clear()
        if warnings.showwarning is _show:
            warnings.showwarning = self._show_before
        if self._added_filter:
            self._added_filter = False
            with contextlib.suppress(ValueError):  # somebody put other filters in their place
                warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]

    def show(self, message: Warning | str, category: type[Warning], *where: Any) -> None:
        """Show a warning as before, once for each place where Python would do so."""
        filename, lineno = where[:2]
        key = (category, filename, lineno, str(message))
        if key in self._shown and not issubclass(category, self._shows_each):
            return
        if len(self._shown) >= _REMEMBERED:
            self._shown.clear()
        self._shown.add(key)
        _thread.is_passing_on = True
        try:
            (self._show_before or warnings._showwarning_orig)(  # type: ignore[attr-defined]
                message, category, *where
            )
        finally:
            _thread.is_passing_on = False


class Listener:
    """A stream that notes what runs write to it, and hands all on."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> Any:
        """Write to the stream; note it where a run writes."""
        cursor = speaking()
        if cursor is not None and not _thread.is_passing_on:
            frame = sys._getframe(1)
            record = frame.f_locals.get("record") if frame.f_code is _EMIT else None
            if record is None or not getattr(record, _NOTED, False):
                _note(cursor, text)
                if record is not None:
                    setattr(record, _NOTED, True)
        return self.stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write lines to the stream."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Handler(logging.Handler):
    """Notes records of runs; stands in for Python's last resort, which it would keep away."""

    _formatter = logging.Formatter("%(levelname)s %(name)s: %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        cursor = speaking()
        if (
            cursor is not None
            and record.levelno >= cursor.context.log_level
            and not getattr(record, _NOTED, False)
        ):
            setattr(record, _NOTED, True)
            try:
                text = self._formatter.format(record)
            except Exception:  # noqa: BLE001  (a message that does not fit its arguments)
                text = f"{record.levelname} {record.name}: {record.msg!r} {record.args!r}"
            _note(cursor, f"{text}\n")
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not _is_handled(record, self):
            last.handle(record)


def _is_handled(record: logging.LogRecord, ours: logging.Handler) -> bool:
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(handler is not ours for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    cursor = speaking()
    if cursor is not None and file is None:
        _note(cursor, f"{filename}:{lineno}: {category.__name__}: {message}\n")
    _ear.show(message, category, filename, lineno, file, line)


def _note(cursor: Cursor, text: object) -> None:
    if not isinstance(text, str) or not text:
        return
    if cursor.said is None:
        context = cursor.context
        cursor.said = Said(allowance(context.session, context.log_characters), cursor.failed)
    cursor.said.add(cursor.index, text)


class _Thread(threading.local):
    is_passing_on = False


_thread = _Thread()
_lock = threading.Lock()
_ear = _Ear()
