"""What a profile may say, for each kind of cluster."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import Field, model_validator

from toolkit.clusters.driver_settings import DriverSettings
from toolkit.clusters.quantities import Address, Count, Line, TierName, Word
from toolkit.clusters.tier_settings import (
    JobTier,
    LocalTier,
    Settings,
    SlurmTier,
    SpecifiedTier,
)
from toolkit.clusters.tiers import Ladder
from toolkit.resources import parse_memory

CONFIRMATION = "I understand that anybody who reaches the port can run code as me"

_T = TypeVar("_T")
Tiers: TypeAlias = Annotated[Mapping[TierName, _T], Field(min_length=1)]


class LocalProfile(Settings):
    """The machine that the driver runs on. ``gpus: auto`` counts those that it has."""

    kind: Literal["local"]
    dashboard: Address = "127.0.0.1:8787"
    gpus: Literal["auto"] | Count = "auto"
    driver: DriverSettings = DriverSettings()
    tiers: Tiers[LocalTier] = Field(default_factory=lambda: {"cpu": LocalTier()})

    def counts(self) -> dict[str, int]:
        """Return how many workers of each tier start here."""
        return {name: self._count(tier) for name, tier in self.tiers.items()}

    def places(self) -> dict[str, int]:
        """Return how many workers of each tier share the machine when there are most of them."""
        cores = len(os.sched_getaffinity(0))
        most = {
            name: max(1, cores // tier.threads) if tier.maximum is None else tier.maximum
            for name, tier in self.tiers.items()
            if not tier.is_fixed
        }
        return self.counts() | most

    def gpu_names(self) -> list[str]:
        """Return the GPUs of this machine as ``CUDA_VISIBLE_DEVICES`` names them."""
        from toolkit.clusters.gpus import visible_gpus

        if self.gpus == "auto":
            return visible_gpus()
        found = visible_gpus()
        return (found + [str(at) for at in range(len(found), self.gpus)])[: self.gpus]

    def ladder(self) -> Ladder:
        """Return the tiers, with what ``auto`` comes to on this machine."""
        counts, places = self.counts(), self.places()
        return Ladder(
            [
                tier.tier(name, count=counts[name], memory=self.memory_of(name, places))
                for name, tier in self.tiers.items()
            ]
        )

    def memory_of(self, name: str, counts: dict[str, int]) -> int | None:
        """Return the bytes that a worker may hold; None: nothing limits it.

        Parameters
        ----------
        name
            Of its tier.
        counts
            How many workers of each tier there are. They share the machine with those that may
            still be added.
        """
        memory = self.tiers[name].memory
        if memory == "auto":
            sharing = (max(counts[each], tier.maximum or 0) for each, tier in self.tiers.items())
            return int(self.machine_memory() / max(1, sum(sharing)))
        return None if memory is None else parse_memory(memory)

    @staticmethod
    def machine_memory() -> int:
        """Return the bytes that this process may use, as Dask counts them."""
        from distributed.system import MEMORY_LIMIT

        return int(MEMORY_LIMIT)

    def _count(self, tier: LocalTier) -> int:
        if not tier.is_fixed:
            return tier.minimum or 0
        if tier.count != "auto":
            return tier.count
        if tier.gpus:
            return len(self.gpu_names()) // tier.gpus
        return max(1, len(os.sched_getaffinity(0)) // tier.threads)


class JobQueueProfile(Settings):
    """What all job queues have in common.

    ``partition``, ``account``, ``directives`` and ``skip_directives`` hold for each tier that does
    not say otherwise. ``scheduler_host`` and ``interface`` say where the scheduler
    and the workers listen; ``prologue`` are lines of the job script before the worker starts.
    """

    job_name: Word = "toolkit"
    partition: Line | None = None
    account: Line | None = None
    directives: list[Line] = Field(default_factory=list)
    skip_directives: list[Line] = Field(default_factory=list)
    requeue: bool | None = False
    interface: Word | None = None
    scheduler_host: Word | None = None
    dashboard: Address = "127.0.0.1:8787"
    python: Word | None = None
    modules: list[Line] = Field(default_factory=list)
    prologue: list[Line] = Field(default_factory=list)
    log_folder: Word | None = "toolkit-logs"
    scratch_folder: Word | None = None
    shared_folder: Word = "~/.toolkit/certificates"
    security: Literal["tls", "none"] = "tls"
    listen_in_the_clear: str | None = None
    worker_arguments: list[Word] = Field(default_factory=list)
    driver: DriverSettings = DriverSettings()
    tiers: Tiers[JobTier]

    def ladder(self) -> Ladder:
        """Return the tiers."""
        return Ladder([tier.tier(name) for name, tier in self.tiers.items()])

    @model_validator(mode="after")
    def _is_confirmed(self) -> "JobQueueProfile":
        if self.security == "none" and self.listen_in_the_clear != CONFIRMATION:
            raise ValueError(
                "security: none lets whoever reaches the scheduler's port run code as you. If that "
                f'is what you want, add the line  listen_in_the_clear: "{CONFIRMATION}"'
            )
        return self


class SlurmProfile(JobQueueProfile):
    """SLURM. ``memory_flag`` and ``gpu_flag`` are how this site wants to be asked for them."""

    kind: Literal["slurm"]
    gpu_type: Word | None = None
    qos: Line | None = None
    constraint: Line | None = None
    memory_flag: Literal["mem", "mem-per-cpu", "none"] = "mem"
    gpu_flag: Literal["gres", "gpus", "gpus-per-node", "gpus-per-task", "none"] = "gres"
    tiers: Tiers[SlurmTier]


class PbsProfile(JobQueueProfile):
    """PBS and Moab. ``gpu_flag`` is the name of the resource within ``select=``."""

    kind: Literal["pbs", "moab"]
    memory_flag: Literal["mem", "none"] = "mem"
    gpu_flag: Word = "ngpus"
    tiers: Tiers[SpecifiedTier]


class SgeProfile(JobQueueProfile):
    """SGE. The flags are the names of this site's resources; ``memory_flag`` is of a slot."""

    kind: Literal["sge"]
    parallel_environment: Word = "smp"
    memory_flag: Word = "none"
    gpu_flag: Word = "gpu"
    tiers: Tiers[SpecifiedTier]


class LsfProfile(JobQueueProfile):
    """LSF. ``memory_flag: mem`` is ``-M``, in ``memory_unit``; null: what ``lsf.conf`` says."""

    kind: Literal["lsf"]
    memory_flag: Literal["mem", "none"] = "mem"
    memory_unit: Literal["kb", "mb", "gb", "tb"] | None = None
    gpu_flag: Literal["gpu", "none"] = "gpu"


QueueSettings: TypeAlias = SlurmProfile | PbsProfile | SgeProfile | LsfProfile
ClusterSettings: TypeAlias = LocalProfile | QueueSettings

KINDS: dict[str, type[LocalProfile] | type[JobQueueProfile]] = {
    "local": LocalProfile,
    "slurm": SlurmProfile,
    "pbs": PbsProfile,
    "moab": PbsProfile,
    "sge": SgeProfile,
    "lsf": LsfProfile,
}
"""By the name of the kind; those of job queues are as dask-jobqueue names them."""

TIERS: dict[str, type[LocalTier] | type[JobTier]] = {
    "local": LocalTier,
    "slurm": SlurmTier,
    "pbs": SpecifiedTier,
    "moab": SpecifiedTier,
    "sge": SpecifiedTier,
    "lsf": JobTier,
}
