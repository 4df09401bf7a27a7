"""Gradient descent with moments.

After D. Kingma and J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015 (arXiv:1412.6980).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats, State

_KEPT, _KEPT_SQUARES = 0.9, 0.999  # of the moments, in each step
_PATIENCE = 30  # steps without a better value, until they become half as long
_LEAST_STEP = 1e-6  # of the first
_MOST_FAILED = 5  # steps in a row that lead to no value
_ARRAYS = ("point", "best_point", "mean", "square")


class Adam:
    """The rule by which one point follows gradients that may be noisy.

    Steps become half as long, from the best point, where 30 of them brought no better value.
    Points are kept in the unit cube.

    Parameters
    ----------
    start
        The first point, shape ``(n_dims,)``, from 0 to 1.
    step_size
        About how far a coordinate moves in one of the first steps.
    """

    population = 1

    def __init__(self, start: Floats, *, step_size: float = 0.02) -> None:
        n = self.n_dims = len(start)
        self.stopped, self.is_converged = "", False
        self._step = self._first_step = float(step_size)
        self.point = np.array(start, np.float64)
        self.best_point, self.best = self.point.copy(), math.inf
        self.mean, self.square = np.zeros(n), np.zeros(n)
        self._n = self._waited = self._failed = 0

    def draw(self) -> Floats:
        """Return the next point, shape ``(1, n_dims)``."""
        return self.point[None, :].copy()

    def learn_gradients(self, points: Floats, values: Floats, gradients: Floats) -> None:
        """Take in the value and the gradient of the point drawn last."""
        value, gradient = float(values[0]), gradients[0]
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            self._failed += 1
            if math.isinf(self.best) or self._failed >= _MOST_FAILED:
                self.stopped = "the value or the gradient is not finite"
            self._go_back()
            return
        self._failed = 0
        if value < self.best - 1e-14 * (1 + abs(value)):
            self.best, self.best_point, self._waited = value, points[0].copy(), 0
        else:
            self._waited += 1
        if self._waited >= _PATIENCE:
            self._go_back()
            return
        self._n += 1
        self.mean = _KEPT * self.mean + (1 - _KEPT) * gradient
        self.square = _KEPT_SQUARES * self.square + (1 - _KEPT_SQUARES) * gradient**2
        mean = self.mean / (1 - _KEPT**self._n)
        root = np.sqrt(self.square / (1 - _KEPT_SQUARES**self._n))
        self.point = np.clip(self.point - self._step * mean / (root + 1e-300), 0.0, 1.0)

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            **{name: getattr(self, name).copy() for name in _ARRAYS},
            "best": self.best,
            "step": self._step,
            "first_step": self._first_step,
            "counts": np.array([self._n, self._waited, self._failed]),
            "stopped": self.stopped,
            "is_converged": self.is_converged,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], np.float64))
        self.best, self._step = float(state["best"]), float(state["step"])
        self._first_step = float(state["first_step"])
        self._n, self._waited, self._failed = (int(n) for n in np.asarray(state["counts"]))
        self.stopped, self.is_converged = str(state["stopped"]), bool(state["is_converged"])

    def _go_back(self) -> None:
        """Go on from the best point with steps half as long."""
        self._step /= 2
        self._waited = self._n = 0
        self.point = self.best_point.copy()
        self.mean[:], self.square[:] = 0.0, 0.0
        if self._step < _LEAST_STEP * self._first_step and not self.stopped:
            self.stopped, self.is_converged = "steps are smaller than 1e-6 of the first", True
