"""What a profile says of a tier: one kind of worker of this machine, or of a job queue."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolkit.clusters.quantities import (
    Amount,
    Count,
    Duration,
    Line,
    Memory,
    Number,
    ShareOfMemory,
    Word,
)
from toolkit.clusters.tiers import Tier
from toolkit.resources import describe_memory, parse_memory, parse_walltime

_MOST_JOBS = 100_000
_LEAST_MEMORY = 64_000_000  # a worker that has done nothing holds about as much

Jobs = Annotated[int, Field(ge=0, le=_MOST_JOBS)]


class Settings(BaseModel):
    """Settings of which none is misspelled and none changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LocalTier(Settings):
    """Workers of one kind on this machine.

    ``count`` of them start and stay. With ``minimum`` or ``maximum`` in its place their number
    follows the work. ``memory`` is of each. Of ``gpus``, each worker has its own.
    A worker is ended after its ``walltime``, so that a job queue can be tried out here.
    """

    count: Literal["auto"] | Count = "auto"
    threads: Number = 1
    memory: ShareOfMemory = "auto"
    gpus: Count = 0
    walltime: Duration | None = None
    minimum: Count | None = None
    maximum: Count | None = None
    idle: Duration = "60s"
    resources: dict[Word, Amount] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_range(self) -> "LocalTier":
        _check_range(self.minimum or 0, self.maximum)
        if self.count != "auto" and not self.is_fixed:
            raise ValueError(
                f"count: {self.count} is a number of workers that stays as it is, while with "
                "minimum: or maximum: it follows the work. Leave count: out, and write minimum: "
                f"{self.count} to have that many from the start; or leave the other two out"
            )
        return self

    @property
    def is_fixed(self) -> bool:
        """Whether the number of workers stays as it is."""
        return self.minimum is None and self.maximum is None

    def tier(self, name: str, *, count: int, memory: int | None) -> Tier:
        """Return it as a rung of the ladder.

        Parameters
        ----------
        name
            Of the tier.
        count, memory
            What ``auto`` comes to: the number of workers, and the bytes of each.
        """
        least, most = (count, count) if self.is_fixed else (self.minimum or 0, self.maximum)
        return Tier(
            name=name,
            threads=self.threads,
            memory=memory,
            walltime=None if self.walltime is None else parse_walltime(self.walltime),
            gpus=_gpus(self),
            resources=dict(self.resources),
            minimum=least,
            maximum=most,
            idle=parse_walltime(self.idle),
            lends_threads=True,
        )


class JobTier(Settings):
    """Jobs of one kind, each with one or several workers.

    ``memory``, ``cores`` and ``gpus`` are of a job; ``threads`` of one worker process.
    What is not said of cores, threads and processes follows from the others. ``minimum`` and
    ``maximum`` count jobs; one that had nothing to do for ``idle`` is given back.
    """

    partition: Line | None = None
    account: Line | None = None
    cores: Number = 1
    threads: Number = 1
    processes: Number = 1
    memory: Memory
    memory_margin: Memory = "100MB"
    walltime: Duration
    gpus: Count = 0
    minimum: Jobs = 0
    maximum: Jobs = 10
    idle: Duration = "60s"
    resources: dict[Word, Amount] = Field(default_factory=dict)
    directives: list[Line] = Field(default_factory=list)
    skip_directives: list[Line] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        cores, threads, processes = (
            _whole(given.get(key)) for key in ("cores", "threads", "processes")
        )
        filled = dict(given)
        if processes is None:
            is_one = not cores or bool(given.get("gpus"))
            processes = 1 if is_one else max(1, (cores or 1) // (threads or 1))
            filled.setdefault("processes", processes)
        if threads is None:
            threads = max(1, (cores or 1) // processes)
            filled.setdefault("threads", threads)
        filled.setdefault("cores", threads * processes)
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> "JobTier":
        _check_range(self.minimum, self.maximum)
        if self.cores < self.threads * self.processes:
            raise ValueError(
                f"{self.processes} processes of {self.threads} threads need "
                f"{self.threads * self.processes} cores, found cores: {self.cores}"
            )
        if self.gpus and self.processes > 1:
            raise ValueError(
                "the processes of a job see the same GPUs: give a tier with gpus processes: 1"
            )
        if self.worker_memory < _LEAST_MEMORY:
            raise ValueError(
                f"memory: {self.memory} leaves {describe_memory(max(0, self.worker_memory))} to "
                f"each of {self.processes} workers once {self.memory_margin} are put aside for the "
                "process that watches them; ask for more"
            )
        return self

    @property
    def job_memory(self) -> int:
        """What the queue is asked for, in bytes."""
        return parse_memory(self.memory)

    @property
    def worker_memory(self) -> int:
        """What one worker process may hold, in bytes: its share, less the margin."""
        return (self.job_memory - parse_memory(self.memory_margin)) // self.processes

    @property
    def walltime_s(self) -> int:
        """How long a job may last, in seconds."""
        return int(parse_walltime(self.walltime))

    def tier(self, name: str) -> Tier:
        """Return it as a rung of the ladder, which counts workers and not jobs."""
        return Tier(
            name=name,
            threads=self.threads,
            memory=self.worker_memory,
            walltime=float(self.walltime_s),
            gpus=_gpus(self),
            resources=dict(self.resources),
            minimum=self.minimum * self.processes,
            maximum=self.maximum * self.processes,
            idle=parse_walltime(self.idle),
        )


class SlurmTier(JobTier):
    """Jobs of SLURM."""

    gpu_type: Word | None = None
    qos: Line | None = None
    constraint: Line | None = None


class SpecifiedTier(JobTier):
    """Jobs of PBS, Moab or SGE; ``resource_spec`` replaces what would be asked for with ``-l``."""

    resource_spec: Line | None = None


def _gpus(settings: LocalTier | JobTier) -> int:
    """Return the GPUs of a worker; where a profile gives it the tag by hand, as the tag says."""
    return settings.gpus or int(settings.resources.get("GPU", 0))


def _check_range(minimum: int, maximum: int | None) -> None:
    if maximum is not None and minimum > maximum:
        raise ValueError(f"minimum: {minimum} is above maximum: {maximum}")


def _whole(value: object) -> int | None:
    """Return a number that may have come from the environment as text; else None."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:9])
    return value if isinstance(value, int) and value is not True and value > 0 else None
