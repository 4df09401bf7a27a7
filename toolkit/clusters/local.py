"""The local machine as a cluster: a scheduler here, workers as processes of their own."""

import asyncio
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import psutil
from distributed import Client, Scheduler
from distributed.deploy.spec import ProcessInterface, SpecCluster
from distributed.system import MEMORY_LIMIT

from toolkit.clusters.profile import LocalProfile, Profile, WorkerKind
from toolkit.errors import ClusterError
from toolkit.resources import parse_memory

if TYPE_CHECKING:
    from types import TracebackType

_START_TIMEOUT = 60.0
# Dask looks every 20 ms whether its event loops keep up, which takes 2 % of a core in the
# scheduler and in each nanny, all the time.
_TICK = "500ms"


class LocalCluster:
    """Workers on this machine, by kinds, with a Dask client.

    Use it as a context manager; it starts on entry (or at the first use of :attr:`client`) and
    closes on exit. The workers are processes of their own that never import the calling script,
    so no ``if __name__ == "__main__":`` is needed. A worker that dies is started again.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._cluster: SpecCluster | None = None
        self._client: Client | None = None
        self._kinds: dict[str, int] = {}

    @property
    def client(self) -> Client:
        """The Dask client of this cluster."""
        self._start()
        assert self._client is not None
        return self._client

    @property
    def dashboard_link(self) -> str | None:
        """Address of the Dask dashboard, None where it is switched off."""
        return self.client.dashboard_link or None

    def scale(self, count: int, kind: str | None = None) -> None:
        """Have ``count`` workers of one kind (of the only kind, where there is one).

        Raises
        ------
        ClusterError
            If ``kind`` is not one of the profile's, or is needed and not given.
        """
        kinds = self.profile.settings.workers
        if kind is None and len(kinds) == 1:
            [kind] = kinds
        if kind not in kinds:
            raise ClusterError(
                f"The kinds of workers are {', '.join(map(repr, kinds))}; found kind={kind!r}."
            )
        if count < 0:
            raise ClusterError(f"scale() needs a count of at least 0, found {count}.")
        client = self.client
        assert self._cluster is not None
        cluster = self._cluster
        self._kinds[kind] = count
        wanted = {
            name: _worker_spec(name, kinds[each], self._kinds)
            for each, number in self._kinds.items()
            for name in (f"{each}-{index}" for index in range(number))
        }
        cluster.worker_spec.clear()
        cluster.worker_spec.update(wanted)
        cluster.sync(cluster._correct_state)
        client.wait_for_workers(len(wanted), timeout=_START_TIMEOUT) if wanted else None

    def close(self) -> None:
        """Stop the workers and the scheduler. Closing twice does nothing."""
        client, cluster = self._client, self._cluster
        self._client = self._cluster = None
        if client is not None:
            client.close()
        if cluster is not None:
            cluster.close()

    def __enter__(self) -> "LocalCluster":
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._client is None:
            return f"<cluster {self.profile.name!r}: not started>"
        threads = sum(self._client.nthreads().values())
        workers = len(self._client.nthreads())
        return (
            f"<cluster {self.profile.name!r}: {workers} workers, {threads} threads, "
            f"dashboard {self.dashboard_link}>"
        )

    def _start(self) -> None:
        if self._client is not None:
            return
        settings = self.profile.settings
        self._kinds = {name: _count(kind) for name, kind in settings.workers.items()}
        specs = {
            f"{kind}-{index}": _worker_spec(f"{kind}-{index}", settings.workers[kind], self._kinds)
            for kind, number in self._kinds.items()
            for index in range(number)
        }
        if not specs:
            raise ClusterError(f"{self.profile.path}: no kind of worker has a count above 0.")
        # A worker that leaves at the same moment as the scheduler is no news.
        logging.getLogger("distributed.batched").setLevel(logging.WARNING)
        with dask.config.set({"distributed.admin.tick.interval": _TICK}):
            self._cluster = _Cluster(  # type: ignore[no-untyped-call]
                scheduler={"cls": Scheduler, "options": _scheduler_options(settings)},
                workers=specs,
                name=f"toolkit-{self.profile.name}",
                silence_logs=logging.ERROR,
            )
        try:
            self._client = Client(self._cluster)
            self._client.wait_for_workers(len(specs), timeout=_START_TIMEOUT)
        except Exception as error:
            self.close()
            raise ClusterError(
                f"The workers of {self.profile.name!r} did not start within "
                f"{_START_TIMEOUT:.0f} s: {error}"
            ) from error


class _Cluster(SpecCluster):
    """Leaves a worker that died to its nanny.

    Dask looks once, 15 s after a death, and gives the worker up for good where it is not there
    at that moment, though its nanny may just be starting it again after another death.
    """

    def _update_worker_status(self, op: str, message: Any) -> None:
        if op == "remove" and message not in self.scheduler_info["workers"]:
            return  # it came and went before Dask's list of workers was made
        super(SpecCluster, self)._update_worker_status(op, message)  # type: ignore[no-untyped-call]


class _WorkerProcess(ProcessInterface):
    """Starts ``toolkit.clusters.worker_process`` for :class:`SpecCluster`."""

    def __init__(self, scheduler: str, name: str, options: dict[str, Any]) -> None:
        super().__init__(scheduler=scheduler, name=name)  # type: ignore[no-untyped-call]
        self.scheduler, self.name, self.options = scheduler, name, options
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        inherited = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": _TICK,
            "PYTHONPATH": root if not inherited else f"{inherited}{os.pathsep}{root}",
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "toolkit.clusters.worker_process"),
            *(self.scheduler, json.dumps({"name": self.name, **self.options})),
            stdin=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        await super().start()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            family = _family(process.pid)
            for member in family:
                _kill(member)
            await process.wait()
        await super().close()  # type: ignore[no-untyped-call]


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _scheduler_options(settings: LocalProfile) -> dict[str, Any]:
    options: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "dashboard": False}
    if settings.dashboard is not None:
        options.update(dashboard=True, dashboard_address=_free_address(settings.dashboard))
    return options


def _free_address(address: str) -> str:
    """Return the address itself, or with port 0 (any free one) where its port is taken."""
    host, _, port = address.rpartition(":")
    host = host or "127.0.0.1"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return f"{host}:{port}"


def _count(kind: WorkerKind) -> int:
    if kind.count != "auto":
        return kind.count
    return max(1, len(os.sched_getaffinity(0)) // kind.threads)


def _worker_spec(name: str, kind: WorkerKind, counts: dict[str, int]) -> dict[str, Any]:
    memory: int | None
    if kind.memory is None:
        memory = None
    elif kind.memory == "auto":
        memory = int(MEMORY_LIMIT / max(1, sum(counts.values())))
    else:
        memory = parse_memory(kind.memory)
    options = {
        "host": "127.0.0.1",
        "nthreads": kind.threads,
        "memory_limit": memory or 0,
        "resources": dict(kind.resources),
        "dashboard": False,
        "silence_logs": logging.ERROR,
        "death_timeout": _START_TIMEOUT,
    }
    return {"cls": _WorkerProcess, "options": {"name": name, "options": options}}
