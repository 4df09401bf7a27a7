"""Peak memory of one run: the process's high-water mark, reset when the run begins."""

import math
import os
import resource
import threading

SHORTEST = 0.010  # seconds: the peak of a shorter run says more about its neighbours


class PeakMemory:
    """Measures one run at a time; NaN where the process cannot tell.

    The high-water mark (``VmHWM``) is reset through ``/proc/self/clear_refs``. Child processes
    that ended during the run are counted by the largest of them, if it is larger than any before;
    programs of ``tk.command`` always.
    """

    def __init__(self) -> None:
        self._children = self._before = 0.0
        self._is_measuring = False
        self._is_alone = _has_one_thread()

    def begin(self) -> None:
        """Reset the mark, if this process may and runs one thread of work."""
        self._is_measuring = self._is_alone and _reset()
        if self._is_measuring:
            self._children, self._before = _largest_child(), resident()
            _largest_program[0] = 0.0

    def end(self, seconds: float) -> float:
        """Return the peak since ``begin`` in bytes, NaN for a run that short or unmeasured."""
        if not self._is_measuring or seconds < SHORTEST:
            return math.nan
        own, children = _high_water(), _largest_child()
        children = children if children > self._children else 0.0
        return own + max(children, _largest_program[0])

    def growth(self, peak: float) -> float:
        """Return by how much a peak is above what the process held at ``begin``, NaN unknown."""
        return peak - self._before if self._is_measuring else math.nan


def note_program(peak: float) -> None:
    """Count a program that ran for the run in progress, by the bytes of its largest process."""
    _largest_program[0] = max(_largest_program[0], peak)


_largest_program = [0.0]


def _has_one_thread() -> bool:
    # Dask's worker runs its event loop and profiler in threads of their own, which hold little:
    # what matters is whether another run shares this process's memory.
    running = sum(thread.name.startswith("Dask-Default") for thread in threading.enumerate())
    return running <= 1


def _reset() -> bool:
    try:
        return os.write(_file("clear_refs", os.O_WRONLY), b"5") == 1
    except OSError:
        return False


def resident() -> float:
    """Return what the process holds now: the high-water mark where that was just reset."""
    try:  # a tenth of the time of reading ``status``
        pages = os.pread(_file("statm", os.O_RDONLY), 256, 0).split(None, 2)[1]
    except (OSError, IndexError):
        return math.nan
    return int(pages) * float(resource.getpagesize())


def _high_water() -> float:
    try:
        status = os.pread(_file("status", os.O_RDONLY), 4096, 0)
    except OSError:
        return math.nan
    at = status.find(b"VmHWM:")
    return math.nan if at < 0 else int(status[at + 6 :].split(None, 1)[0]) * 1024.0


def _file(name: str, flags: int) -> int:
    # Kept open, for opening costs more than reading. By process: after a fork, "self" is another.
    key = (os.getpid(), name)
    if key not in _files:
        _files[key] = os.open(f"/proc/self/{name}", flags | os.O_CLOEXEC)
    return _files[key]


_files: dict[tuple[int, str], int] = {}


def _largest_child() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0
