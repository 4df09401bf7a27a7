"""Worker jobs have an end: what no longer fits is handed back, and the worker leaves before it.

A job script says in ``TOOLKIT_JOB_ENDS`` when its job ends, in seconds since 1970, and in
``TOOLKIT_JOB_SECONDS`` how long it lasts in all.
"""

import asyncio
import contextlib
import os
import random
import time
from typing import Any

from toolkit.clusters.job_time import JOB_SECONDS, ends_at

_MARGIN = 1.25  # a run may take so much longer than expected
_FRESH = 0.8  # of its time that a worker has left: it is as good as a new one
_START_SECONDS = 5.0  # that may have passed since the start of a new one
_LAST_SECONDS = 10.0  # for the worker's own end,
_LAST_SHARE = 0.1  # but no more than this of its job's time
_STAGGER = 0.05  # of the job's time: workers that began together do not leave together


class _Job:
    """The job that this process belongs to."""

    def __init__(self) -> None:
        self.is_leaving = False


_job = _Job()


def seconds_left() -> float:
    """Return how long this process may go on, infinite where nothing ends it."""
    return ends_at() - time.time() - min(_LAST_SECONDS, _LAST_SHARE * _total())


def _total() -> float:
    """Return how long the job lasts in all, in seconds; infinite where that is unknown."""
    try:
        return float(os.environ[JOB_SECONDS])
    except (KeyError, ValueError):
        return float("inf")


def fits(seconds: float) -> bool:
    """Whether a run of so many seconds, 0 where that is unknown, gets done here.

    One that takes longer than any job of this kind lasts may begin in one that is fresh: it goes
    on elsewhere from its checkpoint.
    """
    left = seconds_left()
    if left == float("inf"):
        return True
    total = _total()
    fresh = 0.0 if total == float("inf") else max(0.0, _FRESH * total - _START_SECONDS)
    return not _job.is_leaving and left > min(_MARGIN * seconds, fresh)


def leave_in_time(worker: Any) -> None:
    """Have a worker let go before its job ends, at a moment when nothing runs in it."""
    left = seconds_left()
    if left == float("inf") or getattr(worker, "_toolkit_leaves", False):
        return
    worker._toolkit_leaves = True
    total = _total()
    stagger = random.SystemRandom().uniform(0.0, 0.0 if total == float("inf") else _STAGGER * total)
    asyncio.run_coroutine_threadsafe(
        _leave(worker, max(0.0, left - stagger)), worker.loop.asyncio_loop
    )


async def _leave(worker: Any, seconds: float) -> None:
    """Ask the scheduler to let this worker go, once nothing runs in it.

    It does not go by itself: the scheduler may let it go at the same time, for the driver has heard
    from a batch that it leaves, and two at once get in each other's way.
    """
    from distributed.protocol.pickle import dumps

    from toolkit.clusters.retiring import let_go

    await asyncio.sleep(seconds)
    _job.is_leaving = True
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await worker.scheduler.run_function(function=dumps(let_go), args=dumps(([worker.address],)))
