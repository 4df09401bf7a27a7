"""Where batches run: in this process, or on the workers of a Dask client."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from toolkit.execution.batch_task import BatchSpec, BatchSummary, BatchTask
from toolkit.execution.death import Death
from toolkit.execution.requests import Requests
from toolkit.execution.worker import add_spec, drop_spec, execute
from toolkit.stages.command_process import allow_programs, stop_programs
from toolkit.stages.failure import RunStopped


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A batch that came back: with its summary, or with why there is none."""

    task: BatchTask
    summary: BatchSummary | None
    error: BaseException | None = None
    lost_worker: bool = False
    death: Death | None = None  # how the worker ended, where that is known


class Executor(Protocol):
    """Runs batches somewhere. Not shared between threads."""

    threads: int
    workers: int

    def prepare(self, spec: BatchSpec) -> None:
        """Make a spec known wherever batches may run, now and later."""

    def submit(self, tasks: Sequence[BatchTask]) -> None:
        """Hand out batches."""

    def completed(self, timeout: float) -> list[Completed]:
        """Wait up to ``timeout`` seconds for at least one batch; return those that came back."""

    def cancel(self, *, now: bool) -> list[BatchTask]:
        """Take back what has not begun; ``now`` ends the workers of what has."""

    def close(self) -> None:
        """Forget the specs."""


class InProcessExecutor:
    """Runs batches here, one after the other, when asked what has completed.

    Where what runs is to be ended, the external program of the run in progress is; a function
    is waited for.
    """

    threads = 1
    workers = 1

    def __init__(self, requests: Requests | None = None) -> None:
        self._waiting: deque[BatchTask] = deque()
        self._tokens: list[str] = []
        self._thread: int | None = None  # that runs batches
        self._lock = threading.Lock()
        if requests is not None:
            requests.end_now_by(self._end_program)

    def prepare(self, spec: BatchSpec) -> None:
        """Make a spec known in this process."""
        self._thread = threading.get_ident()
        add_spec(spec)
        self._tokens.append(spec.token)

    def submit(self, tasks: Sequence[BatchTask]) -> None:
        """Queue batches."""
        self._waiting.extend(tasks)

    def completed(self, timeout: float) -> list[Completed]:
        """Run the next batch."""
        del timeout
        if not self._waiting:
            return []
        task = self._waiting.popleft()
        try:
            return [Completed(task=task, summary=execute(task))]
        except RunStopped as error:
            return [Completed(task=task, summary=None, error=error, lost_worker=True)]

    def cancel(self, *, now: bool) -> list[BatchTask]:
        """Take back what has not begun; nothing else runs while this is called."""
        del now
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def close(self) -> None:
        """Forget the specs."""
        for token in self._tokens:
            drop_spec(token)
        self._tokens.clear()
        with self._lock:
            if self._thread is not None:
                allow_programs(self._thread)
            self._thread = None

    def _end_program(self) -> None:
        """End the program of the run in progress; called by other threads.

        In the thread itself, as by a signal, an exception follows, which ends it.
        """
        if self._thread == threading.get_ident():
            return
        with self._lock:
            if self._thread is not None:
                stop_programs(self._thread)


class RefusingExecutor:
    """Refuses to run anything: proves that a description computes nothing."""

    threads = 1
    workers = 1

    def prepare(self, spec: BatchSpec) -> None:
        """Refuse."""
        raise AssertionError(f"nothing may run here, asked for {spec.call.name!r}")

    def submit(self, tasks: Sequence[BatchTask]) -> None:
        """Refuse."""
        raise AssertionError(f"nothing may run here, asked for {len(tasks)} batches")

    def completed(self, timeout: float) -> list[Completed]:
        """Nothing ever completes."""
        del timeout
        return []

    def cancel(self, *, now: bool) -> list[BatchTask]:
        """There is nothing to take back."""
        del now
        return []

    def close(self) -> None:
        """There is nothing to forget."""
