"""How many batches are out on each tier, and which go next."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from toolkit.clusters.demand import Demand
from toolkit.execution.batch_task import BatchTask
from toolkit.execution.executors import Executor
from toolkit.execution.lanes import Lanes
from toolkit.execution.pace import Pace
from toolkit.execution.sizing import window_size

_HURRY_SECONDS = 1.0  # between two looks at how long what waits will take
_READMIT_SECONDS = 5.0  # until a run for which a worker had no time is tried again
_AHEAD_SECONDS = 0.5  # of work for each thread that waits with its workers, at least,
_AHEAD_SHARE = 4  # and at least one batch for so many threads
_TO_THE_END = 5.0  # times what workers may be idle: to let them go and start others takes that


@dataclass(kw_only=True)
class _Waiting:
    """What waits with the workers of a tier."""

    batches: int
    seconds: float

    def add(self, seconds: float) -> None:
        """Add a batch."""
        self.batches += 1
        self.seconds += seconds

    def is_enough(self, room: int, share: float = 1.0) -> bool:
        """Whether no worker has to wait for this process.

        No more than that is handed out: what is out keeps its place, whatever is learned.
        """
        least = max(1, room // _AHEAD_SHARE)
        return self.batches >= share * least and self.seconds >= share * _AHEAD_SECONDS * room


class Window:
    """Batches that are out; its length is their number.

    Parameters
    ----------
    queue
        Where they are cut from.
    pace
        Says how long they should take.
    threads, gpus
        That one run takes; GPUs where its tags do not say it.
    """

    def __init__(self, queue: Lanes, pace: Pace, threads: int = 1, gpus: int = 0) -> None:
        self._queue, self._pace, self._threads, self._gpus = queue, pace, threads, gpus
        self._spent: dict[int, float] = defaultdict(float)
        self._gpu_spent: dict[int, float] = defaultdict(float)
        self._out: dict[int, dict[BatchTask, float]] = defaultdict(dict)  # with expected seconds
        self._shares: dict[BatchTask, int] = {}  # of those that take several places of a worker
        self._helping: Counter[int] = Counter()  # of these, the work of cheaper tiers
        self._helpers: set[BatchTask] = set()
        self._shortened: dict[BatchTask, BatchTask] = {}  # that are out, by what they were
        self._is_past_wave = False
        self._runs: Counter[int] = Counter()
        self._spare_since: dict[int, float] = {}  # when a tier ran out of work of its own
        self._began = self._hurried = self._readmitted = time.monotonic()

    def __len__(self) -> int:
        return sum(map(len, self._out.values()))

    def demands(self) -> dict[int, Demand]:
        """Return what is left for each tier, what is out included."""
        expected = self._expected
        return {
            tier: Demand(
                runs=waiting + self._runs[tier],
                seconds=self._queue.seconds(tier, expected)
                + (
                    sum(self._out[tier].values())
                    if self._knows_seconds
                    else self._runs[tier] * expected
                ),
                threads=self._threads * self._queue.usual_share(tier),
            )
            for tier, waiting in enumerate(self._queue.waiting)
        }

    @property
    def _expected(self) -> float:
        """Seconds of a run of which nothing more is known: before the first result, all by now."""
        return self._pace.expected or time.monotonic() - self._began

    @property
    def _knows_seconds(self) -> bool:
        """Whether it is known how long each run takes."""
        placement = self._queue.placement
        return placement is not None and len(placement.seconds) > 0

    @property
    def _may_learn(self) -> bool:
        """Whether it matters what is handed out when: tiers or run times differ."""
        return len(self._queue.waiting) > 1 or self._knows_seconds

    def _cost(self, task: BatchTask) -> float:
        """Return how many seconds a batch is expected to take."""
        return task.n_runs * (task.expected or self._pace.expected)

    def _waiting(self, tier: int, room: int) -> "_Waiting":
        """Return what workers have before them: all but the oldest, which they are in."""
        n_begun = room
        if self._shares:
            taken = np.cumsum([self._shares.get(task, 1) for task in self._out[tier]])
            n_begun = int(np.searchsorted(taken, room, side="right"))
        costs = [*islice(self._out[tier].values(), n_begun, None)]
        return _Waiting(batches=len(costs), seconds=sum(costs))

    def sent(self, task: BatchTask) -> None:
        """Count a batch that goes out."""
        self._out[task.tier][task] = self._cost(task)
        if (share := self._queue.share(task)) > 1:
            self._shares[task] = share
        self._runs[task.tier] += task.n_runs
        self._is_past_wave = self._is_past_wave and not task.first_wave

    def back(self, task: BatchTask) -> BatchTask:
        """Count one that came back, or was taken back; return what it was at the end."""
        del self._out[task.tier][task]
        self._shares.pop(task, None)
        if self._helpers and task in self._helpers:
            self._helpers.discard(task)
            self._helping[task.tier] -= 1
        task = self._shortened.pop(task, task)
        self._runs[task.tier] -= task.n_runs
        return task

    def first_batches(self) -> list[BatchTask]:
        """Return batches of the first wave that are out with more than their first run."""
        if self._is_past_wave:
            return []
        out = [task for tier in self._out.values() for task in tier if task.first_wave]
        self._is_past_wave = not out
        return [task for task in out if task.n_runs > 1 and task not in self._shortened]

    def shorten(self, task: BatchTask) -> None:
        """Leave a batch that is out nothing but its first run: the others were taken back."""
        first = task.run_ids()[:1].astype(np.int64).tobytes()
        self._shortened[task] = task._replace(lo=0, hi=0, runs=first)
        self._runs[task.tier] -= task.n_runs - 1

    def spent(self, task: BatchTask, seconds: float) -> None:
        """Count the seconds that a batch took its worker, with all threads and GPUs of a run."""
        self._spent[task.tier] += seconds * self._threads
        if gpus := dict(self._queue.resources(task)).get("GPU", self._gpus):
            self._gpu_spent[task.tier] += seconds * gpus

    def hours(self, tier: int | None = None) -> tuple[float, float]:
        """Return the core-hours and GPU-hours spent on a tier, or on all."""
        cores, gpus = (
            sum(spent.values()) if tier is None else spent.get(tier, 0.0)
            for spent in (self._spent, self._gpu_spent)
        )
        return cores / 3600, gpus / 3600

    def _taken(self, tier: int) -> int:
        """Return how many places the batches take that are out on a tier."""
        more = sum(share - 1 for task, share in self._shares.items() if task.tier == tier)
        return len(self._out[tier]) + more

    def places(self, executor: Executor) -> tuple[int, ...]:
        """Return how many of its own runs each tier does at once by now."""
        return tuple(
            max(1, room // self._queue.usual_share(tier)) if (room := executor.room(tier)) else 0
            for tier in range(len(executor.ladder))
        )

    def n_out(self, tier: int) -> int:
        """Return how many batches are out on a tier."""
        return len(self._out[tier])

    def is_stranded(self, rooms: Sequence[int]) -> bool:
        """Whether batches are out on a tier of which no worker is left; ``rooms`` of all tiers."""
        return any(out and not rooms[tier] for tier, out in self._out.items())

    @property
    def seconds_spent(self) -> float:
        """For how long batches have held their places by now, those that got lost included."""
        return sum([*self._spent.values()]) / self._threads

    def tiers(self, executor: Executor) -> dict[str, dict[str, float | str]]:
        """Return by the name of each tier what is left for it, who is there, and what is spent.

        Returns
        -------
        dict
            ``runs`` that wait or run, ``at_once`` those that its workers do by now,
            ``core_hours_left``, and ``core_hours_spent`` and ``gpu_hours_spent``, also on attempts
            that failed or were killed. Where jobs of it wait or are refused, ``waits`` says why.
        """
        waits = executor.waits()
        return {
            executor.ladder[tier].name: {
                "runs": demand.runs,
                "at_once": executor.room(tier),
                "core_hours_left": round(demand.seconds * self._threads / 3600, 4),
                "core_hours_spent": round(self._spent[tier] / 3600, 4),
                "gpu_hours_spent": round(self._gpu_spent[tier] / 3600, 4),
                **({"waits": why} if (why := waits.get(executor.ladder[tier].name)) else {}),
            }
            for tier, demand in self.demands().items()
        }

    def next_batches(self, executor: Executor, *, most: int | None = None) -> list[BatchTask]:
        """Cut what fills the window again, for each tier of whose window half is free.

        Parameters
        ----------
        executor
            Who is there to do it.
        most
            Batches that may be out on a tier; None: by the number of its workers.
        """
        tasks = []
        self._hurry(executor)
        for tier in range(len(self._queue.waiting)):
            room = executor.room(tier)
            size = 0 if not room else most or window_size(room)
            n_out = len(self._out[tier])
            if n_out > size // 2:
                continue
            n_own = max(1, room // self._queue.usual_share(tier))
            if self._may_learn and self._waiting(tier, room).is_enough(n_own, 0.5):
                continue
            own = self._cut(executor, tier, size - n_out, room)
            tasks += own
            if tier:
                more = sum(map(self._queue.share, own))
                tasks += self._help(executor, tier, self._may_help(executor, tier, more))
        return tasks

    def _may_help(self, executor: Executor, at: int, more: int) -> int:
        """Return how many batches of cheaper tiers the idle workers of a tier take.

        No more than idle ones do, for what waited behind would be faster there; and for no longer
        than they may be idle, unless they stay anyway, or all is soon done: they hold room of
        cheaper ones.

        Parameters
        ----------
        executor
            Who is there to do it.
        at
            Index of the tier.
        more
            Places that batches of its own take which are about to go out.
        """
        tier, room, n_out = executor.ladder[at], executor.room(at), self._taken(at) + more
        n_own = n_out - self._helping[at]
        if n_own >= room:
            self._spare_since.pop(at, None)
            return 0
        now = time.monotonic()
        seconds = sum(self._queue.seconds(each, self._expected) for each in range(at))
        rooms = sum(executor.room(each) for each in range(at + 1))
        since = self._spare_since.setdefault(at, now)
        is_near_end = seconds / rooms < _TO_THE_END * tier.idle
        may_idle = n_own > 0 and now - since < tier.idle
        staying = tier.minimum * max(1, tier.threads // self._threads)
        return (room if is_near_end or may_idle else min(room, staying)) - n_out

    def _hurry(self, executor: Executor) -> None:
        """Have long runs begin early, now that the end may be near."""
        now = time.monotonic()
        if now - self._hurried < _HURRY_SECONDS:
            return
        self._hurried = now
        if now - self._readmitted > _READMIT_SECONDS:
            self._readmitted = now
            self._queue.readmit()
        if not self._knows_seconds:
            return
        rooms = [executor.room(tier) for tier in range(len(self._queue.waiting))]
        waiting = [self._queue.seconds(tier, self._pace.expected) for tier in range(len(rooms))]
        together = sum(waiting) / max(1, sum(rooms))  # they help each other
        for tier, seconds in enumerate(waiting):
            left = min(together, seconds / max(1, rooms[tier]))
            self._queue.hurry(tier, seconds_left=left, expected=self._pace.expected)

    def _cut(self, executor: Executor, tier: int, n: int, room: int) -> list[BatchTask]:
        tasks: list[BatchTask] = []
        waiting = self._waiting(tier, room) if self._may_learn else None
        n_begun = min(room, self._taken(tier))
        rooms = [executor.room(at) for at in range(tier)]
        n_own = max(1, room // self._queue.usual_share(tier))
        while len(tasks) < n and not (waiting and waiting.is_enough(n_own)):
            # What is long decides when all is done: it does not wait for workers to come.
            is_below = not all(rooms) and self._queue.has_longer_below(
                tier, rooms, expected=self._pace.expected
            )
            one = self._help(executor, tier, 1) if is_below else self._next(executor, tier)
            if not one:
                break
            tasks += one
            n_begun += self._queue.share(tasks[-1])
            if waiting and n_begun > room:
                waiting.add(self._cost(tasks[-1]))
        return tasks

    def _help(self, executor: Executor, tier: int, n: int) -> list[BatchTask]:
        tasks: list[BatchTask] = []
        while len(tasks) < n:
            one = self._next(executor, tier, own=False)
            if not one:
                break
            tasks += one
            self._helpers.update(one)
        self._helping[tier] += len(tasks)
        return tasks

    def _next(self, executor: Executor, tier: int, *, own: bool = True) -> list[BatchTask]:
        """Return the next batch, or nothing."""
        task = self._queue.next_batch(
            seconds=self._pace.batch_seconds(self._queue, executor, tier),
            expected=self._pace.rate(self._queue, executor, tier),
            tier=tier,
            own=own,
        )
        return [] if task is None else [task]
