"""Objectives evaluated in this process, without the engine: a generation is one batch."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from toolkit.errors import RunsFailedError
from toolkit.optimizers.generational import Floats, Ids
from toolkit.optimizers.gradients import gradient_names, unit_gradients
from toolkit.optimizers.search import Search
from toolkit.optimizers.search_space import EVALUATION
from toolkit.optimizers.search_values import Reading, read_values
from toolkit.run_status import Status
from toolkit.spaces.axis import Dim
from toolkit.spaces.space import Space
from toolkit.stages.batch import BatchResult, run_batch
from toolkit.stages.command_call import Command
from toolkit.stages.frozen_arguments import thaw
from toolkit.stages.preparing import PreparedStage
from toolkit.stages.schema import Schema
from toolkit.stages.trial import Trial

_BATCH = 0.05  # seconds of evaluations that are recorded together
_JUDGED = 3  # generations, the quickest of which says what evaluations take
_LONG = 1.0  # seconds of a generation, which is not waited for three times
_SLOW = 0.1  # seconds of the first evaluation, which says more than what is loaded for it


class Keeper(Protocol):
    """Keeps outcomes as they come."""

    def keep(self, dims: Sequence[Dim], result: BatchResult) -> None:
        """Keep the outcomes of runs, along the first dim; the others have one label each."""


def may_run_here(stage: PreparedStage) -> bool:
    """Whether evaluations may run without the engine: they need nothing that it provides."""
    binding = stage.binding
    return not (
        stage.stage.resources is not None
        or stage.stage.retry_on
        or binding.takes_rng
        or binding.takes_run_seed
        or binding.call.vectorized == "torch"
        or isinstance(stage.stage.function, Command)
    )


def evaluate_here(
    search: Search,
    stage: PreparedStage,
    space: Space,
    output: str | Reading | None,
    *,
    should_leave: Callable[[float, int], bool],
    keeper: Keeper | None = None,
    after: Callable[[], None] = lambda: None,
) -> bool:
    """Go on with a search in this process for as long as that is the best place.

    Parameters
    ----------
    search
        It may have begun.
    stage, space
        The objective, and the space of the sweep, whose constants it gets.
    output
        The output to minimize, None for the only one; or what reads the values.
    should_leave
        Says, from the seconds of one evaluation and how many are left, whether to end here.
    keeper
        Keeps all outcomes; None: the search alone knows them.
    after
        Called after each generation.

    Returns
    -------
    bool
        Whether the search has ended; else the rest is worth more than one process.

    Raises
    ------
    RunsFailedError
        If all evaluations of the first generation failed.
    """
    here = _Here(search, stage, space, output, keeper)
    seconds = 0.0
    if not stage.binding.call.vectorized:
        seconds = math.inf
        for _ in range(2):  # the first call may load or compile something
            if should_leave(seconds, search.left) and (rows := search.take(1)) is not None:
                seconds = here.evaluate(rows)
                if seconds > _SLOW and should_leave(seconds, search.left):
                    return False
        if should_leave(seconds, search.left):
            return False
    recent: deque[float] = deque(maxlen=_JUDGED)
    while (rows := search.take()) is not None:
        seconds = here.evaluate_in_batches(rows, seconds)
        recent.append(seconds)
        after()
        # One slow generation may be the machine's: the quickest of some is what it takes.
        is_known = len(recent) == _JUDGED or seconds * rows.size > _LONG
        if is_known and should_leave(min(recent), search.left):
            return False
        here.require_success()
    here.require_success()
    return True


class _Here:
    def __init__(
        self,
        search: Search,
        stage: PreparedStage,
        space: Space,
        output: str | Reading | None,
        keeper: Keeper | None,
    ) -> None:
        self._search, self._call, self._output = search, thaw(stage.binding.call), output
        self._keeper = keeper
        self._needed = frozenset(self._call.parameters)
        self._slopes = frozenset(gradient_names(search.space))
        self._others = tuple(dim for dim in space.dims if dim.name != EVALUATION)
        self._schema: Schema | None = None
        self._trial = Trial()
        self._has_succeeded = search.best is not None

    def evaluate_in_batches(self, rows: Dim, expected: float) -> float:
        """Evaluate points, those of over a millisecond so that few are unrecorded at any time."""
        most = rows.size
        if not self._call.vectorized and expected * rows.size > _BATCH:
            most = max(1, int(_BATCH / expected))
        spent = 0.0
        for first in range(0, rows.size, most):
            part = rows
            if most < rows.size:
                part = rows.take(np.arange(first, min(first + most, rows.size)))
            spent += self.evaluate(part) * part.size
        return spent / rows.size

    def evaluate(self, rows: Dim) -> float:
        """Evaluate points, tell the search, and return the seconds that each took."""
        evaluations = np.asarray(rows.labels, np.int64)
        started = time.perf_counter()
        result = run_batch(
            self._call,
            self._arguments(rows),
            evaluations,
            schema=self._schema,
            brief=True,
            trial=self._trial,
        )
        seconds = time.perf_counter() - started
        self._schema = result.schema
        values = self._values_of(evaluations, result)
        if self._keeper is not None:
            self._keeper.keep((rows, *self._others), result)
        self._search.failures += result.errors
        gradients = self._gradients(rows, result)
        self._search.tell(evaluations, values, result.status, result.seconds, gradients=gradients)
        return seconds / len(evaluations)

    def require_success(self) -> None:
        """Raise where nothing has succeeded so far."""
        failures = self._search.failures
        if self._has_succeeded or not failures:
            return
        raise RunsFailedError(
            f"All {self._search.n_evaluated} evaluations of the first generation failed, so the "
            f"search was stopped. The first error:\n\n"
            f"{failures[0].traceback or failures[0].message}"
        )

    def _values_of(self, evaluations: Ids, result: BatchResult) -> Floats:
        """Return the values of evaluations, shape ``(n,)``, NaN where one failed."""
        n_failed = len(result.errors)
        if n_failed == len(evaluations):
            return np.full(n_failed, np.nan)
        self._has_succeeded = True
        values = read_values(self._output, evaluations, _outputs(result))
        return np.where(result.status == Status.DONE, values, np.nan) if n_failed else values

    def _gradients(self, rows: Dim, result: BatchResult) -> Floats | None:
        if result.schema is None or not self._slopes.issubset(result.schema.names):
            return None
        outputs = _outputs(result)
        points = {column.name: column.labels for column in rows.columns}
        return unit_gradients(self._search.space, points, outputs)

    def _arguments(self, rows: Dim) -> Mapping[str, Sequence[Any]]:
        """Return what evaluations receive, by parameter; arrays of their own where they get any."""
        every, first = np.arange(rows.size), np.zeros(rows.size, np.int64)
        found: dict[str, Any] = {}
        for dim, at in ((rows, every), *((dim, first) for dim in self._others)):
            for column in dim.columns:
                if column.name in self._needed:
                    take = column.array if self._call.vectorized else column.values
                    found[column.name] = take(at)
        return found


def _outputs(result: BatchResult) -> Mapping[str, object]:
    assert result.schema is not None
    assert result.columns is not None
    return dict(zip(result.schema.names, result.columns, strict=True))
