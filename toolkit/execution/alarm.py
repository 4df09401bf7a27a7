"""Ends runs that exceed their walltime, through the kernel's timer.

In a worker process of its own the signal of the timer ends the process, which needs neither the
interpreter nor its lock: C code that never returns is ended too. In the main thread of the user's
process the signal's handler interrupts the run. Elsewhere nothing can end a run.
"""

import math
import signal
import threading
import time
from types import FrameType
from typing import Any, Protocol

from toolkit.stages.failure import RunTooLong


class Alarm(Protocol):
    """Watches over one thread's runs."""

    def start(self, seconds: float, others: float = 0.0) -> None:
        """Begin to watch over a run, or over several of which the others take so long."""

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

    def start(self, seconds: float, others: float = 0.0) -> None:
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
    """Raises ``RunTooLong`` in a run of the main thread that is in progress at two ticks."""

    def __init__(self, mark: memoryview) -> None:
        self._mark = mark
        self._run = -1
        self._seconds = 0.0
        self._before: Any = None
        self._timer = (0.0, 0.0)

    def start(self, seconds: float, others: float = 0.0) -> None:
        del others  # which run is in progress is known at each tick
        if math.isinf(seconds):
            return
        self._run, self._seconds = self._mark[0], seconds
        self._before = signal.signal(signal.SIGALRM, self._tick)
        self._timer = signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST), seconds)

    def stop(self) -> None:
        if not self._seconds:
            return
        self._seconds = 0.0
        signal.setitimer(signal.ITIMER_REAL, *self._timer)
        signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        run, before = self._mark[0], self._run
        self._run = run
        if self._seconds and run >= 0 and run == before:
            raise RunTooLong(self._seconds)


class _Nothing:
    def start(self, seconds: float, others: float = 0.0) -> None:
        del seconds, others

    def stop(self) -> None:
        return


_LONGEST = 1e8  # seconds that a timer can be set to
_process = _Process()
