"""How a sweep stands at one moment: the one value that all views draw."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from toolkit.views.plain import plain
from toolkit.views.text import cost_text

VERSION = 1

State = Literal[
    "starting", "running", "paused", "stopping", "done", "cancelled", "error", "idle", "interrupted"
]
"""Of a sweep as a whole.

starting
    Nothing is handed out yet: workers start, or what is stored is looked up.
running, paused
    By a driver that lives; paused: nothing further is handed out.
stopping
    Asked to stop; what runs goes on to its end.
done
    Nothing is pending; some runs may have failed.
cancelled, error
    The driver ended with runs pending: asked to, or by an error that ``message`` tells.
idle
    A store with runs pending that nobody runs.
interrupted
    The same, and the driver that ran it died.
"""

ENDED = frozenset({"done", "cancelled", "error", "idle", "interrupted"})


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Runs by state. ``pending`` includes those that are running."""

    done: int = 0
    failed: int = 0
    blocked: int = 0
    stale: int = 0
    pending: int = 0
    running: int = 0

    @property
    def total(self) -> int:
        """How many runs there are; those that the space leaves out are not counted."""
        return self.done + self.failed + self.blocked + self.stale + self.pending

    @property
    def ended(self) -> int:
        """How many have an outcome."""
        return self.total - self.pending

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sums, state by state."""
        return Counts(
            **{each.name: getattr(self, each.name) + getattr(other, each.name) for each in _COUNTS}
        )


_COUNTS = fields(Counts)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A duration that is not known exactly, in seconds: it lies between the two, most likely."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What runs hold: threads and GPUs, multiplied by the hours they hold them."""

    core_hours: float = 0.0
    gpu_hours: float = 0.0

    def __str__(self) -> str:
        """Return it as people read it."""
        return cost_text(self.core_hours, self.gpu_hours)


@dataclass(frozen=True, kw_only=True)
class StageState:
    """One stage of a sweep.

    Attributes
    ----------
    name
        Of the stage.
    counts
        Its runs by state.
    rate
        Runs that ended in a second, lately; None where that is not known.
    seconds
        Median wall time of a run; None where that is not known.
    """

    name: str
    counts: Counts
    rate: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class TierState:
    """One tier of workers, and the runs of one stage that belong there.

    Attributes
    ----------
    name, stage
        Of the tier, ``""`` where workers are alike, and of the stage.
    pending, running
        Runs without an outcome, and those of them that were handed out.
    workers, at_once
        Worker processes that are there, and how many runs they do at once.
    spent, left
        Cost of its runs in this session of the driver, attempts that failed included, and what is
        expected still; None where that cannot be said.
    waits
        Why workers of it that are wanted are not there, in the queueing system's words.
    """

    name: str
    stage: str
    pending: int = 0
    running: int = 0
    workers: int = 0
    at_once: int = 0
    spent: Cost = field(default_factory=Cost)
    left: Cost | None = None
    waits: str = ""


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Failed runs of the same kind: type of the error and the last frame of the user's own code.

    Attributes
    ----------
    stage, exception, where
        ``where`` is as ``"model.py:17 in simulate"``, ``""`` where nothing is known.
    count, runs
        How many runs, and the ids of the first of them.
    message, traceback, reason, host, tier
        Of the first.
    labels
        Of the first: by parameter.
    reproduce
        Python that runs the first again here, in a debugger if need be.
    """

    stage: str
    exception: str
    where: str
    count: int
    runs: tuple[int, ...]
    message: str
    traceback: str = ""
    reason: str = "exception"
    host: str = ""
    tier: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    reproduce: str = ""


@dataclass(frozen=True, kw_only=True)
class SlowRun:
    """One of the runs that took longest; ``is_running``: or has taken so long until now."""

    stage: str
    run: int
    seconds: float
    labels: Mapping[str, Any] = field(default_factory=dict)
    tier: str = ""
    is_running: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """One worker process. Memory is in bytes, None where it is not known."""

    name: str
    host: str = ""
    tier: str = ""
    threads: int = 1
    gpus: int = 0
    running: int = 0  # batches
    memory: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How a sweep stands at one moment.

    Made by ``snapshot_of(job)`` from a live job, by ``snapshot_of_store(path)`` from a store alone.

    Attributes
    ----------
    at
        When it was made, in seconds since 1970.
    state
        Of the sweep as a whole, see :data:`State`.
    message
        What the driver died of, or what is waited for; ``""`` where there is nothing to say.
    stages
        In the order in which they are run.
    tiers, workers
        Empty where nothing is known of them.
    failures, n_failure_kinds
        The groups with most runs, and how many groups there are in all.
    slowest
        The runs that took longest, the longest first.
    elapsed
        Seconds since the sweep was started in this session; None from a store that nobody runs.
    left
        Seconds until nothing is pending; None while nothing honest can be said.
    spent, to_spend
        Cost of the runs until now, and of those to come; None where it cannot be said.
    store
        Path of the store, None for results in memory.
    dashboard_link
        Of Dask, None without one.
    is_live
        Whether it was made from a job of this process.
    """

    at: float
    state: State
    stages: tuple[StageState, ...]
    message: str = ""
    tiers: tuple[TierState, ...] = ()
    workers: tuple[WorkerState, ...] = ()
    failures: tuple[FailureGroup, ...] = ()
    n_failure_kinds: int = 0
    slowest: tuple[SlowRun, ...] = ()
    elapsed: float | None = None
    left: Span | None = None
    spent: Cost | None = None
    to_spend: Cost | None = None
    store: str | None = None
    dashboard_link: str | None = None
    is_live: bool = False
    version: int = VERSION

    @property
    def counts(self) -> Counts:
        """Runs of all stages together."""
        return sum((stage.counts for stage in self.stages), start=Counts())

    @property
    def rate(self) -> float | None:
        """Runs that ended in a second, lately, of all stages together."""
        known = [stage.rate for stage in self.stages if stage.rate is not None]
        return sum(known) if known else None

    @property
    def is_ended(self) -> bool:
        """Whether nobody runs it any more."""
        return self.state in ENDED

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it: dicts, lists, text, numbers, None.

        ``toolkit/views/schemas/snapshot.json`` describes it; keys are only added in a version.
        """
        found = dict(_items(self))
        return plain({"schema": "toolkit.snapshot", **found, "counts": _document(self.counts)})  # type: ignore[no-any-return]


def _document(value: Any) -> Any:
    if isinstance(value, Counts):
        return {**dict(_items(value)), "total": value.total}
    if is_dataclass(value):
        return dict(_items(value))
    if isinstance(value, tuple):
        return [_document(each) for each in value]
    return value


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    for each in fields(value):
        yield each.name, _document(getattr(value, each.name))
