"""A stand-in for a Dask client: any number of slots, and every batch is done as soon as it is sent.

What is left is what the engine itself needs for a batch: choosing its runs, sending it, taking its
summary, reading the journals, counting, folding. The journals are real: the stand-in writes what a
worker would, and counts its own CPU time, so that it can be taken off.
"""

import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolkit.execution.batch_task import BatchSpec, BatchSummary, BatchTask
from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.runs.sink import close_sinks, open_sink

HAND_BACK = 3.0  # a worker hands back what it has not begun after so many times a batch's seconds


class DoneFuture:
    """A future that ended before it was returned."""

    status = "finished"

    def __init__(self, key: str, summary: BatchSummary) -> None:
        self.key, self.summary = key, summary

    def add_done_callback(self, call: Callable[["DoneFuture"], None]) -> None:
        """Call at once."""
        call(self)

    def release(self) -> None:
        """Nothing is held."""


class SlotsClient:
    """What ``DaskExecutor`` asks of a client.

    Parameters
    ----------
    slots
        Workers of one thread each.
    seconds
        What a run says that it took.

    Attributes
    ----------
    cpu
        CPU seconds of the stand-in itself.
    batches
        How many it was sent.
    messages
        How many calls of ``get`` they came in.
    """

    dashboard_link = ""
    id = "slots"

    def __init__(self, slots: int, seconds: float) -> None:
        self.slots, self.seconds = slots, seconds
        self.cpu, self.batches, self.messages = 0.0, 0, 0
        self._specs: dict[str, BatchSpec] = {}

    def register_plugin(self, plugin: Any) -> None:
        """Keep a spec as a worker does."""
        if hasattr(plugin, "payload"):
            self._specs[plugin.token] = pickle.loads(plugin.payload)

    def unregister_worker_plugin(self, name: str) -> None:
        """Nothing is told to workers."""

    def run_on_scheduler(self, function: Callable[..., Any], **_: Any) -> Any:
        """Count the slots; there is no scheduler for anything else."""
        is_count = function.__module__.endswith(".crew")
        return (self.slots, self.slots, [self.slots]) if is_count else None

    def get_metadata(self, keys: Sequence[str], default: Any = None) -> Any:
        """There is none: all slots are alike."""
        del keys
        return default

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        """Describe the workers."""
        del n_workers
        return {"workers": {str(n): {"nthreads": 1} for n in range(self.slots)}}

    def processing(self) -> dict[str, list[str]]:
        """Nothing ever runs."""
        return {}

    def cancel(self, futures: Sequence[DoneFuture], *, force: bool) -> None:
        """Nothing ever waits."""

    def submit(self, *_: Any) -> None:
        """Single tasks are not sent here."""
        raise NotImplementedError

    def get(self, graph: Any, keys: Sequence[str], **_: Any) -> list[DoneFuture]:
        """Return futures of batches that are done."""
        started = time.thread_time()
        tasks = graph.operand("dsk")
        found = [DoneFuture(key, self._done(tasks[key].args[0])) for key in keys]
        self.batches += len(keys)
        self.messages += 1
        self.cpu += time.thread_time() - started
        return found

    def gather(self, futures: Sequence[DoneFuture], **_: Any) -> list[BatchSummary]:
        """Return the summaries."""
        return [future.summary for future in futures]

    def close(self) -> None:
        """Close the journals."""
        close_sinks()

    def _done(self, task: BatchTask) -> BatchSummary:
        """Write what a worker would have written of a batch of slow runs."""
        spec = self._specs[task.token]
        sink = open_sink(spec.sink)
        runs = task.run_ids()[: 1 + int(HAND_BACK * task.seconds / self.seconds)]
        for run in runs:
            sink.started(int(run), task.attempt)
            sink.block(np.array([run]), self._outcome(spec, int(run)), task.attempt)
        return BatchSummary(
            receipt=sink.receipt(),
            begun=len(runs),
            done=len(runs),
            failed=0,
            run_seconds=self.seconds * len(runs),
            wall_seconds=self.seconds * len(runs),
            seconds_per_run=self.seconds,
        )

    def _outcome(self, spec: BatchSpec, run: int) -> BatchResult:
        schema = spec.sink.schema or Schema(
            variables=(Variable(name=spec.sink.stage, dtype="<f8"),)
        )
        return BatchResult(
            status=np.array([Status.DONE], np.uint8),
            seconds=np.array([self.seconds], np.float32),
            peak_memory=np.array([np.nan], np.float32),
            columns=[np.array([float(run)])],
            schema=schema,
            errors=[],
        )
