"""A Dask worker as a process of its own: it never imports the user's script.

Run as ``python -m toolkit.clusters.worker_process SCHEDULER OPTIONS``, with the options of
:class:`distributed.Nanny` as JSON. Ctrl-C in the terminal belongs to the driver, which decides
what becomes of the runs; so this process and its children ignore it.
"""

import asyncio
import contextlib
import ctypes
import json
import multiprocessing.process
import os
import signal
import sys
from typing import Any

from toolkit.clusters import job_time
from toolkit.clusters.stderr_tail import kept_stderr

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_SECONDS = 0.5


def main() -> None:
    """Start a nanny with its worker and stay until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_environment()
    scheduler, options = sys.argv[1], json.loads(sys.argv[2])
    with kept_stderr():
        asyncio.run(_serve(scheduler, options))


def prepare_environment() -> None:
    """Set what holds for all workers of this process, before Dask is loaded."""
    job_time.begin()
    # Threads of a run that spin while they wait take the cores of other runs: small matrix products
    # by two threads on two busy cores took 50 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # glibc keeps 64 MB of freed memory at the end of its heap, where Dask has it keep 64 kB, and
    # takes arrays of up to 8 MB from there: fetching pages anew took half of the time of runs that
    # work on arrays of 250 kB.
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 << 20))
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(8 << 20))


async def _serve(scheduler: str, options: dict[str, Any]) -> None:
    from distributed import Nanny

    nanny = Nanny(scheduler, **options)
    adopt_orphans()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with nanny:
        finished = asyncio.ensure_future(nanny.finished())
        stopped = asyncio.ensure_future(stop.wait())
        reaping = asyncio.ensure_future(end_orphans(nanny))
        await asyncio.wait({finished, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        reaping.cancel()


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent, a killed worker, is gone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def end_orphans(nanny: Any) -> None:
    """End what the runs of a worker that died have left behind; while it lives, that is theirs."""
    import psutil

    worker, suspects = nanny.pid, set[int]()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if nanny.pid == worker and not suspects:
            continue
        worker = nanny.pid
        children = {child.pid: child for child in psutil.Process().children()}
        orphans = children.keys() - _own_children()
        for pid in orphans & suspects:  # one that has just been started may not be known yet
            with contextlib.suppress(psutil.NoSuchProcess):
                for member in [*children[pid].children(recursive=True), children[pid]]:
                    member.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        suspects = orphans - suspects


def _own_children() -> set[int | None]:
    """Return the processes started here: the worker, and what serves ``multiprocessing``."""
    known: set[Any] = multiprocessing.process._children  # type: ignore[attr-defined]
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    return {
        *(child.pid for child in list(known)),
        getattr(getattr(tracker, "_resource_tracker", None), "_pid", None),
    }


if __name__ == "__main__":
    main()
