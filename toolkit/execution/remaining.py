"""How long the rest of a sweep may take: many futures are drawn, and each is played."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FUTURES = 64
FORESEEN = 0.5  # standard deviation of errors, in the logarithm, below which runs are foreseen
_PLAYED = 300  # of the runs that wait, those that decide the end; all others are as water
_POUR = 0.02  # of all others, at least, between two of these
_SURPRISE = 0.5  # a run in progress goes on for longer than all but so much of what it may take
_ENOUGH = 4  # runs that went on for longer, to tell how long it will
_DRAWS = 24  # of a run in progress, of which those are kept that are longer than it is already


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What is left of one stage.

    Parameters
    ----------
    waiting
        Logarithm of the seconds expected of each run that waits, shape ``(n,)``, in the order in
        which they begin.
    waiting_tier
        Where each runs, shape ``(n,)``.
    running, running_tier
        The same of the runs in progress, shape ``(m,)``.
    elapsed
        Seconds that these have taken by now, shape ``(m,)``.
    places
        How many runs are done at once on each tier, the cheapest first.
    lends
        For each tier whether its idle workers take runs of cheaper ones.
    climbs, running_climbs
        With which probability each run has too little of something and climbs to the next tier,
        shapes ``(n,)`` and ``(m,)``.
    walltimes
        Seconds after which the workers of each tier end a run, infinite where nothing does.
    lost
        Which part of its seconds an attempt takes that fails so.
    to_come
        More places of each tier that are expected, and in how many seconds.
    """

    waiting: Floats
    waiting_tier: Integers
    running: Floats
    running_tier: Integers
    elapsed: Floats
    places: Sequence[int]
    lends: Sequence[bool]
    climbs: Floats
    running_climbs: Floats
    walltimes: Sequence[float]
    lost: float = 0.5
    to_come: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, kw_only=True)
class Errors:
    """By how much runs that ended missed what was expected of them.

    Parameters
    ----------
    expected
        Logarithm of the seconds that were expected, by a fit that had not seen them, shape
        ``(k,)``, ascending.
    residuals
        Logarithm of the seconds that they took, less that.
    common
        Standard deviation of the error that all have in common, in the logarithm.
    longest
        Seconds that no run is believed to exceed.
    ended
        Seconds of runs that ended, shape ``(m,)``, ascending.
    """

    expected: Floats
    residuals: Floats
    common: float
    longest: float = np.inf
    ended: Floats = field(default_factory=lambda: np.zeros(0))

    def draw(self, expected: Floats, n: int, rng: np.random.Generator) -> Floats:
        """Return seconds that runs may take, shape ``(n, len(expected))``.

        Each misses what is expected as one of those did of which about as much was expected.
        """
        rows = self._neighbors(expected, n, rng)
        return np.minimum(np.exp(expected + self.residuals[rows]), self.longest)

    def moments(self, expected: Floats) -> tuple[float, float]:
        """Return the mean and the standard deviation of the sum of the seconds of runs."""
        if not len(expected):
            return 0.0, 0.0
        drawn = self.draw(expected, _DRAWS, np.random.default_rng(0))
        mean = drawn.mean(axis=0)
        return float(mean.sum()), float(np.sqrt(drawn.var(axis=0).sum()))

    def _neighbors(self, expected: Floats, n: int, rng: np.random.Generator) -> Integers:
        k = len(self.residuals)
        width = min(k, max(12, k // 5))
        first = np.searchsorted(self.expected, expected) - width // 2
        first = np.clip(first, 0, k - width)
        return first + rng.integers(0, width, (n, len(expected)))


def futures(
    rest: Rest, errors: Errors, rng: np.random.Generator, n: int = FUTURES
) -> tuple[Floats, Floats]:
    """Return when all is done, in seconds from now, and the seconds that runs take, in n futures.

    In each the runs take times that they may take, and are handed to the first place that is
    free, as the queues do it.

    Parameters
    ----------
    rest
        What is left.
    errors
        How sure is what is expected.
    rng
        Draws the futures.
    n
        How many.

    Returns
    -------
    tuple
        The makespan, shape ``(n,)``, and the work, shape ``(n, len(rest.places))``.
    """
    common = np.exp(errors.common * rng.permutation(_normal_quantiles(n)))[:, None]
    n_tiers = len(rest.places)
    lanes = [_Lane.of(rest, tier, errors, common, rng, n) for tier in range(n_tiers)]
    free, owner, again = _begun(rest, errors, common, rng, n)
    for tier, lane in enumerate(lanes[:-1]):
        lanes[tier + 1] = lanes[tier + 1].after(lane, rest, tier, again)
    work = np.zeros((n, n_tiers))
    np.add.at(work.T, owner, free.T)
    columns, owners = [free], [owner]
    for tier, (more, at) in enumerate(rest.to_come):
        columns.append(np.full((n, more), at))
        owners.append(np.full(more, tier))
    free, owner = np.concatenate(columns, axis=1), np.concatenate(owners)
    ends = np.max(free[:, : len(owners[0])], axis=1, initial=0.0)
    for tier in reversed(range(n_tiers)):
        lane = lanes[tier]
        if not lane.is_empty:
            helped = owner == tier
            for above in range(tier + 1, n_tiers):
                if rest.lends[above]:
                    helped |= owner == above
            is_there = bool(helped.any())  # else one worker will come for what climbs
            room, last = lane.play(free[:, helped] if is_there else np.zeros((n, 1)))
            if is_there:
                free[:, helped] = room
            ends = np.maximum(ends, last)
            work[:, tier] += lane.held.sum(axis=1) + lane.water
    return ends, work


@dataclass(frozen=True, kw_only=True)
class _Lane:
    """What waits for a tier in n futures.

    Parameters
    ----------
    held
        For how long the long runs hold a place, in the order in which they begin, shape
        ``(n, k)``; 0 where they do not come here.
    takes, climbs
        The seconds that they take where they end well, and whether they climb instead, both of
        the same shape.
    water
        Seconds of all others, shape ``(n,)``.
    before
        Which part of these has begun before each of the long ones, shape ``(k,)``.
    rises
        Seconds of others that climb from here, shape ``(n,)``.
    """

    held: Floats
    takes: Floats
    climbs: NDArray[np.bool_]
    water: Floats
    before: Floats
    rises: Floats

    @classmethod
    def of(
        cls, rest: Rest, tier: int, errors: Errors, common: Floats, rng: np.random.Generator, n: int
    ) -> "_Lane":
        here = rest.waiting_tier == tier
        expected, chance = rest.waiting[here], rest.climbs[here]
        decides = np.zeros(len(expected), bool)
        if len(expected):
            most = min(_PLAYED, len(expected))
            decides[np.argpartition(-expected, most - 1)[:most]] = True
        takes = errors.draw(expected[decides], n, rng) * common
        is_top = tier == len(rest.places) - 1
        too_big = (rng.random(takes.shape) < chance[decides]) & (not is_top)
        too_long = (takes > rest.walltimes[tier]) & (not is_top)
        held = np.where(too_big, rest.lost * takes, takes)
        held = np.where(too_long, np.minimum(held, rest.walltimes[tier]), held)
        short = expected[~decides]
        some = slice(None, None, max(1, len(short) // 1000))
        scale = len(short) / max(1, len(short[some]))
        mean, deviation = errors.moments(short[some])
        noise = rng.permutation(_normal_quantiles(n))
        water = np.maximum(0.0, mean * scale + np.sqrt(scale) * deviation * noise) * common[:, 0]
        share = 0.0
        if len(short) and not is_top:
            share = float(np.average(chance[~decides], weights=np.exp(short)))
        flow = np.cumsum(np.where(decides, 0.0, np.exp(expected)))
        before = flow[decides] / flow[-1] if len(short) else np.zeros(held.shape[1])
        return cls(
            held=held,
            takes=takes,
            climbs=too_big | too_long,
            water=water * (1 - share * (1 - rest.lost)),
            before=before,
            rises=water * share,
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.held.any() and not self.water.any()

    def after(self, below: "_Lane", rest: Rest, tier: int, again: Floats) -> "_Lane":
        """Return this lane with what climbs from the one below, and from runs in progress."""
        climbers = np.where(below.climbs, below.takes, 0.0)
        some = climbers.any(axis=0)
        mine = again[:, rest.running_tier == tier]
        more = np.concatenate([mine[:, mine.any(axis=0)], climbers[:, some]], axis=1)
        return _Lane(
            held=np.concatenate([self.held, more], axis=1),
            takes=np.concatenate([self.takes, more], axis=1),
            climbs=np.concatenate([self.climbs, np.zeros(more.shape, bool)], axis=1),
            water=self.water + below.rises,
            before=np.concatenate([self.before, np.ones(more.shape[1])]),
            rises=self.rises,
        )

    def play(self, levels: Floats) -> tuple[Floats, Floats]:
        """Give all to places that are free at these times; return when they are free then.

        Long ones go one by one, in their order, to the place that is free first, and between them
        all others fill the places like water.
        """
        levels, poured, rows = levels.copy(), 0.0, np.arange(len(levels))
        last = np.zeros(len(levels))
        for until, held in zip(self.before.tolist(), self.held.T, strict=True):
            if until - poured > _POUR and self.water.any():
                levels = _pour(levels, self.water[:, None] * (until - poured))
                poured = until
            at = levels.argmin(axis=1)
            ended = levels[rows, at] + held
            levels[rows, at] = ended
            last = np.maximum(last, np.where(held > 0, ended, 0.0))
        if self.water.any():
            before = levels
            levels = _pour(levels, self.water[:, None] * (1.0 - poured))
            last = np.maximum(last, np.where(levels > before, levels, 0.0).max(axis=1))
        return levels, last


def _begun(
    rest: Rest, errors: Errors, common: Floats, rng: np.random.Generator, n: int
) -> tuple[Floats, Integers, Floats]:
    """Return when each place is free, shape ``(n, n_places)``, the tier of each, and what climbs.

    The last are seconds of runs in progress that are to be run again, 0 where they end well.
    """
    takes = lasting(errors, rest.running, rest.elapsed, n, rng, common)
    limits = np.asarray(rest.walltimes)[rest.running_tier]
    is_top = rest.running_tier == len(rest.places) - 1
    too_big = (rng.random(takes.shape) < rest.running_climbs) & ~is_top
    too_long = (takes > limits) & ~is_top
    again = np.where(too_big | too_long, takes, 0.0)
    left = np.where(too_long, np.minimum(takes, np.maximum(limits, rest.elapsed)), takes)
    left = left - rest.elapsed
    left = np.where(too_big, rest.lost * left, left)
    columns, owner = [], []
    for tier, places in enumerate(rest.places):
        here = left[:, rest.running_tier == tier]
        if not places and (rest.waiting_tier == tier).any():
            places = 1
        idle = np.zeros((n, max(0, places - here.shape[1])))
        columns += [here, idle]
        owner += [tier] * (here.shape[1] + idle.shape[1])
    free = np.concatenate([*columns, np.zeros((n, 0))], axis=1)
    return free, np.asarray(owner, np.int64), again


def lasting(
    errors: Errors,
    expected: Floats,
    elapsed: Floats,
    n: int,
    rng: np.random.Generator,
    factor: Floats | float = 1.0,
) -> Floats:
    """Return seconds that runs in progress may take in all, which have lasted so long already.

    Parameters
    ----------
    errors, expected
        As for :meth:`Errors.draw`.
    elapsed
        Seconds of each by now, shape ``(m,)``.
    n, rng
        How many draws.
    factor
        Multiplies what is expected, shape ``(n, 1)``.

    Returns
    -------
    array
        Shape ``(n, m)``.
    """
    candidates = errors.draw(np.repeat(expected, _DRAWS), n, rng)
    candidates = candidates.reshape(n, len(expected), _DRAWS) * np.reshape(factor, (-1, 1, 1))
    is_longer = candidates > elapsed[:, None]
    first = np.argmax(is_longer, axis=2)[:, :, None]
    chosen = np.take_along_axis(candidates, first, axis=2)[:, :, 0]
    # Nothing like it has ever lasted so long: what is left is about what has passed.
    beyond = elapsed / rng.uniform(0.5, 1.0, chosen.shape)
    found = np.where(is_longer.any(axis=2), chosen, np.maximum(beyond, 1e-6))
    if errors.residuals.std() <= FORESEEN:
        return found
    # What hardly anybody expected of it is told better by the runs that lasted as long.
    shares = is_longer.mean(axis=(0, 2))
    for at in np.flatnonzero(shares < _SURPRISE).tolist():
        longer = errors.ended[np.searchsorted(errors.ended, elapsed[at], side="right") :]
        if len(longer) >= _ENOUGH:
            found[:, at] = rng.choice(longer, n)
    return found


def _pour(levels: Floats, water: Floats) -> Floats:
    """Fill places up to one level, as many short runs do; ``water`` of shape ``(n, 1)``."""
    ordered = np.sort(levels, axis=1)
    counts = np.arange(1, levels.shape[1] + 1)
    filled = (np.cumsum(ordered, axis=1) + water) / counts  # with that many places
    higher = np.concatenate([ordered[:, 1:], np.full((len(levels), 1), np.inf)], axis=1)
    at = np.argmax(filled <= higher, axis=1)
    level: Floats = filled[np.arange(len(levels)), at][:, None]
    return np.maximum(levels, level)


def _normal_quantiles(n: int) -> Floats:
    """Return n numbers that are spread as a standard normal variable is."""
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf((at + 0.5) / n) for at in range(n)])


def likeliest(samples: Floats, *, least: float, most: float) -> tuple[float, float]:
    """Return the range that holds most of the samples, and is as narrow as that allows.

    Parameters
    ----------
    samples
        Positive, shape ``(n,)``.
    least, most
        Between these is the ratio of its ends.

    Examples
    --------
    >>> low, high = likeliest(np.array([1.0, 10.0, 11.0, 12.0, 13.0]), least=1.1, most=1.5)
    >>> round(low, 1), round(high, 1)
    (9.3, 14.0)
    """
    logs = np.sort(np.log(np.maximum(samples, 1e-9)))
    n = len(logs)
    n_in = int(np.ceil(0.9 * n))
    spans = logs[n_in - 1 :] - logs[: n - n_in + 1]
    at = int(np.argmin(spans))
    low, high = logs[at], logs[at + n_in - 1]
    if high - low > np.log(most):
        held = np.searchsorted(logs, logs + np.log(most), side="right") - np.arange(n)
        best = np.flatnonzero(held == held.max())
        at = int(best[len(best) // 2])
        low, high = logs[at], logs[at + held[at] - 1]
        more = (np.log(most) - (high - low)) / 2
    else:
        more = max(0.0, np.log(least) - (high - low)) / 2
    return float(np.exp(low - more)), float(np.exp(high + more))
