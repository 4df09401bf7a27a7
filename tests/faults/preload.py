"""What a worker of the harness loads at its start: the points of kill, and its name in a file."""

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import injection

_PR_SET_PDEATHSIG = 1


def dask_setup(worker: Any) -> None:
    """Put the points into the worker, and tell its process number."""
    # As when Dask starts workers anew and not by a fork: a worker ends with its nanny, and what
    # ends a worker is no news for its nanny's event loop.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    injection.install(Path(os.environ["TOOLKIT_FAULT_FILE"]))
    file = Path(os.environ["TOOLKIT_FAULT_WORKERS"]) / f"worker-{worker.name}"

    async def tell() -> None:
        # Not before it has a scheduler: work may be given to it then.
        while worker.status.name != "running":
            await asyncio.sleep(0.01)
        file.with_suffix(".new").write_text(str(os.getpid()))
        file.with_suffix(".new").rename(file)

    worker.loop.add_callback(tell)
