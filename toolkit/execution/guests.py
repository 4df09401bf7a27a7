"""What sweeps change on a scheduler, given back when the last of them has ended or its driver died.

While sweeps run, Dask repeats no tasks of dead workers, for the engine does. The scheduler keeps
what it had before, and drops what a driver that was killed has left on the workers.
"""

import asyncio
import contextlib
import logging
from typing import Any

from dask.typing import Key
from distributed import SchedulerPlugin

logger = logging.getLogger("toolkit")

SPEC = "toolkit-spec-"
_TOLD_BY_US = (
    "marked as failed because",
    "Couldn't gather keys",
    "caused the cluster to lose scattered data",
)
PATIENCE = 60.0
"""Seconds in which a client that lost its connection may come back; it tries for half as long."""


class _Quiet(logging.Filter):
    """Drops what Dask's scheduler says of batches that died: the engine says it, once a death."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is something else."""
        return not any(words in str(record.msg) for words in _TOLD_BY_US)


_quiet = _Quiet()


class Guests(SchedulerPlugin):
    """The sweeps on a scheduler, each with the client that runs it.

    Parameters
    ----------
    scheduler
        Where they run.
    """

    name = "toolkit-guests"

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._sweeps: dict[str, str] = {}  # each with its client
        self._allowed = scheduler.allowed_failures
        self._waiting: set[asyncio.TimerHandle] = set()
        self._dropping: set[asyncio.Task[None]] = set()
        scheduler.allowed_failures = 0
        scheduler.add_plugin(self)
        logging.getLogger("distributed.scheduler").addFilter(_quiet)

    def enter(self, sweep: str, client: str) -> None:
        """Take note of a sweep."""
        self._sweeps[sweep] = client
        if client not in self._scheduler.clients:  # killed as soon as it had asked
            self.remove_client(self._scheduler, client)

    def leave(self, sweep: str) -> None:
        """Forget a sweep; with the last one the scheduler is as it was."""
        if self._sweeps.pop(sweep, None) is not None and not self._sweeps:
            self._scheduler.allowed_failures = self._allowed
            self._scheduler.remove_plugin(self.name)
            logging.getLogger("distributed.scheduler").removeFilter(_quiet)

    def transition(
        self, key: Key, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any
    ) -> None:
        """Forget how a batch is made, once it is.

        The journals have its outcomes. When the worker with its summary dies, Dask cannot repeat
        it, and the engine hears that the batch was lost.
        """
        del start, args, stimulus_id, kwargs
        if finish == "memory":
            token = str(key).rpartition("-")[0].rpartition("-")[2]
            if SPEC + token in self._scheduler.worker_plugins:
                self._scheduler.tasks[key].run_spec = None

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Drop the sweeps of a client that does not come back."""
        del scheduler
        if client in self._sweeps.values():
            loop = asyncio.get_running_loop()
            self._waiting.add(loop.call_later(PATIENCE, self._give_up, client))

    async def close(self) -> None:
        """Wait for nobody any more."""
        for each in self._waiting:
            each.cancel()

    def _give_up(self, client: str) -> None:
        gone = [sweep for sweep, whose in self._sweeps.items() if whose == client]
        if gone and client not in self._scheduler.clients:
            task = asyncio.ensure_future(self._drop(gone))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    async def _drop(self, sweeps: list[str]) -> None:
        for sweep in sweeps:
            logger.warning("a driver is gone without a word: what its sweep needed is dropped")
            names = [name for name in self._scheduler.worker_plugins if belongs(name, sweep)]
            for name in reversed(names):
                with contextlib.suppress(OSError, ValueError):
                    await self._scheduler.unregister_worker_plugin(None, name)
            self.leave(sweep)


def mark(name: str, sweep: str) -> str:
    """Return the name of something that is a sweep's: whoever clears up finds it by that."""
    return f"{name}.{sweep}"


def belongs(name: str, sweep: str) -> bool:
    """Whether something of this name is a sweep's."""
    return name.endswith(f".{sweep}")


def enter(sweep: str, client: str, dask_scheduler: Any = None) -> None:
    """On the scheduler: take note of a sweep that begins."""
    (dask_scheduler.plugins.get(Guests.name) or Guests(dask_scheduler)).enter(sweep, client)


def leave(sweep: str, dask_scheduler: Any = None) -> None:
    """On the scheduler: forget a sweep that has ended."""
    if (guests := dask_scheduler.plugins.get(Guests.name)) is not None:
        guests.leave(sweep)
