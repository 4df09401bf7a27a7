"""Runs one batch in a worker process: knows journals and clocks, and nothing of Dask."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.execution import leaving, renewal
from toolkit.execution.alarm import alarm
from toolkit.execution.batch_task import BatchSpec, BatchSummary, BatchTask, unbegun
from toolkit.execution.threads import (
    allow_children,
    end_children,
    held_cores,
    limit_threads,
    release_threads,
)
from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult, run_batch
from toolkit.stages.cell_source import remember
from toolkit.stages.columns import cast, concatenate, empty_columns, take
from toolkit.stages.failure import RunTooLong
from toolkit.stages.frozen_arguments import frozen_in, thaw
from toolkit.stages.listening import listening
from toolkit.stages.singles import run_singly
from toolkit.stages.trial import Trial
from toolkit.stores.catalogues.run_labels import labels_of_run
from toolkit.stores.runs.sink import Sink, open_sink

_FLUSH_SECONDS = 0.05
_MARKED_RUN = 1e-3
_MEASURED_RUN = 0.01
_HAND_BACK = 3.0
_TRIAL_SECONDS = 0.2
_BRIEF_RUN = 2e-6
_CACHED_RUNS = 8192

Values = Mapping[str, Any]

_specs: dict[str, BatchSpec] = {}
_trials: dict[tuple[str, int, str], Trial] = {}
_left_outs: dict[str, NDArray[np.int64]] = {}


def add_spec(spec: BatchSpec) -> None:
    """Make a spec known in this process."""
    _specs[spec.token] = spec
    remember(spec.sources)


def drop_spec(token: str) -> None:
    """Forget a spec; unknown tokens are ignored."""
    _specs.pop(token, None)
    if not _specs:
        _trials.clear()
        release_threads()


def execute(task: BatchTask, leave: Callable[[], None] = lambda: None) -> BatchSummary:
    """Run a batch, its outcomes journalled as they come.

    Parameters
    ----------
    task
        The batch.
    leave
        Called when all is computed and large outcomes are still being written, so that another
        batch may begin meanwhile.

    Raises
    ------
    StoreError
        If the store is gone, cannot be written, or belongs to another driver by now.
    FrozenError
        If a frozen input cannot be had here.
    """
    spec = _thawed(task.token)
    n = spec.context.threads
    if not leaving.fits(task.expected) or not renewal.begin_batch():
        return unbegun(task)
    try:
        allow_children()
        with held_cores(n), listening(spec.context.log_level):
            limit_threads(n)
            try:
                batch = _Batch(spec, task)
                batch.execute()
            finally:
                end_children()
        if batch.sink.is_saving:
            leave()
        return batch.summary()
    finally:
        renewal.end_batch()


def _thawed(token: str) -> BatchSpec:
    """Return a spec whose frozen inputs are objects; the first to ask loads them."""
    spec = _specs[token]
    if frozen_in(spec.call):
        spec = _specs[token] = replace(spec, call=thaw(spec.call))
    return spec


class _Batch:
    def __init__(self, spec: BatchSpec, task: BatchTask) -> None:
        self.spec, self.task = spec, task
        self.sink: Sink = open_sink(spec.sink)
        held = set(spec.catalogue.names)
        self.context = replace(spec.context, labels=partial(labels_of_run, spec.catalogue))
        self.names = [
            argument.source
            for argument in spec.call.arguments
            if argument.kind == "value" and argument.source in held
        ]
        self.schema = spec.sink.schema
        self.done = self.failed = self.begun = 0
        self.run_seconds = self.deadline = 0.0
        self.started = time.perf_counter()
        self.seconds_per_run = task.expected
        self.draws: tuple[str, ...] = ()
        self.trial = _trial(spec) if spec.call.vectorized else None
        self.alarm = None if spec.walltime is None else alarm(self.sink.mark)

    def execute(self) -> None:
        self.sink.check()
        self.deadline = self.started + _HAND_BACK * self.task.seconds
        with contextlib.suppress(RunTooLong):  # the run ended as it was to be ended: handed back
            for _ in self._whole() if self.task.whole else self._inline():
                if time.perf_counter() > self.deadline or self._must_end():
                    break

    def _must_end(self) -> bool:
        """Whether this process should begin no other run."""
        return renewal.is_full() or not leaving.fits(self.seconds_per_run)

    def summary(self) -> BatchSummary:
        """Return the summary once all is written."""
        return BatchSummary(
            receipt=self.sink.receipt(),
            begun=self.begun,
            done=self.done,
            failed=self.failed,
            run_seconds=self.run_seconds,
            wall_seconds=time.perf_counter() - self.started,
            seconds_per_run=self.seconds_per_run,
            global_draws=self.draws,
            wanted=0 if self.trial is None else self.trial.wanted,
        )

    def _whole(self) -> Iterator[None]:
        length = self.spec.sink.chunk_length
        assert length is not None
        for lo in range(self.task.lo, self.task.hi, length):
            hi = min(lo + length, self.task.hi)
            self.sink.chunk(lo, hi, self._run_chunk(lo, hi), self.task.attempt)
            self.begun += hi - lo
            yield

    def _run_chunk(self, lo: int, hi: int) -> BatchResult:
        """Run a chunk; cells that the space leaves out are skipped."""
        left_out = _left_out(self.spec)
        inside = left_out[slice(*np.searchsorted(left_out, [lo, hi]))] - lo
        if not len(inside):
            return self._run_pieces(np.arange(lo, hi))
        kept = np.delete(np.arange(hi - lo), inside)
        return _spread(self._run_pieces(kept + lo), kept, hi - lo)

    def _run_pieces(self, runs: NDArray[np.int64]) -> BatchResult:
        """Run as many at once as a core's cache holds: a third faster where runs take 0.1 us."""
        if self.spec.call.vectorized or len(runs) <= _CACHED_RUNS:
            return self._run(runs)
        cuts = range(_CACHED_RUNS, len(runs), _CACHED_RUNS)
        return _joined([self._run(piece) for piece in np.split(runs, cuts)])

    def _inline(self) -> Iterator[None]:
        runs = self.task.run_ids()
        if self.trial is not None:
            yield from self._together(runs, self.trial)
            return
        size = _slice_size(self.task.expected, at_most=len(runs)) if self.task.expected else 1
        is_plain, careful = not self.task.first_wave, self.task.careful
        while self.begun < len(runs):
            if careful or (is_plain and self.seconds_per_run >= _MARKED_RUN):
                yield from self._singly(runs[self.begun :])
                size = _slice_size(self.seconds_per_run, at_most=4)
                continue
            part = runs[self.begun : self.begun + size]
            self._note_begin(part)
            result = self._run(part)
            self.sink.block(part, result, self.task.attempt)
            self.begun += len(part)
            size = _slice_size(self.seconds_per_run, at_most=4 * size)
            yield
            if self.task.first_wave and self.failed:
                return

    def _together(self, runs: NDArray[np.int64], trial: Trial) -> Iterator[None]:
        """Run as one call; in the first wave as calls that grow, the second checks the first."""
        if self.task.first_wave:
            self.deadline = max(self.deadline, time.perf_counter() + _TRIAL_SECONDS)
        while self.begun < len(runs):
            size = trial.wanted if self.task.first_wave else len(runs)
            part = runs[self.begun : self.begun + size]
            self._note_begin(part)
            result = self._run(part)
            self.sink.block(part, result, self.task.attempt)
            self.begun += len(part)
            if self.task.first_wave and self.failed:
                return
            if trial.is_checked or not self.task.first_wave:
                yield

    def _note_begin(self, part: NDArray[np.int64]) -> None:
        """Record that a run begins which is alone in what it is recorded with."""
        is_timed = self.alarm is not None or self.task.careful
        if len(part) == 1 and (is_timed or self.seconds_per_run >= _MARKED_RUN):
            self.sink.started(int(part[0]), self.task.attempt)

    def _singly(self, runs: NDArray[np.int64]) -> Iterator[None]:
        """Run one after the other, each recorded by itself, as long as they take over 1 ms."""
        spec, attempt, numbers = self.spec, self.task.attempt, runs.tolist()
        positions = spec.catalogue.positions(runs)
        outcomes = run_singly(
            spec.call,
            self._values(runs, positions),
            numbers,
            streams=spec.streams,
            positions=positions,
            schema=self.schema,
            attempt=attempt,
            context=self.context,
            measure_memory=spec.measure_memory and self.seconds_per_run >= _MEASURED_RUN,
        )
        limits = None if self.alarm is None else self._limits(runs)
        self.sink.started(numbers[0], attempt)
        for at, run in enumerate(numbers):
            self.sink.mark[0] = run
            if self.alarm is None or limits is None:
                result = next(outcomes)
            else:
                self.alarm.start(limits[at])
                try:
                    result = next(outcomes)
                finally:
                    self.alarm.stop()
            end_children(thoroughly=False)
            seconds = self.seconds_per_run = float(result.seconds[0])
            is_last = (
                at + 1 == len(numbers)
                or (seconds < _MARKED_RUN and not self.task.careful)
                or time.perf_counter() > self.deadline
                or self._must_end()
            )
            begins = None if is_last else numbers[at + 1]
            self.sink.block(runs[at : at + 1], result, attempt, begins=begins)
            self.schema = result.schema or self.schema
            self.run_seconds += seconds
            self.begun += 1
            self.failed += len(result.errors)
            self.done += 1 - len(result.errors)
            if is_last:  # decided once: the next run is recorded as begun, or is not run
                yield
                return

    def _limits(self, runs: NDArray[np.int64]) -> list[float]:
        """Return the walltime of each run in seconds."""
        walltime = self.spec.walltime
        assert walltime is not None
        return walltime.limits(self.spec.catalogue.values(runs, walltime.names), len(runs))

    @contextlib.contextmanager
    def _limited(self, runs: NDArray[np.int64]) -> Iterator[None]:
        """Watch over runs that follow each other: over one exactly, else over all together.

        Who ends for several is repeated run by run, for it is not known which took so long.
        """
        if self.alarm is None:
            yield
            return
        limits = self._limits(runs)
        longest = max(limits)
        others = 2 * (len(runs) - 1) * (self.seconds_per_run or _MARKED_RUN)
        if len(runs) == 1:
            self.sink.mark[0] = int(runs[0])
        together = self.trial is not None
        if together:
            self.alarm.start(longest + others)
        else:
            own = None if min(limits) == longest else dict(zip(runs.tolist(), limits, strict=True))
            self.alarm.start(longest, others, own)
        try:
            yield
        finally:
            self.alarm.stop()

    def _values(self, runs: NDArray[np.int64], positions: Sequence[NDArray[np.int64]]) -> Values:
        spec = self.spec
        values: Values = (
            spec.catalogue.arrays(runs, self.names)
            if spec.call.vectorized
            else spec.catalogue.values(runs, self.names)
        )
        for each in spec.inputs:
            values = {**values, **each.values(positions)}
        return values

    def _run(self, runs: NDArray[np.int64]) -> BatchResult:
        spec = self.spec
        positions = spec.catalogue.positions(runs)
        values = self._values(runs, positions)
        is_first = self.task.first_wave and self.begun == 0  # nobody knows yet how long it takes
        started = time.perf_counter()
        with self._limited(runs):
            result = run_batch(
                spec.call,
                values,
                runs,
                streams=spec.streams,
                positions=positions,
                schema=self.schema,
                mark=self.sink.mark,
                attempt=self.task.attempt,
                context=self.context,
                measure_memory=spec.measure_memory
                and (is_first or self.seconds_per_run >= _MEASURED_RUN),
                watch_globals=is_first,
                brief=0 < self.seconds_per_run < _BRIEF_RUN,
                trial=self.trial,
            )
        seconds = time.perf_counter() - started
        self.sink.mark[0] = -1
        self.schema = result.schema or self.schema
        self.draws += tuple(name for name in result.global_draws if name not in self.draws)
        self.done += int(np.count_nonzero(result.status == Status.DONE))
        self.failed += int(np.count_nonzero(result.status == Status.FAILED))
        self.run_seconds += seconds
        # Of the runs alone, the first aside, whose result is looked at closely: what a slice
        # costs besides says nothing about longer ones.
        self.seconds_per_run = float(result.seconds[min(1, len(runs) - 1) :].mean())
        return result


def _trial(spec: BatchSpec) -> Trial:
    """Return what this process knows of the spec's stage, for as long as its driver runs it."""
    key = (spec.sink.identity, spec.sink.epoch, spec.call.name)
    return _trials.setdefault(key, Trial())


def _slice_size(seconds_per_run: float, *, at_most: int) -> int:
    """Return how many runs go into the next record: one of 1 ms and more, else those of 50 ms."""
    if seconds_per_run >= _MARKED_RUN:
        return 1
    return max(1, min(at_most, int(_FLUSH_SECONDS / max(seconds_per_run, 1e-7))))


def _left_out(spec: BatchSpec) -> NDArray[np.int64]:
    """Ids of the cells that no space asked for, ascending; found once for each spec."""
    if spec.token not in _left_outs:
        _left_outs.clear()
        _left_outs[spec.token] = np.sort(spec.catalogue.left_out())
    return _left_outs[spec.token]


def _joined(results: list[BatchResult]) -> BatchResult:
    """Return the outcomes of neighbors as one, in the schema of the last, which is the widest."""
    schema = results[-1].schema
    columns = None
    if schema is not None:
        columns = concatenate(
            [
                empty_columns(schema, len(each.status))
                if each.columns is None or each.schema is None
                else cast(each.columns, each.schema, schema)
                for each in results
            ]
        )
    return BatchResult(
        status=np.concatenate([each.status for each in results]),
        seconds=np.concatenate([each.seconds for each in results]),
        peak_memory=np.concatenate([each.peak_memory for each in results]),
        columns=columns,
        schema=schema,
        errors=[error for each in results for error in each.errors],
        logs=[log for each in results for log in each.logs],
    )


def _spread(result: BatchResult, at: NDArray[np.int64], n: int) -> BatchResult:
    """Return the same outcomes among ``n`` cells, the others skipped and missing."""
    status = np.full(n, Status.SKIPPED, np.uint8)
    seconds = np.zeros(n, np.float32)
    peaks = np.full(n, np.nan, np.float32)
    status[at], seconds[at], peaks[at] = result.status, result.seconds, result.peak_memory
    columns = result.columns
    if columns is not None and result.schema is not None:
        row = np.full(n, len(at))
        row[at] = np.arange(len(at))
        missing = empty_columns(result.schema, 1)
        columns = take(concatenate([columns, missing]), row)
    return replace(result, status=status, seconds=seconds, peak_memory=peaks, columns=columns)
