"""A sweep played on a clock of its own: the real queues, window and placement, and no workers.

What workers would do, a heap of ends does: a run takes the seconds that a scenario gives it, one
that is too big for its worker kills it.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

import toolkit as tk
from toolkit.clusters.tiers import Ladder, Tier
from toolkit.execution import learning, window
from toolkit.execution.batch_task import BatchTask
from toolkit.execution.encoding import encoder
from toolkit.execution.lanes import Lanes
from toolkit.execution.learning import Learning
from toolkit.execution.outlook import Known
from toolkit.execution.pace import Pace
from toolkit.execution.placement import Placement
from toolkit.execution.window import Window
from toolkit.resources import Resources
from toolkit.run_status import Status
from toolkit.spaces.space import Space
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue

RESTART = 2.0  # seconds until a worker that died is there again


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A sweep, and who runs it.

    Parameters
    ----------
    name
        Of it.
    space
        What varies.
    seconds
        Of each run, shape ``(n_runs,)``.
    is_big
        Which runs kill a worker of the first tier, after some of their time; None: none does.
    places
        Workers of each tier.
    walltimes
        Seconds after which a worker of each tier ends; None: never.
    order
        Of the runs.
    """

    name: str
    space: Space
    seconds: np.ndarray
    places: tuple[int, ...]
    is_big: np.ndarray | None = None
    walltimes: tuple[float | None, ...] = (None,)
    order: Any = "random"


@dataclass
class _Place:
    tier: int
    task: BatchTask | None = None
    runs: Any = ()
    at: int = 0
    began: float = 0.0
    begun: float = 0.0


class Play:
    """One play of a scenario."""

    def __init__(self, scenario: Scenario, seed: int, clock: SimpleNamespace) -> None:
        self.scenario, self.clock = scenario, clock
        self.rng = np.random.default_rng(seed)
        n = len(scenario.seconds)
        self.ladder = Ladder(
            [
                Tier(
                    name=f"tier{at}",
                    walltime=walltime,
                    memory=10**9 * (1 + at),
                    idle=10.0,
                    maximum=12,
                )
                for at, walltime in enumerate(scenario.walltimes)
            ]
        )
        catalogue, found = Catalogue.empty().register(scenario.space)
        ids = np.asarray(found)
        self.state = SimpleNamespace(
            status=np.full(n, Status.PENDING, np.uint8),
            attempts=np.zeros(n, np.uint8),
            seconds=np.full(n, np.nan, np.float32),
            peak_memory=np.full(n, np.nan, np.float32),
        )
        self.runs = SimpleNamespace(state=self.state, catalogue=catalogue, n_runs=n)
        self.names = tuple(name for name in catalogue.names if name != "trial")
        needs = Needs(stage="model", fixed=Resources())
        self.placement = Placement(self.ladder, needs, self.names)
        self.placement.register(ids, catalogue)
        self.queue = Lanes(scenario.order)
        for lane in self.queue._lanes:
            lane._seed = seed
        self.queue.add(ids, catalogue)
        self.queue.place(self.placement)
        self.pace = Pace()
        self.pace.expected = float(np.median(self.rng.choice(scenario.seconds, 12)))
        self.window = Window(self.queue, self.pace)
        self.learning = Learning(self.placement, self.runs, self.queue)
        self.workers = SimpleNamespace(
            room=lambda tier: self.rooms[tier],
            workers=sum(scenario.places),
            threads=sum(scenario.places),
            ladder=self.ladder,
        )
        self.rooms = list(scenario.places)
        self.places = [_Place(tier) for tier, n in enumerate(scenario.places) for _ in range(n)]
        self.sent: list[deque[BatchTask]] = [deque() for _ in scenario.places]
        self.began: dict[int, float] = {}
        self.useful = self.spent = 0.0
        self._ends: list[tuple[float, int, int, bool]] = []
        self._count = 0
        self._learned_at = self._busy = 0.0
        self._pause = max(2.0, float(scenario.seconds.sum()) / len(self.places) / 40)
        self._features: dict[Any, Any] = {}

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.clock.now

    def play(self, look: Callable[["Play"], None]) -> float:
        """Play it to its end, calling ``look`` now and then; return the seconds it took."""
        every = float(self.scenario.seconds.sum()) / len(self.places) / 40
        next_look = every
        self._idle = list(range(len(self.places)))
        self._engine()
        while self._ends:
            end = self._ends[0][0]
            if next_look < end:
                self.clock.now = next_look
                next_look += every
                self._engine()
                look(self)
                continue
            self.clock.now = end
            while self._ends and self._ends[0][0] <= self.now + 0.02:
                _, _, place, dies = heapq.heappop(self._ends)
                self._ended(place, dies)
            self._engine()
        assert (self.state.status == Status.DONE).all()
        return self.now

    def known(self) -> Known:
        """Return what an engine would know now."""
        status = self.state.status
        return Known(
            at=self.now,
            pending=np.flatnonzero(status == Status.PENDING),
            done=np.flatnonzero(status == Status.DONE),
            seconds=self.state.seconds,
            tier=self.placement.tier,
            began=dict(self.began),
            places=tuple(self.rooms),
            ladder=self.ladder,
            spent=self.spent,
            useful=self.useful,
            features=self.features,
            expected=self.placement.seconds,
            climbed=self.placement.climbed,
            is_longest_first=self.scenario.order == "random",
        )

    def features(self, ids):
        """Return the labels of runs as numbers, and which have an order."""
        if not self._features:
            every = np.arange(self.runs.n_runs)
            columns, is_number, _ = encoder(self.runs.catalogue, self.names, every)
            self._features["all"] = columns, is_number
        columns, is_number = self._features["all"]
        return [each[ids] for each in columns], is_number

    def _engine(self) -> None:
        if self.now - self._learned_at >= self._pause:
            self._learned_at = self.now
            progress = [("journal", run) for run in self.began]
            self.learning.look(self.pace.expected, progress)
        self._exchange()
        while True:
            tasks = self.window.next_batches(self.workers)
            for task in tasks:
                self.window.sent(task)
                self.sent[task.tier].append(task)
            for place in list(self._idle):
                tier = self.places[place].tier
                if self.sent[tier]:
                    self._idle.remove(place)
                    self._take(place, self.sent[tier].popleft())
            if not tasks:
                break

    def _exchange(self) -> None:
        """Have idle workers of the first tier leave, and others of the second come for two."""
        if len(self.rooms) == 1 or len(self.queue):
            waits = len(self.rooms) > 1 and self.queue.n_waiting(1) + len(self.sent[1])
            idle = [at for at in self._idle if not self.places[at].tier]
            if self.now - self._busy < 10 or not waits or len(idle) < 2 or self.sent[0]:
                if len(idle) < 2 or self.queue.n_waiting(0):
                    self._busy = self.now
                return
            for at in idle[: 2 * min(waits, len(idle) // 2)]:
                self._idle.remove(at)
                self.rooms[0] -= 1
            for _ in range(min(waits, len(idle) // 2)):
                self.rooms[1] += 1
                self.places.append(_Place(1))
                self._count += 1
                heapq.heappush(self._ends, (self.now + 8, self._count, len(self.places) - 1, False))

    def _take(self, number: int, task: BatchTask) -> None:
        place = self.places[number]
        place.task, place.runs, place.at, place.begun = task, task.run_ids().tolist(), 0, self.now
        self._begin(number)

    def _begin(self, number: int) -> None:
        place = self.places[number]
        run = place.runs[place.at]
        place.began = self.now
        self.began[run] = self.now
        takes, dies = float(self.scenario.seconds[run]), False
        limit = self.ladder[place.tier].walltime
        big = self.scenario.is_big
        if big is not None and place.tier == 0 and big[run]:
            takes, dies = takes * self.rng.uniform(0.2, 1.0), True
        if limit is not None and takes > limit:
            takes, dies = limit, True
        self._count += 1
        heapq.heappush(self._ends, (self.now + takes, self._count, number, dies))

    def _ended(self, number: int, dies: bool) -> None:
        place = self.places[number]
        task = place.task
        if task is None:  # its worker is there again
            self._idle.append(number)
            return
        run = place.runs[place.at]
        del self.began[run]
        took = self.now - place.began
        self.spent += took
        if dies:
            self.window.back(task)
            place.task = None
            rest = np.array(place.runs[place.at + 1 :], np.int64)
            limit = self.ladder[place.tier].walltime
            of = "walltime" if limit is not None and took >= limit - 0.01 else "memory"
            if not self.placement.is_above(run, of, place.tier):
                assert self.placement.climb(run, of, place.tier)
            self.queue.repeat(np.array([run]), task.attempt + 1, careful=True)
            if len(rest):
                self.queue.repeat(rest, task.attempt, careful=task.careful)
            self._count += 1
            heapq.heappush(self._ends, (self.now + RESTART, self._count, number, False))
            return
        self.useful += took
        self.state.status[run] = Status.DONE
        self.state.attempts[run] = task.attempt
        self.state.seconds[run] = took
        place.at += 1
        is_over = self.now - place.begun > 3 * task.seconds
        if place.at < len(place.runs) and not is_over:
            self._begin(number)
            return
        self.window.back(task)
        if place.at < len(place.runs):
            self.queue.give_back(task, place.at)
        self.pace.note(
            SimpleNamespace(wanted=0, begun=place.at, run_seconds=self.now - place.begun)
        )
        place.task = None
        self._idle.append(number)


@contextmanager
def own_clock() -> Iterator[SimpleNamespace]:
    """Let the modules under play go by a clock that is set by hand."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    before = window.time, learning.time
    window.time = learning.time = clock
    try:
        yield clock
    finally:
        window.time, learning.time = before


def uneven(
    name: str,
    *,
    places: tuple[int, ...],
    noise: float = 0.25,
    n_sizes: int = 20,
    kills: bool = False,
    order: str = "random",
    trials: int = 6,
    seed: int = 0,
) -> Scenario:
    """Return a sweep whose times spread over three orders of magnitude.

    Two parameters explain them but for noise of this standard deviation in the logarithm.
    """
    rng = np.random.default_rng([7, seed])
    sizes, models = np.geomspace(10, 1000, n_sizes), list("abcde")
    space = tk.grid(size=sizes.tolist(), model=models, trial=range(trials))
    size, model, _ = np.indices((n_sizes, 5, trials))
    slow = np.array([0.0, 0.25, 0.5, 0.75, 1.0])[model]
    logs = np.log(0.1) + np.log(10) * (2 * size / (n_sizes - 1) + slow)
    logs = logs + noise * rng.normal(size=logs.shape)
    big = (slow > 0.6) & (size + rng.normal(size=size.shape) * n_sizes / 10 > 0.7 * n_sizes)
    return Scenario(
        name=name,
        space=space,
        seconds=np.exp(logs).ravel(),
        places=places,
        is_big=big.ravel() if kills else None,
        walltimes=(60.0, None) if kills else (None,),
        order=order,
    )


def alike(name: str, *, places: tuple[int, ...], n: int = 600, seed: int = 0) -> Scenario:
    """Return a sweep whose runs take about 5 s."""
    rng = np.random.default_rng([8, seed])
    return Scenario(
        name=name,
        space=tk.grid(x=np.arange(float(n)).tolist()),
        seconds=5.0 * np.exp(0.05 * rng.normal(size=n)),
        places=places,
    )
