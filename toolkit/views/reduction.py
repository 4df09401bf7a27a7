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

_FEW = 64
"""Cells of a block along a dim that are joined one after the other."""

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
    there = values == values
    with np.errstate(invalid="ignore"):
        if there.all():
            total = _over_blocks(np.add, values.astype(np.float64, copy=False), sizes)
            for axis, size in enumerate(sizes):
                n, shape = values.shape[axis], [1] * values.ndim
                shape[axis] = -1
                total = total / np.minimum(size, n - np.arange(0, n, size)).reshape(shape)
            return total
        count = _over_blocks(np.add, there.astype(np.float32), sizes)
        total = _over_blocks(np.add, _or_zero(values, there).astype(np.float64, copy=False), sizes)
        return total / count


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
    ranks = _over_blocks(np.maximum, ranks, sizes)
    found = np.array(_LEADS, np.float32)[ranks]
    found[found == Status.SKIPPED] = np.nan
    return found


def any_of(marked: Array, axes: tuple[int, ...], sizes: Sequence[int]) -> Array:
    """Return where any of several cells is marked; arguments as for :func:`leading_state`."""
    found: Array = np.asarray(marked.any(axis=axes))
    return _over_blocks(np.logical_or, found, sizes)


def bounds(values: Array) -> tuple[float, float] | None:
    """Return the least and the greatest finite value, None where there is none."""
    if not values.size:
        return None
    low, high = float(np.fmin.reduce(values, None)), float(np.fmax.reduce(values, None))
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _over_blocks(join: np.ufunc, values: Array, sizes: Sequence[int]) -> Array:
    """Return what joins the cells of each block; of few cells ten times faster than reduceat."""
    for axis, size in enumerate(sizes):
        if size == 1 or values.shape[axis] == 1:
            continue
        if size > _FEW:
            starts = np.arange(0, values.shape[axis], size)
            values = join.reduceat(values, starts, axis=axis)
            continue
        before = (slice(None),) * axis
        joined = values[(*before, slice(None, None, size))].copy()
        for first in range(1, min(size, values.shape[axis])):
            part = values[(*before, slice(first, None, size))]
            into = joined[(*before, slice(part.shape[axis]))]
            join(into, part, out=into)
        values = joined
    return values


def _or_zero(values: Array, there: Array) -> Array:
    """Return floats with zeros where nothing is there, without a branch for each."""
    bits = values.view(f"i{values.dtype.itemsize}")
    return np.asarray((bits * there).view(values.dtype))
