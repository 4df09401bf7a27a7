"""What can be seen of a sweep that runs, as values: made by its engine, read by any thread."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.run_queue import Ids
from toolkit.run_status import Status
from toolkit.stages.failure import RunFailure
from toolkit.stores.catalogues.catalogue import Catalogue


@dataclass(frozen=True, kw_only=True)
class FailureKind:
    """Failed runs with the same type of error, raised in the same place.

    Attributes
    ----------
    exception, where
        ``where`` is the innermost line of the user's code, ``""`` where nothing is known.
    count
        How many runs.
    runs
        The ids of some of them.
    first
        What one of them, the first of ``runs``, died of.
    """

    exception: str
    where: str
    count: int
    runs: tuple[int, ...]
    first: RunFailure


@dataclass(frozen=True, kw_only=True)
class TierSeen:
    """One tier of workers and the runs of a stage that belong there.

    Attributes
    ----------
    name
        Of the tier.
    pending, running
        Runs without an outcome, and how many of them its workers do now.
    at_once
        How many runs its workers do at once.
    core_hours, gpu_hours
        Spent on its runs in this session.
    core_hours_left
        What is expected still.
    gpus_per_core
        GPUs that one of its runs holds for each thread that it holds.
    waits
        Why workers of it are not there, ``""`` where none is waited for.
    """

    name: str
    pending: int
    running: int
    at_once: int
    core_hours: float
    gpu_hours: float
    core_hours_left: float
    gpus_per_core: float = 0.0
    waits: str = ""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One stage at one moment: all that it says was so at once.

    Attributes
    ----------
    counts
        Runs by the number of their status, shape ``(len(Status),)``; those to come are pending.
    running
        How many runs are done now.
    has_begun
        Whether anything has been handed out.
    kinds, n_kinds
        The largest groups of the runs that failed in this session, and how many groups there are.
    earlier
        Ids of the failed runs of which this session knows no more.
    tiers
        Empty where workers are alike.
    core_hours, gpu_hours
        Spent in this session.
    rate
        Runs that ended in a second, lately; None where that is not known.
    status, seconds
        Arrays by run id that go on changing: for a look at run times. ``seconds`` is None where
        nothing has ended.
    parts
        The runs that were asked for.
    in_progress
        By journal the runs that its worker is in.
    """

    counts: NDArray[np.int64]
    running: int
    has_begun: bool
    kinds: tuple[FailureKind, ...]
    n_kinds: int
    earlier: Ids
    tiers: tuple[TierSeen, ...]
    core_hours: float
    gpu_hours: float
    rate: float | None
    status: NDArray[np.uint8]
    seconds: NDArray[np.float32] | None
    parts: tuple[Ids | slice, ...]
    in_progress: Mapping[str, tuple[int, ...]]

    @property
    def pending(self) -> int:
        """Runs without an outcome."""
        return int(self.counts[Status.PENDING])


@dataclass(frozen=True, kw_only=True)
class SlowRun:
    """A run that took long, or has taken so long until now."""

    run: int
    seconds: float
    is_running: bool = False


@dataclass(frozen=True, kw_only=True)
class StageSeen:
    """One stage of a sweep.

    Attributes
    ----------
    name, catalogue
        Of the stage, and what its runs are.
    counts, running
        As of a :class:`Moment`.
    kinds, n_kinds
        The largest groups of failed runs, those of earlier sessions included, and how many there
        are.
    seconds
        Median wall time of its runs, None where nothing is known.
    slowest
        The longest first.
    rate, tiers, core_hours, gpu_hours, has_begun
        As of a :class:`Moment`.
    """

    name: str
    catalogue: Catalogue
    counts: NDArray[np.int64]
    running: int = 0
    kinds: tuple[FailureKind, ...] = ()
    n_kinds: int = 0
    seconds: float | None = None
    slowest: tuple[SlowRun, ...] = ()
    rate: float | None = None
    tiers: tuple[TierSeen, ...] = ()
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    has_begun: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerSeen:
    """One worker process, as the scheduler knows it; memory is in bytes."""

    name: str
    host: str
    tier: str
    threads: int
    gpus: int
    running: int
    memory: int | None
    memory_limit: int | None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A sweep that has been started.

    Attributes
    ----------
    stages
        In the order in which they are run.
    elapsed
        Seconds from its start until now, or until it ended.
    is_ended
        Whether nothing runs any more, however it ended.
    is_paused, is_stopping
        What it was asked for.
    stopped_because
        Why it hands out nothing more, ``""`` while it does.
    workers
        Of the cluster that it runs on; empty where nothing is known of them.
    waits_for
        What has to come before it goes on, ``""`` where nothing has.
    """

    stages: tuple[StageSeen, ...]
    elapsed: float
    is_ended: bool
    is_paused: bool
    is_stopping: bool
    stopped_because: str = ""
    workers: tuple[WorkerSeen, ...] = field(default=())
    waits_for: str = ""

    @property
    def has_begun(self) -> bool:
        """Whether anything has been handed out."""
        return any(each.has_begun for each in self.stages)

    @property
    def pending(self) -> int:
        """Runs of all stages without an outcome."""
        return sum(int(each.counts[Status.PENDING]) for each in self.stages)
