"""One queue of runs for each tier of workers; a single one where workers are alike."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.batch_task import BatchTask
from toolkit.execution.order import Order
from toolkit.execution.placement import Placement
from toolkit.execution.run_queue import Group, Ids, RunQueue
from toolkit.execution.sizing import ChunkPlan
from toolkit.stores.catalogues.catalogue import Catalogue

_LONG = 8.0  # a run is long if so many of its kind would fill the time that is left


class Lanes:
    """The runs that wait, by the tier that they wait for.

    It is filled and emptied like one :class:`RunQueue`, whose methods have the same names here; a
    batch says by its ``tier`` where it is to go.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._placement: Placement | None = None
        self._lanes = [RunQueue("", order)]
        self._catalogue = Catalogue.empty()

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    @property
    def waiting(self) -> tuple[int, ...]:
        """How many runs wait for each tier."""
        return tuple(map(len, self._lanes))

    def n_waiting(self, tier: int) -> int:
        """Return how many runs wait for a tier."""
        return len(self._lanes[tier])

    @property
    def has_only_suspects(self) -> bool:
        """Whether nothing waits but groups in which a run kills its worker."""
        return all(lane.has_only_suspects for lane in self._lanes)

    def seconds(self, tier: int, expected: float) -> float:
        """Return how long all that waits for a tier takes one after the other.

        Parameters
        ----------
        tier
            Its index.
        expected
            Seconds of a run of which nothing more is known.
        """
        return self._lanes[tier].seconds(expected)

    @property
    def token(self) -> str:
        """Of the spec by which batches are to be run."""
        return self._lanes[0].token

    @token.setter
    def token(self, value: str) -> None:
        for lane in self._lanes:
            lane.token = value

    @property
    def placement(self) -> Placement | None:
        """Which tier runs wait for; None while there is one lane for all."""
        return self._placement

    def place(self, placement: Placement) -> None:
        """Part what waits, and what will wait, among the tiers of a cluster."""
        self._placement = placement
        first = self._lanes[0]
        self._lanes = [first, *(first.like() for _ in range(len(placement.ladder) - 1))]
        self.rearrange()

    def tier_name(self, tier: int) -> str:
        """Return the name of a tier, ``""`` where workers are alike."""
        placement = self._placement
        if placement is None or not placement.ladder[tier].is_tagged:
            return ""
        return placement.ladder[tier].name

    def resources(self, task: BatchTask) -> tuple[tuple[str, float], ...]:
        """Return the Dask resources of a batch."""
        if self._placement is None:
            return ()
        return self._placement.tags(task.first, task.tier, self.share(task))

    def share(self, task: BatchTask) -> int:
        """Return how many of the runs that a worker does at once one of this batch replaces."""
        placement = self._placement
        if placement is None or not placement.ladder[task.tier].is_shared:
            return 1
        return placement.share(task.run_ids(), task.tier)

    def usual_share(self, tier: int) -> int:
        """Return how many of them the runs of a tier replace, by what is known of them."""
        return 1 if self._placement is None else self._placement.usual_share(tier)

    def rearrange(self) -> None:
        """Put each run that nobody has begun where its placement says by now."""
        placement = self._placement
        if placement is None:
            return
        moved: list[Ids] = []
        if len(self._lanes) > 1:
            moved = [
                lane.move_out(_elsewhere(placement, at)) for at, lane in enumerate(self._lanes)
            ]
        for lane in self._lanes:
            lane.costs = placement.seconds
        for ids in moved:
            if len(ids):
                self.add(ids, self._catalogue)

    def add(self, ids: Ids, catalogue: Catalogue) -> None:
        """Add runs that have never been handed out, in the order of the sweep."""
        self._catalogue = catalogue
        if self._placement is not None:  # which has grown by runs that a source chose meanwhile
            for lane in self._lanes:
                lane.costs = self._placement.seconds
        for lane, part in self._parted(ids):
            lane.add(part, catalogue)

    def repeat(self, ids: Ids, attempt: int, *, careful: bool = False) -> None:
        """Hand these out again, before anything new; ``careful``: each recorded by itself."""
        for lane, part in self._parted(ids):
            lane.repeat(part, attempt, careful=careful)

    def suspect(self, ids: Ids, attempt: int) -> None:
        """Keep for the end a group in which one run, it is not known which, kills its worker."""
        for lane, part in self._parted(ids):
            lane.suspect(part, attempt)

    def give_back(self, task: BatchTask, begun: int) -> None:
        """Take back what a batch has not begun."""
        if task.whole or len(self._lanes) == 1:
            self._lanes[task.tier].give_back(task, begun)
            return
        for lane, part in self._parted(task.run_ids()[begun:]):
            lane.give_back(task.of_runs(part), 0)

    def postpone(self, task: BatchTask) -> None:
        """Take back a batch for which a worker had no time; see :class:`RunQueue`."""
        if task.insists or self._placement is None:
            self.give_back(task, 0)
            return
        for lane, part in self._parted(task.run_ids()):
            lane.postpone(task.of_runs(part))

    def next_batch(
        self, *, seconds: float, expected: float, tier: int = 0, own: bool = True
    ) -> BatchTask | None:
        """Cut the next batch for a tier; None where nothing waits for it.

        Parameters
        ----------
        seconds
            How long the batch should take.
        expected
            Seconds of a run of which nothing more is known.
        tier
            Of the workers that it is for.
        own
            False: take a batch of a cheaper tier, whose workers are busy.
        """
        if own:
            return _for(tier, self._lanes[tier].next_batch(seconds=seconds, expected=expected))
        for at in reversed(range(tier)):
            if self._may_take(tier, at):
                task = self._lanes[at].next_batch(seconds=seconds, expected=expected)
                if task is not None:
                    return _for(tier, task)
        return None

    def has_longer_below(self, tier: int, at_once: Sequence[int], *, expected: float) -> bool:
        """Whether a cheaper tier, of which no worker is there, has a longer run than it has itself.

        Parameters
        ----------
        tier
            Of the workers that would take it.
        at_once
            How many runs the workers of each tier do at once.
        expected
            Seconds of a run of which nothing more is known.
        """
        own = self._lanes[tier].seconds_of_next(expected)
        return len(self._lanes[tier]) > 0 and any(
            not at_once[at]
            and self._may_take(tier, at)
            and self._lanes[at].seconds_of_next(expected) > own
            for at in range(tier)
        )

    def readmit(self) -> None:
        """Hand out again what workers had no time for; see :class:`RunQueue`."""
        for lane in self._lanes:
            lane.readmit()

    def hurry(self, tier: int, *, seconds_left: float, expected: float) -> None:
        """Hand out the longest runs of a tier first, once they decide when it is done.

        Parameters
        ----------
        tier
            Its index.
        seconds_left
            Until all that waits is done.
        expected
            Seconds of a run of which nothing more is known.
        """
        lane = self._lanes[tier]
        if len(lane):
            lane.longest_first(over=seconds_left / _LONG, expected=expected)

    def next_suspect(self, *, seconds: float, expected: float) -> BatchTask | None:
        """Cut the next group of suspects, to be run with nothing beside it; None without one."""
        for tier, lane in enumerate(self._lanes):
            task = lane.next_suspect(seconds=seconds, expected=expected)
            if task is not None:
                return _for(tier, task)
        return None

    def first_wave(
        self, n_batches: int, *, at_once: int, seconds: float, again_first: bool = False
    ) -> list[BatchTask]:
        """Cut the smoke test: batches of the cheapest tier for which runs wait.

        Parameters
        ----------
        n_batches
            How many.
        at_once
            How many of them begin at once.
        seconds
            How long each should take.
        again_first
            Whether it is made of runs that are to be repeated, where there are any.
        """
        for tier, lane in enumerate(self._lanes):
            if len(lane):
                wave = lane.first_wave(
                    n_batches, at_once=at_once, seconds=seconds, again_first=again_first
                )
                return [task._replace(tier=tier) for task in wave]
        return []

    def keep_together(self, group: Group | None) -> None:
        """Shuffle from now on the runs of a group among themselves; see :class:`RunQueue`."""
        for lane in self._lanes:
            lane.keep_together(group)

    def use_chunks(
        self,
        plan: ChunkPlan,
        status: NDArray[np.uint8],
        attempts: NDArray[np.uint8],
        *,
        runs_per_batch: float,
    ) -> None:
        """Move to whole chunks what may be handed out so; see :class:`RunQueue`."""
        for lane in self._lanes:
            lane.use_chunks(plan, status, attempts, runs_per_batch=runs_per_batch)

    def focus(self, wanted: NDArray[np.bool_]) -> None:
        """Hand out first the runs for which ``wanted``, of shape ``(n_runs,)``, is true."""
        for lane in self._lanes:
            lane.focus(wanted)

    def clear(self) -> None:
        """Drop everything that waits."""
        for lane in self._lanes:
            lane.clear()

    def _may_take(self, tier: int, cheaper: int) -> bool:
        """Whether workers of a tier can do the work of a cheaper one; GPUs are spared."""
        assert self._placement is not None
        here, there = self._placement.ladder[tier], self._placement.ladder[cheaper]
        return not here.gpus and here.covers(there)

    def _parted(self, ids: Ids) -> Iterator[tuple[RunQueue, Ids]]:
        if self._placement is None or len(self._lanes) == 1:
            yield self._lanes[0], ids
            return
        tiers = self._placement.tier[ids]
        for tier in np.unique(tiers).tolist():
            yield self._lanes[tier], ids[tiers == tier]


def _elsewhere(placement: Placement, tier: int) -> Callable[[Ids], NDArray[np.bool_]]:
    return lambda ids: placement.tier[ids] != tier


def _for(tier: int, task: BatchTask | None) -> BatchTask | None:
    return task if task is None or task.tier == tier else task._replace(tier=tier)
