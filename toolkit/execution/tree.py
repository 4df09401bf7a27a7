"""A small regression tree: what runs needed, learned from those that ended.

Classification and regression trees are of Breiman, Friedman, Olshen and Stone (1984): the data is
cut in two where the sum of squared differences from the two means becomes the least, and again.
Parameters on which nothing depends are never cut, whatever their number, and beyond the last cut
of a number everything is as at the edge: a larger grid needs what the largest one needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_LEAST_GAIN = 1e-3  # of the whole sum of squares: a cut that explains less explains noise


@dataclass(frozen=True, kw_only=True)
class _Node:
    mean: float
    feature: int = -1  # -1: a leaf
    threshold: float = 0.0  # of a number: those at most this go left
    left_labels: frozenset[float] = frozenset()  # of a name: these go left
    left: "_Node | None" = None
    right: "_Node | None" = None


class Tree:
    """A fitted tree.

    Parameters
    ----------
    features
        One array of shape ``(n,)`` for each parameter: numbers, or codes of names. NaN counts as
        larger than all numbers.
    values
        What is to be predicted, shape ``(n,)``, n at least 1.
    is_number
        For each parameter whether its values have an order.
    weights
        How many runs each value stands for, shape ``(n,)``; None: one.
    depth
        At most so many cuts above one another.
    least
        No cut leaves a smaller sum of weights than this on one side.

    Examples
    --------
    >>> size = np.array([10.0, 20.0, 400.0, 500.0])
    >>> tree = Tree([size], np.array([1.0, 1.0, 2.0, 2.0]), [True])
    >>> tree.predict([np.array([15.0, 450.0, 9000.0])])
    array([1., 2., 2.])
    """

    def __init__(
        self,
        features: Sequence[Floats],
        values: Floats,
        is_number: Sequence[bool],
        *,
        weights: Floats | None = None,
        depth: int = 8,
        least: float = 1,
    ) -> None:
        self._is_number = tuple(is_number)
        self._least = least
        columns = [_without_nan(each) for each in features]
        values = np.asarray(values, np.float64)
        weights = np.ones(len(values)) if weights is None else weights
        mean = np.average(values, weights=weights)
        self._gain = max(_LEAST_GAIN * float((weights * (values - mean) ** 2).sum()), 1e-12)
        self._root = self._grow(columns, values, weights, depth)

    def predict(self, features: Sequence[Floats]) -> Floats:
        """Return the prediction for each of m points, shape ``(m,)``; arrays as for fitting."""
        columns = [_without_nan(each) for each in features]
        n = len(columns[0]) if columns else 1
        result = np.empty(n)
        waiting = [(self._root, np.arange(n))]
        while waiting:
            node, rows = waiting.pop()
            if node.left is None or node.right is None:
                result[rows] = node.mean
                continue
            goes_left = self._goes_left(node, columns[node.feature][rows])
            waiting += [(node.left, rows[goes_left]), (node.right, rows[~goes_left])]
        return result

    def _goes_left(self, node: _Node, column: Floats) -> Mask:
        if self._is_number[node.feature]:
            return column <= node.threshold
        return np.isin(column, list(node.left_labels))

    def _grow(self, columns: list[Floats], values: Floats, weights: Floats, depth: int) -> _Node:
        mean = float(np.average(values, weights=weights))
        best = max(
            (self._cut(at, column, values, weights) for at, column in enumerate(columns)),
            key=lambda cut: cut[0],
            default=None,
        )
        if depth == 0 or best is None or best[0] <= self._gain:
            return _Node(mean=mean)
        _, feature, threshold, labels = best
        node = _Node(mean=mean, feature=feature, threshold=threshold, left_labels=labels)
        goes_left = self._goes_left(node, columns[feature])
        left, right = (
            self._grow([each[rows] for each in columns], values[rows], weights[rows], depth - 1)
            for rows in (goes_left, ~goes_left)
        )
        return _Node(
            mean=mean,
            feature=feature,
            threshold=threshold,
            left_labels=labels,
            left=left,
            right=right,
        )

    def _cut(
        self, at: int, column: Floats, values: Floats, weights: Floats
    ) -> tuple[float, int, float, frozenset[float]]:
        """Return the best cut of one feature: gain, feature, threshold, labels on the left."""
        labels, codes = np.unique(column, return_inverse=True)
        if len(labels) < 2:
            return (0.0, at, 0.0, frozenset())
        counts = np.bincount(codes, weights)
        sums = np.bincount(codes, weights * values)
        order = np.arange(len(labels))
        if not self._is_number[at]:  # names, by their means: the best of all ways to part them
            order = np.argsort(sums / counts, kind="stable")
        n_left = np.cumsum(counts[order])[:-1]
        sum_left = np.cumsum(sums[order])[:-1]
        n, total = float(counts.sum()), float(sums.sum())
        n_right, sum_right = n - n_left, total - sum_left
        gains = sum_left**2 / n_left + sum_right**2 / n_right - total**2 / n
        gains[(n_left < self._least) | (n_right < self._least)] = 0.0
        best = int(np.argmax(gains))
        gain = float(gains[best])
        if self._is_number[at]:
            lower, upper = labels[best], labels[best + 1]
            middle = lower + (upper - lower) / 2 if np.isfinite(upper) else lower
            # Rounding must not carry the cut past a value that lies on its left.
            return (
                gain,
                at,
                float(max(lower, min(middle, np.nextafter(upper, lower)))),
                frozenset(),
            )
        return (gain, at, 0.0, frozenset(labels[order[: best + 1]].tolist()))


def _without_nan(column: Floats) -> Floats:
    return np.where(np.isnan(column), np.inf, np.asarray(column, np.float64))
