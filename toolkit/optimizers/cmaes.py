"""Covariance matrix adaptation, over arrays.

After N. Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772 (2023): weighted
recombination, cumulative step-size adaptation, rank-one and rank-mu update with negative weights
("active"). Equations are quoted by their numbers there. With a diagonal covariance, after R. Ros
and N. Hansen, A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity (2008).
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.optimizers.generational import Floats, State, generator_from, ranked, words_of
from toolkit.optimizers.margin import with_margin

_MOST_CONDITION = 1e14
_ARRAYS = ("drawn", "mean", "covariance", "scales", "axes", "widths", "path_step", "path_shape")
_NUMBERS = ("step", "best", "first_step")


class CMAES:
    """The rule by which each generation of CMA-ES follows from the last.

    The unit cube is mirrored at its bounds: a point that falls outside is evaluated at its mirror
    image, and learned from where it fell. A minimum on a bound or in a corner so lies inside of
    what is searched; where points are drawn again until they fall inside, steps shrink before a
    corner is reached.

    Parameters
    ----------
    start
        The first mean, shape ``(n_dims,)``, from 0 to 1.
    step_size
        Of the first generation, in unit coordinates.
    population
        Points in a generation, at least 4; None for ``4 + 3 ln(n_dims)``.
    seed
        Of its draws.
    is_bounded
        Whether points stay in the unit cube.
    is_separable
        Whether only the scales of coordinates are learned, not how they depend on each other: what
        a generation costs grows with the number of dims, not with its square, and fewer
        evaluations are needed where coordinates do not depend on each other.
    counts
        How many values each coordinate takes, shape ``(n_dims,)``, 0 where it is continuous; None
        for continuous ones only. Needs bounds.
    """

    def __init__(
        self,
        start: Floats,
        *,
        step_size: float = 0.3,
        population: int | None = None,
        seed: int = 0,
        is_bounded: bool = True,
        is_separable: bool = False,
        counts: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.mean = np.array(start, np.float64)
        n = self.n_dims = len(self.mean)
        self.population = population or default_population(n)
        self.stopped, self.is_converged = "", False
        self._is_bounded, self._is_separable = is_bounded, is_separable
        counts = np.zeros(n, np.int64) if counts is None else np.asarray(counts)
        self._discrete = np.flatnonzero(counts > 1)
        self._counts = counts[self._discrete]
        self.widths = np.ones(n)  # factors of what is drawn, by the margin
        self._rng = np.random.default_rng(seed)
        self.step = self.first_step = float(step_size)
        self.scales = np.ones(n)
        self.axes = np.empty((0, 0)) if is_separable else np.eye(n)
        self.covariance = np.ones(n) if is_separable else np.eye(n)
        self._root: Floats | None = None  # of the inverse covariance, once it is asked for
        self.path_step, self.path_shape = np.zeros(n), np.zeros(n)
        self.drawn = np.empty((0, n))
        self.generation = self._decomposed = self._failed = 0
        self.best = math.inf
        self._bests: list[float] = []
        self._medians: list[float] = []
        self._set_weights(n, self.population)

    def draw(self) -> Floats:
        """Return the points of the next generation, shape ``(population, n_dims)``."""
        self.drawn = self._unfolded(self.population)
        return self._placed(self.drawn)

    def learn(self, points: Floats, values: Floats) -> None:
        """Take in the values of the generation drawn last, shape ``(population,)``."""
        del points  # it knows where they were before they were folded
        values = ranked(values)
        order = np.argsort(values, kind="stable")
        values = values[order]
        n_finite = int(np.isfinite(values).sum())
        self.generation += 1
        if not n_finite:  # nothing to learn from: the same distribution is drawn from again
            self._failed += 1
            if self._failed >= 3:
                self.stopped = f"all values of the last {self._failed} generations failed"
            return
        self._failed = 0
        self._update(self.drawn[order], n_finite)
        if len(self._discrete):
            self._keep_margin()
        else:
            self._leave_plateau(values)
        self._decide(values, n_finite)

    @property
    def learns_from(self) -> int:
        """How many values it takes in at once, where they come in any order."""
        return self.population

    def draw_some(self, n: int) -> tuple[Floats, Floats]:
        """Return further points of the present distribution, and where they lay unfolded."""
        drawn = self._unfolded(n)
        return self._placed(drawn), drawn

    def learn_some(self, drawn: Floats, values: Floats) -> None:
        """Take in a population of values, some of points of earlier distributions.

        Where such a point lies too far off by the present distribution, it is drawn nearer first,
        as for points from elsewhere: N. Hansen, Injecting External Solutions Into CMA-ES,
        arXiv:1110.4181 (2011), equation 4.
        """
        steps = (drawn - self.mean) / self.step
        length = np.sqrt((self._whitened(steps) ** 2).sum(axis=1))
        n = self.n_dims
        most = math.sqrt(n) + 2 * n / (n + 2)
        nearer = np.minimum(1.0, most / np.maximum(length, 1e-300))
        self.drawn = self.mean + self.step * (steps * nearer[:, None])
        self.learn(self.drawn, values)

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            **{name: getattr(self, name).copy() for name in _ARRAYS},
            **{name: getattr(self, name) for name in _NUMBERS},
            "generation": self.generation,
            "decomposed": self._decomposed,
            "failed": self._failed,
            "bests": np.array(self._bests),
            "medians": np.array(self._medians),
            "stopped": self.stopped,
            "is_converged": self.is_converged,
            "rng": words_of(self._rng),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], np.float64))
        self._root = None
        for name in _NUMBERS:
            setattr(self, name, float(state[name]))
        self.generation = int(state["generation"])
        self._decomposed, self._failed = int(state["decomposed"]), int(state["failed"])
        self._bests = np.asarray(state["bests"], np.float64).tolist()
        self._medians = np.asarray(state["medians"], np.float64).tolist()
        self.stopped, self.is_converged = str(state["stopped"]), bool(state["is_converged"])
        self._rng = generator_from(state["rng"])

    def _unfolded(self, n: int) -> Floats:
        """Return points of the present distribution, shape ``(n, n_dims)``."""
        steps = self._rng.standard_normal((n, self.n_dims)) * self.scales
        if not self._is_separable:
            steps = steps @ self.axes.T
        return self.mean + self.step * steps

    def _placed(self, drawn: Floats) -> Floats:
        """Return where such points are evaluated: within bounds, with the margin's widths."""
        if not self._is_bounded:
            return drawn
        if len(self._discrete):
            drawn = self.mean + self.widths * (drawn - self.mean)
        return _folded(drawn)

    def _set_weights(self, n: int, population: int) -> None:
        """Set weights and rates of learning: equations 49 to 58 and table 1."""
        raw = math.log((population + 1) / 2) - np.log(np.arange(1, population + 1))
        self._n_parents = parents = population // 2
        mass = raw[:parents].sum() ** 2 / (raw[:parents] ** 2).sum()
        mass_negative = raw[parents:].sum() ** 2 / (raw[parents:] ** 2).sum()
        self._mass = float(mass)
        self._rate_step = (mass + 2) / (n + mass + 5)
        self._damping = (
            1 + 2 * max(0.0, math.sqrt(max(mass - 1, 0) / (n + 1)) - 1) + self._rate_step
        )
        self._rate_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
        one = 2 / ((n + 1.3) ** 2 + mass)
        many = min(1 - one, 2 * (0.25 + mass + 1 / mass - 2) / ((n + 2) ** 2 + mass))
        if self._is_separable:  # there is less to learn
            one = min(1.0, one * (n + 2) / 3)
            many = min(1 - one, many * (n + 2) / 3)
        self._rate_one, self._rate_many = one, many
        negative = min(
            1 + one / many,
            1 + 2 * mass_negative / (mass + 2),
            (1 - one - many) / (n * many),
        )
        self._weights = np.where(
            raw >= 0, raw / raw[raw > 0].sum(), raw * negative / -raw[raw < 0].sum()
        )
        self._parents = self._weights[:parents]
        self._first_negative = int((self._weights >= 0).sum())  # they fall
        self._weight = float(self._weights.sum())
        self._length = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self._every = max(1, int(1 / (10 * n * (one + many))))

    def _update(self, points: Floats, n_finite: int) -> None:
        """Move mean, step size and covariance; points the best first, failed ones last."""
        n = self.n_dims
        steps = (points - self.mean) / self.step
        parents = self._parents
        if n_finite < self._n_parents:
            parents = parents[:n_finite] / parents[:n_finite].sum()
        moved = parents @ steps[: len(parents)]
        self.mean = self.mean + self.step * moved
        rate = self._rate_step
        self.path_step = (1 - rate) * self.path_step + math.sqrt(rate * (2 - rate) * self._mass) * (
            self._whitened(moved)
        )
        length = math.sqrt(self.path_step @ self.path_step)
        self.step *= math.exp(min(1.0, (rate / self._damping) * (length / self._length - 1)))
        settled = math.sqrt(1 - (1 - rate) ** (2 * self.generation))
        is_short = length / settled < (1.4 + 2 / (n + 1)) * self._length
        rate = self._rate_path
        self.path_shape = (1 - rate) * self.path_shape
        if is_short:
            self.path_shape += math.sqrt(rate * (2 - rate) * self._mass) * moved
        lost = 0.0 if is_short else rate * (2 - rate)
        weights = self._weights.copy()
        if n_finite < self._n_parents:
            weights[: self._n_parents] = 0.0
            weights[:n_finite] = parents
        first = self._first_negative
        worst = self._whitened(steps[first:])
        weights[first:] *= n / ((worst * worst).sum(axis=1) + 1e-8)
        one, many = self._rate_one, self._rate_many
        kept = 1 + one * lost - one - many * self._weight
        if self._is_separable:
            learned = one * self.path_shape**2 + many * (weights @ steps**2)
        else:
            outer = self.path_shape[:, None] * self.path_shape
            learned = one * outer + many * ((steps.T * weights) @ steps)
        self.covariance = kept * self.covariance + learned
        if self.generation - self._decomposed >= self._every:
            self._decompose()

    def _decompose(self) -> None:
        self._decomposed = self.generation
        if self._is_separable:
            self.scales = np.sqrt(np.maximum(self.covariance, 1e-300))
            return
        self.covariance = (self.covariance + self.covariance.T) / 2
        squares, self.axes = np.linalg.eigh(self.covariance)
        self._root = None
        self.scales = np.sqrt(np.maximum(squares, 1e-300))

    def _whitened(self, steps: Floats) -> Floats:
        """Return steps times C^(-1/2), shape ``(..., n_dims)``."""
        if self._is_separable:
            return steps / self.scales
        if self._root is None:
            self._root = (self.axes / self.scales) @ self.axes.T
        whitened: Floats = steps @ self._root
        return whitened

    def _keep_margin(self) -> None:
        at = self._discrete
        squares = self.covariance if self._is_separable else np.diag(self.covariance)
        drawn = self.step * np.sqrt(np.maximum(squares[at], 1e-300))
        margin = 1 / (self.n_dims * self.population)
        self.mean[at], deviation = with_margin(
            self.mean[at], drawn * self.widths[at], self._counts, margin
        )
        self.widths[at] = deviation / drawn

    def _leave_plateau(self, values: Floats) -> None:
        """Take larger steps where most values are equal: appendix B.3; values the lowest first."""
        if values[0] == values[math.ceil(0.7 * self.population) - 1]:
            self.step *= math.exp(0.2 + self._rate_step / self._damping)

    def _decide(self, values: Floats, n_finite: int) -> None:
        """Stop where nothing better is to be had; values the lowest first."""
        n, best = self.n_dims, float(values[0])
        self.best = min(self.best, best)
        self._bests.append(best)
        self._medians.append(float(values[n_finite // 2]) if n_finite else math.inf)
        length = 10 + math.ceil(30 * n / self.population)
        recent = self._bests[-length:]
        least = 1e-11 + 20 * sys.float_info.epsilon * abs(self.best)
        fall = max(recent) - min(recent)
        # With a margin some points always lie at other values: the better half tells.
        n_alike = min(n_finite, self._n_parents) if len(self._discrete) else n_finite
        spread = float(values[n_alike - 1]) - best
        widest = float(self.scales.max())
        if self.generation >= 3 and spread == 0 and min(self._bests) == max(self._medians):
            self.stopped = (
                f"all {self.generation * self.population} values are equal ({best:g}): "
                "nothing says where to go"
            )
        elif len(recent) == length and (fall < 0.1 * least or max(fall, spread) < least):
            self._converge(
                f"values of the last {len(recent)} generations differ by less than {least:.1e}"
            )
        elif (
            self.step * max(widest, float(np.abs(self.path_shape).max())) < 1e-12 * self.first_step
        ):
            self._converge("steps are smaller than 1e-12 of the first")
        elif (widest / float(self.scales.min())) ** 2 > _MOST_CONDITION:
            self.stopped = (
                "the search became as narrow as a line (condition above 1e14): parameters may "
                "depend on each other, or need another scale such as tk.log"
            )
        elif self._is_stagnant():
            self.stopped = (
                "values have not become better for long (stagnation): the objective may be noisy, "
                "or have many minima"
            )
        elif self.step * widest > 1e4 * self.first_step:
            self.stopped = "the step size grew ten thousandfold: there may be no minimum"

    def _converge(self, why: str) -> None:
        self.stopped, self.is_converged = why, True

    def _is_stagnant(self) -> bool:
        """Whether neither bests nor medians fell over a fifth of the latest generations."""
        longest = 100 + math.ceil(100 * self.n_dims**1.5 / self.population)
        length = min(max(longest, len(self._bests) // 5), 20_000)
        if len(self._bests) < length or self.generation % 10:
            return False
        part = max(20, length * 3 // 10)
        return all(
            np.median(each[-part:]) >= np.median(each[-length : part - length])
            for each in (self._bests, self._medians)
        )


def _folded(points: Floats) -> Floats:
    """Return points with their coordinates mirrored at 0 and 1 until they lie between."""
    folded: Floats = 1 - np.abs(np.mod(points, 2.0) - 1)
    return folded


def default_population(n_dims: int) -> int:
    """Return how many points a generation has where nobody says: equation 48.

    Examples
    --------
    >>> default_population(2), default_population(10)
    (6, 10)
    """
    return 4 + int(3 * math.log(n_dims))
