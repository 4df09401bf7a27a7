"""When a sweep will be done and what it will have cost, as a range that is told honestly."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.tiers import Ladder
from toolkit.execution.expecting import Expecting
from toolkit.execution.remaining import FORESEEN, Rest, futures, lasting, likeliest
from toolkit.execution.tree import Tree

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_RUNS, LEAST_SHARE = 10, 0.05
_WIDE, _NARROW = 3.0, 1.5
_MOST_LOOKS, _LEAST_SECONDS = 64, 0.5
_LEAST_TIMED = 2
_MOST_EXAMPLES = 1024
_NEWS = 1.1  # times as many runs as were known before are worth a new fit
_LEAST_RATIO = 1.28  # of the ends, however sure a fit is of itself
_SINCE = 0.6  # of the time since the first look: then the end was expected otherwise
_MOST_MOVED = 1.5  # seconds in a second
_PAUSED = 30.0  # seconds without a look: a sweep that goes on is looked at every ten
_TRUSTED = 0.3  # of what the end has moved, at most
_LONGER = 1.1  # times the longest seen no run is believed to exceed


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is expected of the rest of a sweep.

    Attributes
    ----------
    low, high
        Seconds until nothing is pending: between these, most likely.
    core_hours, gpu_hours
        What runs still hold: threads and GPUs, multiplied by the hours they hold them.
    """

    low: float
    high: float
    core_hours: float
    gpu_hours: float

    @property
    def middle(self) -> float:
        """The seconds in the middle of the range, on a scale of ratios."""
        return math.sqrt(self.low * self.high)

    def after(self, share: float) -> "Outlook":
        """Return it when a share of the time has passed."""
        return Outlook(
            **{each.name: getattr(self, each.name) * (1 - share) for each in fields(self)}
        )


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the engine knows of a stage at one moment.

    Attributes
    ----------
    at
        Seconds of a clock that never goes back.
    pending, done
        Ids of runs without an outcome, and of those that ended well.
    seconds
        That each run took, by id.
    tier
        Where each run belongs, by id; None where there is one tier.
    began
        When the runs in progress began, by id.
    places
        How many runs are done at once on each tier.
    ladder
        The tiers.
    expected
        Seconds by which the queues put runs in order, by id; empty where they do not.
    climbed
        Which runs had too little of something where they began, by id.
    spent, useful
        Seconds that places were held by now in this session, and those of runs that ended well.
    features
        Returns the labels of runs as numbers, and which of them have an order.
    is_longest_first
        Whether long runs are handed out first where the end is near.
    threads, gpus
        That a run holds; GPUs on each tier.
    """

    at: float
    pending: Ids
    done: Ids
    seconds: NDArray[np.float32]
    tier: NDArray[np.uint8] | None
    began: Mapping[int, float]
    places: Sequence[int]
    ladder: Ladder
    spent: float
    useful: float
    features: Callable[[Ids], tuple[list[Floats], list[bool]]]
    expected: NDArray[np.float32]
    climbed: NDArray[np.bool_]
    is_longest_first: bool = True
    threads: int = 1
    gpus: Sequence[float] = ()


class Forecaster:
    """Looks ahead from what is known, again and again; keeps what was fitted meanwhile."""

    def __init__(self) -> None:
        self._fit: Expecting | None = None
        self._n_fitted, self._fitted_at = 0, 0.0
        self._climbing: Tree | None = None
        self._since: float | None = None
        self._ends: list[tuple[float, float]] = []  # when it was looked, and what end was expected

    def look(self, known: Known) -> Outlook | None:
        """Return the outlook, None while nothing honest can be said."""
        n_done, n_pending = len(known.done), len(known.pending)
        if not n_pending or not sum(known.places):
            return None
        if n_done < LEAST_RUNS and (n_done < 2 or n_done < LEAST_SHARE * (n_done + n_pending)):
            return None
        fit = self._fitted(known)
        if fit is None:
            return None
        is_running = np.isin(known.pending, np.fromiter(known.began, np.int64, len(known.began)))
        waiting, running = known.pending[~is_running], known.pending[is_running]
        tier = np.zeros(0) if known.tier is None else known.tier

        def tiers_of(ids: Ids) -> NDArray[np.int64]:
            return tier[ids].astype(np.int64) if len(tier) else np.zeros(len(ids), np.int64)

        rng = np.random.default_rng(0)
        rng.shuffle(waiting)
        if known.is_longest_first and len(known.expected):
            waiting = waiting[np.argsort(-np.nan_to_num(known.expected[waiting]), kind="stable")]
        elapsed = known.at - np.array([known.began[run] for run in running.tolist()])
        ladder = known.ladder
        rest = Rest(
            waiting=self._logs(known, fit, waiting),
            waiting_tier=tiers_of(waiting),
            running=self._logs(known, fit, running),
            running_tier=tiers_of(running),
            elapsed=np.maximum(elapsed, 0.0),
            places=known.places,
            lends=[
                at > 0 and not each.gpus and each.covers(ladder[0])
                for at, each in enumerate(ladder.tiers)
            ],
            climbs=self._chances(known, waiting),
            running_climbs=self._chances(known, running),
            walltimes=[np.inf if each.walltime is None else each.walltime for each in ladder.tiers],
            lost=self._lost(known, fit),
            to_come=self._to_come(known, fit, waiting, running),
        )
        ends, work = futures(rest, fit.errors, rng)
        done = float(np.nansum(known.seconds[known.done], dtype=float))
        left = work.mean(axis=0)
        share = done / max(done + left.sum(), 1e-9)
        most = cap(share)
        least = min(most, _LEAST_RATIO * math.exp(2 * float(fit.errors.residuals.std())))
        low, high = likeliest(ends, least=least, most=most)
        slip = self._slip(known.at, math.sqrt(low * high), float(fit.errors.residuals.std()))
        low, high = slip * low, slip * high
        cores = float(left.sum()) * known.threads / 3600
        gpus = float(sum(np.multiply(left, known.gpus or 0.0)))
        return Outlook(low=low, high=high, core_hours=cores, gpu_hours=gpus / 3600)

    def _slip(self, at: float, middle: float, deviation: float) -> float:
        """Return by what the rest is multiplied, for the end has moved away since earlier looks.

        Where runs take what nobody can foresee, the longest of them are met by surprise: what has
        kept the end moving will go on to do so. Where they are foreseen well, it is left alone.

        Parameters
        ----------
        at
            Seconds of a clock.
        middle
            Of the range, in seconds from then.
        deviation
            Standard deviation of the errors, in the logarithm of the seconds.
        """
        if self._ends and at - self._ends[-1][0] > _PAUSED:
            self._ends.clear()
        self._ends.append((at, at + middle))
        if len(self._ends) > _MOST_LOOKS:
            self._ends = [self._ends[0], *self._ends[2::2]]
        since = at - _SINCE * (at - self._ends[0][0])
        before, then = next(each for each in reversed(self._ends) if each[0] <= since)
        if before >= at:
            return 1.0
        moved = min(max((at + middle - then) / (at - before), 0.0), _MOST_MOVED)
        return 1 + moved * min(max(deviation - FORESEEN, 0.0), _TRUSTED)

    def forget(self) -> None:
        """Fit anew at the next look: features are encoded in another way."""
        self._fit = None

    def _fitted(self, known: Known) -> Expecting | None:
        """Return a fit to the runs that ended, and to those that are in progress."""
        n_done = len(known.done)
        self._since = known.at if self._since is None else self._since
        is_old = known.at - self._fitted_at > 2 + (known.at - self._since) / 10
        if self._fit is not None and n_done < _NEWS * self._n_fitted and not is_old:
            return self._fit
        ids = known.done
        ids = ids[known.seconds[ids] > 0]
        if len(ids) > _MOST_EXAMPLES:
            ids = np.random.default_rng(0).choice(ids, _MOST_EXAMPLES, replace=False)
        if len(ids) < _LEAST_TIMED:
            return None
        took = known.seconds[ids].astype(float)
        if self._fit is None:
            features, is_number = known.features(ids)
            self._fit = Expecting.fit(took, features, is_number, _LONGER * took.max())
        running = np.fromiter(known.began, np.int64, len(known.began))
        elapsed = known.at - np.fromiter(known.began.values(), float, len(running))
        rng = np.random.default_rng(len(ids))
        more = lasting(self._fit.errors, self._logs(known, self._fit, running), elapsed, 1, rng)[0]
        features, is_number = known.features(np.concatenate([ids, running]))
        left = len(known.pending) / (n_done + len(known.pending))
        bound, latest = float(took.max()), float(elapsed.max(initial=0.0))
        if latest > bound:  # longer than any that has ended: nobody knows how long such runs take
            bound = (1 + left) * latest
        longest = _LONGER * bound
        more = np.minimum(more, longest)
        self._fit = Expecting.fit(
            np.concatenate([took, more]), features, is_number, longest, ended=took
        )
        self._n_fitted, self._fitted_at = n_done, known.at
        self._climbing = None
        if known.climbed.any():
            ids = np.union1d(ids, np.flatnonzero(known.climbed))
            features, is_number = known.features(ids)
            moved = known.climbed[ids].astype(float)
            self._climbing = Tree(features, moved, is_number, least=4.0, depth=5)
        return self._fit

    def _logs(self, known: Known, fit: Expecting, ids: Ids) -> Floats:
        features, _ = known.features(ids)
        return fit.logs(features, len(ids)) if len(ids) else np.zeros(0)

    def _chances(self, known: Known, ids: Ids) -> Floats:
        """Return with which probability runs climb from where they are, by runs like them."""
        if self._climbing is None or not len(ids):
            return np.zeros(len(ids))
        features, _ = known.features(ids)
        found = np.clip(self._climbing.predict(features), 0.0, 1.0)
        return np.where(known.climbed[ids], 0.0, found)

    def _lost(self, known: Known, fit: Expecting) -> float:
        """Return which part of its seconds an attempt takes that ends with its worker."""
        climbed = np.flatnonzero(known.climbed)
        if not len(climbed):
            return 0.5
        expected = float(np.exp(self._logs(known, fit, climbed)).sum())
        return float(np.clip((known.spent - known.useful) / max(expected, 1e-9), 0.05, 1.0))

    def _to_come(
        self, known: Known, fit: Expecting, waiting: Ids, running: Ids
    ) -> list[tuple[int, float]]:
        """Return how many more places each tier will have, once those of the first are not needed.

        The machine that holds the workers of a tier has room for fewer of a larger one.
        """
        none = [(0, 0.0)] * len(known.places)
        if len(known.places) == 1 or known.tier is None:
            return none
        first = known.ladder[0]
        work = np.exp(self._logs(known, fit, waiting[known.tier[waiting] == 0])).sum()
        work += np.exp(self._logs(known, fit, running[known.tier[running] == 0])).sum() / 2
        at = float(work) / max(1, known.places[0]) + first.idle
        found = none
        for number, tier in enumerate(known.ladder.tiers[1:], 1):
            wanted = int((known.tier[known.pending] == number).sum())
            most = np.inf if tier.maximum is None else tier.maximum * tier.threads
            size = 1.0
            if tier.memory and first.memory:
                size = max(1.0, tier.memory / first.memory)
            more = min(wanted, most) - known.places[number]
            found[number] = (max(0, int(min(more, known.places[0] / size))), at)
        return found


class Rates:
    """Looks ahead where runs are alike, and many: by how many end in a second."""

    def __init__(self) -> None:
        self._past: list[tuple[float, int]] = []

    def look(
        self, at: float, *, ended: int, pending: int, seconds: float, threads: int, gpus: float
    ) -> Outlook | None:
        """Return the outlook, None before two looks that lie a second apart.

        Parameters
        ----------
        at
            Seconds of a clock that never goes back.
        ended, pending
            How many runs.
        seconds
            Of a run.
        threads, gpus
            That a run holds.
        """
        self._past.append((at, ended))
        if len(self._past) > _MOST_LOOKS:
            self._past = self._past[::2]
        since, before = self._past[0]
        done = ended - before
        if pending == 0 or done < max(LEAST_RUNS, 1) or at - since < _LEAST_SECONDS:
            return None
        middle = since + (at - since) / 2
        earlier, had = next(each for each in reversed(self._past) if each[0] <= middle)
        rates = [done / (at - since)]
        if ended > had:
            rates.append((ended - had) / (at - earlier))
        latest = pending / rates[-1]
        spread = max(_LEAST_RATIO, max(rates) / min(rates))
        ratio = min(spread, cap(ended / (ended + pending)))
        hours = pending * seconds / 3600
        return Outlook(
            low=latest / math.sqrt(ratio),
            high=latest * math.sqrt(ratio),
            core_hours=hours * threads,
            gpu_hours=hours * gpus,
        )


def cap(share: float) -> float:
    """Return by how much the upper end may exceed the lower, when a share of the work is done.

    Examples
    --------
    >>> cap(0.1), cap(0.5)
    (3.0, 1.5)
    """
    if share < 0.1:
        return _WIDE * math.sqrt(0.1 / max(share, 0.02))
    at = min(1.0, (share - 0.1) / 0.35)
    return _WIDE * math.pow(_NARROW / _WIDE, at)
