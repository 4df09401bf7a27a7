"""What the benchmarks run: functions at the top of a module, where Pool's workers find them."""

import math
import time

import numpy as np
from numpy.typing import NDArray

PAUSE_SECONDS = 0.01

_RAMP = np.linspace(0.0, 1.0, 1000)


def scalar(x: float, y: float) -> float:
    """About 45 us of pure Python."""
    total = 0.0
    for step in range(500):
        total += math.sin(x + step) * y
    return total


def wide(x: float, y: float) -> NDArray[np.float64]:
    """The same, and 1,000 floats."""
    return _RAMP * scalar(x, y)


def trivial(x: float, y: float) -> float:
    return x + y


def trivial_block(arrays: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    x, y = arrays
    return x + y


def pause(x: float, y: float) -> float:
    """10 ms that leave the processor alone."""
    time.sleep(PAUSE_SECONDS)
    return x + y


# Pool.map hands over one argument: each function once more, for a point.


def scalar_at(point: tuple[float, float]) -> float:
    x, y = point
    return scalar(x, y)


def wide_at(point: tuple[float, float]) -> NDArray[np.float64]:
    x, y = point
    return wide(x, y)


def trivial_at(point: tuple[float, float]) -> float:
    x, y = point
    return x + y


def trivial_of_one(x: float) -> float:
    return x + 1.0


def pause_at(point: tuple[float, float]) -> float:
    x, y = point
    return pause(x, y)
