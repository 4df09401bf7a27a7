"""How a worker process ended, in words."""

import contextlib
import signal
from dataclasses import dataclass

from toolkit.clusters.job_endings import JobEnding
from toolkit.resources import describe_memory

_REASONS = {
    "memory": "memory",
    "walltime": "time limit",
    "preempted": "preempted",
    "cancelled": "cancelled",
    "node lost": "node lost",
}


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
    ending
        How its job ended, as the queueing system says; None where it was not asked.
    handed_on
        Whether the driver had it ended, for its run needs a job that lasts longer.
    """

    exit_code: int | None = None
    out_of_memory: bool = False
    memory_limit: int = 0
    peak_memory: float = float("nan")
    traceback: str = ""
    log: str = ""
    host: str = ""
    ending: JobEnding | None = None
    handed_on: bool = False

    @property
    def is_explained(self) -> bool:
        """Whether it is known why the process ended; a signal may have been meant for its job."""
        if self.out_of_memory or self.handed_on:
            return True
        return self.exit_code not in (None, -signal.SIGTERM, -signal.SIGKILL)

    @property
    def reason(self) -> str:
        """One of ``toolkit.stages.failure.REASONS``."""
        if self.handed_on:
            return "time limit"
        if self.out_of_memory:
            return "memory"
        if self.ending is not None:
            return _REASONS.get(self.ending.reason, "worker died")
        return "walltime" if self.exit_code == -signal.SIGALRM else "worker died"

    @property
    def exception(self) -> str:
        """Name of what would have been raised, had there been somebody to raise it."""
        return "TimeoutError" if self.reason == "walltime" else "WorkerDied"

    def describe(self) -> str:
        """Return how the process ended."""
        if self.handed_on:
            return "the worker's job would have ended before this run, which was ended"
        if self.out_of_memory:
            limit = f" of {describe_memory(self.memory_limit)}" if self.memory_limit else ""
            return f"the worker process was ended at its memory limit{limit} in this run"
        if self.ending is not None:
            return f"{self.ending.describe()} in this run"
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
