"""Quasi-Newton search with limited memory, within bounds.

The directions are those of L-BFGS (J. Nocedal, Math. Comp. 35, 1980), the bounds are kept by
projection (D. Bertsekas, SIAM J. Control Optim. 20, 1982).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats, State

_MEMORY = 10  # steps that are remembered
_ENOUGH = 1e-4  # of the descent that the slope promises (Armijo)
_MOST_FAILED = 30  # shortenings of one step
_ARRAYS = ("point", "gradient", "direction", "steps", "changes")


class LBFGS:
    """The rule by which one point follows gradients to the nearest minimum.

    Coordinates at a bound that the gradient would push outside rest there; the others take the
    quasi-Newton step, shortened until the value falls enough.

    Parameters
    ----------
    start
        The first point, shape ``(n_dims,)``, from 0 to 1.
    step_size
        Length of the first step.
    """

    population = 1

    def __init__(self, start: Floats, *, step_size: float = 0.1) -> None:
        n = self.n_dims = len(start)
        self.stopped, self.is_converged = "", False
        self._first_step = float(step_size)
        self.point = np.array(start, np.float64)
        self.gradient, self.direction = np.full(n, np.nan), np.zeros(n)
        self.value = math.inf
        self.steps, self.changes = np.empty((0, n)), np.empty((0, n))
        self._length, self._failed, self._stalled = 0.0, 0, 0

    def draw(self) -> Floats:
        """Return the next point, shape ``(1, n_dims)``."""
        return np.clip(self.point + self._length * self.direction, 0.0, 1.0)[None, :]

    def learn_gradients(self, points: Floats, values: Floats, gradients: Floats) -> None:
        """Take in the value and the gradient of the point drawn last."""
        point, value, gradient = points[0], float(values[0]), gradients[0]
        is_known = math.isfinite(value) and bool(np.isfinite(gradient).all())
        if math.isinf(self.value):
            if not is_known:
                self.stopped = "the value or the gradient at the start is not finite"
                return
            self.point, self.value, self.gradient = point.copy(), value, gradient.copy()
            self._turn()
            return
        promised = float(self.gradient @ (point - self.point))
        if not is_known or value > self.value + _ENOUGH * promised:
            self._shorten(value if is_known else math.inf, promised)
            return
        step, change = point - self.point, gradient - self.gradient
        if step @ change > 1e-10 * math.sqrt((step @ step) * (change @ change)):
            self.steps = np.vstack([self.steps, step])[-_MEMORY:]
            self.changes = np.vstack([self.changes, change])[-_MEMORY:]
        fell = self.value - value
        self._stalled = self._stalled + 1 if fell <= 1e-14 * (1 + abs(value)) else 0
        self.point, self.value, self.gradient = point.copy(), value, gradient.copy()
        if self._stalled >= 2:
            self.stopped, self.is_converged = "values no longer fall", True
            return
        self._turn()

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            **{name: getattr(self, name).copy() for name in _ARRAYS},
            "value": self.value,
            "length": self._length,
            "failed": self._failed,
            "stalled": self._stalled,
            "first_step": self._first_step,
            "stopped": self.stopped,
            "is_converged": self.is_converged,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], np.float64))
        self.value, self._length = float(state["value"]), float(state["length"])
        self._failed, self._stalled = int(state["failed"]), int(state["stalled"])
        self._first_step = float(state["first_step"])
        self.stopped, self.is_converged = str(state["stopped"]), bool(state["is_converged"])

    def _turn(self) -> None:
        """Choose the direction of the next step."""
        at, gradient = self.point, self.gradient
        pushed = float(np.abs(np.clip(at - gradient, 0.0, 1.0) - at).max())
        if pushed <= 1e-9 * (1 + abs(self.value)):
            self.stopped, self.is_converged = "the gradient vanishes", True
            return
        is_free = ~(((at <= 0) & (gradient > 0)) | ((at >= 1) & (gradient < 0)))
        direction = -_newton(gradient, self.steps, self.changes, is_free)
        if not direction @ gradient < 0:  # no descent: forget what was learned
            self.steps, self.changes = self.steps[:0], self.changes[:0]
            direction = np.where(is_free, -gradient, 0.0)
        longest = math.sqrt(direction @ direction)
        if not len(self.steps):
            direction = direction * (self._first_step / longest)
        elif longest > 1:
            direction = direction / longest
        self.direction, self._length, self._failed = direction, 1.0, 0

    def _shorten(self, value: float, promised: float) -> None:
        """Try a shorter step, to the least of the parabola through what is known."""
        self._failed += 1
        if self._failed >= _MOST_FAILED:
            if len(self.steps):
                self.steps, self.changes = self.steps[:0], self.changes[:0]
                self._turn()
                return
            self.stopped = (
                "no shorter step leads to a lower value: the gradient may be wrong or noisy"
            )
            return
        share = 0.1
        if math.isfinite(value):
            share = -promised / (2 * (value - self.value - promised))
        self._length *= min(max(share, 0.1), 0.5)


def _newton(
    gradient: Floats, steps: Floats, changes: Floats, is_free: np.ndarray[Any, Any]
) -> Floats:
    """Return the inverse Hessian times the gradient, among the free coordinates."""
    steps, changes = steps * is_free, changes * is_free
    found = np.where(is_free, gradient, 0.0)
    products = (steps * changes).sum(axis=1)
    known = np.flatnonzero(products > 1e-300)
    shares = np.zeros(len(products))
    for at in known[::-1]:
        shares[at] = (steps[at] @ found) / products[at]
        found = found - shares[at] * changes[at]
    if len(known):
        last = known[-1]
        found = found * (products[last] / (changes[last] @ changes[last]))
    for at in known:
        found = found + steps[at] * (shares[at] - (changes[at] @ found) / products[at])
    return np.asarray(found)
