"""Methods that call a function, turned into optimizers that ask and are told."""

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from toolkit.optimizers.generational import Asked, Floats, Ids, State

Result = TypeVar("Result")


class Evaluate(Protocol):
    """Gives points to evaluate and returns their values."""

    def __call__(self, points: Floats) -> Floats:
        """Return the values at points, shape ``(n, n_dims)``; NaN where one failed."""


Method: TypeAlias = Callable[[Evaluate], Result]


class Inversion(Generic[Result]):
    """An optimizer around a method that calls for values until it has what it wants.

    The method runs in a thread of its own, which waits while its points are evaluated: one of the
    two is at work at any time. All points of one call are a generation. What the method asks for
    depends on the values only, not on when and in which order they are told.

    Parameters
    ----------
    method
        Called once, with a function that returns the values at points.
    population
        Points that it asks for at once, about.
    expected
        How many it may ask for in all, about.

    Attributes
    ----------
    result
        What the method returned, None before that.
    n_asked
        How many points it asked for so far.
    """

    def __init__(self, method: Method[Result], *, population: int, expected: int) -> None:
        self._method, self.population, self._expected = method, population, expected
        self.result: Result | None = None
        self.n_asked = 0
        self.stopped, self.is_converged = "", False
        self._thread: Thread | None = None
        self._wanted: SimpleQueue[Floats | _Ended[Result]] = SimpleQueue()
        self._found: SimpleQueue[Floats | None] = SimpleQueue()
        self._points: Floats | None = None  # of the generation under way
        self._values = self._is_told = np.empty(0)
        self._first = self._given = self._generation = 0
        self._earlier: list[Floats] = []  # values of the generations before it

    @property
    def expected(self) -> int:
        """How many points it may still ask for, about."""
        return 0 if self.stopped else max(self.population, self._expected - self.n_asked)

    def ask(self, n: int) -> Asked:
        """Return at most ``n`` further points of this generation.

        None while all of it are under way, and after the method has ended. Waits for the method.

        Raises
        ------
        Exception
            Whatever the method raised.
        """
        if self._points is None and not self.stopped:
            self._await()
        if self._points is None:
            return Asked(ids=np.empty(0, np.int64), points=np.empty((0, 0)))
        begin, self._given = self._given, min(self._given + max(n, 0), len(self._points))
        ids = np.arange(self._first + begin, self._first + self._given)
        return Asked(
            ids=ids,
            points=self._points[begin : self._given],
            generations=np.full(len(ids), self._generation),
        )

    def tell(self, ids: Ids, values: Floats, gradients: Floats | None = None) -> None:
        """Learn the values of some points, each shape ``(n,)``; NaN where one failed.

        Raises
        ------
        ValueError
            If a point is not of those that were given and not told yet.
        """
        del gradients
        at = np.asarray(ids) - self._first
        if at.size and (at.min() < 0 or at.max() >= self._given or self._is_told[at].any()):
            raise ValueError("tell: these points were not asked for, or were told already")
        self._values[at] = values
        self._is_told[at] = True
        if self._points is None or not self._is_told.all():
            return
        self._first += len(self._points)
        self._generation += 1
        self._points, self._given = None, 0
        self._earlier.append(self._values.copy())
        self._found.put(self._values)

    def state(self) -> State:
        """Return all values that it was told; from them its way follows."""
        return {
            "earlier": np.concatenate([np.empty(0), *self._earlier]),
            "given": self._given,
            "told": np.array(self._is_told[: self._given], np.bool_),
            "values": np.array(self._values[: self._given]),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go the way that led to this state; of one that has not begun only.

        Raises
        ------
        ValueError
            If it has begun, or the values are those of another method.
        """
        if self._thread is not None:
            raise ValueError("restore: only what has not begun can go the way of another")
        earlier = np.array(state["earlier"], np.float64)
        while len(earlier):
            asked = self.ask(len(earlier))
            if not len(asked.ids):
                raise ValueError("restore: these values are those of another method")
            self.tell(asked.ids, earlier[: len(asked.ids)])
            earlier = earlier[len(asked.ids) :]
        given, told = int(state["given"]), np.array(state["told"], np.bool_)
        if given:
            ids = self.ask(given).ids
            self.tell(ids[told], np.array(state["values"], np.float64)[told])

    def close(self) -> None:
        """End the method, wherever it is."""
        if self._thread is not None:
            self._found.put(None)
            self._thread.join()

    def _await(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._work, name="sampler", daemon=True)
            self._thread.start()
        wanted = self._wanted.get()
        if isinstance(wanted, _Ended):
            self.stopped = "it ended"
            if wanted.error is not None:
                raise wanted.error
            self.result, self.is_converged = wanted.result, True
            return
        self._points = wanted
        self.n_asked += len(wanted)
        self._values = np.full(len(wanted), np.nan)
        self._is_told = np.zeros(len(wanted), np.bool_)

    def _work(self) -> None:
        try:
            self._wanted.put(_Ended(result=self._method(self._evaluate)))
        except ClosedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the points are asked for
            self._wanted.put(_Ended(error=error))

    def _evaluate(self, points: Floats) -> Floats:
        if not len(points):
            return np.empty(0)
        self._wanted.put(np.array(points, np.float64))
        found = self._found.get()
        if found is None:
            raise ClosedError
        return found


class ClosedError(BaseException):
    """Unwinds a method that is not wanted any more."""


class _Ended(Generic[Result]):
    def __init__(self, result: Result | None = None, error: BaseException | None = None) -> None:
        self.result, self.error = result, error
