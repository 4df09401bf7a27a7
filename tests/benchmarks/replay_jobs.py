"""What jobs of SLURM took, and what of that was of use."""

import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from replay_study import share

_SHOWN = ("JobId", "StartTime", "EndTime", "NumCPUs", "TRES")
_ROUNDED = 0.5  # seconds, on average
_MEMORY = re.compile(r"mem=([\d.]+)([MG]?)")

Event = tuple[float, str, int]  # when, "began" or "ended", number of the run


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that has ended.

    Parameters
    ----------
    number
        As SLURM calls it.
    begins, ends
        In seconds since 1970, to about half a second: SLURM shows whole ones, rounded down.
    cores
        That it kept from others: its own, or those that its memory is the share of.
    """

    number: str
    begins: float
    ends: float
    cores: int


@dataclass(kw_only=True)
class Spent:
    """Core-seconds of the jobs of one contender.

    Attributes
    ----------
    jobs
        How many there were.
    booked
        Of all jobs, from their start to their end: the sum of the others.
    useful, starting, killed, idle
        Attempts that ended well; until the first run of a job; other attempts; the rest.
    """

    jobs: int = 0
    booked: float = 0.0
    useful: float = 0.0
    starting: float = 0.0
    killed: float = 0.0
    idle: float = 0.0


def told(*command: str) -> str:
    """Return what one of SLURM's commands says."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def latest_job() -> int:
    """Return the highest number of a job so far."""
    return max((int(job["JobId"]) for job in _shown()), default=0)


def wait_for_end(seconds: float = 120.0) -> None:
    """Wait until no job waits or runs."""
    deadline = time.monotonic() + seconds
    while told("squeue", "-h"):
        if time.monotonic() > deadline:
            raise TimeoutError("jobs are left")
        time.sleep(0.5)


def jobs_after(number: int) -> list[Job]:
    """Return the jobs that were submitted after one, have run, and have ended."""
    jobs = []
    for job in _shown():
        if int(job["JobId"]) <= number or "Unknown" in (job["StartTime"], job["EndTime"]):
            continue
        begins, ends = (
            datetime.fromisoformat(job[name]).astimezone().timestamp() + _ROUNDED
            for name in ("StartTime", "EndTime")
        )
        amount, unit = _MEMORY.findall(job["TRES"])[0]
        cores = max(int(job["NumCPUs"]), share(float(amount) * (1024 if unit == "G" else 1)))
        jobs.append(Job(number=job["JobId"], begins=begins, ends=ends, cores=cores))
    return jobs


def _shown() -> Iterator[dict[str, str]]:
    for line in told("scontrol", "show", "job", "-o").splitlines():
        found = dict(each.split("=", 1) for each in line.split() if "=" in each)
        if all(name in found for name in _SHOWN):
            yield found


def spent(jobs: list[Job], log: Path) -> Spent:
    """Return what the jobs of one contender took.

    Parameters
    ----------
    jobs
        Its own, each of which runs one after the other.
    log
        Where its runs noted their beginnings and ends.
    """
    noted: dict[str, list[Event]] = defaultdict(list)
    for line in log.read_text().splitlines():
        number, run, what, at = json.loads(line)
        noted[number].append((at, what, run))
    total = Spent()
    for job in jobs:
        events = sorted(noted[job.number])
        first = events[0][0] if events else job.ends
        useful = killed = 0.0
        for (at, what, _), (after, then, _) in pairwise([*events, (job.ends, "", 0)]):
            if what == "began" and then == "ended":
                useful += after - at
            elif what == "began":
                killed += max(0.0, after - at)
        whole, starting = job.ends - job.begins, first - job.begins
        total.jobs += 1
        total.booked += whole * job.cores
        total.useful += useful * job.cores
        total.starting += starting * job.cores
        total.killed += killed * job.cores
        total.idle += (whole - useful - starting - killed) * job.cores
    return total
