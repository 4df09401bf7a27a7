"""The study that is replayed: what each of its runs takes, and the ideal packing of them all."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES, CORES, NODE_MB = 4, 6, 2400
"""The cluster. A core's share of the memory is ``NODE_MB / CORES``: more memory counts as more
cores, for nobody else can use the cores that are left without any."""

SMALL_MB, LARGE_MB = 400, 800
"""Memory of a job of each tier, which takes one core."""

SMALL_MINUTES, LARGE_MINUTES = 1, 10
"""Walltime of a job of each tier."""

_TOO_LONG, _TOO_BIG = 0.03, 0.05
_SHORTEST, _LONGEST, _TOO_LONG_S = 0.1, 30.0, (80.0, 90.0)
_NOISE = 0.25


@dataclass(frozen=True, kw_only=True)
class Study:
    """Fits over parcellation, target, model and fold.

    Parameters
    ----------
    sizes
        Parcels of each parcellation.
    targets, models, folds
        How many there are.
    seconds, megabytes
        Of each run, shape ``(sizes, targets, models, folds)``.
    """

    sizes: tuple[int, ...]
    targets: int
    models: int
    folds: int
    seconds: Floats
    megabytes: Floats

    def __len__(self) -> int:
        return self.seconds.size

    @property
    def is_large(self) -> NDArray[np.bool_]:
        """Which runs a small job cannot hold, by number."""
        long = self.seconds.ravel() > 60 * SMALL_MINUTES
        return long | (self.megabytes.ravel() > SMALL_MB)

    @property
    def shares(self) -> NDArray[np.int64]:
        """How many cores' worth each run takes on the cheapest tier that holds it."""
        return np.where(self.is_large, share(LARGE_MB), share(SMALL_MB))

    @property
    def core_seconds(self) -> float:
        """What all runs take on the cheapest tiers that hold them, and nothing besides."""
        return float((self.seconds.ravel() * self.shares).sum())


def share(megabytes: float) -> int:
    """Return how many cores a job of one core is counted as, by its memory."""
    return max(1, -int(-megabytes * CORES // NODE_MB))


def study_of(points: int, *, speed: float = 1.0) -> Study:
    """Describe the study: the times of neighbors are alike, and fewer the longer.

    Parameters
    ----------
    points
        About so many; a multiple of 60.
    speed
        Divides all times. Above 1.5 none is too long for a small job.
    """
    sizes = tuple(int(size) for size in np.geomspace(10, 1000, max(1, round(points / 60))))
    shape = (len(sizes), 4, 5, 3)
    rng = np.random.default_rng(2)
    size, target, model, _ = np.indices(shape)
    grows = np.log10(np.asarray(sizes, float))[size] / 3
    slow = np.array([0.0, 0.25, 0.6, 1.0, 1.5])[model]
    time = 2.0 * grows + slow + 0.15 * target + _NOISE * rng.normal(size=shape)
    seconds = _seconds(_ranks(time)) / speed
    hungry = np.array([0.0, 0.8, 0.2, 1.2, 0.5])[model]
    memory = 3.0 * grows + hungry + 0.5 * _NOISE * rng.normal(size=shape)
    memory[_ranks(time) >= 1 - _TOO_LONG] = -np.inf  # too big or too long, and not both
    rank = _ranks(memory)
    megabytes = np.where(
        rank >= 1 - _TOO_BIG, 430 + 90 * (rank - 1 + _TOO_BIG) / _TOO_BIG, 10 + 50 * rank
    )
    return Study(sizes=sizes, targets=4, models=5, folds=3, seconds=seconds, megabytes=megabytes)


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value, from 0 to below 1."""
    ranks = np.empty(values.size)
    ranks[np.argsort(values, axis=None, kind="stable")] = np.arange(values.size) / values.size
    return ranks.reshape(values.shape)


def _seconds(rank: Floats) -> Floats:
    most = 1 - _TOO_LONG
    common = _SHORTEST * (_LONGEST / _SHORTEST) ** ((rank / most) ** 3)
    low, high = _TOO_LONG_S
    return np.where(rank >= most, low + (high - low) * (rank - most) / _TOO_LONG, common)


def ideal_seconds(study: Study) -> float:
    """Return how long all takes where everything is known and nothing has to start.

    The longest run first, each on the node that has room for it the earliest.
    """
    free = [CORES] * NODES
    ends: list[tuple[float, int, int]] = []
    now = 0.0
    shares = study.shares
    for number in np.argsort(-study.seconds, axis=None, kind="stable").tolist():
        wanted = int(shares[number])
        while max(free) < wanted:
            now, node, given_back = heapq.heappop(ends)
            free[node] += given_back
        node = max(range(NODES), key=lambda each: free[each])
        free[node] -= wanted
        heapq.heappush(ends, (now + float(study.seconds.flat[number]), node, wanted))
    return max(end for end, _, _ in ends)
