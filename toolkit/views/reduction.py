"""Cells made fewer: means over dims and over blocks of neighbors, one state for many."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status

Array = npt.NDArray[Any]

_LEADS = (
    Status.SKIPPED,
    Status.PENDING,
    Status.STALE,
    Status.DONE,
    Status.BLOCKED,
    Status.FAILED,
)
"""Of several runs in one cell the last of these states is shown."""

_RANK = np.argsort(np.array(_LEADS)).astype(np.uint8)


def mean_over(values: Array, axes: tuple[int, ...]) -> Array:
    """Return the mean of what is there over some axes, NaN where nothing is."""
    if not axes:
        return values
    there = ~np.isnan(values)
    count = there.sum(axis=axes)
    with np.errstate(invalid="ignore"):
        total = np.where(there, values, 0).sum(axis=axes, dtype=np.float64)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def block_mean(values: Array, sizes: Sequence[int]) -> Array:
    """Return the mean of what is there in blocks of neighbors.

    Parameters
    ----------
    values
        Of as many dims as there are sizes.
    sizes
        Cells of a block along each dim; the last block may have fewer.

    Examples
    --------
    >>> block_mean(np.array([[1.0, 3.0, np.nan, np.nan, 5.0]]), (1, 2)).tolist()
    [[2.0, nan, 5.0]]
    """
    if all(size == 1 for size in sizes):
        return values
    missing = np.isnan(values)
    if not missing.any():
        return _mean_of_all(values, sizes)
    there = ~missing
    with np.errstate(invalid="ignore"):
        total = np.where(there, values, 0).astype(np.float64, copy=False)
        count = there.astype(np.float32)
        for axis, size in enumerate(sizes):
            if size > 1:
                starts = np.arange(0, values.shape[axis], size)
                total = np.add.reduceat(total, starts, axis=axis)
                count = np.add.reduceat(count, starts, axis=axis)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean_of_all(values: Array, sizes: Sequence[int]) -> Array:
    total: Array = values
    for axis, size in enumerate(sizes):
        if size > 1:
            starts = np.arange(0, values.shape[axis], size)
            total = np.add.reduceat(total, starts, axis=axis, dtype=np.float64)
            shape = [1] * values.ndim
            shape[axis] = -1
            total /= np.diff(starts, append=values.shape[axis]).reshape(shape)
    return total


def leading_state(status: Array, axes: tuple[int, ...], sizes: Sequence[int]) -> Array:
    """Return the state that stands for several runs: failed before blocked, done, stale, pending.

    Parameters
    ----------
    status
        As ``Status``.
    axes
        Over which to take one state for all.
    sizes
        Cells of a block along each dim that is left.
    """
    ranks = _RANK[status]
    if axes:
        ranks = ranks.max(axis=axes)
    for axis, size in enumerate(sizes):
        if size > 1:
            ranks = np.maximum.reduceat(ranks, np.arange(0, ranks.shape[axis], size), axis=axis)
    found = np.array(_LEADS, np.float32)[ranks]
    found[found == Status.SKIPPED] = np.nan
    return found


def any_of(marked: Array, axes: tuple[int, ...], sizes: Sequence[int]) -> Array:
    """Return where any of several cells is marked; arguments as for :func:`leading_state`."""
    found: Array = np.asarray(marked.any(axis=axes))
    for axis, size in enumerate(sizes):
        if size > 1 and found.shape[axis] > 1:
            found = np.logical_or.reduceat(found, np.arange(0, found.shape[axis], size), axis=axis)
    return found


def bounds(values: Array) -> tuple[float, float] | None:
    """Return the least and the greatest finite value, None where there is none."""
    if not values.size:
        return None
    low, high = float(np.fmin.reduce(values, None)), float(np.fmax.reduce(values, None))
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None
