"""Points of a scrambled Sobol sequence, which leave no large part of the cube empty."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats, State


class SobolSearch:
    """Goes through a scrambled Sobol sequence, and never ends by itself.

    Parameters
    ----------
    n_dims
        Number of coordinates.
    population
        How many points are drawn at once.
    seed
        Of the scrambling.
    """

    stopped = ""
    is_converged = False

    def __init__(self, n_dims: int, *, population: int = 16, seed: int = 0) -> None:
        self.n_dims, self.population, self._seed = n_dims, population, seed
        self._begin(0)

    def draw(self) -> Floats:
        """Return further points, shape ``(population, n_dims)``."""
        self._drawn += self.population
        with warnings.catch_warnings():
            # Parts that are no power of two are fine here: the next part goes on.
            warnings.simplefilter("ignore", UserWarning)
            return np.asarray(self._sequence.random(self.population), np.float64)

    def learn(self, points: Floats, values: Floats) -> None:
        """Do nothing: points do not depend on values."""
        del points, values

    def state(self) -> State:
        """Return how far it is."""
        return {"seed": self._seed, "drawn": self._drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._seed = int(state["seed"])
        self._begin(int(state["drawn"]))

    def _begin(self, drawn: int) -> None:
        from scipy.stats import qmc

        self._drawn = drawn
        self._sequence = qmc.Sobol(d=self.n_dims, seed=np.random.default_rng(self._seed))
        if drawn:
            self._sequence.fast_forward(drawn)
