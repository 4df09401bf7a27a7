"""How often a sweep is looked at: seldom where a look is dear."""

import time
from collections.abc import Callable

FASTEST = 0.25
SLOWEST = 30.0

_FREE = 0.001  # seconds of CPU for the first looks
_OF_TIME = 0.0008
_OF_CPU = 0.008
_LATER, _OF_LATER = 20.0, 0.002  # seconds after which more of the time may be used
_EARLY = (0.5, 1.0)  # seconds before the first looks at most: a picture is there soon
_SENDING = 1.5  # what other threads use to send it, as a multiple of what a look costs
_REMEMBERED = 0.6  # weight of the looks before the last


class Budget:
    """Says when the next look may be, so that all looks together take little.

    They may use less than a thousandth of the time, and less than a hundredth of the CPU that this
    process has used: a driver that is busy has more to give, one that waits is looked at all the
    same. The first looks come soon, whatever they cost, and count: the later ones come later. Of a
    sweep that lasts they may use two thousandths of the time more: somebody watches it.

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
        self._looks = 0

    def note(self, seconds: float) -> None:
        """Note what a look has cost, in seconds of CPU."""
        seconds *= _SENDING
        self._spent += seconds
        self._looks += 1
        known = self._expected or seconds
        self._expected = _REMEMBERED * known + (1 - _REMEMBERED) * seconds

    def pause(self) -> float:
        """Return the seconds until the next look."""
        gone = max(self._clock() - self._began, 1e-3)
        used = self._cpu() - self._cpu_began
        granted = _FREE + _OF_TIME * gone + _OF_CPU * used + _OF_LATER * max(0.0, gone - _LATER)
        grows = _OF_TIME + _OF_CPU * used / gone + (_OF_LATER if gone > _LATER else 0.0)
        lacking = self._spent + self._expected - granted
        longest = _EARLY[self._looks] if self._looks < len(_EARLY) else SLOWEST
        return min(max(FASTEST, lacking / grows), longest)
