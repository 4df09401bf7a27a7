"""A Dask worker as a process of its own: it never imports the user's script.

Run as ``python -m toolkit.clusters.worker_process SCHEDULER OPTIONS``, with the options of
:class:`distributed.Nanny` as JSON. Ctrl-C in the terminal belongs to the driver, which decides
what becomes of the runs; so this process and its children ignore it.
"""

import asyncio
import json
import signal
import sys
from typing import Any


def main() -> None:
    """Start a nanny with its worker and stay until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scheduler, options = sys.argv[1], json.loads(sys.argv[2])
    asyncio.run(_serve(scheduler, options))


async def _serve(scheduler: str, options: dict[str, Any]) -> None:
    from distributed import Nanny

    nanny = Nanny(scheduler, **options)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with nanny:
        finished = asyncio.ensure_future(nanny.finished())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({finished, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()


if __name__ == "__main__":
    main()
