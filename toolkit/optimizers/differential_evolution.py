"""Differential evolution, rand/1/bin, over arrays.

After R. Storn and K. Price, Differential Evolution, Journal of Global Optimization 11 (1997).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats, State, generator_from, ranked, words_of

_CROSSOVER = 0.7
_LEAST_WEIGHT, _MOST_WEIGHT = 0.5, 1.0  # of a difference, drawn anew for each generation


class DifferentialEvolution:
    """The rule by which each generation challenges the one before it, point by point.

    A coordinate that falls outside of the unit cube is drawn evenly from it.

    Parameters
    ----------
    start
        The first point of the first generation, shape ``(n_dims,)``; the others are drawn around
        it with ``step_size``, or evenly where that is None.
    step_size
        Standard deviation of the first generation, in unit coordinates.
    population
        Points in a generation, at least 4; None for ``10 * n_dims``, between 16 and 100.
    seed
        Of its draws.
    """

    def __init__(
        self,
        start: Floats,
        *,
        step_size: float | None = None,
        population: int | None = None,
        seed: int = 0,
    ) -> None:
        self.n_dims = len(start)
        self.population = population or min(max(10 * self.n_dims, 16), 100)
        self.stopped, self.is_converged = "", False
        self._start, self._step = np.array(start, np.float64), step_size
        self._rng = np.random.default_rng(seed)
        self._points = np.empty((0, self.n_dims))
        self._values = np.full(self.population, math.inf)
        self._generation = 0
        self._next = self._n_told = 0  # points drawn and told one by one

    def draw(self) -> Floats:
        """Return the challengers, shape ``(population, n_dims)``."""
        n, rng = self.population, self._rng
        if not len(self._points):
            if self._step is None:
                points = rng.random((n, self.n_dims))
            else:
                normal = rng.standard_normal((n, self.n_dims))
                points = np.clip(self._start + self._step * normal, 0.0, 1.0)
            points[0] = self._start
            return points
        # Three others for each: the places of the least of n - 1 random numbers, itself skipped.
        others = np.argpartition(rng.random((n, n - 1)), 2, axis=1)[:, :3]
        others += others >= np.arange(n)[:, None]
        one, two, three = self._points[others.T]
        made = one + rng.uniform(_LEAST_WEIGHT, _MOST_WEIGHT) * (two - three)
        taken = rng.random((n, self.n_dims)) < _CROSSOVER
        taken[np.arange(n), rng.integers(self.n_dims, size=n)] = True
        fresh = rng.random((n, self.n_dims))
        made = np.where(np.abs(made - 0.5) > 0.5, fresh, made)
        return np.where(taken, made, self._points)

    def learn(self, points: Floats, values: Floats) -> None:
        """Keep each challenger that is no worse than whom it challenged."""
        values = ranked(values)
        self._generation += 1
        if not len(self._points):
            self._points, self._values = points.copy(), values
        else:
            is_better = values <= self._values
            self._points = np.where(is_better[:, None], points, self._points)
            self._values = np.where(is_better, values, self._values)
        self._decide()

    learns_from = 1

    def draw_some(self, n: int) -> tuple[Floats, Floats]:
        """Return further points, and the number of the place that each is to challenge."""
        if not len(self._points):
            self._points, self._next = self.draw(), 0
        made = np.empty((n, self.n_dims))
        slots = np.arange(self._next, self._next + n) % self.population
        for row, slot in enumerate(slots.tolist()):
            is_first = self._next + row < self.population
            made[row] = self._points[slot] if is_first else self._challenger(slot)
        self._next += n
        return made, np.column_stack([slots, made])

    def learn_some(self, drawn: Floats, values: Floats) -> None:
        """Keep a challenger that is no worse than who holds its place by now."""
        for row, value in zip(drawn, ranked(values).tolist(), strict=True):
            slot = int(row[0])
            if value <= self._values[slot]:
                self._points[slot], self._values[slot] = row[1:], value
            self._n_told += 1
            if self._n_told % self.population == 0:
                self._generation += 1
                self._decide()

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            "points": self._points.copy(),
            "values": self._values.copy(),
            "generation": self._generation,
            "next": self._next,
            "n_told": self._n_told,
            "stopped": self.stopped,
            "is_converged": self.is_converged,
            "rng": words_of(self._rng),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._points = np.array(state["points"], np.float64).reshape(-1, self.n_dims)
        self._values = np.array(state["values"], np.float64)
        self._generation = int(state["generation"])
        self._next, self._n_told = int(state["next"]), int(state["n_told"])
        self.stopped, self.is_converged = str(state["stopped"]), bool(state["is_converged"])
        self._rng = generator_from(state["rng"])

    def _challenger(self, slot: int) -> Floats:
        """Return the point that is to challenge who holds a place, shape ``(n_dims,)``."""
        rng = self._rng
        others = rng.choice(self.population - 1, 3, replace=False)
        others += others >= slot
        one, two, three = self._points[others]
        made = one + rng.uniform(_LEAST_WEIGHT, _MOST_WEIGHT) * (two - three)
        taken = rng.random(self.n_dims) < _CROSSOVER
        taken[rng.integers(self.n_dims)] = True
        fresh = rng.random(self.n_dims)
        made = np.where(np.abs(made - 0.5) > 0.5, fresh, made)
        return np.where(taken, made, self._points[slot])

    def _decide(self) -> None:
        if np.isinf(self._values).any():
            if self._generation >= 3 and np.isinf(self._values).all():
                self.stopped = f"all values of the first {self._generation} generations failed"
            return
        best, worst = float(self._values.min()), float(self._values.max())
        is_wide = float(np.ptp(self._points, axis=0).max()) > 1e-6
        if best == worst and is_wide:
            if self._generation >= 3:
                n = self._generation * self.population
                self.stopped = f"all {n} values are equal ({best:g}): nothing says where to go"
        elif worst - best < 1e-12 + 20 * np.finfo(float).eps * abs(best):
            self.stopped = "all points of a generation have the same value"
            self.is_converged = True
        elif float(np.ptp(self._points, axis=0).max()) < 1e-12:
            self.stopped = "all points of a generation are the same"
            self.is_converged = True
