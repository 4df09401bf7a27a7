"""What a process learns of a vectorized stage by trial: how many runs at once, and its check."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.batch_pattern import BatchPattern

Indices = npt.NDArray[np.int64]

_BETTER = 0.9  # a larger batch is worth it where a run then takes less than this part of the time
_GROWTH = 4
_DOUBTS = 2
_MOST_RUNS = 2**20
_MEMORY_SHARE = 0.25


@dataclass
class Trial:
    """Grows the batch while time per run falls and memory allows.

    Parameters
    ----------
    wanted
        How many runs the next batch should hold: ``best``, or more while growing.
    best, rate
        The batch in which a run took least, and its seconds per run.
    limit
        Most runs for which memory sufficed, None while it always did.
    is_checked
        Whether a batch was held against its runs one by one.
    doubts
        How often in a row a larger batch was not faster: growing ends with the second, for the
        machine may have been busy with something else.
    shared
        Frozen inputs that were moved to the device, with what they were, by identity.
    pattern
        Of the last result, by which those like it are read.
    """

    wanted: int = 1
    best: int = 0
    rate: float = float("inf")
    limit: int | None = None
    is_checked: bool = False
    doubts: int = 0
    shared: dict[int, tuple[object, object]] = field(default_factory=dict)
    pattern: BatchPattern | None = None

    def note(self, n: int, seconds: float, growth: float = float("nan")) -> None:
        """Learn from a batch of n runs; ``growth`` is what it added to this process's memory."""
        rate = seconds / max(n, 1)
        if n < self.best:
            return
        if n == self.best:
            self.rate = min(rate, self.rate)
            return
        if rate > _BETTER * self.rate:
            self.doubts += 1
            if self.doubts < _DOUBTS:
                return
            self.wanted = max(self.best, 1)  # growing ends here
            self.rate = min(rate, self.rate)
            return
        self.best, self.rate, self.doubts = n, rate, 0
        self.wanted = min(_GROWTH * n, self.limit or _MOST_RUNS, _MOST_RUNS)
        if growth * _GROWTH > _MEMORY_SHARE * _available():
            self.wanted = n

    def limit_to(self, n: int) -> None:
        """Learn that memory did not suffice for twice as many runs as n."""
        self.limit = max(1, n if self.limit is None else min(n, self.limit))
        self.wanted = min(self.wanted, self.limit)
        if self.best > self.limit:
            self.best, self.rate = self.limit, float("inf")

    def pieces(self, runs: Indices) -> list[Indices]:
        """Cut runs into pieces for which memory suffices."""
        if self.limit is None or len(runs) <= self.limit:
            return [runs]
        return np.split(runs, range(self.limit, len(runs), self.limit))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the host or of a device, did not suffice.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return "out of memory" in text or "can't allocate memory" in text


def _available() -> float:
    """Bytes that this machine can still give, infinite where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found: dict[str, Any] = dict(line.split(":", 1) for line in file)
        return float(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return float("inf")
