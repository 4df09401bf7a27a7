"""Has as many workers of each tier as its work is worth, and replaces those that got lost."""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from distributed import Status
from distributed.deploy.spec import SpecCluster

from toolkit.clusters.demand import (
    DEMAND_KEY,
    PROBLEMS_KEY,
    SCALE_KEY,
    TIERS_KEY,
    WAITS_KEY,
    Demand,
    demands_for,
    wanted_workers,
)
from toolkit.clusters.retiring import retire
from toolkit.clusters.tiers import Ladder, Tier

logger = logging.getLogger("toolkit")

_LOOK_SECONDS = 1.0
_AWAY_SECONDS = 60.0  # a worker that was here and is not: its nanny may be starting it again
_PAUSES = (5.0, 300.0)  # after a failure to start a job: first, longest
_TRIES = 5  # to start a job, where the reason may pass
_LONGEST_WORDS = 300


class Jobs(Protocol):
    """Where workers come from: processes of this machine, or jobs of a queue."""

    ladder: Ladder
    startup: float
    """Seconds that a worker may take to start, before one did."""
    early_end: str
    """What to say of a job that ended before its workers came."""

    def processes(self, tier: str) -> int:
        """Return how many workers one job of a tier has."""

    def spec(self, tier: str, name: str, slot: int) -> dict[str, Any]:
        """Return an entry of Dask's ``worker_spec``; ``slot`` is the lowest free number."""

    async def gone(self, jobs: Mapping[str, Any]) -> Mapping[str, str]:
        """Return which of these jobs, by name, have ended or could not start: with the reason.

        The reason is ``""`` for one that started and ended. Whatever may have to be started
        later is not gone.
        """

    def is_passing(self, problem: str) -> bool:
        """Whether it is worth to try again what could not start."""

    def why_waiting(self, job: Any) -> str:
        """Return why a job that was submitted has not begun, ``""`` where it has or nobody says."""


@dataclass(kw_only=True)
class _Entry:
    """One job."""

    tier: str
    slot: int
    asked_at: float
    waited_until: float = 0.0  # in the queue, as far as that says
    arrived_at: float | None = None
    away_since: float | None = None
    unneeded_since: float | None = None
    is_leaving: bool = False


class Adapting:
    """Looks once a second at what the sweeps have left for each tier.

    Parameters
    ----------
    cluster
        Where workers are added to and taken from; this alone does it.
    jobs
        What workers are made of.

    Attributes
    ----------
    waits
        By tier: why jobs that are wanted are not there yet, in words.
    """

    def __init__(self, cluster: SpecCluster, jobs: Jobs) -> None:
        self._cluster, self._jobs = cluster, jobs
        self._entries: dict[str, _Entry] = {}
        self._serials = dict.fromkeys((tier.name for tier in jobs.ladder.tiers), 0)
        self._startups = dict.fromkeys(self._serials, jobs.startup)
        self._measured: set[str] = set()
        self._failures: dict[str, int] = dict.fromkeys(self._serials, 0)
        self._retry_at = dict.fromkeys(self._serials, 0.0)
        self._leaving: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Future[Any]] = set()
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._latest_error = ""
        self._refusals: dict[str, str] = {}
        self.waits: dict[str, str] = {}

    async def start(self) -> None:
        """Say which tiers there are, start what is there from the beginning, and begin to look."""
        self._publish()
        await self.look()
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def stop(self) -> None:
        """Look no more."""
        tasks = [task for task in (self._task, *self._leaving) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def scale(self, tier: str, jobs: int | None) -> int:
        """Have a number of jobs of a tier; None: as many as the work is worth again.

        Returns
        -------
        int
            How many workers there will be, of all tiers.
        """
        self._scheduler.set_metadata([*SCALE_KEY, tier], jobs)
        self._publish()
        await self.look()
        return sum(
            self._jobs.processes(entry.tier)
            for entry in self._entries.values()
            if not entry.is_leaving
        )

    def _publish(self) -> None:
        """Say which tiers there are; none that nobody works on, where runs would wait for ever."""
        by_hand = self._said(SCALE_KEY)
        tiers = [
            tier for tier in self._jobs.ladder.tiers if tier.maximum != 0 or by_hand.get(tier.name)
        ]
        self._scheduler.set_metadata(TIERS_KEY, Ladder(tiers).to_json())

    @property
    def _scheduler(self) -> Any:
        return self._cluster.scheduler

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # the next look may find better conditions
                if repr(error) != self._latest_error:
                    self._latest_error = repr(error)
                    logger.exception("The workers of the cluster could not be looked after.")

    async def look(self) -> None:
        """Replace what is gone, start what is wanted, let go what is idle."""
        async with self._lock:
            now = time.monotonic()
            await self._forget_gone()
            self._note_workers(now)
            for tier in self._serials:
                self._adjust(tier, now)
            added = self._cluster.worker_spec.keys() - self._cluster.workers.keys()
            if added:
                await self._cluster._correct_state()
                await self._forget_gone()
                for name in added & self._entries.keys():
                    self._say_problem(self._entries[name].tier, None)
                    self._refusals.pop(self._entries[name].tier, None)
            self._say_waits()

    async def _forget_gone(self) -> None:
        jobs = {name: self._cluster.workers[name] for name in self._known()}
        for name, problem in (await self._jobs.gone(jobs)).items():
            entry = self._entries.get(name)
            if entry is None or entry.is_leaving:
                continue
            await self._remove(name)
            if problem:
                self._note_problem(entry.tier, problem, is_passing=self._jobs.is_passing(problem))
            elif entry.arrived_at is None:  # it may have been cancelled while it waited
                self._note_problem(entry.tier, self._jobs.early_end, is_passing=True)

    def _known(self) -> list[str]:
        return [name for name in self._entries if name in self._cluster.workers]

    def _note_problem(self, tier: str, problem: str, *, is_passing: bool) -> None:
        """Try again later; say it where nobody else can do the work."""
        self._failures[tier] += 1
        first, longest = _PAUSES
        pause = min(longest, first * 2.0 ** (self._failures[tier] - 1))
        self._retry_at[tier] = time.monotonic() + pause
        self._refusals[tier] = problem
        logger.warning("A job of tier %r could not be started: %s", tier, problem)
        has_others = any(entry.tier == tier for entry in self._entries.values())
        if not has_others and (not is_passing or self._failures[tier] >= _TRIES):
            self._say_problem(tier, problem)

    def _say_problem(self, tier: str, problem: str | None) -> None:
        self._scheduler.set_metadata([*PROBLEMS_KEY, tier], problem)

    def _say_waits(self) -> None:
        """Say of each tier why jobs of it wait, and what was said of one that was refused."""
        here = self._here()
        waits: dict[str, str] = {}
        for tier in self._serials:
            reasons = Counter(
                self._jobs.why_waiting(self._cluster.workers[name])
                for name in self._known()
                if self._entries[name].tier == tier and not here[name]
            )
            said = [f"{_jobs(n)} {why}" for why, n in reasons.items() if why]
            if tier in self._refusals:
                said.append(f"a job could not be started: {self._refusals[tier][:_LONGEST_WORDS]}")
            if said:
                waits[tier] = "; ".join(said)
        if waits != self.waits:
            self.waits = waits
            self._scheduler.set_metadata(WAITS_KEY, waits)

    def _note_workers(self, now: float) -> None:
        """Note who has come, how long that took, and who is away."""
        here = self._here()
        for name, entry in self._entries.items():
            if here.get(name):
                entry.away_since = None
                if entry.arrived_at is None:
                    entry.arrived_at = now
                    self._note_startup(entry.tier, now - max(entry.asked_at, entry.waited_until))
            elif entry.arrived_at is None:
                if name in self._cluster.workers and self._jobs.why_waiting(
                    self._cluster.workers[name]
                ):
                    entry.waited_until = now
            elif entry.away_since is None:
                entry.away_since = now
        lost = [
            name
            for name, entry in self._entries.items()
            if entry.away_since is not None
            and now - entry.away_since > _AWAY_SECONDS
            and not entry.is_leaving
        ]
        for name in lost:
            self._let_go(name)

    def _note_startup(self, tier: str, seconds: float) -> None:
        self._failures[tier] = 0
        before = self._startups[tier] if tier in self._measured else seconds
        self._startups[tier] = (before + seconds) / 2
        self._measured.add(tier)

    def _adjust(self, tier: str, now: float) -> None:
        by_hand = self._said(SCALE_KEY).get(tier)
        wanted = self._wanted(tier) if by_hand is None else int(by_hand)
        here = self._here()
        mine = {
            name: entry
            for name, entry in self._entries.items()
            if entry.tier == tier and not entry.is_leaving
        }
        busy = {name for name in mine if any(worker.processing for worker in here.get(name, ()))}
        # Kept first: who works, who is here, who was asked first.
        ranked = sorted(
            mine, key=lambda name: (name not in busy, not here.get(name), mine[name].asked_at)
        )
        for at, name in enumerate(ranked):
            entry = mine[name]
            if at < wanted or name in busy:
                entry.unneeded_since = None
            elif entry.unneeded_since is None:
                entry.unneeded_since = now
        for name in ranked[wanted:]:
            since = mine[name].unneeded_since
            is_idle = since is not None and now - since >= self._rung(tier).idle
            if by_hand is not None or is_idle:
                self._let_go(name)
        missing = wanted - len(ranked)
        if self._failures[tier]:  # one, to see whether it can be started by now
            missing = min(missing, 1 if now >= self._retry_at[tier] else 0)
        for _ in range(missing):
            self._add(tier, now)

    def _wanted(self, tier: str) -> int:
        """Return how many jobs of a tier are worth having."""
        demands = demands_for(tier, self._said(DEMAND_KEY)) or self._plain_demands(tier)
        workers = wanted_workers(self._rung(tier), demands, startup=self._startups[tier])
        return math.ceil(workers / self._jobs.processes(tier))

    def _rung(self, tier: str) -> Tier:
        return next(each for each in self._jobs.ladder.tiers if each.name == tier)

    def _plain_demands(self, tier: str) -> list[Demand]:
        """Return what Dask tasks that no sweep has sent wait for."""
        waiting = sum(
            self._tier_of(task.resource_restrictions or {}) == tier
            for task in (*self._scheduler.unrunnable, *self._scheduler.queued)
        )
        return [Demand(runs=waiting, seconds=waiting * self._startups[tier])] if waiting else []

    def _tier_of(self, resources: Mapping[str, float]) -> str | None:
        """Return the cheapest tier that has the resources which a Dask task asks for."""
        for tier in sorted(self._jobs.ladder.tiers, key=lambda each: bool(each.gpus)):
            there = tier.worker_resources
            if all(there.get(name, 0) >= amount for name, amount in resources.items()):
                return tier.name
        return None

    def _said(self, key: Iterable[str]) -> Mapping[str, Any]:
        said: Any = self._scheduler.task_metadata
        for part in key:
            said = said.get(part) or {} if isinstance(said, Mapping) else {}
        return said if isinstance(said, Mapping) else {}

    def _here(self) -> dict[str, list[Any]]:
        """Return the workers that are connected, by the name of their job."""
        by_name = {str(worker.name): worker for worker in self._scheduler.workers.values()}
        found = {}
        for name, entry in self._entries.items():
            n = self._jobs.processes(entry.tier)
            members = [name] if n == 1 else [f"{name}-{at}" for at in range(n)]
            found[name] = [by_name[each] for each in members if each in by_name]
        return found

    def _add(self, tier: str, now: float) -> None:
        taken = {entry.slot for entry in self._entries.values() if entry.tier == tier}
        slot = next(at for at in range(len(taken) + 1) if at not in taken)
        name = f"{tier}-{self._serials[tier]}"
        self._serials[tier] += 1
        self._entries[name] = _Entry(tier=tier, slot=slot, asked_at=now)
        self._cluster.worker_spec[name] = self._jobs.spec(tier, name, slot)

    def _let_go(self, name: str) -> None:
        self._entries[name].is_leaving = True
        task = asyncio.get_running_loop().create_task(self._leave(name))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, name: str) -> None:
        workers = [worker.address for worker in self._here()[name]]
        try:
            await asyncio.gather(
                *(retire(self._scheduler, each, hand_back=True) for each in workers)
            )
        finally:
            if self._cluster.status == Status.running:
                await self._remove(name)

    async def _remove(self, name: str) -> None:
        self._entries.pop(name, None)
        self._cluster.worker_spec.pop(name, None)
        job = self._cluster.workers.pop(name, None)
        if job is not None:
            # Whoever stops looking in the meantime lets it be closed all the same.
            closing = asyncio.ensure_future(job.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            with contextlib.suppress(OSError, RuntimeError):
                await asyncio.shield(closing)


def _jobs(number: int) -> str:
    return "1 job waits" if number == 1 else f"{number} jobs wait"
