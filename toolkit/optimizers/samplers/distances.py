"""How far simulated data are from those that were observed."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats, Ids

_MAD = 1.4826  # of the median absolute deviation, to be a standard deviation of normal numbers


class Simulations:
    """Keeps what simulations returned, by the number of the evaluation, and compares it.

    Parameters
    ----------
    observed
        By output, a number or an array; None where simulations return the distance themselves.
    distance
        Called with what one simulation returned and with ``observed``, each a dict of arrays;
        None: the root of the mean squared difference, each number divided by how much it varies
        over the prior, which is known once a first generation was simulated.
    """

    def __init__(
        self,
        observed: Mapping[str, Any] | None,
        distance: Callable[[Mapping[str, Any], Mapping[str, Any]], float] | None,
    ) -> None:
        self._observed = (
            None
            if observed is None
            else {name: np.asarray(value, np.float64) for name, value in observed.items()}
        )
        self._distance = distance
        self._kept: dict[int, Floats] = {}
        self.scale: Floats | None = None

    def read(self, evaluations: Ids, outputs: Mapping[str, object]) -> Floats:
        """Keep the outputs of some simulations; return a value of each, NaN where one has none.

        The value is the distance where it needs no scale, else the difference without one.

        Raises
        ------
        SweepError
            If outputs are not those that were observed, or are no numbers.
        """
        if self._observed is None:
            return _distances_returned(outputs)
        parts = []
        for name, wanted in self._observed.items():
            if name not in outputs:
                listed = ", ".join(map(repr, outputs)) or "none"
                raise SweepError(f"observed= has {name!r}, and the simulator returns {listed}.")
            parts.append(_flat(name, outputs[name], wanted, len(evaluations)))
        if self._distance is not None:
            return self._called(parts)
        rows = np.concatenate(parts, axis=1)
        self._kept |= zip(evaluations.tolist(), rows, strict=True)
        return _root_mean_square(rows - self._target())

    def distances(self, first: int, values: Floats) -> Floats:
        """Return the distance of some evaluations in a row, shape ``(n,)``; inf where one failed.

        Parameters
        ----------
        first
            Number of the first of them.
        values
            What :meth:`read` returned for them.
        """
        if self._observed is None or self._distance is not None:
            return np.where(np.isfinite(values), values, np.inf)
        target = self._target()
        missing = np.full(len(target), np.nan)
        numbers = range(first, first + len(values))
        rows = np.array([self._kept.get(number, missing) for number in numbers])
        rows[~np.isfinite(values)] = np.nan
        if self.scale is None:
            self.scale = _spread(rows)
        found = _root_mean_square((rows - target) / self.scale)
        return np.where(np.isfinite(found), found, np.inf)

    def _target(self) -> Floats:
        assert self._observed is not None
        return np.concatenate([value.ravel() for value in self._observed.values()])

    def _called(self, parts: list[Floats]) -> Floats:
        assert self._observed is not None
        assert self._distance is not None
        names, found = list(self._observed), np.full(len(parts[0]), np.nan)
        for row in range(len(found)):
            simulated = {
                name: part[row].reshape(self._observed[name].shape)
                for name, part in zip(names, parts, strict=True)
            }
            if all(np.isfinite(each).all() for each in simulated.values()):
                found[row] = float(self._distance(simulated, self._observed))
        return found


def _spread(rows: Floats) -> Floats:
    """Return how much each column varies, 1 where it does not."""
    there = rows[np.isfinite(rows).all(1)]
    if not len(there):
        return np.ones(rows.shape[1])
    middle = np.median(there, axis=0)
    spread = _MAD * np.median(np.abs(there - middle), axis=0)
    spread = np.where(spread > 0, spread, there.std(axis=0))
    return np.where(spread > 0, spread, 1.0)


def _root_mean_square(rows: Floats) -> Floats:
    return np.asarray(np.sqrt((rows**2).mean(1)))


def _flat(name: str, given: object, wanted: Floats, n: int) -> Floats:
    values = np.asarray(given) if isinstance(given, np.ndarray) else np.empty((0, 0))
    if values.dtype.kind not in "biuf" or values.shape != (n, *wanted.shape):
        raise SweepError(
            f"observed= has {name!r} of shape {wanted.shape}, and the simulator returns shape "
            f"{values.shape[1:]} of {values.dtype}. Both have to be numbers of one shape."
        )
    return values.reshape(n, -1).astype(np.float64)


def _distances_returned(outputs: Mapping[str, object]) -> Floats:
    found = [np.asarray(value) for value in outputs.values() if isinstance(value, np.ndarray)]
    if len(found) != 1 or found[0].ndim != 1 or found[0].dtype.kind not in "biuf":
        raise SweepError(
            "abc_smc compares what the simulator returns with what was observed: give observed=, "
            "by output. Without it the simulator has to return one number, the distance."
        )
    return found[0].astype(np.float64)
