"""The job that runs the driver of a sweep: its script, and how SLURM is given it."""

import math
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.clusters.driver_settings import DriverSettings
from toolkit.clusters.job_script import clock
from toolkit.clusters.job_time import JOB_ENDS
from toolkit.clusters.profile import Profile
from toolkit.clusters.queued_driver import driver_job_name
from toolkit.clusters.settings import JobQueueProfile, LocalProfile, SlurmProfile
from toolkit.clusters.site_command import ask
from toolkit.errors import ClusterError
from toolkit.resources import parse_memory, parse_walltime

_LOGS = "toolkit-logs"
_MEMORY = "2GB"
_MIB = 2**20
_WARNING_S = 60  # before the end of its job a driver is told to stop
_TIMEOUT = 60.0
_LOOK_S = 4.0  # within which SLURM says why it holds a job back

_BODY = """\
unset {forgotten}
cd -- {folder} || exit 2
{prologue}
is_told=0 driver=
trap 'is_told=1; [ -z "$driver" ] || kill -TERM "$driver" 2>/dev/null' TERM
{command} &
driver=$!
[ "$is_told" = 0 ] || kill -TERM "$driver"
while :; do  # a signal ends "wait", not the driver
    wait "$driver"
    code=$?
    kill -0 "$driver" 2>/dev/null || break
done
if {ended} "$code" "$is_told"; then
    sleep 60 & wait  # SLURM ends this start of the job meanwhile, and begins the next
fi
exit "$code"
"""

_NUMBER = re.compile(r"^([0-9]+)(?:;\S*)?\s*$", re.M)

_NEVER = (
    *("MaxMemPerLimit", "PartitionTimeLimit", "PartitionNodeLimit", "PartitionDown"),
    *("PartitionInactive", "BadConstraints", "InvalidAccount", "InvalidQOS"),
)

_NOT_YET = ("None", "Dependency", "PartitionConfig")  # before it has looked closer

# A driver submits jobs of its own, which are not to take after its job.
_FORGOTTEN = (
    *("SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_GPU", "SLURM_CPUS_PER_TASK"),
    *("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_EXPORT_ENV", JOB_ENDS),
)


@dataclass(frozen=True, kw_only=True)
class DriverJob:
    """The job that runs a driver.

    Parameters
    ----------
    store
        Folder of the store.
    arguments
        Of ``toolkit run``.
    folder
        Where the driver runs.
    logs
        Folder of the script, and of what the driver prints.
    python
        The interpreter.
    settings
        What SLURM is asked for.
    is_whole_node
        Whether it is to have a node for itself.
    gpus
        That it asks for.
    prologue
        Lines of shell before the driver starts.
    """

    store: Path
    arguments: Sequence[str]
    folder: Path
    logs: Path
    python: str
    settings: DriverSettings
    is_whole_node: bool = False
    gpus: int = 0
    prologue: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Name of the job: the same for the same store, so that two never run at once."""
        return driver_job_name(self.store)

    @property
    def script_path(self) -> Path:
        """Where its script is written."""
        return self.logs / f"{self.name}.sh"

    def log_path(self, job: str) -> Path:
        """Where a job with this id writes."""
        return self.logs / f"{self.name}-{job}.log"

    def script(self) -> str:
        """Return the script that SLURM is given."""
        module = [self.python, "-m", "toolkit.commands.driver_ended"]
        lines = [f"#SBATCH {each}" for each in self._directives()]
        body = _BODY.format(
            forgotten=" ".join(_FORGOTTEN),
            folder=shlex.quote(str(self.folder)),
            prologue="\n".join(self.prologue),
            command=shlex.join([self.python, "-m", "toolkit", "run", *self.arguments]),
            ended=shlex.join([*module, str(self.store), str(self.logs / self.name)]),
        )
        return "\n".join(["#!/bin/bash", *lines, "", body])

    def submit(self) -> str:
        """Write the script, have SLURM take it, and return the id of the job.

        Raises
        ------
        ClusterError
            With SLURM's words, if it does not take it.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with open(os.open(self.script_path, flags, 0o700), "w", encoding="utf-8") as file:
            file.write(self.script())
        try:
            done = ask(["sbatch", "--parsable", str(self.script_path)], timeout=_TIMEOUT)
        except FileNotFoundError:
            raise ClusterError(
                "sbatch is not found: toolkit submit needs a machine from which jobs of SLURM are "
                "submitted. `toolkit run` runs a sweep here."
            ) from None
        except subprocess.TimeoutExpired:
            raise ClusterError(f"sbatch gives no answer within {_TIMEOUT:.0f} s") from None
        if done.returncode:
            words = [line.removeprefix("sbatch: ").strip() for line in done.stderr.splitlines()]
            said = " ".join(filter(None, words)) or f"exit code {done.returncode}"
            raise ClusterError(f"SLURM does not take the driver's job: {said}")
        numbers = _NUMBER.findall(done.stdout)  # sites print of quotas and news besides
        if not numbers:
            raise ClusterError(f"sbatch does not say the job's number: {done.stdout.strip()!r}")
        return str(numbers[-1])

    def never_begins(self, number: str) -> str | None:
        """Return the word for why SLURM holds a job back for good, None where it does not."""
        command = ["squeue", "--noheader", "--jobs", number, "--format", "%T %r"]
        deadline = time.monotonic() + _LOOK_S
        while time.monotonic() < deadline:
            try:
                done = ask(command, timeout=_TIMEOUT)
            except (OSError, subprocess.SubprocessError):
                return None
            state, _, reason = done.stdout.strip().partition(" ")
            if reason in _NEVER:
                return reason
            if state != "PENDING" or reason not in _NOT_YET:
                return None
            time.sleep(_LOOK_S / 10)
        return None

    def _directives(self) -> list[str]:
        asked = self.settings
        seconds = None if asked.walltime is None else math.ceil(parse_walltime(asked.walltime))
        warning = _WARNING_S if seconds is None else min(_WARNING_S, seconds // 3)
        log = str(self.log_path("\0")).replace("%", "%%").replace("\0", "%j")
        found = [f"--job-name={self.name}", f"--output={shlex.quote(log)}", "--open-mode=append"]
        found += ["--requeue", f"--signal=B:TERM@{warning}", "--dependency=singleton"]
        found += ["--nodes=1", "--ntasks=1"]
        if self.is_whole_node:
            found.append("--exclusive")
        if asked.cores is not None:
            found.append(f"--cpus-per-task={asked.cores}")
        if asked.memory is not None:
            found.append(f"--mem={math.ceil(parse_memory(asked.memory) / _MIB)}M")
        elif self.is_whole_node:
            found.append("--mem=0")
        if self.gpus:
            found.append(f"--gres=gpu:{self.gpus}")
        if seconds is not None:
            found.append(f"--time={clock(seconds, days=True)}")
        for option in ("partition", "account", "qos"):
            if (value := getattr(asked, option)) is not None:
                found.append(f"--{option}={shlex.quote(value)}")
        return found + list(asked.directives)


def driver_job(
    profile: Profile,
    *,
    store: Path,
    arguments: Sequence[str],
    folder: Path,
    **overrides: str | None,
) -> DriverJob:
    """Return the job that runs a sweep's driver with a profile.

    The driver of a job queue's workers is small. With a profile of one machine the job does the
    work itself, so it asks for what the profile's workers take together, or for a node where that
    depends on the machine.

    Parameters
    ----------
    profile
        Of SLURM, or of one machine.
    store, arguments, folder
        As in :class:`DriverJob`.
    **overrides
        Settings that replace those of the profile's ``driver`` section, unless None.

    Raises
    ------
    ClusterError
        If the profile is of another job queue.
    """
    settings = profile.settings
    asked = settings.driver.model_copy(
        update={name: value for name, value in overrides.items() if value is not None}
    )
    job = DriverJob(
        store=store,
        arguments=arguments,
        folder=folder,
        logs=folder / _LOGS,
        python=sys.executable,
        settings=asked,
    )
    if isinstance(settings, LocalProfile):
        return _of_machine(job, settings)
    if not isinstance(settings, SlurmProfile):
        raise ClusterError(
            f"{profile.path}: drivers are submitted to SLURM only, and this is a profile of "
            f"{settings.kind}. Start `toolkit run` in a job of your own."
        )
    return _of_queue(job, settings)


def _of_queue(job: DriverJob, settings: SlurmProfile) -> DriverJob:
    asked = job.settings
    filled = {
        "cores": asked.cores or 1,
        "memory": asked.memory or _MEMORY,
        "partition": asked.partition or settings.partition,
        "account": asked.account or settings.account,
        "qos": asked.qos or settings.qos,
    }
    logs = os.path.expandvars(os.path.expanduser(settings.log_folder or _LOGS))
    return replace(
        job,
        logs=job.folder / logs,
        python=settings.python or job.python,
        settings=asked.model_copy(update=filled),
        prologue=_prologue(settings),
    )


def _of_machine(job: DriverJob, settings: LocalProfile) -> DriverJob:
    tiers = settings.tiers.values()
    counts = [tier.count if tier.maximum is None else tier.maximum for tier in tiers]
    asked = job.settings
    filled: dict[str, object] = {}
    is_whole_node = False
    if "auto" in counts:
        is_whole_node = asked.cores is None
    else:
        workers = [(int(count), tier) for count, tier in zip(counts, tiers, strict=True)]
        filled["cores"] = asked.cores or 1 + sum(count * tier.threads for count, tier in workers)
        if asked.memory is None and all(tier.memory not in ("auto", None) for tier in tiers):
            amount = sum(count * parse_memory(str(tier.memory)) for count, tier in workers)
            filled["memory"] = f"{amount + parse_memory(_MEMORY)}B"
    gpus = 0 if settings.gpus != "auto" else sum(tier.gpus for tier in tiers)
    return replace(
        job, settings=asked.model_copy(update=filled), is_whole_node=is_whole_node, gpus=gpus
    )


def _prologue(settings: JobQueueProfile) -> list[str]:
    return [*(f"module load {module}" for module in settings.modules), *settings.prologue]
