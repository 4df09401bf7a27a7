"""Batches on the workers of a Dask client: our own keys, in a window, summaries back."""

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask
from dask._expr import LLGExpr
from dask._task_spec import Task
from dask.typing import Key
from dask.utils import key_split
from distributed import Client, Future, WorkerPlugin, get_worker, secede
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker, TaskPrefix

from toolkit.clusters.demand import Demand
from toolkit.clusters.tiers import Ladder, takes_all
from toolkit.execution import guests, leaving
from toolkit.execution.batch_task import BatchSpec, BatchSummary, BatchTask, unbegun
from toolkit.execution.crew import Crew
from toolkit.execution.deaths import (
    Deaths,
    prepare_worker,
    process_name,
    process_of,
    renew,
    retire,
    warn_without_nanny,
)
from toolkit.execution.executors import Completed, unused
from toolkit.execution.frozen_plugin import FrozenPlugin, FrozenServer
from toolkit.execution.renewal import is_due
from toolkit.execution.watching import watch_workers
from toolkit.execution.worker import add_spec, drop_spec, execute
from toolkit.stages.command_process import stop_programs
from toolkit.stages.frozen_arguments import frozen_in
from toolkit.stages.pickling import dumps

_CALLBACKS = ("profile", "profile-cycle", "tick")
_EXPLAINED_S = 0.1  # between two looks at how a worker ended
_ALONE = "alone"  # in the names of tasks that have a worker of several threads to themselves,
_LONG_SECONDS = 60.0  # and are expected to take so long, until the first of them has ended
_REGISTER_TRIES, _REGISTER_PAUSE = 10, 0.3


class SpecPlugin(WorkerPlugin):
    """Brings a spec to every worker: those here, late ones and restarted ones."""

    def __init__(self, name: str, token: str, payload: bytes) -> None:
        self.name = name
        self.token, self.payload = token, payload

    def setup(self, worker: Any) -> None:
        """Load the spec in the worker's process."""
        import pickle

        prepare_worker(worker)
        add_spec(pickle.loads(self.payload))

    def teardown(self, worker: Any) -> None:
        """Forget it."""
        del worker
        drop_spec(self.token)


class QuietPlugin(WorkerPlugin):
    """Stops the worker's own sampling profiler and tick, which take 5-8 % of pure-Python runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self, worker: Any) -> None:
        """Stop the callbacks while the sweep runs."""
        for name in _CALLBACKS:
            callback = worker.periodic_callbacks.get(name)
            if callback is not None:
                worker.loop.add_callback(callback.stop)

    def teardown(self, worker: Any) -> None:
        """Start them again, unless another sweep runs on this worker."""
        if any(isinstance(plugin, QuietPlugin) for plugin in worker.plugins.values()):
            return
        for name in _CALLBACKS:
            callback = worker.periodic_callbacks.get(name)
            if callback is not None and not callback.is_running():
                worker.loop.add_callback(callback.start)


class DaskExecutor:
    """Runs batches on the workers of a Dask client."""

    def __init__(
        self,
        client: Client,
        *,
        stage: str,
        resources: Mapping[str, float],
        profile: bool,
        cores: int = 1,
        note: Callable[..., None] | None = None,
    ) -> None:
        self.client = client
        self.stage = stage
        self._resources = dict(resources)
        self._crew = Crew(client, stage=stage, resources=resources, cores=cores)
        self._prefix = ""
        self._sequence = 0
        self._plugins: list[str] = []
        self._specs: dict[str, str] = {}  # by token, the plugin that brings it
        self._server: FrozenServer | None = None
        self._in_flight: dict[Key, tuple[BatchTask, Future[Any]]] = {}
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._stop_watching = watch_workers(client, note) if note is not None else None
        self._sweep = uuid.uuid4().hex[:8]
        client.run_on_scheduler(guests.enter, sweep=self._sweep, client=client.id)
        self._deaths = Deaths(client)
        self._unexplained: list[Future[Any]] = []  # lost with a worker of which more is asked
        self._renewed: set[str] = set()
        self._has_warned = self._has_long = False
        if not profile:
            self._register(QuietPlugin(guests.mark("toolkit-quiet", self._sweep)))

    @property
    def ladder(self) -> Ladder:
        """The tiers of the cluster."""
        return self._crew.ladder

    @property
    def threads(self) -> int:
        """How many runs are done at once."""
        return self._crew.threads

    @property
    def workers(self) -> int:
        """How many processes do them."""
        return self._crew.workers

    def room(self, tier: int) -> int:
        """Return how many runs the workers of a tier do at once by now."""
        return self._crew.room(tier)

    def waits(self) -> Mapping[str, str]:
        """Return why jobs of a tier are not there yet, by the names of those that wait."""
        return self._crew.waits()

    def ask(self, demands: Callable[[], Mapping[int, Demand]]) -> None:
        """Say what is left for each tier.

        Raises
        ------
        ClusterError
            If workers that are needed cannot be started.
        """
        self._crew.ask(self._sweep, demands)

    def prepare(self, spec: BatchSpec) -> None:
        """Send a spec to every worker, once."""
        token = guests.mark(spec.token, self._sweep)
        self._prefix = f"{self.stage}-{token}"
        passed = [handle for each in spec.inputs if (handle := each.frozen()) is not None]
        inputs = [*frozen_in(spec.call).values(), *passed]
        if inputs and self._server is None:
            self._server = FrozenServer(self.client, inputs, self._sweep)
            self._register(self._server.plugin())
        if spec.walltime is not None and not self._has_warned:
            self._has_warned = warn_without_nanny(self.client)
        self._register(SpecPlugin(guests.SPEC + token, spec.token, dumps(spec)))
        self._specs[spec.token] = guests.SPEC + token
        for each in unused(self._specs, (task for task, _ in self._in_flight.values())):
            name = self._specs.pop(each)
            with contextlib.suppress(OSError):  # a worker died while it was told
                self.client.unregister_worker_plugin(name)
            self._plugins.remove(name)

    def submit(self, tasks: Sequence[BatchTask], resources: Mapping[str, float]) -> None:
        """Hand out batches with one message to the scheduler."""
        graph = {}
        prefix = self._prefix
        if takes_all(resources):
            prefix = f"{self.stage}-{_ALONE}-{prefix.removeprefix(self.stage + '-')}"
            self._expect_long()
        for task in tasks:
            self._sequence += 1
            key = f"{prefix}-{self._sequence}"
            graph[key] = Task(key, execute_here, task)
        keys = list(graph)
        with dask.config.set({"distributed.diagnostics.computations.nframes": 0}):
            futures = self.client.get(
                # All keys are new, so any is a token of the graph: none has to be computed.
                LLGExpr(graph, _determ_token=keys[0]),
                keys,
                sync=False,
                retries=0,
                priority=earlier_first,
                resources={**self._resources, **resources} or None,
            )
        for key, task, future in zip(keys, tasks, futures, strict=True):
            self._in_flight[key] = (task, future)
            future.add_done_callback(self._done.put)

    def _expect_long(self) -> None:
        """Have the scheduler send nothing else to a worker that a run has to itself.

        It chooses by the time that what a worker has will take, which it knows by the names of
        tasks.
        """
        if not self._has_long:
            self._has_long = True
            name = key_split(f"{self.stage}-{_ALONE}-{self._prefix}")
            self.client.run_on_scheduler(_expect, name=name, seconds=_LONG_SECONDS)

    def completed(self, timeout: float) -> list[Completed]:
        """Wait for batches that came back, and fetch their summaries with one call."""
        waiting, self._unexplained = self._unexplained, []
        futures = list(self._drain(min(timeout, _EXPLAINED_S) if waiting else timeout))
        futures += [future for future in waiting if future.key in self._in_flight]
        summaries = self._fetch(futures)
        worn = {each.worn for each in summaries.values() if each is not None} - self._renewed - {""}
        if worn:  # what these workers hold is fetched before they are started again
            known = {future.key for future in futures}
            more = [each for key, (_, each) in self._in_flight.items() if key not in known]
            more = [future for future in more if future.status == "finished"]
            summaries |= self._fetch(more)
            futures += more
        errors = {
            future.key: _exception(future)
            for future in futures
            if summaries.get(future.key) is None
        }
        is_known = dict(zip(errors, self._deaths.are_known(errors.values()), strict=True))
        self._unexplained = [each for each in futures if not is_known.get(each.key, True)]
        futures = [each for each in futures if is_known.get(each.key, True)]
        completed = []
        for future in futures:
            task, _ = self._in_flight.pop(future.key)
            summary, error = summaries.get(future.key), errors.get(future.key)
            if process_of(error) in self._renewed:
                summary = unbegun(task)
            completed.append(
                Completed(
                    task=task,
                    summary=summary,
                    error=error,
                    lost_worker=summary is None and _is_lost(future, error),
                    death=self._deaths.of(error),
                )
            )
            future.release()
        if any(each.lost_worker for each in completed):
            self._crew.look()
        if worn:
            self._renewed |= worn
            renew(self.client, worn)
        leaving_now = {each.leaves for each in summaries.values() if each is not None} - {""}
        if leaving_now:
            retire(self.client, leaving_now)
            self._crew.look()
        return completed

    def _fetch(self, futures: list[Future[Any]]) -> dict[Key, BatchSummary | None]:
        """Return the summaries of the batches that ended well, None for those that got lost."""
        finished = [future for future in futures if future.status == "finished"]
        gathered = self.client.gather(finished, errors="skip") if finished else []
        if len(gathered) != len(finished):
            return {future.key: _result(future) for future in finished}
        return {future.key: each for future, each in zip(finished, gathered, strict=True)}

    def cancel(self, *, now: bool) -> list[BatchTask]:
        """Cancel what the scheduler still holds; ``now`` restarts the workers of the rest.

        Workers without a nanny cannot be restarted: there only external programs are ended.
        """
        busy = {
            address: set(keys) & self._in_flight.keys()
            for address, keys in self.client.processing().items()
        }
        running = set().union(*busy.values())
        waiting = [key for key in self._in_flight if now or key not in running]
        taken, futures = [], []
        for key in waiting:
            task, future = self._in_flight.pop(key)
            taken.append(task)
            futures.append(future)
        if futures:
            self.client.cancel(futures, force=True)
        addresses = [address for address, keys in busy.items() if keys]
        if now and addresses:
            try:
                self.client.restart_workers(addresses)
            except ValueError:  # there is no nanny to start them: only programs can be ended
                self.client.run(stop_programs, workers=addresses)
        return taken

    def take_stranded(self) -> list[BatchTask]:
        """Take back what waits for workers of which none is there any more.

        The scheduler looks and forgets at once, so that none can begin meanwhile.
        """
        keys: Any = self.client.run_on_scheduler(
            _forget_stranded, keys=list(self._in_flight), client=self.client.id
        )
        taken = []
        for key in keys:
            task, future = self._in_flight.pop(key)
            taken.append(task)
            future.release()
        return taken

    def job_of(self, journal: str) -> tuple[str, float]:
        """Return the tier of a worker, and the seconds until its job ends; infinite for never."""
        return self._deaths.job_of(journal)

    def hand_on(self, journal: str) -> bool:
        """End the process of a worker whose run needs a longer job; whether that can be done."""
        return self._deaths.hand_on(journal)

    def close(self) -> None:
        """Take the plugins back from the workers."""
        self._deaths.close()
        if self._stop_watching is not None:
            self._stop_watching()
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            self._crew.leave(self._sweep)
            for name in reversed(self._plugins):
                self.client.unregister_worker_plugin(name)
            self.client.run_on_scheduler(guests.leave, sweep=self._sweep)
        if self._server is not None:
            self._server.close()
            self._server = None
        self._plugins.clear()

    def _register(self, plugin: SpecPlugin | QuietPlugin | FrozenPlugin) -> None:
        for left in reversed(range(_REGISTER_TRIES)):
            try:
                self.client.register_plugin(plugin)
                break
            except OSError:  # a worker died while it was told; the others may not know yet
                if not left:
                    raise
                time.sleep(_REGISTER_PAUSE)
        self._plugins.append(plugin.name)

    def _drain(self, timeout: float) -> Iterator[Future[Any]]:
        """Yield futures that ended: half of those out, or what comes until the timeout."""
        deadline = time.monotonic() + timeout
        enough = max(1, len(self._in_flight) // 2)
        while enough > 0:
            try:
                future = self._done.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            if future.key in self._in_flight:
                enough -= 1
                yield future


def execute_here(task: BatchTask) -> BatchSummary:
    """Run a batch in this thread of a worker, and go on to another while its results are saved."""
    summary = execute(task, leave=_leave)
    if not leaving.fits(task.expected if task.insists else min(task.expected, task.seconds)):
        summary = replace(summary, leaves=process_name(get_worker()))
    return replace(summary, worn=process_name(get_worker())) if is_due() else summary


def _leave() -> None:
    threading.current_thread().name = "toolkit-saving"
    secede()


def earlier_first(key: Key) -> int:
    """Return the Dask priority of a batch: they run in the order in which they are handed out."""
    return -int(str(key).rpartition("-")[2])


def _expect(name: str, seconds: float, dask_scheduler: Any = None) -> None:
    """Say on the scheduler how long tasks take of which none has ended."""
    prefix = dask_scheduler.task_prefixes.setdefault(name, TaskPrefix(name))
    if prefix.duration_average < 0:
        prefix.duration_average = seconds


def _forget_stranded(keys: list[Key], client: str, dask_scheduler: Any = None) -> list[Key]:
    """Forget those of a client's tasks that no worker which is there could run; return them."""
    tasks = dask_scheduler.tasks
    stranded = [key for key in keys if key in tasks and tasks[key].state == "no-worker"]
    if stranded:
        dask_scheduler.client_releases_keys(stranded, client)
    return stranded


def _result(future: Future[Any]) -> Any:
    try:
        return future.result(timeout=30)
    except Exception:  # noqa: BLE001 - the worker that held the summary died: the journal has it
        return None


def _exception(future: Future[Any]) -> BaseException | None:
    if future.status != "error":
        return None
    try:
        error: BaseException | None = future.exception(timeout=30)
    except (FutureCancelledError, TimeoutError) as reason:
        return reason
    return error


def _is_lost(future: Future[Any], error: BaseException | None) -> bool:
    return isinstance(error, KilledWorker) or future.status in ("cancelled", "lost", "finished")
