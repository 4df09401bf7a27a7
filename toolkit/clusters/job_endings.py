"""How a worker job of SLURM ended, as SLURM tells it."""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Literal

from toolkit.clusters.site_command import ask

Reason = Literal["memory", "walltime", "preempted", "cancelled", "node lost", "running", "unknown"]

_STATES: dict[str, Reason] = {
    "OUT_OF_MEMORY": "memory",
    "TIMEOUT": "walltime",
    "DEADLINE": "walltime",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "NODE_FAIL": "node lost",
    "BOOT_FAIL": "node lost",
    "REQUEUED": "preempted",
    "SUSPENDED": "running",
    "PENDING": "running",
    "CONFIGURING": "running",
    "RUNNING": "running",
}
_FIELD = re.compile(r"(\w+)=(\S*)")
_TIMEOUT = 10.0
_PAUSE = 0.5


@dataclass(frozen=True, kw_only=True)
class JobEnding:
    """How a job ended.

    Parameters
    ----------
    job
        Its id.
    reason
        ``"running"`` if it has not ended, ``"unknown"`` if SLURM does not say.
    state
        In SLURM's words, such as ``"TIMEOUT"``.
    exit_code
        Of its script, None where a signal ended it or SLURM does not know.
    signal
        That ended it, 0 without one.
    """

    job: str
    reason: Reason = "unknown"
    state: str = ""
    exit_code: int | None = None
    signal: int = 0

    def describe(self) -> str:
        """Return how it ended, in words."""
        said = f" (SLURM says {self.state})" if self.state else ""
        return {
            "memory": f"SLURM ended worker job {self.job} for its memory{said}",
            "walltime": f"worker job {self.job} reached its time limit{said}",
            "preempted": f"worker job {self.job} was preempted{said}",
            "cancelled": f"worker job {self.job} was cancelled{said}",
            "node lost": f"the node of worker job {self.job} was lost{said}",
            "running": f"worker job {self.job} runs on{said}",
            "unknown": f"worker job {self.job} ended{said}",
        }[self.reason]


def read_ending(job: str, text: str) -> JobEnding:
    """Return what ``scontrol show job`` says of a job.

    Sites without cgroups let SLURM poll the memory: a job over it is then ``FAILED`` by signal 9
    with reason ``JobLaunchFailure`` or a message, and not ``OUT_OF_MEMORY``.

    Examples
    --------
    >>> read_ending("7", "JobId=7 JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15").reason
    'walltime'
    >>> read_ending("8", "JobId=8 JobState=FAILED Reason=JobLaunchFailure ExitCode=0:9").reason
    'memory'
    """
    fields = dict(_FIELD.findall(text))
    state, why = fields.get("JobState", ""), fields.get("Reason", "")
    code, _, signal = fields.get("ExitCode", "").partition(":")
    exit_code = int(code) if code.isdecimal() else None
    number = int(signal) if signal.isdecimal() else 0
    reason: Reason = _STATES.get(state.partition("+")[0], "unknown")
    if state == "COMPLETING" or reason == "unknown":
        if why == "TimeLimit":
            reason = "walltime"
        elif why in ("OutOfMemory", "OOM") or (number == 9 and why == "JobLaunchFailure"):
            reason = "memory"
        elif why in ("NodeDown", "BootFail"):
            reason = "node lost"
    return JobEnding(
        job=job,
        reason=reason,
        state=state,
        exit_code=None if number else exit_code,
        signal=number,
    )


def ending_of(job: str, *, patience: float = 5.0) -> JobEnding:
    """Ask SLURM how a job ended; wait a little while it still counts as running or completing.

    Parameters
    ----------
    job
        Its id.
    patience
        Seconds.
    """
    if not re.fullmatch(r"[0-9]+(_[0-9]+)?", job):
        return JobEnding(job=job)
    scontrol = shutil.which("scontrol")
    deadline = time.monotonic() + patience
    found = JobEnding(job=job)
    while scontrol is not None:
        try:
            said = ask([scontrol, "show", "job", job], timeout=_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):
            return found
        found = read_ending(job, said.stdout)
        is_over = found.reason not in ("running", "unknown") or (
            found.state not in ("", "COMPLETING") and found.reason != "running"
        )
        if said.returncode or is_over or time.monotonic() > deadline:
            return found
        time.sleep(_PAUSE)
    return found
