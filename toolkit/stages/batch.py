"""Run one batch of a stage: any runs, their outcomes as columns, no failure ending the others."""

import math
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stages.batch_check import check_batch
from toolkit.stages.call import Positions, Seeds, StageCall
from toolkit.stages.current import Cursor, RunContext
from toolkit.stages.draws import global_draws
from toolkit.stages.failure import RunFailure, describe_failure, is_interrupt
from toolkit.stages.infer import Reading, read_result
from toolkit.stages.patterns import (
    ArrayPattern,
    EffectsPattern,
    Pattern,
    ScalarPattern,
    merge,
    parts_of,
    pattern_of,
)
from toolkit.stages.peak import PeakMemory
from toolkit.stages.said import RunLog, note_said
from toolkit.stages.schema import Columns, Schema
from toolkit.stages.trial import Trial
from toolkit.stages.vectorized import run_together

# Below this a run's peak is not asked for: asking takes 0.05 ms and the answer would be NaN.
_WORTH_MEASURING = 0.002
_GROUP = 64
_DONE, _FAILED = int(Status.DONE), int(Status.FAILED)  # NumPy takes five times as long for an enum


@dataclass
class BatchResult:
    """The outcomes of a batch, in the order of its runs.

    Parameters
    ----------
    status
        ``Status.DONE`` or ``Status.FAILED``, uint8, shape ``(n_runs,)``.
    seconds
        Wall time of each run, float32, shape ``(n_runs,)``.
    peak_memory
        In bytes, NaN where unknown, float32, shape ``(n_runs,)``.
    columns
        One per variable of the schema, missing where a run failed; None without a schema.
    schema
        The one that was given, a wider one, or the one inferred; None if no run succeeded and
        none was given.
    errors
        One per failed run, in the order of the runs.
    global_draws
        Global generators that the runs drew from, if that was watched.
    logs
        What runs printed, warned of and logged, if somebody listened.
    """

    status: npt.NDArray[np.uint8]
    seconds: npt.NDArray[np.float32]
    peak_memory: npt.NDArray[np.float32]
    columns: Columns | None
    schema: Schema | None
    errors: list[RunFailure] = field(default_factory=list)
    global_draws: tuple[str, ...] = ()
    logs: list[RunLog] = field(default_factory=list)


def run_batch(
    call: StageCall,
    values: Mapping[str, Sequence[Any]],
    runs: Sequence[int] | npt.NDArray[np.int64],
    *,
    streams: Seeds | None = None,
    positions: Positions | None = None,
    schema: Schema | None = None,
    mark: memoryview | None = None,
    attempt: int | Sequence[int] = 1,
    measure_memory: bool = False,
    context: RunContext | None = None,
    watch_globals: bool = False,
    brief: bool = False,
    trial: Trial | None = None,
) -> BatchResult:
    """Run a stage at some points.

    Parameters
    ----------
    call
        The function and where its arguments come from.
    values
        Per parameter a sequence of n values (arrays for a vectorized stage).
    runs
        Ids of the n runs.
    streams, positions
        The random streams, and where the runs lie along their dims (-1: does not matter there).
    schema
        What earlier runs returned. A run that does not fit widens it where that keeps all values
        exactly, and else fails. None: the first run that succeeds says what is returned.
    mark
        A writable memoryview of one int64, which holds the id of the run in progress.
    attempt
        Number of the attempt, for all runs or for each.
    measure_memory
        Whether to measure the peak memory of runs of 10 ms and more.
    context
        What ``current_run()`` knows beyond this.
    watch_globals
        Whether to notice draws from global random generators.
    brief
        Whether runs are so short that a look at the clock for each would cost a good part of
        them: then up to 64 share their seconds equally.
    trial
        What this process has learned of a vectorized stage; None: nothing, and no check is made.

    Raises
    ------
    StageError
        If a vectorized stage returns other values for a batch than for its runs alone.
    KeyboardInterrupt
        As it is in the main thread; every other exception is the failure of its run.
    """
    ids = np.asarray(runs, dtype=np.int64).tolist()
    changed = global_draws() if watch_globals else None
    progress: list[Any] = []
    seeds = None
    if streams is not None and positions is not None:
        seeds = seed_of(streams, positions)
    context = context or RunContext(stage=call.name)
    with Cursor(ids, values, progress, context, attempt, seeds) as cursor:
        batch = _Batch(call, ids, progress, cursor, schema, mark)
        if call.vectorized:
            result = batch.together(values, streams, positions, measure_memory, trial)
        else:
            rows = call.rows(values, len(ids), streams, positions)
            result = batch.one_by_one(rows, measure_memory, brief)
        cursor.close(batch.errors)
    if cursor.said is not None:
        note_said(result, cursor.said.take(), ids, together=bool(call.vectorized))
    if changed is not None:
        result.global_draws = changed()
    return result


class _Batch:
    def __init__(
        self,
        call: StageCall,
        runs: list[int],
        progress: list[Any],
        cursor: Cursor,
        schema: Schema | None,
        mark: memoryview | None,
    ) -> None:
        self.call = call
        self.rules = call.rules
        self.runs = runs
        self.progress = progress  # one entry per run that has ended: when it did
        self.cursor = cursor
        self.schema = schema
        self.mark = memoryview(array("q", [-1])) if mark is None else mark
        self.errors: dict[int, RunFailure] = {}
        self.readings: list[tuple[int, Reading]] = []
        self.pauses: dict[int, float] = {}
        self.pattern: Pattern | None = None

    def one_by_one(
        self, rows: Iterator[tuple[Any, ...]], measure_memory: bool, brief: bool
    ) -> BatchResult:
        n = len(self.runs)
        function = self.call.positional_function()
        peaks = np.full(n, np.nan, np.float32)
        if measure_memory:
            function = _measured(function, peaks, self.progress)
        work = zip(self.runs, rows, strict=True)
        started = time.perf_counter()
        self._until_pattern(function, work)
        brief = brief and isinstance(self.pattern, ScalarPattern) and self.pattern.split is None
        if isinstance(self.pattern, ScalarPattern):
            (self._brief if brief else self._scalars)(function, work, self.pattern)
        elif self.pattern is not None:
            self._patterned(function, work, self.pattern)
        ends = np.array([started, *self.progress])
        seconds = np.diff(ends)
        firsts = np.flatnonzero(seconds)  # runs of one group ended at the same time
        for index, pause in self.pauses.items():
            if index + 1 < n:
                seconds[index + 1] -= pause
        if brief and n:
            firsts = np.union1d(firsts, [0])
            sizes = np.diff(firsts, append=n)
            seconds = np.repeat(seconds[firsts] / sizes, sizes)
        return self._result(seconds, peaks)

    def together(
        self,
        values: Mapping[str, Any],
        streams: Seeds | None,
        positions: Positions | None,
        measure_memory: bool,
        trial: Trial | None,
    ) -> BatchResult:
        n = len(self.runs)
        if n:
            self.mark[0] = self.runs[0]
        peak = PeakMemory() if measure_memory else None
        if peak is not None:
            peak.begin()
        started = time.perf_counter()
        parts, errors, alone = run_together(self.call, values, n, streams, positions, trial)
        seconds = time.perf_counter() - started
        memory = math.nan if peak is None else peak.end(seconds)
        peaks = np.full(n, memory / max(n, 1), np.float32)
        if trial is not None:
            trial.note(n, seconds, math.nan if peak is None else peak.growth(memory))
            if not trial.is_checked:
                labels = self.cursor.labels
                trial.is_checked = check_batch(self.call.name, parts, n, alone, labels)
        for index, error in errors.items():
            self._fail(index, error)
        schema, columns, mismatches = merge(parts, self.schema, n)
        for index, mismatch in mismatches.items():
            self._fail(index, mismatch)
        return self._packed(np.full(n, seconds / max(n, 1)), peaks, schema, columns)

    def _until_pattern(
        self, function: Callable[..., Any], work: Iterator[tuple[int, tuple[Any, ...]]]
    ) -> None:
        """Run until a result shows how to pack those like it; to the end where none does."""
        n = len(self.runs)
        for run, arguments in work:
            self.mark[0] = run
            index = len(self.progress)
            try:
                result = function(*arguments)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                self._raised(index, error)
                continue
            reading = self._read(index, result)
            if reading is not None:
                self.pattern = pattern_of(result, reading, self.rules, n)
                if self.pattern is None or not self.pattern.accept(index, result):
                    self.pattern = None
                    self.readings.append((index, reading))
            self.progress.append(time.perf_counter())
            if self.pattern is not None:
                return

    def _scalars(
        self,
        function: Callable[..., Any],
        work: Iterator[tuple[int, tuple[Any, ...]]],
        pattern: ScalarPattern,
    ) -> None:
        # The hot loop: each line costs 10 to 40 ns a run.
        mark, tick, clock = self.mark, self.progress.append, time.perf_counter
        expected, is_bare = pattern.container, pattern.split is None
        keep, accept = pattern.rows.append, pattern.accept
        for run, arguments in work:
            mark[0] = run
            try:
                result = function(*arguments)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                self._raised(len(self.progress), error)
                continue
            if is_bare and type(result) is expected:
                keep(result)
            elif is_bare or not accept(0, result):
                self._surprise(result)
            tick(clock())

    def _brief(
        self,
        function: Callable[..., Any],
        work: Iterator[tuple[int, tuple[Any, ...]]],
        pattern: ScalarPattern,
    ) -> None:
        """Run as ``_scalars`` does, with one look at the clock for up to 64 runs."""
        mark, clock, progress, rows = self.mark, time.perf_counter, self.progress, pattern.rows
        expected, keep = pattern.container, rows.append
        ended = self.cursor.done = _Ended(progress, rows)
        while True:
            surprise: list[Any] = []
            error: BaseException | None = None
            try:
                for mark[0], arguments in islice(work, _GROUP):
                    result = function(*arguments)
                    if type(result) is not expected:
                        surprise.append(result)
                        break
                    keep(result)
            except BaseException as raised:
                if is_interrupt(raised):
                    raise
                error = raised
            n = len(rows) - ended.settled
            progress.extend(repeat(clock(), n))
            ended.settled = len(rows)
            if error is not None:
                self._raised(len(progress), error)
            elif surprise:
                self._surprise(surprise[0])
                progress.append(clock())
            elif not n:
                return

    def _patterned(
        self,
        function: Callable[..., Any],
        work: Iterator[tuple[int, tuple[Any, ...]]],
        pattern: Pattern,
    ) -> None:
        assert isinstance(pattern, ArrayPattern | EffectsPattern)
        mark, tick, clock, accept = (
            self.mark,
            self.progress.append,
            time.perf_counter,
            pattern.accept,
        )
        for index, (run, arguments) in enumerate(work, len(self.progress)):
            mark[0] = run
            try:
                result = function(*arguments)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                self._raised(index, error)
                continue
            if not accept(index, result):
                self._surprise(result)
            tick(clock())

    def _surprise(self, result: Any) -> None:
        index = len(self.progress)
        reading = self._read(index, result)
        if reading is not None:
            self.readings.append((index, reading))

    def _read(self, index: int, result: Any) -> Reading | None:
        try:
            return read_result(result, self.rules)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._fail(index, error)
            return None

    def _raised(self, index: int, error: BaseException) -> None:
        ended = time.perf_counter()
        self.progress.append(ended)
        self._fail(index, error)
        # Writing the traceback is not the next run's time.
        self.pauses[index] = time.perf_counter() - ended

    def _fail(self, index: int, error: BaseException) -> None:
        self.cursor.failed.add(index)
        self.errors[index] = describe_failure(self.runs[index], error, self.call.retry_on)

    def _result(
        self, seconds: npt.NDArray[np.float64], peaks: npt.NDArray[np.float32]
    ) -> BatchResult:
        n = len(self.runs)
        parts = parts_of(self.readings)
        if self.pattern is not None:
            alike = np.ones(n, bool)
            alike[list(self.errors)] = False
            alike[[index for index, _ in self.readings]] = False
            part, wrong = self.pattern.part(np.flatnonzero(alike), self.rules)
            for index, error in wrong.items():
                self._fail(index, error)
            parts.append(part.without(wrong))
        schema, columns, mismatches = merge(parts, self.schema, n)
        for index, mismatch in mismatches.items():
            self._fail(index, mismatch)
        return self._packed(seconds, peaks, schema, columns)

    def _packed(
        self,
        seconds: npt.NDArray[np.float64],
        peaks: npt.NDArray[np.float32],
        schema: Schema | None,
        columns: Columns | None,
    ) -> BatchResult:
        status = np.full(len(self.runs), _DONE, np.uint8)
        if self.errors:
            status[list(self.errors)] = _FAILED
        return BatchResult(
            status=status,
            seconds=np.maximum(seconds, 0).astype(np.float32),
            peak_memory=peaks,
            columns=columns,
            schema=schema,
            errors=[self.errors[index] for index in sorted(self.errors)],
        )


class _Ended:
    """How many runs have ended: those whose time is noted, and those of the group in progress."""

    def __init__(self, progress: Sized, rows: Sized) -> None:
        self.progress, self.rows = progress, rows
        self.settled = len(rows)

    def __len__(self) -> int:
        return len(self.progress) + len(self.rows) - self.settled


def _measured(
    function: Callable[..., Any], peaks: npt.NDArray[np.float32], progress: list[Any]
) -> Callable[..., Any]:
    """Return the function with its peak memory written down, while runs are long enough."""
    peak = PeakMemory()
    is_worthwhile = True

    def measured(*arguments: Any) -> Any:
        nonlocal is_worthwhile
        index = len(progress)
        if is_worthwhile:
            peak.begin()
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds = time.perf_counter() - started
            if is_worthwhile:
                peaks[index] = peak.end(seconds)
            is_worthwhile = seconds >= _WORTH_MEASURING

    return measured


def seed_of(streams: Seeds, positions: Positions) -> Callable[[int], int]:
    """Return what gives the integer seed of the run at a position in the batch."""

    def seed(index: int) -> int:
        row = tuple(column[index : index + 1] for column in positions)
        return int(streams.run_seeds(row)[0])

    return seed
