"""The order in which runs are handed out."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import SweepError

Order = Literal["random", "coarse", "given"]
Ids = NDArray[np.int64]


def check_order(order: str) -> Order:
    """Return the order, or raise a SweepError that lists the valid ones."""
    if order not in get_args(Order):
        raise SweepError(
            f"order={order!r} is not an order of runs. Choose one of "
            f"{', '.join(map(repr, get_args(Order)))}."
        )
    return order  # type: ignore[return-value]


def arrange(
    ids: Ids, order: Order, positions: Sequence[Ids], *, seed: int = 0, groups: Ids | None = None
) -> Ids:
    """Return the run ids in the order in which to run them.

    Parameters
    ----------
    ids
        Run ids in the order of the space, shape ``(n,)``.
    order
        ``"random"``; ``"coarse"``: a grid of a few cells first, then each finer one, so that a
        map is readable early; ``"given"``: as the space lists them.
    positions
        Position of each run along each dim, one array of shape ``(n,)`` a dim; -1 where the dim
        does not matter. Only ``"coarse"`` looks at them.
    seed
        Of the shuffle. It changes no result, only the order.
    groups
        Only ``"random"`` looks at it: the number of the group of each run, shape ``(n,)``. Runs of
        a group follow each other, shuffled among themselves; None shuffles all as one.

    Examples
    --------
    >>> sorted(arrange(np.arange(5), "coarse", [np.arange(5)]).tolist()[:2])
    [0, 4]
    """
    if order == "given" or len(ids) < 2:
        return ids
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    if order == "random":
        if groups is not None:
            place = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
            shuffled = shuffled[np.argsort(place[groups[shuffled]], kind="stable")]
        return ids[shuffled]
    levels = np.zeros(len(ids), np.int16)
    for along in positions:
        np.maximum(levels, _level(along), out=levels)
    return ids[shuffled[np.argsort(levels[shuffled], kind="stable")]]


def _level(position: Ids) -> NDArray[np.int16]:
    """0 for positions on the coarsest grid, one more for each halving of its step."""
    size = int(position.max(initial=0)) + 1
    along = np.arange(size)
    trailing = np.full(size, 62, np.int16)
    nonzero = along > 0
    trailing[nonzero] = np.log2(along[nonzero] & -along[nonzero]).astype(np.int16)
    top = max(0, (size - 1).bit_length() - 1)
    level = np.maximum(top - trailing, 0).astype(np.int16)
    level[-1] = 0
    return level[np.maximum(position, 0)]
