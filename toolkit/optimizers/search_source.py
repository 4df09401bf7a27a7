"""A search as the engine knows sources: asked for runs, told what became of them."""

import time
from collections.abc import Callable

import numpy as np

from toolkit.execution.sources import Outcomes
from toolkit.optimizers.gradients import unit_gradients
from toolkit.optimizers.placing import DEAR
from toolkit.optimizers.search import Search
from toolkit.optimizers.search_space import EVALUATION
from toolkit.optimizers.search_values import Reading, read_values
from toolkit.run_status import Status
from toolkit.spaces.space import Space

_JUDGED = 5  # generations, after which workers have shown what they do


class SearchSource:
    """A search as the engine knows sources: generations as spaces.

    Parameters
    ----------
    search
        It may have begun.
    space
        The space of the sweep, whose constants, defaults included, each run gets.
    output
        The output to minimize, None for the only one; or what reads the value of each run.
    is_enough
        Asked once a generation is told, with the seconds of one evaluation and how many are left:
        whether the rest is better made elsewhere. Where it is given, a search whose first
        generations took longer than their evaluations one after the other ends early too.
    after
        Called whenever some are told.
    """

    def __init__(
        self,
        search: Search,
        space: Space,
        output: str | Reading | None,
        *,
        is_enough: Callable[[float, int], bool] | None = None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._search, self._output = search, output
        self._is_enough, self._after = is_enough, after
        self._seconds: list[float] = []
        self._ends: list[float] = []
        self.has_ended_early = False
        self.was_slow = False  # workers took longer than one after the other would
        self._others = tuple(dim for dim in space.dims if dim.name != EVALUATION)

    @property
    def left(self) -> int:
        """How many runs it may still give."""
        return self._search.left

    def ask(self, n: int) -> Space | None:
        """Return all points that can be told now, whole generations of each start."""
        del n
        rows = None if self.has_ended_early else self._search.take()
        return None if rows is None else Space((rows, *self._others))

    def tell(self, outcomes: Outcomes) -> None:
        """Learn what became of some runs."""
        evaluations = np.asarray(outcomes.points[EVALUATION], np.int64)
        is_done = np.isin(outcomes.status, (Status.DONE, Status.STALE))
        values = np.full(len(evaluations), np.nan)
        if is_done.any():
            read = read_values(self._output, evaluations, outcomes.values)
            values[is_done] = read[is_done]
        self._search.failures += outcomes.failures
        status = np.where(is_done, Status.DONE, Status.FAILED).astype(np.uint8)
        gradients = unit_gradients(self._search.space, outcomes.points, outcomes.values)
        self._search.tell(evaluations, values, status, outcomes.seconds, gradients=gradients)
        self._seconds += outcomes.seconds.tolist()
        if self._is_enough is not None:
            self._judge(self._is_enough)
        self._after()

    def _judge(self, is_enough: Callable[[float, int], bool]) -> None:
        """Look after the first generation what evaluations take, and after some what all takes."""
        together = self._search.together
        if len(self._seconds) < together * (len(self._ends) + 1):
            return
        self._ends.append(time.monotonic())
        seconds = float(np.nanmedian(self._seconds))
        if len(self._ends) == 1:
            self.has_ended_early = is_enough(seconds, self._search.left)
        elif len(self._ends) == _JUDGED:
            took = float(np.diff(self._ends).min())
            self.was_slow = seconds < DEAR and took > seconds * together
            self.has_ended_early = self.was_slow
