"""What a job of a queue runs: Dask's own ``dask worker``, with what our workers have besides.

Run as ``python -m toolkit.clusters.job_process SCHEDULER OPTIONS``, with the options of
``dask worker``.
"""

import asyncio
import os
import sys
from typing import Any

from toolkit.clusters.stderr_tail import kept_stderr
from toolkit.clusters.worker_process import adopt_orphans, end_orphans, prepare_environment

_orphans: list[asyncio.Task[None]] = []


def main() -> None:
    """Serve until the job ends or its workers are let go."""
    prepare_environment()
    os.environ.setdefault("DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL", "500ms")
    if "--tls-key" in sys.argv:
        os.environ["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "true"
    from distributed.cli.dask_worker import main as dask_worker

    adopt_orphans()
    with kept_stderr():
        dask_worker(
            [
                *sys.argv[1:],
                *("--preload-nanny", "toolkit.clusters.job_process"),
                *("--preload", "toolkit.clusters.quiet_end"),
            ]
        )


def dask_setup(nanny: Any) -> None:
    """Have a nanny end what the runs of a worker that died have left behind; called by Dask."""
    _orphans.append(asyncio.ensure_future(end_orphans(nanny)))


def dask_teardown(nanny: Any) -> None:
    """Stop looking; called by Dask."""
    del nanny
    for task in _orphans:
        task.cancel()
    _orphans.clear()


if __name__ == "__main__":
    main()
