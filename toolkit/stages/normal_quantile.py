"""The quantile of the normal distribution from basic operations only, bit-equal everywhere.

Algorithm AS 241 of M. Wichura, "The percentage points of the normal distribution", Applied
Statistics 37 (1988), relative error about 1e-15 here. Libraries round logarithms and square roots
differently, so both are made of sums, products and quotients, which are the same on any machine.
"""

import math
from typing import Any

import numpy as np

_CENTER = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
     4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
     2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
     0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358,
     5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
     7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
     0.59983220655588793769, 1.0),
)  # fmt: skip
_LN2 = math.log(2)
_SERIES = tuple(1.0 / n for n in range(21, 0, -2))


def normal_quantile(centered: Any) -> Any:
    """Return the quantile of ``centered + 0.5``.

    Parameters
    ----------
    centered
        Floats strictly between -0.5 and 0.5, no nearer than 2**-53 to either: an array, a numpy
        scalar or a tensor of float64.
    """
    center = centered * _ratio(_CENTER, 0.180625 - centered * centered)
    if not isinstance(centered, np.ndarray | np.generic):
        is_center = abs(centered) <= 0.425
        return center.where(is_center, _outer(centered, _select_tensor))
    outside = np.abs(centered) > 0.425
    if not np.any(outside):
        return center
    if isinstance(centered, np.generic) or not centered.ndim:
        return _outer(centered, np.where)[()]
    center[outside] = _outer(centered[outside], np.where)
    return center


def _outer(centered: Any, select: Any) -> Any:
    root = _square_root(_minus_log(0.5 - abs(centered), select))
    found = select(root <= 5.0, _ratio(_TAIL, root - 1.6), _ratio(_FAR, root - 5.0))
    return select(centered < 0.0, -found, found)


def _minus_log(p: Any, select: Any) -> Any:
    """Return -log(p) for p from 2**-53 to 0.5."""
    twos = p * 0.0
    for power in (32, 16, 8, 4, 2, 1):
        is_small = p < 2.0**-power
        p = select(is_small, p * 2.0**power, p)
        twos = select(is_small, twos + power, twos)
    is_small = p < math.sqrt(0.5)
    p = select(is_small, p * 2.0, p)
    twos = select(is_small, twos + 1.0, twos)
    z = (p - 1.0) / (p + 1.0)
    return twos * _LN2 - 2.0 * z * _polynomial(_SERIES, z * z)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    return _polynomial(coefficients[0], x) / _polynomial(coefficients[1], x)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total


def _square_root(x: Any) -> Any:
    """Return the square root of x from 0.6 to 40, by Heron: torch's own may be off by a bit."""
    root = 1.3 + 0.14 * x
    for _ in range(6):
        root = 0.5 * (root + x / root)
    return root


def _select_tensor(condition: Any, one: Any, other: Any) -> Any:
    return one.where(condition, other)
