"""Ask and tell without generations: one value told, one point drawn, so that no worker waits."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from toolkit.optimizers.generational import Asked, Floats, Ids, State


class SteadyRule(Protocol):
    """How points follow from values that come in any order."""

    population: int
    stopped: str
    is_converged: bool

    @property
    def learns_from(self) -> int:
        """How many values it takes in at once."""

    def draw_some(self, n: int) -> tuple[Floats, Floats]:
        """Return further points, and what is to be known of each when its value is told."""

    def learn_some(self, drawn: Floats, values: Floats) -> None:
        """Take in values of points drawn at any time, with what was to be known of each."""

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""


class SteadyState:
    """An optimizer by a rule: as many points as a population has are under way at all times.

    Each value that is told frees a place, for which a point is drawn at once. So the points depend
    on the order of the values and on nothing else, and each says which value came before it:
    told in that order again, the search goes the same way.

    Parameters
    ----------
    rule
        How points follow from values.
    """

    def __init__(self, rule: SteadyRule) -> None:
        self._rule = rule
        self.population = rule.population
        self._ready: deque[int] = deque()  # drawn, and not given yet
        self._points: dict[int, Floats] = {}
        self._drawn: dict[int, Floats] = {}  # of those under way or not given yet
        self._follows: dict[int, int] = {}
        self._n_drawn = 0
        self._told: list[tuple[Floats, float]] = []  # until there are enough to learn from

    @property
    def stopped(self) -> str:
        """Why it gives no more points, ``""`` while it does."""
        return self._rule.stopped

    @property
    def is_converged(self) -> bool:
        """Whether it stopped because there is nothing better nearby."""
        return self._rule.is_converged

    def ask(self, n: int) -> Asked:
        """Return at most ``n`` further points; none while a whole population is under way."""
        if not self._n_drawn:
            self._draw(self.population, -1)
        if self._rule.stopped:
            self._ready.clear()
        ids = [self._ready.popleft() for _ in range(min(max(n, 0), len(self._ready)))]
        points = [self._points.pop(each) for each in ids]
        return Asked(
            ids=np.array(ids, np.int64),
            points=np.array(points) if ids else np.empty((0, 0)),
            follows=np.array([self._follows.pop(each) for each in ids], np.int64),
        )

    def tell(self, ids: Ids, values: Floats, gradients: Floats | None = None) -> None:
        """Learn the values of some points in the order in which they came; NaN where one failed.

        Raises
        ------
        ValueError
            If a point is not of those that were given and not told yet.
        """
        del gradients
        told = np.asarray(ids).tolist()
        if not set(told) <= self._drawn.keys() - set(self._ready) or len(set(told)) < len(told):
            raise ValueError("tell: these points were not asked for, or were told already")
        for each, value in zip(told, np.asarray(values, np.float64).tolist(), strict=True):
            self._told.append((self._drawn.pop(each), value))
            if self._rule.stopped:
                continue
            if len(self._told) == self._rule.learns_from:
                told_now, self._told = self._told, []
                self._rule.learn_some(
                    np.array([drawn for drawn, _ in told_now]),
                    np.array([one for _, one in told_now]),
                )
            self._draw(1, each)

    def state(self) -> State:
        """Return all that it knows, the rule included: arrays, numbers and text by name."""
        known = sorted(self._drawn)
        ready = list(self._ready)
        held: State = {
            "n_drawn": self._n_drawn,
            "under_way": np.array(known, np.int64),
            "drawn": np.array([self._drawn[each] for each in known]),
            "ready": np.array(ready, np.int64),
            "points": np.array([self._points[each] for each in ready]),
            "follows": np.array([self._follows[each] for each in ready], np.int64),
            "told": np.array([drawn for drawn, _ in self._told]),
            "values": np.array([value for _, value in self._told]),
        }
        return {**held, **{f"rule.{name}": value for name, value in self._rule.state().items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._n_drawn = int(state["n_drawn"])
        self._drawn = _by_id(state["under_way"], state["drawn"])
        self._ready = deque(np.asarray(state["ready"], np.int64).tolist())
        self._points = _by_id(state["ready"], state["points"])
        follows = np.asarray(state["follows"], np.int64).tolist()
        self._follows = dict(zip(self._ready, follows, strict=True))
        values = np.asarray(state["values"], np.float64).tolist()
        drawn = [np.array(each) for each in state["told"]]
        self._told = list(zip(drawn, values, strict=True))
        prefix = "rule."
        self._rule.restore(
            {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        )

    def _draw(self, n: int, follows: int) -> None:
        if self._rule.stopped:
            return
        for point, drawn in zip(*self._rule.draw_some(n), strict=True):
            number = self._n_drawn
            self._n_drawn += 1
            self._points[number], self._drawn[number] = point, drawn
            self._follows[number] = follows
            self._ready.append(number)


def _by_id(ids: Any, rows: Any) -> dict[int, Floats]:
    return {
        number: np.array(row, np.float64)
        for number, row in zip(np.asarray(ids, np.int64).tolist(), rows, strict=True)
    }
