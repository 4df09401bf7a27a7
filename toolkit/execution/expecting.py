"""What runs are expected to take, and how wrong that was of those that ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.remaining import Errors
from toolkit.execution.tree import Tree

Floats = NDArray[np.float64]

PARTS = 5
_LEAST = 4.0
_DEPTH = 5
_RIDGE = 1.0
_MOST_NAMES = 30


class Trend:
    """A sum of one straight line for each number and one step for each name, by ridge regression.

    Run times grow with sizes without end, which no tree knows. Where numbers are positive and
    spread over magnitudes, it is their logarithm that counts.

    Parameters
    ----------
    features, values, is_number
        As for :class:`Tree`.
    """

    def __init__(
        self, features: Sequence[Floats], values: Floats, is_number: Sequence[bool]
    ) -> None:
        self._scales = [_scale_of(*each) for each in zip(features, is_number, strict=True)]
        columns = self._columns(features, len(values))
        self._mean = float(values.mean())
        penalty = _RIDGE * np.eye(columns.shape[1])
        self._slopes = np.linalg.solve(
            columns.T @ columns + penalty, columns.T @ (values - self._mean)
        )

    def predict(self, features: Sequence[Floats], n: int) -> Floats:
        """Return the prediction for each of n points, shape ``(n,)``."""
        found: Floats = self._mean + self._columns(features, n) @ self._slopes
        return found

    def _columns(self, features: Sequence[Floats], n: int) -> Floats:
        columns = [
            column
            for scale, each in zip(self._scales, features, strict=True)
            for column in scale.columns(each)
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


@dataclass(frozen=True, kw_only=True)
class _Scale:
    names: tuple[float, ...] = ()
    is_log: bool = False
    low: float = 0.0
    high: float = 0.0
    center: float = 0.0
    spread: float = 1.0

    def columns(self, values: Floats) -> list[Floats]:
        if self.names:
            return [(values == name).astype(float) for name in self.names]
        if not self.high > self.low:
            return []
        held = np.clip(np.nan_to_num(values, nan=self.low), self.low, self.high)
        held = np.log(held) if self.is_log else held
        return [(held - self.center) / self.spread]


def _scale_of(values: Floats, is_number: bool) -> _Scale:
    known = values[np.isfinite(values)]
    if not is_number:
        names = np.unique(known)
        return _Scale(names=tuple(names.tolist())) if len(names) <= _MOST_NAMES else _Scale()
    if not len(known):
        return _Scale()
    low, high = float(known.min()), float(known.max())
    is_log = low > 0 and high >= 10 * low
    held = np.log(known) if is_log else known
    return _Scale(
        is_log=is_log,
        low=low,
        high=high,
        center=float(held.mean()),
        spread=float(held.std()) or 1.0,
    )


class Model:
    """A trend, and a tree of what it leaves."""

    def __init__(
        self,
        features: Sequence[Floats],
        values: Floats,
        is_number: Sequence[bool],
    ) -> None:
        self._trend = Trend(features, values, is_number)
        left = values - self._trend.predict(features, len(values))
        self._tree = Tree(features, left, is_number, least=_LEAST, depth=_DEPTH)

    def predict(self, features: Sequence[Floats], n: int) -> Floats:
        """Return the prediction for each of n points, shape ``(n,)``."""
        found = self._tree.predict(features) if features else np.full(n, self._tree.predict([])[0])
        return found + self._trend.predict(features, n)


@dataclass(frozen=True, kw_only=True)
class Expecting:
    """A fit of the logarithm of the seconds, and its errors on runs that it has not seen."""

    models: Sequence[Model]
    errors: Errors

    @classmethod
    def fit(
        cls,
        seconds: Floats,
        features: Sequence[Floats],
        is_number: Sequence[bool],
        longest: float = np.inf,
        ended: Floats | None = None,
    ) -> "Expecting":
        """Return a fit.

        Parameters
        ----------
        seconds
            Of runs that ended, shape ``(k,)``, positive.
        features, is_number
            As for :class:`Tree`.
        longest
            As for :class:`~toolkit.execution.remaining.Errors`.
        ended
            Those of the seconds that were measured; None: all.
        """
        logs = np.log(seconds)
        part = np.random.default_rng(len(logs)).permutation(len(logs)) % PARTS
        models, expected = [], np.empty(len(logs))
        for at in range(PARTS):
            rows = part != at
            model = Model([each[rows] for each in features], logs[rows], is_number)
            expected[~rows] = model.predict([each[~rows] for each in features], (~rows).sum())
            models.append(model)
        order = np.argsort(expected, kind="stable")
        residuals = logs - expected
        sums = [
            (seconds[part == at].sum(), np.exp(expected[part == at]).sum()) for at in range(PARTS)
        ]
        ratios = np.array([np.log(took / said) for took, said in sums if took > 0])
        common = float(ratios.std(ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else 0.3
        return cls(
            models=models,
            errors=Errors(
                expected=expected[order],
                residuals=residuals[order],
                common=float(np.clip(common, 0.03, 0.5)),
                longest=longest,
                ended=np.sort(seconds if ended is None else ended),
            ),
        )

    def logs(self, features: Sequence[Floats], n: int) -> Floats:
        """Return the logarithm of the seconds expected of n runs, shape ``(n,)``."""
        found: Floats = np.mean([each.predict(features, n) for each in self.models], axis=0)
        return found
