"""Sets of positions along dims, and boxes made of them: intersection, difference, location.

A position set is a ``range`` of step 1 or an int64 array without duplicates; a box is one set
for each dim and stands for their product. Nothing here grows with the number of cells.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Positions = range | Ints
Box = tuple[Positions, ...]

INACTIVE_POSITION = -1


def compact(positions: npt.ArrayLike | range) -> Positions:
    """Return a range where the positions count up by one, else an int64 array.

    Examples
    --------
    >>> compact([2, 3, 4])
    range(2, 5)
    """
    if isinstance(positions, range):
        return positions
    array = np.asarray(positions, dtype=np.int64)
    if len(array) == 0:
        return range(0)
    first, last = int(array[0]), int(array[-1])
    if last - first == len(array) - 1 and (len(array) < 3 or bool((np.diff(array) == 1).all())):
        return range(first, last + 1)
    return array


def as_array(positions: Positions) -> Ints:
    """Return the positions as an int64 array."""
    if isinstance(positions, range):
        return np.arange(positions.start, positions.stop, dtype=np.int64)
    return positions


def take(positions: Positions, indices: Ints) -> Ints:
    """Return the positions at these indices."""
    if isinstance(positions, range):
        return indices + positions.start if positions.start else indices
    return positions[indices]


def locate(positions: Positions, wanted: Positions) -> Ints:
    """Return the index of each wanted position in the set, -1 where it is not in it."""
    sought = as_array(wanted)
    if isinstance(positions, range):
        indices = sought - positions.start
        indices[(sought < positions.start) | (sought >= positions.stop)] = -1
        return indices
    rising = bool((np.diff(positions) > 0).all())
    order = None if rising else np.argsort(positions, kind="stable")
    ordered = positions if order is None else positions[order]
    found = np.searchsorted(ordered, sought)
    found[found == len(ordered)] = 0
    indices = found if order is None else order[found]
    return np.where(ordered[found] == sought, indices, -1)


def intersect(one: Positions, other: Positions) -> Positions:
    """Return what both sets hold, ascending."""
    if isinstance(one, range) and isinstance(other, range):
        start, stop = max(one.start, other.start), min(one.stop, other.stop)
        return range(start, max(start, stop))
    return compact(np.intersect1d(as_array(one), as_array(other), assume_unique=True))


def subtract(one: Positions, other: Positions) -> Positions:
    """Return what the first set holds and the other lacks, ascending."""
    if isinstance(one, range) and isinstance(other, range):
        if other.start <= one.start:
            start = max(one.start, min(other.stop, one.stop)) if len(other) else one.start
            return range(start, one.stop)
        if other.stop >= one.stop and len(other):
            return range(one.start, min(one.stop, other.start))
    return compact(np.setdiff1d(as_array(one), as_array(other), assume_unique=True))


def subtract_box(box: Box, other: Box) -> list[Box]:
    """Return boxes that share no cell and hold what ``box`` holds and ``other`` lacks.

    Never more than one box for each dim.

    Examples
    --------
    >>> subtract_box((range(3), range(3)), (range(2), range(2)))
    [(range(2, 3), range(0, 3)), (range(0, 2), range(2, 3))]
    """
    common = []
    for mine, its in zip(box, other, strict=True):
        both = intersect(mine, its)
        if len(both) == 0:
            return [box]
        common.append(both)
    pieces: list[Box] = []
    for dim, both in enumerate(common):
        rest = subtract(box[dim], both)
        if len(rest):
            pieces.append((*common[:dim], rest, *box[dim + 1 :]))
    return pieces


def shape_of(box: Sequence[Positions]) -> tuple[int, ...]:
    """Return how many positions the box has along each dim."""
    return tuple(len(positions) for positions in box)


def n_cells(box: Sequence[Positions]) -> int:
    """Return how many cells the box holds (a Python int: it may be astronomically large)."""
    return math.prod(shape_of(box))


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Return how far apart neighbours along each dim are, in cells of C order."""
    strides = [1] * len(shape)
    for dim in range(len(shape) - 2, -1, -1):
        strides[dim] = strides[dim + 1] * shape[dim + 1]
    return tuple(strides)


def outer_sum(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the sums of one number from each part, shape ``(len(part), …)``."""
    total = np.zeros((1,) * len(parts), dtype=np.int64)
    for dim, part in enumerate(parts):
        total = total + part.reshape((-1,) + (1,) * (len(parts) - dim - 1))
    return total
