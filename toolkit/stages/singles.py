"""Run a batch one run at a time, for runs that are recorded one by one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult, seed_of
from toolkit.stages.call import Positions, Seeds, StageCall
from toolkit.stages.columns import empty_columns
from toolkit.stages.current import Cursor, RunContext
from toolkit.stages.failure import describe_failure, is_interrupt
from toolkit.stages.infer import read_result
from toolkit.stages.patterns import Pattern, merge, parts_of, pattern_of
from toolkit.stages.peak import PeakMemory
from toolkit.stages.said import note_said
from toolkit.stages.schema import Columns, Schema

_FIRST = np.zeros(1, np.intp)


def run_singly(
    call: StageCall,
    values: Mapping[str, Sequence[Any]],
    runs: Sequence[int],
    *,
    streams: Seeds | None = None,
    positions: Positions | None = None,
    schema: Schema | None = None,
    attempt: int = 1,
    measure_memory: bool = False,
    context: RunContext | None = None,
) -> Iterator[BatchResult]:
    """Yield the outcome of each run, as ``run_batch`` of that run alone returns it.

    A run begins when its outcome is asked for. What the runs share is prepared once: preparing
    it for each would take a tenth of a run of 1 ms. Takes what ``run_batch`` takes.

    Raises
    ------
    KeyboardInterrupt
        As it is in the main thread; every other exception is the failure of its run.
    """
    ended: list[float] = []
    reader = _Reader(call, schema)
    function = call.positional_function()
    peak = PeakMemory() if measure_memory else None
    seeds = None if streams is None or positions is None else seed_of(streams, positions)
    context = context or RunContext(stage=call.name)
    rows = call.rows(values, len(runs), streams, positions)
    with Cursor(runs, values, ended, context, attempt, seeds) as cursor:
        for index, (run, arguments) in enumerate(zip(runs, rows, strict=True)):
            columns: Columns | None = None
            error: BaseException | None = None
            if peak is not None:
                peak.begin()
            started = time.perf_counter()
            try:
                result = function(*arguments)
            except BaseException as raised:
                if is_interrupt(raised):
                    raise
                error = raised
            ended.append(time.perf_counter())
            seconds = ended[-1] - started
            memory = np.nan if peak is None else peak.end(seconds)
            if error is None:
                columns, error = reader.columns(result)
            if error is not None and reader.schema is not None:
                columns = empty_columns(reader.schema, 1)
            cursor.close(() if error is None else (index,))
            outcome = BatchResult(
                status=np.array([Status.DONE if error is None else Status.FAILED], np.uint8),
                seconds=np.array([seconds], np.float32),
                peak_memory=np.array([memory], np.float32),
                columns=columns,
                schema=reader.schema,
                errors=[] if error is None else [describe_failure(run, error, call.retry_on)],
            )
            if cursor.said is not None:
                note_said(outcome, cursor.said.take(), runs)
            yield outcome


class _Reader:
    """Reads one result after the other, and remembers how the one before was packed.

    ``schema`` is what all results so far fit in.
    """

    def __init__(self, call: StageCall, schema: Schema | None) -> None:
        self.schema = schema
        self._rules = call.rules
        self._pattern: Pattern | None = None
        self._fitting: Schema | None = None  # known to be equal to ``schema``

    def columns(self, result: Any) -> tuple[Columns | None, BaseException | None]:
        """Return the columns of one run, or why there are none."""
        try:
            if self._pattern is not None and self._pattern.accept(0, result):
                part, wrong = self._pattern.part(_FIRST, self._rules)
                self._pattern.clear()
                if not wrong and (part.schema is self._fitting or part.schema == self.schema):
                    self._fitting = part.schema
                    return part.columns, None
            reading = read_result(result, self._rules)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return None, error
        schema, columns, errors = merge(parts_of([(0, reading)]), self.schema, 1)
        if errors:
            return None, errors[0]
        self.schema, self._fitting = schema, None
        self._pattern = pattern_of(result, reading, self._rules, 1)
        return columns, None
