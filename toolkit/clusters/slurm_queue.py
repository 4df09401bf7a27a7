"""The user's jobs in SLURM's queue: which are there, and why those wait that have not begun."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toolkit.clusters.site_command import ask

_TIMEOUT = 20.0
_ENDED = re.compile(
    "BOOT_FAIL|CANCELLED|COMPLETED|COMPLETING|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|"
    "REVOKED|SPECIAL_EXIT|TIMEOUT"
)
_WORDS = {
    "Resources": "for nodes that are in use",
    "Priority": "behind others of higher priority",
    "BeginTime": "until a set time",
    "Dependency": "for another job",
    "DependencyNeverSatisfied": "for another job that failed",
    "Licenses": "for licenses",
    "Reservation": "for a reservation",
    "ReqNodeNotAvail": "for nodes that are not available",
    "JobHeldUser": "until you release them",
    "JobHeldAdmin": "until an administrator releases them",
    "PartitionDown": "for a partition that is down",
    "PartitionInactive": "for a partition that is inactive",
    "PartitionTimeLimit": "for ever: the walltime is above the partition's limit",
    "PartitionNodeLimit": "for ever: more is asked for than the partition gives",
    "BadConstraints": "for ever: no node has what is asked for",
}
_LONGEST = 100


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A job that waits or runs.

    Parameters
    ----------
    state
        In SLURM's words.
    reason
        Why it waits, in SLURM's words.
    """

    state: str
    reason: str = ""

    @property
    def why(self) -> str:
        """Why it waits, in words with SLURM's own; ``""`` where it does not.

        Examples
        --------
        >>> QueuedJob(state="PENDING", reason="QOSMaxCpuPerUserLimit").why
        'for a limit of the QOS (QOSMaxCpuPerUserLimit)'
        >>> QueuedJob(state="RUNNING", reason="None").why
        ''
        """
        if self.state != "PENDING":
            return ""
        word = re.split(r"\W", self.reason.strip("( "), maxsplit=1)[0]
        if word in ("", "None"):
            return "in the queue"
        text = _WORDS.get(word, "in the queue")
        for start, whose in (("QOS", "the QOS"), ("Assoc", "the account"), ("Max", "the account")):
            if word.startswith(start):
                text = f"for a limit of {whose}"
        return f"{text} ({self.reason.strip('()')[:_LONGEST]})"


class Absences:
    """Counts how often in a row SLURM did not name a job.

    One answer without it is not believed: a job that has just been submitted may not be shown yet,
    and a command that fails may print nothing and say that all is well.
    """

    def __init__(self) -> None:
        self._missed: dict[str, int] = {}

    def without(self, said: Iterable[str], submitted: Mapping[str, str]) -> list[str]:
        """Return the jobs that have been missing for long enough to be gone.

        Parameters
        ----------
        said
            Numbers of the jobs that an answer names.
        submitted
            Names of those looked for, by their numbers.
        """
        there = set(said)
        enough = 2 if there.intersection(submitted) else 3
        self._missed = {job: self._missed.get(job, 0) + 1 for job in submitted if job not in there}
        return [submitted[job] for job, times in self._missed.items() if times >= enough]


def read_jobs(text: str) -> dict[str, QueuedJob]:
    r"""Return the jobs that ``squeue`` names, by their numbers; lines of other kinds are ignored.

    Examples
    --------
    >>> list(read_jobs("squeue: a warning\n7|RUNNING|None\n8|FAILED|None\n9|PENDING|Priority\n"))
    ['7', '9']
    """
    found = {}
    for line in text.splitlines():
        job, _, rest = line.strip().partition("|")
        state, _, reason = rest.partition("|")
        if job and state and not _ENDED.match(state):
            found[job] = QueuedJob(state=state, reason=reason)
    return found


def jobs_of_user() -> dict[str, QueuedJob] | None:
    """Return this user's jobs that wait or run, None where SLURM does not answer."""
    try:
        said = ask(["squeue", "-h", "-u", str(os.getuid()), "-o", "%i|%T|%r"], timeout=_TIMEOUT)
        said.check_returncode()
    except (OSError, subprocess.SubprocessError):
        return None
    return read_jobs(said.stdout)
