"""Cheap objectives, evaluated in this process: a generation is one batch."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.errors import RunsFailedError
from toolkit.optimizers.generational import Floats, Ids
from toolkit.optimizers.search import Reading, Search, read_values
from toolkit.optimizers.search_space import EVALUATION
from toolkit.run_status import Status
from toolkit.spaces.axis import Dim
from toolkit.spaces.space import Space
from toolkit.stages.batch import BatchResult, run_batch
from toolkit.stages.command_call import Command
from toolkit.stages.frozen_arguments import thaw
from toolkit.stages.preparing import PreparedStage
from toolkit.stages.schema import Schema
from toolkit.stages.trial import Trial

CHEAP = 1e-3  # seconds for one evaluation: above, the engine's own cost is small beside it


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
    search: Search, stage: PreparedStage, space: Space, output: str | Reading | None
) -> bool:
    """Go on with a search in this process for as long as evaluations are cheap.

    Returns
    -------
    bool
        Whether the search has ended; else the rest is worth more than one process.

    Raises
    ------
    RunsFailedError
        If all evaluations of the first generation failed.
    """
    here = _Here(search, stage, space, output)
    if not stage.binding.call.vectorized:
        seconds = math.inf
        for _ in range(2):  # the first call may load or compile something
            if seconds > CHEAP and (rows := search.take(1)) is not None:
                seconds = here.evaluate(rows)
                if seconds > 100 * CHEAP:
                    return False
        if seconds > CHEAP:
            return False
    n_slow = 0  # in a row: one alone may be another process's doing
    while (rows := search.take()) is not None:
        seconds = here.evaluate(rows)
        n_slow = n_slow + 1 if seconds > CHEAP else 0
        if n_slow == 3 or seconds > 10 * CHEAP:
            return False
        here.require_success()
    here.require_success()
    return True


class _Here:
    def __init__(
        self, search: Search, stage: PreparedStage, space: Space, output: str | Reading | None
    ) -> None:
        self._search, self._call, self._output = search, thaw(stage.binding.call), output
        self._others = [dim for dim in space.dims if dim.name != EVALUATION]
        self._schema: Schema | None = None
        self._trial = Trial()
        self._has_succeeded = False

    def evaluate(self, rows: Dim) -> float:
        """Evaluate points, tell the search, and return the seconds that each took."""
        evaluations = np.asarray(rows.labels, np.int64)
        started = time.perf_counter()
        result = run_batch(
            self._call,
            self._values(rows),
            evaluations,
            schema=self._schema,
            brief=True,
            trial=self._trial,
        )
        seconds = time.perf_counter() - started
        self._schema = result.schema
        is_done = result.status == Status.DONE
        values = np.full(len(evaluations), np.nan)
        if is_done.any():
            self._has_succeeded = True
            values[is_done] = self._numbers(evaluations, result)[is_done]
        self._search.failures += result.errors
        self._search.tell(evaluations, values, result.status)
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

    def _numbers(self, evaluations: Ids, result: BatchResult) -> Floats:
        assert result.schema is not None
        assert result.columns is not None
        outputs = dict(zip(result.schema.names, result.columns, strict=True))
        return read_values(self._output, evaluations, outputs)

    def _values(self, rows: Dim) -> Mapping[str, Sequence[Any]]:
        needed, n = set(self._call.parameters), rows.size
        every, first = np.arange(n), np.zeros(n, np.int64)
        found: dict[str, Any] = {}
        for dim, at in ((rows, every), *((dim, first) for dim in self._others)):
            for column in dim.columns:
                if column.name in needed:
                    take = column.array if self._call.vectorized else column.values
                    found[column.name] = take(at)
        return found
