"""On which tier each run starts: by what it needs, where it failed, and what its neighbors took."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.tiers import Ladder, Need
from toolkit.execution.encoding import encoder
from toolkit.execution.run_times import LEAST_EXAMPLES, RunTimes
from toolkit.execution.tree import Tree
from toolkit.resources import Resources
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST_EXAMPLES = 4096
_AT_A_TIME = 1 << 16
# What is late, or was ended by its job's time limit, is expected to take so many times what it has
# taken: of times that spread over magnitudes, the best guess of what is left is what has passed.
_AS_LONG = 2.0


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Runs, and how long each took: what is learned from.

    Parameters
    ----------
    ids
        Shape ``(n,)``.
    seconds
        Wall time of each, shape ``(n,)``, NaN where that is not known.
    """

    ids: Ids
    seconds: NDArray[np.float32]


class Placement:
    """The tiers of the runs of one stage.

    Parameters
    ----------
    ladder
        The tiers of the cluster.
    needs
        What the runs say that they need.
    names
        The parameters that runs depend on, replicates aside.

    Attributes
    ----------
    names
        As given.
    tier
        The tier where each run is to be run, shape ``(n_runs,)``.
    seconds
        How long each run is expected to take, shape ``(n_runs,)``, NaN where nothing is known; of
        length 0 while runs are taken to be alike.
    """

    def __init__(self, ladder: Ladder, needs: Needs, names: Iterable[str]) -> None:
        self.ladder = ladder
        self._needs = needs
        self.names = tuple(names)
        self._kinds: list[Resources] = []
        self._cheapest: list[int] = []  # tier of each kind
        self._tags: dict[tuple[int, int, int], tuple[tuple[str, float], ...]] = {}
        self._kind = np.zeros(0, np.uint16)
        self._climbed = np.zeros(0, bool)
        self._has_alone = False
        self._alone = np.zeros(0, bool)  # which runs have all the memory of a worker
        self._news = 0
        self.tier: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.seconds: NDArray[np.float32] = np.zeros(0, np.float32)

    @property
    def climbed(self) -> NDArray[np.bool_]:
        """Which runs had too little of something where they began, shape ``(n_runs,)``."""
        return self._climbed

    @property
    def has_news(self) -> bool:
        """Whether runs have climbed since the last look at what is to be learned from that."""
        return self._news > 0

    def register(self, ids: Ids, catalogue: Catalogue) -> None:
        """Place runs by what they say that they need.

        Raises
        ------
        ClusterError
            If no tier can serve one of them.
        StageError
            If the function of parameters raises, or returns something else than resources.
        """
        if self._needs.fixed is not None and len(ids):
            self._grow(catalogue.n_runs, tier=self._cheapest[self._number(self._needs.fixed)])
            return
        self._grow(catalogue.n_runs)
        for start in range(0, len(ids), _AT_A_TIME):
            part = ids[start : start + _AT_A_TIME]
            found = self._needs.of(catalogue.values(part, self._needs.names), len(part))
            kinds = np.fromiter(map(self._number, found), np.uint16, len(part))
            self._kind[part] = kinds
            self.tier[part] = np.asarray(self._cheapest, np.uint8)[kinds]

    def needs(self, run: int) -> Resources:
        """Return what a run says that it needs."""
        return self._kinds[int(self._kind[run])]

    def share(self, ids: Ids, tier: int) -> int:
        """Return how many of a worker's places each of these takes there: what the largest does.

        A run that had too little memory somewhere, or is like those that had, has a worker of its
        own where it belongs: nobody knows how much it needs.
        """
        if not self.ladder[tier].is_shared:
            return 1
        if bool((self._alone[ids] & (self.tier[ids] == tier)).any()):
            return self.ladder[tier].places(self.needs(int(ids[0])))
        kinds = np.unique(self._kind[ids]).tolist()
        return max(self.ladder[tier].share(self._kinds[kind]) for kind in kinds)

    def tags(self, run: int, tier: int, share: int = 1) -> tuple[tuple[str, float], ...]:
        """Return the Dask resources of a task that runs this run, and others like it, by name.

        Parameters
        ----------
        run
            Its id.
        tier
            Where.
        share
            How many of a worker's places it takes.
        """
        kind = int(self._kind[run])
        if (known := self._tags.get((kind, tier, share))) is not None:
            return known
        tags = self.ladder[tier].tags(self._kinds[kind], share)
        # Dask shares tasks out better that may go to any worker.
        are_alike = self._needs.fixed is not None and share == 1
        if len(self.ladder) == 1 and (are_alike or self.ladder[tier].threads == 1):
            tags.pop(self.ladder[0].tag, None)
        return self._tags.setdefault((kind, tier, share), tuple(sorted(tags.items())))

    def usual_share(self, tier: int) -> int:
        """Return how many places of a worker the runs of a tier take, by what is known of them."""
        if not self.ladder[tier].is_shared:
            return 1
        if self._needs.fixed is not None and not self._has_alone:
            return self.ladder[tier].share(self._needs.fixed)
        there = np.flatnonzero(self.tier == tier)
        if not len(there):
            return 1
        if self._alone[there].any():
            return self.ladder[tier].places(self.needs(int(there[0])))
        return self.ladder[tier].share(self.needs(int(there[0])))

    def recall(self, ended: Timed, peak_memory: NDArray[np.float32]) -> None:
        """Take from what earlier sessions recorded of runs, on which tier they would end.

        Parameters
        ----------
        ended
            Runs that ended well.
        peak_memory
            Of each, in bytes, shape ``(n,)``; NaN where it is not known.
        """
        if len(self.ladder) == 1:
            return
        for at in np.flatnonzero(np.isfinite(peak_memory) | np.isfinite(ended.seconds)).tolist():
            run = int(ended.ids[at])
            needs, tier = self.needs(run), int(self.tier[run])
            taken: dict[Need, float] = {"memory": peak_memory[at], "walltime": ended.seconds[at]}
            for of, most in taken.items():
                while (above := self._too_small(tier, of, most, needs)) is not None:
                    tier = above
                    self._leave_more(run, of)
            self.tier[run] = tier
            self._climbed[run] = tier != self._cheapest[int(self._kind[run])]
        self._news += int(np.count_nonzero(self._climbed[ended.ids]))

    def _too_small(self, tier: int, of: Need, taken: float, needs: Resources) -> int | None:
        """Return the next tier where a run took more than this one has, None where it fits."""
        found = self.ladder[tier]
        limit = found.memory if of == "memory" else found.walltime
        return self.ladder.above(tier, of, needs) if limit is not None and taken > limit else None

    def climb(self, run: int, of: Need, tier: int | None = None) -> bool:
        """Move a run that had too little of something to the next tier that has more.

        Parameters
        ----------
        run
            Its id.
        of
            What was too little.
        tier
            Where, None for the tier where it belongs.

        Returns
        -------
        bool
            Whether there is one.
        """
        at = int(self.tier[run]) if tier is None else tier
        above = self.ladder.above(at, of, self.needs(run))
        if above is None:
            return False
        self._move_up(run, of, at, above)
        return True

    def is_above(self, run: int, of: Need, tier: int) -> bool:
        """Whether a run is by now to be run where there is more than it had on a tier."""
        there = int(self.tier[run])
        if there == tier or not self.ladder[there].has_more(of, self.ladder[tier]):
            return False
        self._move_up(run, of, tier, there)
        return True

    def _move_up(self, run: int, of: Need, before: int, after: int) -> None:
        self.tier[run] = after
        self._climbed[run] = True
        self._leave_more(run, of)
        self._news += 1
        least = self.ladder[before].walltime
        if of == "walltime" and least is not None:  # it took its job's time, and was not done
            self._know_seconds()
            self.seconds[run] = max(_AS_LONG * least, np.nan_to_num(self.seconds[run]))

    def _leave_more(self, run: int, of: Need) -> None:
        if of == "memory":
            self._alone[run] = self._has_alone = True

    def leave_alone(self, run: int, tier: int) -> bool:
        """Have a run again with nothing beside it, where it had too little memory with others.

        Parameters
        ----------
        run
            Its id.
        tier
            Where that was.

        Returns
        -------
        bool
            Whether it had the worker not to itself, and belongs there.
        """
        if self._alone[run] or self.tier[run] != tier or not self.ladder[tier].is_shared:
            return False
        if self.ladder[tier].places(self.needs(run)) == 1:
            return False
        self._alone[run] = self._climbed[run] = self._has_alone = True
        return True

    def _know_seconds(self) -> None:
        if not len(self.seconds):
            self.seconds = np.full(len(self.tier), np.nan, np.float32)

    def learn(
        self,
        ended: Timed,
        pending: Ids,
        catalogue: Catalogue,
        *,
        running: Timed | None = None,
    ) -> bool:
        """Place runs that were never tried where runs like them ended.

        Parameters
        ----------
        ended
            Runs of which it is known where they belong: that ended well, or have climbed.
        pending
            Runs that nobody has tried yet.
        catalogue
            Knows their labels.
        running
            Runs in progress, and for how long by now. Where that is longer than is expected of
            them, runs like them need not find out for themselves that they take long.

        Returns
        -------
        bool
            Whether a run moved, or is expected to take another time.
        """
        self._news = 0
        if not len(ended.ids) or not len(pending) or not self.names:
            return False
        chosen, weights = self._examples(ended.ids)
        features, is_number, encode = encoder(catalogue, self.names, ended.ids[chosen])
        before = self.tier[pending]
        tiers = self.tier[ended.ids[chosen]]
        votes = {
            int(tier): Tree(
                features,
                (tiers == tier).astype(float),
                is_number,
                weights=weights,
                least=LEAST_EXAMPLES,
            )
            for tier in np.unique(tiers)
            if len(np.unique(tiers)) > 1
        }
        are_alone = self._alone[ended.ids[chosen]]
        alone = None
        if are_alone.any():
            alone = Tree(
                features,
                are_alone.astype(float),
                is_number,
                weights=weights,
                least=LEAST_EXAMPLES,
            )
        known = ended.seconds[chosen]
        may_differ = len(self.seconds) > 0
        times = RunTimes.fit(known, features, is_number, weights, may_differ=may_differ)
        if times is not None and running is not None and len(running.ids):
            columns = encode(running.ids)
            is_late = running.seconds > times.mean(columns)
            if is_late.any():
                times = RunTimes.fit(
                    np.concatenate([known, _AS_LONG * running.seconds[is_late]]),
                    [
                        np.concatenate([each, more[is_late]])
                        for each, more in zip(features, columns, strict=True)
                    ],
                    is_number,
                    np.concatenate([weights, np.ones(np.count_nonzero(is_late))]),
                    may_differ=True,
                )
        if times is not None:
            self._know_seconds()
        for start in range(0, len(pending), _AT_A_TIME):
            part = pending[start : start + _AT_A_TIME]
            columns = encode(part)
            if votes:
                self._follow(part, {tier: tree.predict(columns) for tier, tree in votes.items()})
            if alone is not None:
                is_known = self._climbed[part]
                self._alone[part] = np.where(
                    is_known, self._alone[part], alone.predict(columns) > 0.5
                )
            if times is not None:
                self.seconds[part] = times.mean(columns)
                self._heed_time(part, times.most(columns))
        return times is not None or bool((self.tier[pending] != before).any())

    def _grow(self, n_runs: int, tier: int = 0) -> None:
        """Make room for more runs, which are of the first kind and begin on a tier."""
        more = n_runs - len(self.tier)
        if more > 0:
            self.tier = _lengthened(self.tier, n_runs)
            self._kind = _lengthened(self._kind, n_runs)
            self._climbed = _lengthened(self._climbed, n_runs)
            self._alone = _lengthened(self._alone, n_runs)
            if tier:
                self.tier[-more:] = tier
            if len(self.seconds):
                self.seconds = np.pad(self.seconds, (0, more), constant_values=np.nan)

    def _number(self, needs: Resources) -> int:
        if needs not in self._kinds:
            self._kinds.append(needs)
            self._cheapest.append(self.ladder.cheapest(needs))
        return self._kinds.index(needs)

    def _examples(self, ids: Ids) -> tuple[Ids, Floats]:
        """Choose runs to learn from: all that climbed, as far as possible, and some others."""
        weights = np.ones(len(ids))
        if len(ids) <= _MOST_EXAMPLES:
            return np.arange(len(ids)), weights
        rng = np.random.default_rng(len(ids))
        chosen = []
        for group in (self._climbed[ids], ~self._climbed[ids]):
            members = np.flatnonzero(group)
            some = rng.choice(members, min(len(members), _MOST_EXAMPLES // 2), replace=False)
            weights[some] = len(members) / max(1, len(some))
            chosen.append(some)
        rows = np.concatenate(chosen)
        return rows, weights[rows]

    def _follow(self, ids: Ids, votes: dict[int, Floats]) -> None:
        """Place runs where most of those like them ended, if that tier serves them."""
        tiers = np.array(list(votes))
        winner = tiers[np.argmax(np.stack([votes[int(tier)] for tier in tiers]), axis=0)]
        for kind in np.unique(self._kind[ids]).tolist():
            serves = [not tier.lacks(self._kinds[kind]) for tier in self.ladder.tiers]
            free = (self._kind[ids] == kind) & ~self._climbed[ids]
            ok = free & np.asarray(serves)[winner] & (winner >= self._cheapest[kind])
            self.tier[ids[ok]] = winner[ok]

    def _heed_time(self, ids: Ids, most: Floats) -> None:
        """Move up what may take longer than its tier's workers last: up to ``most`` seconds."""
        for at, tier in enumerate(self.ladder.tiers):
            if tier.walltime is None:
                continue
            for run in ids[(self.tier[ids] == at) & (most > tier.walltime)].tolist():
                above = self.ladder.above(at, "walltime", self.needs(run))
                if above is not None:
                    self.tier[run] = above


def _lengthened(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return an array with zeros behind it, which take no memory until something is written."""
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer
