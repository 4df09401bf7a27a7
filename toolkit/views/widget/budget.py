"""How often a sweep is looked at: seldom where a look is dear."""

import time
from collections.abc import Callable

FASTEST = 0.25
SLOWEST = 30.0

_FREE = 0.008  # seconds of CPU for the first looks
_OF_TIME = 0.0025
_OF_CPU = 0.005
_SENDING = 1.5  # what other threads use to send it, as a multiple of what a look costs
_REMEMBERED = 0.6  # weight of the looks before the last


class Budget:
    """Says when the next look may be, so that all looks together take little.

    They may use a quarter of a hundredth of the time, and half a hundredth of the CPU that this
    process has used: a driver that is busy has more to give, one that waits is looked at all the
    same.

    Parameters
    ----------
    clock, cpu
        Seconds that have gone by, and seconds of CPU of this process.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock, self._cpu = clock, cpu
        self._began, self._cpu_began = clock(), cpu()
        self._spent = 0.0
        self._expected = 0.0

    def note(self, seconds: float) -> None:
        """Note what a look has cost, in seconds of CPU."""
        seconds *= _SENDING
        self._spent += seconds
        known = self._expected or seconds
        self._expected = _REMEMBERED * known + (1 - _REMEMBERED) * seconds

    def pause(self) -> float:
        """Return the seconds until the next look."""
        gone = max(self._clock() - self._began, 1e-3)
        used = self._cpu() - self._cpu_began
        granted = _FREE + _OF_TIME * gone + _OF_CPU * used
        grows = _OF_TIME + _OF_CPU * used / gone
        lacking = self._spent + self._expected - granted
        return min(max(FASTEST, lacking / grows), SLOWEST)
