"""Workers that go while a sweep runs: nothing is given to them, and what they do is waited for."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from distributed import Status
from distributed.protocol.pickle import dumps

from toolkit.clusters.job_time import end_now

_LOOK_SECONDS = 0.2
_PATIENCE = 10.0  # until the results that a worker holds were fetched
_going: dict[tuple[int, str], asyncio.Task[None]] = {}  # by scheduler and address


async def let_go(workers: Iterable[str], dask_scheduler: Any = None) -> None:
    """Begin to retire workers; to be run on the scheduler. Those that go already are left alone.

    Parameters
    ----------
    workers
        Their addresses.
    dask_scheduler
        Given by Dask.
    """
    for address in workers:
        if address in dask_scheduler.workers:
            _begin(dask_scheduler, address)


async def retire(scheduler: Any, address: str, *, hand_back: bool = False) -> None:
    """Give nothing more to a worker, wait for what runs in it, and close it with its nanny.

    Whoever else lets it go waits for the same end: a worker that is closed by two at once logs
    tracebacks, or is started again by its nanny.

    Parameters
    ----------
    scheduler
        Of Dask, in this process.
    address
        Of the worker.
    hand_back
        Whether it is told to hand back what it has not begun of the batch that it is in.
    """
    worker = scheduler.workers.get(address)
    if worker is None:
        return
    going = _begin(scheduler, address)
    if hand_back and worker.processing:
        await scheduler.broadcast(
            msg={"op": "run", "function": dumps(end_now)}, workers=[address], on_error="ignore"
        )
    await asyncio.shield(going)


def _begin(scheduler: Any, address: str) -> asyncio.Task[None]:
    key = id(scheduler), address
    going = _going.get(key)
    if going is None:
        going = _going[key] = asyncio.get_running_loop().create_task(_retire(scheduler, address))
        going.add_done_callback(lambda _: _going.pop(key, None))
    return going


async def _retire(scheduler: Any, address: str) -> None:
    worker = scheduler.workers[address]
    # The scheduler alone counts it as paused: what waits in the worker already is begun there, and
    # handed back where it does not fit.
    scheduler.handle_worker_status_change(Status.paused, worker, f"toolkit-retire-{time.time()}")
    while scheduler.workers.get(address) is worker and worker.processing:
        await asyncio.sleep(_LOOK_SECONDS)
    deadline = time.monotonic() + _PATIENCE
    while scheduler.workers.get(address) is worker and worker.has_what:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    if scheduler.workers.get(address) is worker:
        await scheduler.retire_workers(workers=[address], close_workers=True, remove=True)
    if scheduler.workers.get(address) is worker:  # nobody took what it holds
        await scheduler.remove_worker(address, stimulus_id="toolkit-retire", expected=True)
