"""How a worker process ended, in words."""

import contextlib
import signal
from dataclasses import dataclass

_NUMBERS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, kw_only=True)
class Death:
    """The end of a worker process, as the process that started it saw it.

    Parameters
    ----------
    exit_code
        As ``multiprocessing`` has it: minus the signal's number where a signal ended the process;
        None where nobody saw it end.
    out_of_memory
        Whether it was ended for the memory that it held.
    memory_limit
        What it might hold, in bytes, 0 without a limit.
    peak_memory
        The most that it held in its last run, in bytes, NaN where that is not known.
    traceback
        Where it was at its end, as ``faulthandler`` prints it.
    log
        The last lines that it wrote.
    host
        Name of the machine.
    """

    exit_code: int | None = None
    out_of_memory: bool = False
    memory_limit: int = 0
    peak_memory: float = float("nan")
    traceback: str = ""
    log: str = ""
    host: str = ""

    @property
    def reason(self) -> str:
        """``"walltime"``, ``"memory"`` or ``"worker died"``."""
        if self.out_of_memory:
            return "memory"
        return "walltime" if self.exit_code == -signal.SIGALRM else "worker died"

    @property
    def exception(self) -> str:
        """Name of what would have been raised, had there been somebody to raise it."""
        return "TimeoutError" if self.reason == "walltime" else "WorkerDied"

    def describe(self) -> str:
        """Return how the process ended."""
        if self.out_of_memory:
            limit = f" of {_amount(self.memory_limit)}" if self.memory_limit else ""
            return f"the worker process was ended at its memory limit{limit} in this run"
        if self.exit_code is None:
            return "the worker process was lost in this run, and nobody saw it end"
        if self.exit_code < 0:
            return f"the worker process was ended in this run by {_signal(-self.exit_code)}"
        return f"the worker process ended itself in this run, with exit code {self.exit_code}"


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        known = signal.Signals(number)
        return f"signal {number} ({known.name}: {signal.strsignal(number)})"
    return f"signal {number}"


def _amount(nbytes: float) -> str:
    power = 0
    while nbytes >= 1000 and power + 1 < len(_NUMBERS):
        nbytes, power = nbytes / 1000, power + 1
    return f"{nbytes:.3g} {_NUMBERS[power]}"
