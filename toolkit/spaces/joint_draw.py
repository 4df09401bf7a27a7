"""Several parameters drawn at once, where what they have in common is computed once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Column
from toolkit.spaces.distribution import (
    Choice,
    Distribution,
    Floats,
    Linear,
    column_of,
    drawn,
    require_finite,
    scaled,
)


class JointDraw:
    """Turns quantiles of several parameters into their columns.

    The columns are those of :func:`toolkit.spaces.distribution.drawn`, one parameter after the
    other. Axes of real numbers between two bounds are scaled together, and all floats are snapped
    together: of few points that takes a fraction of the time.

    Parameters
    ----------
    kinds
        By parameter, what it is drawn from.
    """

    def __init__(self, kinds: Mapping[str, Distribution]) -> None:
        self._kinds = tuple(kinds.items())
        linear = [kind for _, kind in self._kinds if isinstance(kind, Linear)]
        self._linear = [at for at, (_, kind) in enumerate(self._kinds) if isinstance(kind, Linear)]
        self._low = np.array([[kind.low] for kind in linear])
        self._high = np.array([[kind.high] for kind in linear])

    def __call__(self, u: Floats) -> list[Column]:
        """Return the columns at quantiles ``u``, shape ``(n, n_parameters)``.

        Raises
        ------
        SpaceError
            If a value is not finite.
        """
        numbers: dict[int, npt.NDArray[Any]] = {}
        if self._linear:
            rows = scaled(u.T[self._linear], self._low, self._high)
            numbers = dict(zip(self._linear, rows, strict=True))
        for at, (_, kind) in enumerate(self._kinds):
            if at not in numbers and not isinstance(kind, Choice):
                numbers[at] = np.asarray(kind.ppf(u[:, at]))
        floats = [at for at, values in numbers.items() if values.dtype.kind == "f"]
        labels: dict[int, npt.NDArray[np.float64]] = {}
        if floats:
            snapped = lb.snap(rows if floats == self._linear else [numbers[at] for at in floats])
            labels = dict(zip(floats, snapped, strict=True))
            if not np.isfinite(snapped).all():
                for at in sorted(labels):
                    require_finite(*self._kinds[at], labels[at])
        return [
            column_of(name, kind, labels[at]) if at in labels else drawn(name, kind, u[:, at])
            for at, (name, kind) in enumerate(self._kinds)
        ]
