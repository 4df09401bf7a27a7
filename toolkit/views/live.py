"""How a sweep stands, from the job that runs it in this process."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.job import Job
from toolkit.execution.observation import FailureKind, Observation, StageSeen, TierSeen
from toolkit.execution.times import MOST_SLOW
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.views.labeled import labels_of
from toolkit.views.snapshot import (
    Cost,
    FailureGroup,
    SlowRun,
    Snapshot,
    Span,
    StageState,
    State,
    TierState,
    WorkerState,
)
from toolkit.views.stored import MOST_GROUPS, counts_of, reproduce_line

_KEPT = 1000  # runs whose labels are kept from look to look


def snapshot_of(job: Job) -> Snapshot:
    """Return how a job stands.

    The driver pays next to nothing: it is looked at what it has counted last. Counts, groups of
    failures and tiers are of one moment. To be called from any thread, some times a second.

    Parameters
    ----------
    job
        What :meth:`toolkit.Sweep.start` returned, also after it has ended.
    """
    seen = job.observe()
    left, to_spend = _outlook(job)
    state, message = _state(job, seen)
    known = _labels_of(job)
    is_one = len(seen.stages) == 1
    workers = Counter(each.tier for each in seen.workers)
    groups = sorted(
        ((each, kind) for each in seen.stages for kind in each.kinds), key=lambda of: -of[1].count
    )
    slow = sorted(
        ((each, run) for each in seen.stages for run in each.slowest),
        key=lambda of: -of[1].seconds,
    )
    return Snapshot(
        at=time.time(),
        state=state,
        message=message,
        stages=tuple(_stage(each) for each in seen.stages),
        tiers=tuple(
            _tier(each.name, tier, workers[tier.name])
            for each in seen.stages
            for tier in each.tiers
        ),
        workers=tuple(
            WorkerState(
                name=each.name,
                host=each.host,
                tier=each.tier,
                threads=each.threads,
                gpus=each.gpus,
                running=each.running,
                memory=each.memory,
                memory_limit=each.memory_limit,
            )
            for each in seen.workers
        ),
        failures=tuple(
            _group(each, kind, known.of(each.name, each.catalogue, kind.first.run), is_one=is_one)
            for each, kind in groups[:MOST_GROUPS]
        ),
        n_failure_kinds=sum(each.n_kinds for each in seen.stages),
        slowest=tuple(
            SlowRun(
                stage=each.name,
                run=run.run,
                seconds=run.seconds,
                labels=known.of(each.name, each.catalogue, run.run),
                is_running=run.is_running,
            )
            for each, run in slow[:MOST_SLOW]
        ),
        elapsed=seen.elapsed,
        left=left,
        spent=Cost(
            core_hours=sum(each.core_hours for each in seen.stages),
            gpu_hours=sum(each.gpu_hours for each in seen.stages),
        ),
        to_spend=to_spend,
        store=job.store,
        dashboard_link=job.dashboard_link,
        is_live=True,
    )


def _outlook(job: Job) -> tuple[Span | None, Cost | None]:
    """Return the time that is left and what it will cost, None where that cannot be said."""
    found = job.outlook()
    if found is None:
        return None, None
    cost = Cost(core_hours=found.core_hours, gpu_hours=found.gpu_hours)
    return Span(low=found.low, high=found.high), cost


def _state(job: Job, seen: Observation) -> tuple[State, str]:
    """Return how it stands as a whole, and what there is to say of it."""
    if seen.is_ended:  # when it was looked at: it may have ended since
        if not seen.pending:
            return "done", job.error
        if job.error:
            return "error", job.error
        return ("cancelled" if job.was_asked_to_stop else "idle"), seen.stopped_because
    if seen.is_stopping:
        return "stopping", seen.stopped_because
    if seen.waits_for:
        return "starting", seen.waits_for
    missing = _missing(seen)
    if not seen.has_begun:
        return "starting", missing or "what is stored is looked up"
    return ("paused" if seen.is_paused else "running"), missing


def _missing(seen: Observation) -> str:
    """Return which tiers have runs and no worker, and why."""
    found: dict[str, str] = {}
    for stage in seen.stages:
        for tier in stage.tiers:
            if tier.pending and not tier.at_once:
                found[tier.name] = tier.waits
    return "; ".join(
        f"tier {name} waits for workers" + (f": {why}" if why else "")
        for name, why in found.items()
    )


def _stage(seen: StageSeen) -> StageState:
    return StageState(
        name=seen.name,
        counts=counts_of(seen.counts, running=seen.running),
        rate=seen.rate,
        seconds=seen.seconds,
    )


def _tier(stage: str, seen: TierSeen, workers: int) -> TierState:
    left = Cost(
        core_hours=seen.core_hours_left, gpu_hours=seen.core_hours_left * seen.gpus_per_core
    )
    return TierState(
        name=seen.name,
        stage=stage,
        pending=seen.pending,
        running=seen.running,
        workers=workers,
        at_once=seen.at_once,
        spent=Cost(core_hours=seen.core_hours, gpu_hours=seen.gpu_hours),
        left=left if seen.pending and seen.core_hours_left else None,
        waits=seen.waits,
    )


def _group(
    stage: StageSeen, kind: FailureKind, labels: Mapping[str, Any], *, is_one: bool
) -> FailureGroup:
    first = kind.first
    return FailureGroup(
        stage=stage.name,
        exception=kind.exception,
        where=kind.where,
        count=kind.count,
        runs=kind.runs,
        message=first.message,
        traceback=first.traceback,
        reason=first.reason,
        host=first.host,
        tier=first.tier,
        labels=labels,
        reproduce=reproduce_line(stage.name, first.run, is_one=is_one),
    )


class _Labels:
    """Labels of the runs that are shown, which are the same at most looks."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def of(self, stage: str, catalogue: Catalogue, run: int) -> dict[str, Any]:
        """Return the labels of a run."""
        found = self._known.get((stage, run))
        if found is None:
            ids: NDArray[np.int64] = np.array([run], np.int64)
            [found] = labels_of(catalogue, ids)
            with self._lock:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[stage, run] = found
        return found


_known: WeakKeyDictionary[Job, _Labels] = WeakKeyDictionary()


def _labels_of(job: Job) -> _Labels:
    return _known.setdefault(job, _Labels())
