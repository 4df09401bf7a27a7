"""Where batches run: in this process, or on the workers of a Dask client."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from toolkit.clusters.demand import Demand
from toolkit.clusters.tiers import ANY, Ladder
from toolkit.execution.batch_task import BatchSpec, BatchSummary, BatchTask
from toolkit.execution.death import Death
from toolkit.execution.requests import Requests
from toolkit.execution.worker import add_spec, drop_spec, execute
from toolkit.stages.command_process import allow_programs, stop_programs
from toolkit.stages.failure import RunStopped

_MOST_UNUSED = 16  # earlier specs that are kept though no batch that is out needs them


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

    @property
    def threads(self) -> int:
        """How many runs are done at once, at least 1."""

    @property
    def workers(self) -> int:
        """How many processes do them, at least 1."""

    @property
    def ladder(self) -> Ladder:
        """The tiers of the workers."""

    def room(self, tier: int) -> int:
        """Return how many runs the workers of a tier do at once by now; 0 where none is there."""

    def waits(self) -> Mapping[str, str]:
        """Return why jobs of a tier are not there yet, by the names of those that wait."""

    def ask(self, demands: Callable[[], Mapping[int, Demand]]) -> None:
        """Say now and then what is left for each tier; a cluster starts workers for it."""

    def prepare(self, spec: BatchSpec) -> None:
        """Make a spec known wherever batches may run, now and later."""

    def submit(self, tasks: Sequence[BatchTask], resources: Mapping[str, float]) -> None:
        """Hand out batches, to workers that have these Dask resources."""

    def completed(self, timeout: float) -> list[Completed]:
        """Wait up to ``timeout`` seconds for at least one batch; return those that came back."""

    def cancel(self, *, now: bool) -> list[BatchTask]:
        """Take back what has not begun; ``now`` ends the workers of what has."""

    def take_stranded(self) -> list[BatchTask]:
        """Take back what waits for workers of which none is there any more."""

    def job_of(self, journal: str) -> tuple[str, float]:
        """Return the tier of a worker, and the seconds until its job ends; infinite for never."""

    def hand_on(self, journal: str) -> bool:
        """End the process of a worker whose run needs a longer job; whether that can be done."""

    def close(self) -> None:
        """Forget the specs."""


def unused(specs: Iterable[str], out: Iterable[BatchTask]) -> list[str]:
    """Return the tokens of earlier specs to drop, now and then: those that no batch needs.

    Parameters
    ----------
    specs
        Tokens in the order in which the specs were made; the last is the present one.
    out
        The batches that are out.
    """
    needed = {task.token for task in out}
    *earlier, _ = specs
    found = [token for token in earlier if token not in needed]
    return found if len(found) > _MOST_UNUSED else []


class InProcessExecutor:
    """Runs batches here, one after the other, when asked what has completed.

    Where what runs is to be ended, the external program of the run in progress is; a function
    is waited for.
    """

    threads = 1
    workers = 1
    ladder = Ladder([ANY])

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
        for token in unused(self._tokens, self._waiting):
            drop_spec(token)
            self._tokens.remove(token)

    def room(self, tier: int) -> int:
        """Return that one run is done at once."""
        del tier
        return 1

    def waits(self) -> Mapping[str, str]:
        """Return that nothing waits."""
        return {}

    def ask(self, demands: Callable[[], Mapping[int, Demand]]) -> None:
        """There is no cluster to be asked."""
        del demands

    def submit(self, tasks: Sequence[BatchTask], resources: Mapping[str, float]) -> None:
        """Queue batches."""
        del resources
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

    def take_stranded(self) -> list[BatchTask]:
        """Return nothing: this process is there."""
        return []

    def job_of(self, journal: str) -> tuple[str, float]:
        """Return that nothing ends this process."""
        del journal
        return "", float("inf")

    def hand_on(self, journal: str) -> bool:
        """Return that this process is not ended."""
        del journal
        return False

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


class RefusingExecutor(InProcessExecutor):
    """Refuses to run anything: proves that a description computes nothing."""

    def prepare(self, spec: BatchSpec) -> None:
        """Refuse."""
        raise AssertionError(f"nothing may run here, asked for {spec.call.name!r}")

    def submit(self, tasks: Sequence[BatchTask], resources: Mapping[str, float]) -> None:
        """Refuse."""
        del resources
        raise AssertionError(f"nothing may run here, asked for {len(tasks)} batches")
