"""How long the rest of a sweep may take: many futures are drawn, and each is played."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FUTURES = 48
_PLAYED = 300  # of the runs that wait, those that decide the end; all others are as water
_POUR = 0.02  # of all others, at least, between two of these
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
    waste
        By what the seconds that places are held exceed those of runs that end well: 1 where
        nothing is lost.
    """

    waiting: Floats
    waiting_tier: Integers
    running: Floats
    running_tier: Integers
    elapsed: Floats
    places: Sequence[int]
    lends: Sequence[bool]
    waste: float = 1.0


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
    """

    expected: Floats
    residuals: Floats
    common: float
    longest: float = np.inf

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
    free, owner = _begun(rest, errors, common, rng, n)
    work = np.zeros((n, n_tiers))
    np.add.at(work.T, owner, free.T)
    for tier in reversed(range(n_tiers)):
        expected = rest.waiting[rest.waiting_tier == tier]
        if not len(expected):
            continue
        helped = owner == tier
        for above in range(tier + 1, n_tiers):
            if rest.lends[above]:
                helped |= owner == above
        levels, seconds = _played(free[:, helped], expected, errors, common * rest.waste, rng)
        free[:, helped] = levels
        work[:, tier] += seconds
    return free.max(axis=1), work


def _played(
    levels: Floats, expected: Floats, errors: Errors, factor: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Give runs to places in their order: the long ones one by one, between them all others."""
    n = len(levels)
    decisive = np.sort(np.argpartition(-expected, min(_PLAYED, len(expected)) - 1)[:_PLAYED])
    drawn = errors.draw(expected[decisive], n, rng) * factor
    is_short = np.ones(len(expected), bool)
    is_short[decisive] = False
    flow = np.cumsum(np.where(is_short, np.exp(expected), 0.0))
    short = expected[is_short]
    looked_at = short[:: max(1, len(short) // 1000)]
    scale = len(short) / max(1, len(looked_at))
    mean, deviation = errors.moments(looked_at)
    noise = rng.permutation(_normal_quantiles(n))
    water = np.maximum(0.0, mean * scale + np.sqrt(scale) * deviation * noise)[:, None] * factor
    levels, poured, rows = levels.copy(), 0.0, np.arange(n)
    for at, each in zip(decisive.tolist(), drawn.T, strict=True):
        until = float(flow[at] / flow[-1]) if flow[-1] else 0.0
        if until - poured > _POUR:
            levels = _pour(levels, water * (until - poured))
            poured = until
        levels[rows, levels.argmin(axis=1)] += each
    return _pour(levels, water * (1.0 - poured)), water[:, 0] + drawn.sum(axis=1)


def _begun(
    rest: Rest, errors: Errors, common: Floats, rng: np.random.Generator, n: int
) -> tuple[Floats, Integers]:
    """Return when each place is free, shape ``(n, n_places)``, and the tier of each."""
    left = lasting(errors, rest.running, rest.elapsed, n, rng, common) - rest.elapsed
    columns, owner = [], []
    for tier, places in enumerate(rest.places):
        here = left[:, rest.running_tier == tier]
        if (rest.waiting_tier == tier).any():
            places = max(1, places)
        idle = np.zeros((n, max(0, places - here.shape[1])))
        columns += [here, idle]
        owner += [tier] * (here.shape[1] + idle.shape[1])
    return np.concatenate([*columns, np.zeros((n, 0))], axis=1), np.asarray(owner, np.int64)


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
    return np.where(is_longer.any(axis=2), chosen, np.maximum(beyond, 1e-6))


def _pour(levels: Floats, water: Floats) -> Floats:
    """Fill places up to one level, as many short runs do; ``water`` of shape ``(n, 1)``."""
    ordered = np.sort(levels, axis=1)
    counts = np.arange(1, levels.shape[1] + 1)
    filled = (np.cumsum(ordered, axis=1) + water) / counts  # with that many places
    higher = np.concatenate([ordered[:, 1:], np.full((len(levels), 1), np.inf)], axis=1)
    at = np.argmax(filled <= higher, axis=1)
    return np.maximum(levels, filled[np.arange(len(levels)), at][:, None])


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
    >>> likeliest(np.array([1.0, 10.0, 11.0, 12.0, 13.0]), least=1.1, most=1.5)
    (9.5742..., 13.57...)
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
