"""What a SLURM offers and what it says to a job, asked without submitting anything."""

import re
import shutil
import subprocess
from dataclasses import dataclass

from toolkit.clusters.site_command import ask
from toolkit.errors import ClusterError
from toolkit.resources import parse_walltime

_TIMEOUT = 30.0
_MEGABYTE = 2**20  # SLURM's
_GPUS = re.compile(r"gpu:(?:([^:(,]+):)?(\d+)")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a partition: cores, bytes, GPUs by their type, and its state in SLURM's words."""

    name: str
    cores: int
    memory: int
    gpus: tuple[tuple[str, int], ...]
    state: str

    def gpus_of(self, kind: str | None) -> int:
        """Return how many GPUs it has, of one type or of any."""
        return sum(count for name, count in self.gpus if kind in (None, name))


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition: limits of its jobs in seconds and bytes, None where there is none."""

    name: str
    is_default: bool
    is_up: bool
    most_time: float | None
    most_memory: int | None
    nodes: tuple[Node, ...]


def missing_commands() -> list[str]:
    """Return those of SLURM's commands that are needed and are not on the search path."""
    needed = ("sbatch", "scancel", "scontrol", "sinfo", "squeue")
    return [name for name in needed if shutil.which(name) is None]


def partitions() -> dict[str, Partition]:
    """Return the partitions by name.

    Raises
    ------
    ClusterError
        With SLURM's words, if it does not answer.
    """
    nodes: dict[str, list[Node]] = {}
    for line in _answer("sinfo", "-h", "-N", "-o", "%R|%N|%c|%m|%G|%T").splitlines():
        partition, node, cores, megabytes, gres, state = line.split("|")
        nodes.setdefault(partition, []).append(
            Node(
                name=node,
                cores=_whole(cores) or 0,
                memory=(_whole(megabytes) or 0) * _MEGABYTE,
                gpus=tuple((kind, int(count)) for kind, count in _GPUS.findall(gres)),
                state=state,
            )
        )
    found = {}
    for line in _answer("scontrol", "show", "partition", "--oneliner").splitlines():
        told = dict(re.findall(r"(\w+)=(\S*)", line))
        if name := told.get("PartitionName"):
            time = told.get("MaxTime", "UNLIMITED")
            memory = _whole(told.get("MaxMemPerNode", ""))
            found[name] = Partition(
                name=name,
                is_default=told.get("Default") == "YES",
                is_up=told.get("State", "UP") == "UP",
                most_time=None if time in ("UNLIMITED", "NONE", "") else parse_walltime(time),
                most_memory=None if memory is None else memory * _MEGABYTE,
                nodes=tuple(nodes.get(name, ())),
            )
    return found


def version() -> str:
    """Return the version of SLURM's commands."""
    return _answer("sinfo", "--version").strip()


def would_take(script: str) -> tuple[bool, str]:
    """Ask SLURM whether it would take a job, and return its answer with its words.

    ``sbatch --test-only`` checks the account, the partition and all limits. Nothing is submitted.
    """
    try:
        done = ask(["sbatch", "--test-only"], timeout=_TIMEOUT, given=script)
    except (OSError, subprocess.SubprocessError) as error:
        return False, str(error)
    words = [line.removeprefix("sbatch: ").strip() for line in done.stderr.splitlines()]
    return done.returncode == 0, " ".join(filter(None, words))


def _answer(*command: str) -> str:
    try:
        done = ask(command, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{command[0]} gives no answer within {_TIMEOUT:.0f} s") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise ClusterError(f"{command[0]} cannot be asked: {error}") from None
    if done.returncode:
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        first = words[0].removeprefix(f"{command[0]}: ") if words else str(done.returncode)
        raise ClusterError(f"{command[0]} says: {first}")
    return done.stdout


def _whole(text: str) -> int | None:
    digits = text.strip().rstrip("+")
    return int(digits) if digits.isdecimal() else None
