"""How the workers of a Dask client end: their nannies tell, and the driver asks."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterable
from typing import Any

from distributed import Client
from distributed.scheduler import KilledWorker

from toolkit.clusters.last_words import LastWordsPlugin, open_book
from toolkit.execution import renewal
from toolkit.execution.alarm import allow_ending
from toolkit.execution.death import Death

_TOPIC = "toolkit-deaths"
_PATIENCE = 3.0
_POLL = 0.1
_FIELDS = (
    *("exit_code", "out_of_memory", "memory_limit", "peak_memory", "traceback", "log", "host"),
)


def prepare_worker(worker: Any) -> None:
    """Let runs be ended, and the worker be renewed, where a nanny starts its process again."""
    if worker.nanny is None:
        return
    allow_ending()
    renewal.limit_memory(worker.memory_manager.memory_limit)
    open_book()


def warn_without_nanny(client: Client) -> bool:
    """Say that runs are not ended at their walltime where no nanny would start a worker again.

    Returns
    -------
    bool
        Whether there are such workers.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    without = [str(worker["name"]) for worker in workers if not worker.get("nanny")]
    if without:
        warnings.warn(
            f"{len(without)} of {len(workers)} workers have no nanny (such as {without[0]}): runs "
            "that exceed their walltime there are not ended. Start Dask workers with --nanny, or "
            "LocalCluster with processes=True.",
            UserWarning,
            stacklevel=2,
        )
    return bool(without)


class Deaths:
    """Hears of each worker of a client that ends.

    Parameters
    ----------
    client
        Its nannies watch from the first sweep on until they end: Dask gives plugins to nannies
        of workers that live at that moment, and one that starts a worker again would miss it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str | None, int], Death] = {}  # by nanny and process
        client.register_plugin(LastWordsPlugin(_TOPIC))

    def await_for(self, errors: Iterable[BaseException | None]) -> None:
        """Wait a little until it is known how the workers ended that these errors name."""
        named = {
            _process(error)
            for error in errors
            if isinstance(error, KilledWorker) and error.last_worker.nanny
        }
        deadline = time.monotonic() + _PATIENCE
        while named - self._known.keys():
            self._ask()
            if time.monotonic() > deadline:
                # Its nanny is gone as well; it is asked for once.
                self._known.update(dict.fromkeys(named - self._known.keys(), Death()))
            elif named - self._known.keys():
                time.sleep(_POLL)

    def of(self, error: BaseException | None) -> Death | None:
        """Return how the worker ended that an error names, None where that is not known."""
        return self._known.get(_process(error)) if isinstance(error, KilledWorker) else None

    def _ask(self) -> None:
        for _, said in self._client.get_events(_TOPIC):
            self._known[said["nanny"], said["pid"]] = Death(
                **{name: said[name] for name in _FIELDS}
            )


def _process(error: KilledWorker) -> tuple[str | None, int]:
    return error.last_worker.nanny, error.last_worker.pid


def process_name(worker: Any) -> str:
    """Return what a worker's process is called: another one may get the same address."""
    return f"{worker.address} {os.getpid()}"


def process_of(error: BaseException | None) -> str:
    """Return which process ended, ``""`` where the error names none."""
    if not isinstance(error, KilledWorker):
        return ""
    return f"{error.last_worker.address} {error.last_worker.pid}"


def renew(client: Client, processes: Iterable[str]) -> None:
    """Have the nannies of these workers start them again; nothing runs in them."""
    workers = [name.partition(" ")[0] for name in processes]
    with contextlib.suppress(OSError, TimeoutError):
        client.run_on_scheduler(_restart, workers=workers)


async def _restart(workers: list[str], dask_scheduler: Any = None) -> None:
    await dask_scheduler.restart_workers(
        workers=workers,
        wait_for_workers=False,
        on_error="return",
        stimulus_id=f"toolkit-renew-{time.time()}",
    )
