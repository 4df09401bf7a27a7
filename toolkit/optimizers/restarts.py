"""CMA-ES begun again where it stops, with larger populations, until the budget is spent.

IPOP after A. Auger and N. Hansen, A Restart CMA Evolution Strategy with Increasing Population
Size, CEC 2005; BIPOP after N. Hansen, Benchmarking a BI-Population CMA-ES on the BBOB-2009
Function Testbed, GECCO 2009.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from toolkit.optimizers.cmaes import CMAES
from toolkit.optimizers.generational import Floats, State, generator_from, words_of

Begin: TypeAlias = Callable[..., CMAES]

_MOST_DOUBLINGS = 9


class Restarted:
    """The rule of a search that begins again from a random point where it stops.

    Each time the population is twice as large. With ``is_alternating`` (BIPOP) searches with small
    populations and smaller first steps lie between, for as long as these have spent no more
    evaluations than those with large ones.

    Parameters
    ----------
    begin
        Makes one search from a start, ``step_size``, ``population`` and ``seed``.
    start
        Where the first begins, shape ``(n_dims,)``; the others begin at random points.
    step_size
        Of the first generation, in unit coordinates.
    population
        Points in a generation of the first search; None for the default of CMA-ES.
    seed
        Of all draws.
    is_alternating
        Whether populations alternate between large and small ones.
    """

    def __init__(
        self,
        begin: Begin,
        start: Floats,
        *,
        step_size: float = 0.3,
        population: int | None = None,
        seed: int = 0,
        is_alternating: bool = False,
    ) -> None:
        self._begin, self._is_alternating = begin, is_alternating
        self._step, self.n_dims = step_size, len(start)
        self._rng = np.random.default_rng([seed, 2])
        self._search = begin(start, step_size=step_size, population=population, seed=seed)
        self.population = self._first = self._search.population
        self.stopped, self.is_converged = "", False
        self._best = math.inf
        self._doublings = self._restarts = 0
        self._is_small = False
        self._spent = [0, 0]  # evaluations with large and with small populations
        self._parent = np.array([self._step, self._first, *start])  # how the search was begun
        self._seed = seed

    def draw(self) -> Floats:
        """Return the points of the next generation, shape ``(n, n_dims)``."""
        if self._search.stopped:
            self._begin_again()
        return self._search.draw()

    def learn(self, points: Floats, values: Floats) -> None:
        """Take in the values of the generation drawn last, shape ``(n,)``."""
        search = self._search
        search.learn(points, values)
        self._spent[self._is_small] += len(values)
        if search.best <= self._best:
            self._best, self.is_converged = search.best, search.is_converged
        if not search.stopped:
            return
        if self._restarts and (math.isinf(search.best) or "equal" in search.stopped):
            self.stopped = search.stopped  # twice: it would be no better elsewhere
        elif self._doublings >= _MOST_DOUBLINGS and not self._is_small:
            self.stopped = f"the population has been doubled {_MOST_DOUBLINGS} times"

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            "best": self._best,
            "doublings": self._doublings,
            "restarts": self._restarts,
            "is_small": self._is_small,
            "spent": np.array(self._spent),
            "parent": self._parent.copy(),
            "seed": self._seed,
            "stopped": self.stopped,
            "is_converged": self.is_converged,
            "rng": words_of(self._rng),
            **{f"search.{name}": value for name, value in self._search.state().items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._best = float(state["best"])
        self._doublings, self._restarts = int(state["doublings"]), int(state["restarts"])
        self._is_small = bool(state["is_small"])
        self._spent = [int(n) for n in np.asarray(state["spent"])]
        self._parent, self._seed = np.array(state["parent"], np.float64), int(state["seed"])
        self.stopped, self.is_converged = str(state["stopped"]), bool(state["is_converged"])
        self._rng = generator_from(state["rng"])
        self._search = self._made()
        own = "search."
        self._search.restore(
            {name[len(own) :]: value for name, value in state.items() if name.startswith(own)}
        )

    def _begin_again(self) -> None:
        rng, self._restarts = self._rng, self._restarts + 1
        large = self._first * 2 ** (self._doublings + 1)
        self._is_small = self._is_alternating and self._doublings > 0
        self._is_small &= self._spent[1] < self._spent[0]
        step, population = self._step, large
        if self._is_small:
            share = float(rng.random()) ** 2
            population = int(self._first * (0.5 * large / 2 / self._first) ** share)
            population = max(population, self._first)
            step = self._step * 10 ** (-2 * float(rng.random()))
        else:
            self._doublings += 1
        self._parent = np.array([step, population, *rng.random(self.n_dims)])
        self._search = self._made()

    def _made(self) -> CMAES:
        step, population, *start = self._parent.tolist()
        seed = self._seed
        if self._restarts:
            words = np.random.SeedSequence([seed, self._restarts]).generate_state(1, np.uint64)
            seed = int(words[0])
        return self._begin(np.array(start), step_size=step, population=int(population), seed=seed)


def cmaes_with(**given: Any) -> Begin:
    """Return what makes a CMA-ES with some options set."""

    def begin(start: Floats, **own: Any) -> CMAES:
        return CMAES(start, **own, **given)

    return begin
