"""How a sweep stands, from its store alone: nobody is asked, nothing is unpickled."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.times import MOST_SLOW, longest, median
from toolkit.run_status import Status
from toolkit.stages.failure import own_frame
from toolkit.views.driver import Driver, driver_of
from toolkit.views.failed import by_kind
from toolkit.views.labeled import labels_of
from toolkit.views.snapshot import (
    Cost,
    Counts,
    FailureGroup,
    SlowRun,
    Snapshot,
    Span,
    StageState,
    State,
    TierState,
)
from toolkit.views.told import Told, told_by

if TYPE_CHECKING:
    from toolkit.stores.runs.stage_runs import StageRuns

MOST_GROUPS, MOST_RUNS = 20, 10
UNKNOWN = "Why these runs failed is not known: the store does not tell."


def snapshot_of_store(path: str | os.PathLike[str]) -> Snapshot:
    """Return how the sweep of a store stands, by what its files say now.

    The process that runs the sweep is asked nothing and pays nothing. Its death is seen at once
    where it ran on this machine; on others it cannot be seen from here.

    Parameters
    ----------
    path
        Folder of the store.

    Raises
    ------
    StoreError
        If there is no store at the path, or it is damaged.
    """
    from toolkit.stores.files.checking import readable
    from toolkit.stores.zarr_store import ZarrStore

    folder = Path(path).expanduser()
    driver = driver_of(folder)  # before the counts: of a driver that ends now, these are the last
    store = ZarrStore.read(folder)
    told = told_by(folder).by(driver)
    now = time.time()
    is_running = driver is not None and driver.is_alive is not False
    names = store.stage_names
    is_one = len({*names, *told.asked}) < 2
    found = []
    for name in names:
        with readable(store.path):
            found.append(_Stage(store.stage(name), is_running=is_running, is_one=is_one))
    stages = tuple(each.state(told.rates if is_running else {}) for each in found)
    pending = sum(each.counts.pending for each in stages)
    total = sum(each.counts.total for each in stages)
    state, message = state_of(driver, told, pending=pending, total=total)
    groups = sorted((one for each in found for one in each.failures), key=lambda one: -one.count)
    slowest = sorted((one for each in found for one in each.slowest), key=lambda one: -one.seconds)
    return Snapshot(
        at=now,
        state=state,
        message=message,
        stages=stages,
        tiers=_tiers(told, stages, is_running=is_running),
        failures=tuple(groups[:MOST_GROUPS]),
        n_failure_kinds=len(groups),
        slowest=tuple(slowest[:MOST_SLOW]),
        elapsed=_elapsed(driver, told, now) if is_running else None,
        left=left_of(driver, told, pending=pending, now=now),
        spent=_spent(told, found),
        to_spend=_to_spend(told, driver, pending, now),
        store=str(folder.absolute()),
        dashboard_link=told.dashboard_link if is_running else None,
    )


def state_of(driver: Driver | None, told: Told, *, pending: int, total: int) -> tuple[State, str]:
    """Return how a sweep stands as a whole, and what there is to say of it.

    Parameters
    ----------
    driver
        Who has its store.
    told
        What its log says.
    pending, total
        Its runs without an outcome, and all.
    """
    if driver is not None and driver.is_alive is not False:
        who = f"process {driver.pid} on {driver.host}"
        if not driver.is_alive:
            return _running(told), f"it cannot be seen from here whether {who} lives"
        is_new = not told.begun and not told.is_ended
        return _running(told), f"{who} has the store and has not begun yet" if is_new else ""
    if total and not pending:
        return "done", told.error
    if driver is not None:
        return "interrupted", f"process {driver.pid} on {driver.host}, which ran it, has died"
    if not told.is_ended:
        return "idle", ""
    if told.error:
        return "error", told.error
    return ("cancelled" if told.is_asked else "idle"), told.because if pending else ""


def _running(told: Told) -> State:
    """Return how a sweep stands that somebody runs."""
    if not told.begun and not told.is_ended:
        return "starting"
    if told.is_stopping:
        return "stopping"
    return "paused" if told.is_paused else "running"


def left_of(driver: Driver | None, told: Told, *, pending: int, now: float) -> Span | None:
    """Return how long a sweep takes yet, None where nothing honest can be said.

    Parameters
    ----------
    driver, told
        As for :func:`state_of`.
    pending
        Runs without an outcome.
    now
        In seconds since 1970.
    """
    return told.left(now) if pending and _is_believed(driver, told, now) else None


def _to_spend(told: Told, driver: Driver | None, pending: int, now: float) -> Cost | None:
    if not pending or told.outlook is None or not _is_believed(driver, told, now):
        return None
    return told.outlook.to_spend


def _is_believed(driver: Driver | None, told: Told, now: float) -> bool:
    """Whether the driver that said what is left is there to do it."""
    if driver is None or driver.is_alive is False or told.is_ended or not told.begun:
        return False
    return bool(driver.is_alive) or told.is_fresh(now)


def _elapsed(driver: Driver | None, told: Told, now: float) -> float | None:
    if driver is None:
        return None
    return max(0.0, now - (driver.since if told.started is None else told.started))


class _Stage:
    """What a store says of one stage at the moment at which it was read."""

    def __init__(self, runs: "StageRuns", *, is_running: bool, is_one: bool) -> None:
        from toolkit.stores.runs.state import count_statuses

        self.name = runs.name
        self._status = runs.state.status  # read once: all that follows is of this moment
        self._seconds = runs.state.seconds
        self._runs, self._is_one = runs, is_one
        begun = self._begun() if is_running else {}
        self.counts = counts_of(count_statuses(self._status), running=len(begun))
        self.seconds = float(np.nansum(self._seconds, dtype=np.float64))
        self.failures = self._groups()
        self.slowest = self._slowest(begun)

    def state(self, rates: Any) -> StageState:
        """Return the stage as a snapshot has it."""
        return StageState(
            name=self.name,
            counts=self.counts,
            rate=rates.get(self.name) if self.counts.pending else None,
            seconds=median(self._seconds),
        )

    def _begun(self) -> dict[int, float | None]:
        """Return the runs in progress, with when they began where that is known."""
        return {
            run: since
            for run, since in self._runs.in_progress().items()
            if self._status[run] == Status.PENDING
        }

    def _groups(self) -> list[FailureGroup]:
        records = self._runs.failures()
        groups = by_kind(
            records, lambda each: (each["exception"], own_frame(each.get("traceback", "")))
        )
        firsts = np.array([members[0]["run"] for members in groups], np.int64)
        labels = labels_of(self._runs.catalogue, firsts)
        found = [
            self._group(members, of_first) for members, of_first in zip(groups, labels, strict=True)
        ]
        failed = np.flatnonzero(self._status == Status.FAILED)
        if len(failed) > len(records):
            found.append(self._unexplained(np.setdiff1d(failed, [one["run"] for one in records])))
        return found

    def _group(self, members: Sequence[dict[str, Any]], labels: dict[str, Any]) -> FailureGroup:
        first = members[0]
        return FailureGroup(
            stage=self.name,
            exception=first["exception"],
            where=own_frame(first.get("traceback", "")),
            count=len(members),
            runs=tuple(each["run"] for each in members[:MOST_RUNS]),
            message=first["message"],
            traceback=first.get("traceback", ""),
            reason=str(first.get("reason", "exception")),
            host=first.get("host", ""),
            tier=first.get("tier", ""),
            labels=labels,
            reproduce=reproduce_line(self.name, first["run"], is_one=self._is_one),
        )

    def _unexplained(self, failed: NDArray[np.int64]) -> FailureGroup:
        """Return the failed runs of which no record is left."""
        [labels] = labels_of(self._runs.catalogue, failed[:1])
        return FailureGroup(
            stage=self.name,
            exception="",
            where="",
            count=len(failed),
            runs=tuple(failed[:MOST_RUNS].tolist()),
            message=UNKNOWN,
            labels=labels,
            reproduce=reproduce_line(self.name, int(failed[0]), is_one=self._is_one),
        )

    def _slowest(self, begun: dict[int, float | None]) -> list[SlowRun]:
        now = time.time()
        took = {run: now - since for run, since in begun.items() if since is not None}
        running = sorted(took, key=lambda run: -took[run])[:MOST_SLOW]
        took_once = np.where(self._status == Status.PENDING, np.float32(np.nan), self._seconds)
        ended = longest(took_once, MOST_SLOW).tolist()
        labels = labels_of(self._runs.catalogue, np.array([*running, *ended], np.int64))
        return [
            SlowRun(
                stage=self.name,
                run=run,
                seconds=max(0.0, took[run]) if is_running else float(self._seconds[run]),
                labels=of_run,
                is_running=is_running,
            )
            for run, of_run, is_running in zip(
                [*running, *ended],
                labels,
                [True] * len(running) + [False] * len(ended),
                strict=True,
            )
        ]


def counts_of(by_status: Sequence[int] | NDArray[np.int64], *, running: int = 0) -> Counts:
    """Return counts by the number of the status; runs that a space leaves out are not counted."""
    return Counts(
        done=int(by_status[Status.DONE]),
        failed=int(by_status[Status.FAILED]),
        blocked=int(by_status[Status.BLOCKED]),
        stale=int(by_status[Status.STALE]),
        pending=int(by_status[Status.PENDING]),
        running=min(running, int(by_status[Status.PENDING])),
    )


def reproduce_line(stage: str, run: int, *, is_one: bool) -> str:
    """Return the Python that runs a run again in this process.

    Examples
    --------
    >>> reproduce_line("fit", 17, is_one=True), reproduce_line("fit", 17, is_one=False)
    ('sweep.reproduce(run=17)', "sweep.reproduce(stage='fit', run=17)")
    """
    return f"sweep.reproduce(run={run})" if is_one else f"sweep.reproduce({stage=}, {run=})"


def _tiers(
    told: Told, stages: tuple[StageState, ...], *, is_running: bool
) -> tuple[TierState, ...]:
    """Return the tiers as the driver told of them last; what has ended since is taken off."""
    pending = {each.name: each.counts.pending for each in stages}
    found = []
    for said in told.tiers:
        left = min(int(said["runs"]), pending.get(said["stage"], int(said["runs"])))
        is_left = is_running and left > 0
        at_once = int(said["at_once"]) if is_running else 0
        cost = Cost(
            core_hours=float(said["core_hours_left"]), gpu_hours=said.get("gpu_hours_left", 0.0)
        )
        found.append(
            TierState(
                name=said["tier"],
                stage=said["stage"],
                pending=left,
                running=min(at_once, left),
                at_once=at_once,
                spent=Cost(
                    core_hours=float(said["core_hours_spent"]),
                    gpu_hours=said.get("gpu_hours_spent", 0.0),
                ),
                left=cost if is_left else None,
                waits=said["waits"] if is_left else "",
            )
        )
    return tuple(found)


def _spent(told: Told, stages: Sequence[_Stage]) -> Cost:
    """Return what runs have cost: what the driver says of its tiers, else what they took."""
    by_tier = {said["stage"] for said in told.tiers}
    cores = sum(said["core_hours_spent"] for said in told.tiers)
    gpus = sum(said.get("gpu_hours_spent", 0.0) for said in told.tiers)
    for each in stages:
        if each.name not in by_tier:
            held = told.begun.get(each.name, Cost(core_hours=1.0))
            cores += each.seconds * held.core_hours / 3600
            gpus += each.seconds * held.gpu_hours / 3600
    return Cost(core_hours=float(cores), gpu_hours=float(gpus))
