"""Points drawn evenly, each independent of all others."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats, State, generator_from, words_of


class RandomSearch:
    """Draws points evenly from the unit cube, and never ends by itself.

    Parameters
    ----------
    n_dims
        Number of coordinates.
    population
        How many points are drawn at once.
    seed
        Of its draws.
    """

    stopped = ""
    is_converged = False

    def __init__(self, n_dims: int, *, population: int = 16, seed: int = 0) -> None:
        self.n_dims, self.population = n_dims, population
        self._rng = np.random.default_rng(seed)

    def draw(self) -> Floats:
        """Return further points, shape ``(population, n_dims)``."""
        return self._rng.random((self.population, self.n_dims))

    def learn(self, points: Floats, values: Floats) -> None:
        """Do nothing: points do not depend on values."""
        del points, values

    def state(self) -> State:
        """Return the state of its generator."""
        return {"rng": words_of(self._rng)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._rng = generator_from(state["rng"])
