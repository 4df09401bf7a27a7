"""Ask and tell over arrays: points from 0 to 1, a generation at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.int64]
State: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Points to evaluate.

    Attributes
    ----------
    ids
        Their numbers, shape ``(n,)``, counted from 0 over the whole search.
    points
        Each coordinate from 0 to 1, shape ``(n, n_dims)``.
    follows
        The number of the point whose value was told just before each was drawn, -1 for those drawn
        first, shape ``(n,)``; None where points are drawn a generation at a time.
    generations
        The generation of each, shape ``(n,)``; None where all have one size, and ids tell it.
    """

    ids: Ids
    points: Floats
    follows: Ids | None = None
    generations: Ids | None = None


class Optimizer(Protocol):
    """Gives points and is told their values, in any order."""

    population: int

    def ask(self, n: int) -> Asked:
        """Return at most ``n`` further points; none while those under way say what comes next."""

    def tell(self, ids: Ids, values: Floats, gradients: Floats | None = None) -> None:
        """Learn the values of some points, each shape ``(n,)``; NaN where one failed.

        Methods that need gradients get them in unit coordinates, shape ``(n, n_dims)``.
        """

    @property
    def stopped(self) -> str:
        """Why it gives no more points, ``""`` while it does."""

    @property
    def is_converged(self) -> bool:
        """Whether it stopped because there is nothing better nearby."""

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""


@runtime_checkable
class Expecting(Protocol):
    """An optimizer that has no end by its budget, and knows about how far it will go."""

    @property
    def expected(self) -> int:
        """How many points it may still give, about."""


class Drawing(Protocol):
    """What all rules by which one generation follows from those before it have in common."""

    population: int
    stopped: str
    is_converged: bool

    def draw(self) -> Floats:
        """Return the points of the next generation, shape ``(n, n_dims)``.

        There are as many as ``population`` says, unless the rule is one of several sizes.
        """

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""


class Rule(Drawing, Protocol):
    """A rule that learns from values."""

    def learn(self, points: Floats, values: Floats) -> None:
        """Take in the values of the generation drawn last, shape ``(n,)``."""


@runtime_checkable
class GradientRule(Drawing, Protocol):
    """A rule that learns from values and gradients."""

    def learn_gradients(self, points: Floats, values: Floats, gradients: Floats) -> None:
        """Take in values, shape ``(n,)``, and gradients, shape ``(n, n_dims)``."""


class Generational:
    """An optimizer by a rule: the next generation is drawn when all values of one are told.

    However a generation is asked for and told, in parts and in any order, the next is the same.

    Parameters
    ----------
    rule
        How one generation follows from those before it.
    """

    def __init__(self, rule: Rule | GradientRule) -> None:
        self._rule = rule
        # Looked at once: where a rule is one of these is asked of each of its attributes.
        self._by_gradients = rule if isinstance(rule, GradientRule) else None
        self._by_values = None if isinstance(rule, GradientRule) else rule
        self.population = rule.population
        self._first = 0  # id of the generation's first point
        self._generation = self._given = 0
        self._points: Floats | None = None
        self._values, self._gradients = np.empty(0), np.empty((0, 0))
        self._is_told = np.zeros(0, np.bool_)

    @property
    def stopped(self) -> str:
        """Why it gives no more points, ``""`` while it does."""
        return self._rule.stopped

    @property
    def is_converged(self) -> bool:
        """Whether it stopped because there is nothing better nearby."""
        return self._rule.is_converged

    def ask(self, n: int) -> Asked:
        """Return at most ``n`` further points of this generation.

        None while all of it are under way, and after it has stopped.
        """
        if self._points is None:
            if self._rule.stopped:
                return Asked(ids=np.empty(0, np.int64), points=np.empty((0, 0)))
            self._points = self._rule.draw()
            n_points, n_dims = self._points.shape
            self._values, self._is_told = np.empty(n_points), np.zeros(n_points, np.bool_)
            if self._by_gradients is not None:
                self._gradients = np.full((n_points, n_dims), np.nan)
        begin, self._given = self._given, min(self._given + max(n, 0), len(self._points))
        ids = np.arange(self._first + begin, self._first + self._given)
        points = self._points[begin : self._given]
        return Asked(ids=ids, points=points, generations=np.full(len(ids), self._generation))

    def tell(self, ids: Ids, values: Floats, gradients: Floats | None = None) -> None:
        """Learn the values of some points, each shape ``(n,)``; NaN where one failed.

        Methods that need gradients get them in unit coordinates, shape ``(n, n_dims)``.

        Raises
        ------
        ValueError
            If a point is not of those that were given and not told yet.
        """
        at = np.asarray(ids) - self._first
        if at.size and (at.min() < 0 or at.max() >= self._given or self._is_told[at].any()):
            raise ValueError("tell: these points were not asked for, or were told already")
        self._values[at] = values
        if gradients is not None and self._by_gradients is not None:
            self._gradients[at] = gradients
        self._is_told[at] = True
        if self._points is None or not self._is_told.all():
            return
        points, self._points = self._points, None
        self._first += len(points)
        self._generation += 1
        self._given = 0
        if self._by_gradients is not None:
            self._by_gradients.learn_gradients(points, self._values, self._gradients)
        elif self._by_values is not None:
            self._by_values.learn(points, self._values)

    def state(self) -> State:
        """Return all that it knows, the rule included: arrays, numbers and text by name."""
        held: State = {
            "first": self._first,
            "generation": self._generation,
            "given": self._given,
        }
        if self._points is not None:
            held["points"] = self._points.copy()
            held["told"] = self._is_told.copy()
            held["values"] = np.where(self._is_told, self._values, np.nan)
            held["gradients"] = self._gradients.copy()
        return {**held, **{f"rule.{name}": value for name, value in self._rule.state().items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._first, self._given = int(state["first"]), int(state["given"])
        self._generation = int(state["generation"])
        points = state.get("points")
        self._points = None if points is None else np.array(points, np.float64)
        if points is not None:
            self._is_told = np.array(state["told"], np.bool_)
            self._values = np.array(state["values"], np.float64)
            self._gradients = np.array(state["gradients"], np.float64)
        prefix = "rule."
        self._rule.restore(
            {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        )


def words_of(rng: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Return the state of a generator of the kind PCG64, shape ``(6,)``."""
    held: Any = rng.bit_generator.state
    low = (1 << 64) - 1
    numbers = [held["state"]["state"], held["state"]["inc"]]
    words = [part for number in numbers for part in (number >> 64, number & low)]
    return np.array([*words, held["has_uint32"], held["uinteger"]], np.uint64)


def generator_from(words: npt.ArrayLike) -> np.random.Generator:
    """Return the generator with a state that :func:`words_of` returned."""
    parts = [int(word) for word in np.asarray(words, np.uint64)]
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": parts[0] << 64 | parts[1], "inc": parts[2] << 64 | parts[3]},
        "has_uint32": parts[4],
        "uinteger": parts[5],
    }
    return np.random.Generator(bits)


def ranked(values: Floats) -> Floats:
    """Return values with those that are not finite, which count as failed, as +inf."""
    return np.where(np.isfinite(values), values, np.inf)
