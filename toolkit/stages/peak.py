"""Peak memory of one run: the process's high-water mark, reset when the run begins."""

import math
import os
import resource
import threading

SHORTEST = 0.010  # seconds: the peak of a shorter run says more about its neighbours


class PeakMemory:
    """Measures one run at a time; NaN where the process cannot tell.

    The high-water mark (``VmHWM``) is reset through ``/proc/self/clear_refs``. Child processes
    that ended during the run are counted by the largest of them, if it is larger than any before.
    """

    def __init__(self) -> None:
        self._children = 0.0
        self._is_measuring = False

    def begin(self) -> None:
        """Reset the mark, if this process may and runs one thread of work."""
        self._is_measuring = _has_one_thread() and _reset()
        if self._is_measuring:
            self._children = _largest_child()

    def end(self, seconds: float) -> float:
        """Return the peak since ``begin`` in bytes, NaN for a run that short or unmeasured."""
        if not self._is_measuring or seconds < SHORTEST:
            return math.nan
        own, children = _high_water(), _largest_child()
        return own + (children if children > self._children else 0.0)


def _has_one_thread() -> bool:
    # Dask's worker runs its event loop and profiler in threads of their own, which hold little:
    # what matters is whether another run shares this process's memory.
    running = sum(thread.name.startswith("Dask-Default") for thread in threading.enumerate())
    return running <= 1


def _reset() -> bool:
    try:
        file = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(file, b"5")
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _high_water() -> float:
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024.0
    except OSError:
        pass
    return math.nan


def _largest_child() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0
