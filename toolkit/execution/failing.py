"""Failures of a session: when they stop the sweep, and how a killed worker's run is recorded."""

import numpy as np

from toolkit.errors import RunsFailedError
from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult
from toolkit.stages.failure import RunFailure
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.runs.sink import open_sink
from toolkit.stores.runs.stage_runs import StageRuns


class Failures:
    """Counts the failed runs of this session and says when there are too many.

    Parameters
    ----------
    runs
        The runs of the stage.
    limit
        The most that may fail, None for any number.
    """

    def __init__(self, runs: StageRuns, limit: int | None) -> None:
        self._runs, self._limit = runs, limit
        self._count = self._own = 0  # with the stages before, and of this one
        self._first: RunFailure | None = None
        self._has_succeeded = False

    def follow(self, before: "Failures") -> None:
        """Count on from what failed in the stage before."""
        self._count = before._count

    def add(self, failure: RunFailure) -> None:
        """Count a run that will not be tried again."""
        self._count += 1
        self._own += 1
        self._first = self._first or failure

    def check_first_wave(self, n_batches: int) -> None:
        """Raise where all of the first wave failed and no run of the stage ever succeeded.

        Parameters
        ----------
        n_batches
            In the first wave, each of which ends with its first failure. What a dead worker had
            not begun of them runs later.

        Raises
        ------
        RunsFailedError
            With the first error and its traceback.
        """
        if self._first is None or self._own < n_batches or self._has_succeeded:
            return
        if np.isin(self._runs.state.status, (Status.DONE, Status.STALE)).any():
            self._has_succeeded = True
            return
        raise RunsFailedError(
            f"Every run of the first wave of stage {self._runs.name!r} failed, and no run ever "
            f"succeeded, so the sweep was stopped. The first error, at {self._where(self._first)}:"
            f"\n\n{self._first.traceback or self._first.message}"
        )

    def check_limit(self) -> None:
        """Raise where more runs failed than may.

        Raises
        ------
        RunsFailedError
            With the number and the first error.
        """
        if self._limit is None or self._first is None or self._count <= self._limit:
            return
        raise RunsFailedError(
            f"{self._count:,} runs failed, more than max_failures={self._limit}, so the sweep was "
            f"stopped; what is done is stored. The first error, at {self._where(self._first)}: "
            f"{self._first.exception}: {self._first.message}"
        )

    def _where(self, failure: RunFailure) -> str:
        labels = self._runs.catalogue.labels(np.array([failure.run]))
        named = [f"{name}={label.tolist()[0]!r}" for name, (label, _) in labels.items()]
        return ", ".join(named) or f"run {failure.run}"


def record_death(runs: StageRuns, failure: RunFailure, attempt: int, peak: float) -> Receipt:
    """Record, in this driver's own journal, the failure of a run that ended its worker.

    ``peak`` is the worker's peak memory in that run, in bytes, NaN where it is not known.
    """
    outcome = BatchResult(
        status=np.array([Status.FAILED], np.uint8),
        seconds=np.zeros(1, np.float32),
        peak_memory=np.full(1, peak, np.float32),
        columns=None,
        schema=None,
        errors=[failure],
    )
    sink = open_sink(runs.sink_spec())
    sink.block(np.array([failure.run]), outcome, attempt)
    return sink.receipt()
