"""Ends runs that exceed their walltime, through the kernel's timer.

In a worker process of its own the signal of the timer ends the process, which needs neither the
interpreter nor its lock: C code that never returns is ended too. In the main thread of the user's
process the signal's handler interrupts the run. Elsewhere nothing can end a run.
"""

import math
import signal
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any, Protocol

from toolkit.stages.failure import RunTooLong


class Alarm(Protocol):
    """Watches over one thread's runs."""

    def start(
        self, seconds: float, others: float = 0.0, limits: Mapping[int, float] | None = None
    ) -> None:
        """Begin to watch over a run, or over several that follow each other.

        Parameters
        ----------
        seconds
            The longest that one of them may take.
        others
            What the others are expected to take, in seconds.
        limits
            What each may take, by run; None: all the same.
        """

    def stop(self) -> None:
        """End it."""


def allow_ending() -> None:
    """Say that this process is a worker's own, which another process starts again when it ends."""
    _process.may_end = True


def can_interrupt() -> bool:
    """Whether a run in this thread of the user's process can be ended."""
    return threading.current_thread() is threading.main_thread()


def alarm(mark: memoryview) -> Alarm:
    """Return what watches over this thread; ``mark`` is its run in progress, -1 for none."""
    if _process.may_end:
        return _process
    if can_interrupt():
        return _Interruption(mark)
    return _Nothing()


class _Process:
    """Lets the kernel end this process by SIGALRM when a thread is over its limit."""

    def __init__(self) -> None:
        self.may_end = False
        self._lock = threading.Lock()
        self._deadlines: dict[int, float] = {}

    def start(
        self, seconds: float, others: float = 0.0, limits: Mapping[int, float] | None = None
    ) -> None:
        del limits
        with self._lock:
            self._deadlines[threading.get_ident()] = time.monotonic() + seconds + others
            self._set()

    def stop(self) -> None:
        with self._lock:
            self._deadlines.pop(threading.get_ident(), None)
            self._set()

    def _set(self) -> None:
        first = min(self._deadlines.values(), default=math.inf)
        left = 0.0 if math.isinf(first) else max(1e-6, first - time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, min(left, _LONGEST))


class _Interruption:
    """Raises ``RunTooLong`` in a run of the main thread that is in progress for too long."""

    def __init__(self, mark: memoryview) -> None:
        self._mark = mark
        self._run = -1
        self._since = self._seconds = 0.0
        self._limits: Mapping[int, float] = {}
        self._before: Any = None
        self._timer = (0.0, 0.0)

    def start(
        self, seconds: float, others: float = 0.0, limits: Mapping[int, float] | None = None
    ) -> None:
        del others  # which run is in progress is known at each tick
        if math.isinf(seconds):
            return
        self._seconds, self._limits = seconds, limits or {}
        self._run, self._since = self._mark[0], time.monotonic()
        period = max(_TICK, min(self._limits.values(), default=seconds))
        self._before = signal.signal(signal.SIGALRM, self._tick)
        self._timer = signal.setitimer(
            signal.ITIMER_REAL, min(period, _LONGEST), min(period, _LONGEST)
        )

    def stop(self) -> None:
        if not self._seconds:
            return
        self._seconds = 0.0
        signal.setitimer(signal.ITIMER_REAL, *self._timer)
        signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        run, now = self._mark[0], time.monotonic()
        if run != self._run:
            self._run, self._since = run, now
        limit = self._limits.get(run, self._seconds)
        if self._seconds and run >= 0 and now - self._since >= _NEARLY * limit:
            raise RunTooLong(limit)


class _Nothing:
    def start(
        self, seconds: float, others: float = 0.0, limits: Mapping[int, float] | None = None
    ) -> None:
        del seconds, others, limits

    def stop(self) -> None:
        return


_LONGEST = 1e8  # seconds that a timer can be set to
_TICK = 0.05
_NEARLY = 0.999  # of a limit: the timer may be a little early
_process = _Process()
