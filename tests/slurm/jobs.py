"""What tests look for: the jobs of a SLURM, and whether anything is left of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import psutil

from tests.slurm.machine import Slurm

Found = TypeVar("Found")


class Job(NamedTuple):
    """A job that waits or runs: its id, its name and its state, as ``squeue`` has them."""

    number: str
    name: str
    state: str


def all_jobs(slurm: Slurm) -> list[Job]:
    """Return the jobs that wait or run."""
    lines = slurm.run("squeue", "-h", "-o", "%i %j %T").splitlines()
    return [Job(*line.split()) for line in lines]


def numbers(slurm: Slurm, name: str, state: str) -> set[str]:
    """Return the ids of the jobs with this name and state."""
    return {each.number for each in all_jobs(slurm) if each[1:] == (name, state)}


def wait_until(look: Callable[[], Found], seconds: float = 120.0) -> Found:
    """Look now and then until something is found, and return it; fail after some seconds."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def processes(slurm: Slurm) -> list[str]:
    """Return the command line of each process that a job of this SLURM has left or runs."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            is_mine = environment.get("SLURM_CONF") == str(slurm.configuration)
            if is_mine and "SLURM_JOB_ID" in environment:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until_nothing_is_left(slurm: Slurm, certificates: Path) -> None:
    """Wait until no job waits or runs, no process of one lives, and no certificate is there."""
    wait_until(lambda: not all_jobs(slurm))
    wait_until(lambda: not processes(slurm))
    assert list(certificates.iterdir()) == []
