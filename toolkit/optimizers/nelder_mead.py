"""The simplex method of Nelder and Mead.

With coefficients that depend on the number of dims, after F. Gao and L. Han, Implementing the
Nelder-Mead simplex algorithm with adaptive parameters, Comput. Optim. Appl. 51 (2012).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats, State, ranked

_ARRAYS = ("corners", "values", "reflected", "tried")
_LEAST_SIZE = 1e-8  # of the simplex, in unit coordinates


class NelderMead:
    """The rule by which a simplex walks downhill, a point at a time.

    Its corners are evaluated at once, then mostly one point: several searches side by side keep
    several workers busy. Points outside of the unit cube are moved to its border. Where the
    simplex has become small, a new one is set up around the best point, and the search has
    converged when that ends at no better value.

    Parameters
    ----------
    start
        The first corner, shape ``(n_dims,)``, from 0 to 1.
    step_size
        Distance to the other corners, along one axis each.
    """

    def __init__(self, start: Floats, *, step_size: float = 0.1) -> None:
        n = self.n_dims = len(start)
        self.population = n + 1
        self.stopped, self.is_converged = "", False
        self._step = self._first_step = float(step_size)
        self._grow, self._shrink = 1 + 2 / max(n, 2), 1 - 1 / max(n, 2)
        self._contract = 0.75 - 1 / (2 * max(n, 2))
        self.corners = self._around(np.array(start, np.float64))
        self.values = np.full(n + 1, math.inf)
        self.reflected, self.tried = np.empty(0), np.empty(0)
        self._reflected_value, self._best_before = math.inf, math.inf
        self._phase = "corners"

    def draw(self) -> Floats:
        """Return the corners, the shrunk ones, or the one point to try next."""
        if self._phase == "corners":
            return self.corners.copy()
        if self._phase == "shrink":
            return self.corners[1:].copy()
        return self.tried[None, :].copy()

    def learn(self, points: Floats, values: Floats) -> None:
        """Take in the values of what was drawn last."""
        values = ranked(values)
        if self._phase == "corners":
            self.values = values
            if np.isinf(values).all():
                self.stopped = f"all values of the first {len(values)} points failed"
                return
            self._next()
        elif self._phase == "shrink":
            self.values[1:] = values
            self._next()
        else:
            self._decide(points[0], float(values[0]))

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            **{name: getattr(self, name).copy() for name in _ARRAYS},
            "step": self._step,
            "phase": self._phase,
            "reflected_value": self._reflected_value,
            "best_before": self._best_before,
            "stopped": self.stopped,
            "is_converged": self.is_converged,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], np.float64))
        self._step, self._phase = float(state["step"]), str(state["phase"])
        self._reflected_value = float(state["reflected_value"])
        self._best_before = float(state["best_before"])
        self.stopped, self.is_converged = str(state["stopped"]), bool(state["is_converged"])

    def _around(self, corner: Floats) -> Floats:
        """Return a simplex with a corner, its other corners within the unit cube."""
        step = min(self._step, 0.5)
        signs = np.where(corner + step <= 1, step, -step)
        return np.vstack([corner, corner + np.diag(signs)])

    def _decide(self, point: Floats, value: float) -> None:
        """Take the point that was tried, try another one, or shrink."""
        best, second, worst = self.values[0], self.values[-2], self.values[-1]
        phase = self._phase
        if phase == "reflect":
            self.reflected, self._reflected_value = point, value
            if value < best:
                self._try("expand", self._grow)
            elif value < second:
                self._take(point, value)
            elif value < worst:
                self._try("outside", self._contract)
            else:
                self._try("inside", -self._contract)
        elif phase == "expand":
            if value < self._reflected_value:
                self._take(point, value)
            else:
                self._take(self.reflected, self._reflected_value)
        elif value <= self._reflected_value if phase == "outside" else value < worst:
            self._take(point, value)
        else:
            self.corners[1:] = self.corners[0] + self._shrink * (self.corners[1:] - self.corners[0])
            self._phase = "shrink"

    def _take(self, point: Floats, value: float) -> None:
        self.corners[-1], self.values[-1] = point, value
        self._next()

    def _next(self) -> None:
        """Sort the corners, and reflect the worst unless the search has ended."""
        order = np.argsort(self.values, kind="stable")
        self.corners, self.values = self.corners[order], self.values[order]
        best, spread = float(self.values[0]), float(self.values[-1] - self.values[0])
        size = float(np.abs(self.corners[1:] - self.corners[0]).max())
        is_flat = spread <= 1e-12 + 20 * np.finfo(float).eps * abs(best)
        if size < _LEAST_SIZE or (is_flat and size < math.sqrt(_LEAST_SIZE)):
            if not best < self._best_before - 1e-10 * (1 + abs(best)):
                self.stopped, self.is_converged = "the simplex has become too small to tell", True
                return
            self._best_before, self._step = best, max(0.1 * self._first_step, 1e-3)
            self.corners = self._around(self.corners[0])
            self._phase = "shrink"  # all but the best
            return
        self._try("reflect", 1.0)

    def _try(self, phase: str, factor: float) -> None:
        center = self.corners[:-1].mean(axis=0)
        self.tried = np.clip(center + factor * (center - self.corners[-1]), 0.0, 1.0)
        self._phase = phase
