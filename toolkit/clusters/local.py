"""The local machine as a cluster: workers as processes of their own."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from distributed.deploy.spec import ProcessInterface

from toolkit.clusters.addresses import dashboard_options
from toolkit.clusters.job_time import ending_in
from toolkit.clusters.profile import Profile
from toolkit.clusters.running_cluster import START_SECONDS, TICK
from toolkit.clusters.tiers import Ladder
from toolkit.errors import ClusterError
from toolkit.stages.failure import TIER_VARIABLE


class LocalMachine:
    """Worker processes on this machine, by tiers.

    Parameters
    ----------
    profile
        Of kind ``local``.

    Attributes
    ----------
    ladder
        The tiers.
    """

    waits = True
    certificates = None
    startup = 2.0
    early_end = "a worker process ended before it joined; what it wrote is above"

    def __init__(self, profile: Profile) -> None:
        self._path = profile.path
        self._settings = profile.local
        self._places = self._settings.places()
        self._most = dict(self._places)  # workers of each tier, unless more are asked for
        self.ladder: Ladder = self._settings.ladder()
        self._is_divided = any(tier.gpus for tier in self._settings.tiers.values())
        self._gpus = self._settings.gpu_names() if self._is_divided else []

    def check(self) -> None:
        """Raise a ClusterError where no tier ever has a worker."""
        if all(tier.maximum == 0 for tier in self.ladder.tiers):
            raise ClusterError(f"{self._path}: {self._why_nobody()}")

    def scheduler_options(self) -> dict[str, Any]:
        """Listen on this machine only."""
        return {"host": "127.0.0.1", "port": 0, **dashboard_options(self._settings.dashboard)}

    def security(self) -> None:
        """None: only this machine can reach its scheduler."""

    def processes(self, tier: str) -> int:
        """Each worker comes and goes by itself."""
        del tier
        return 1

    def scaled(self, tier: str, jobs: int) -> None:
        """Share the machine's memory among more workers."""
        self._places[tier] = max(jobs, self._places[tier])

    def spec(self, tier: str, name: str, slot: int) -> dict[str, Any]:
        """Return what starts a worker; each with GPUs has its own, as far as they go."""
        chosen = self._settings.tiers[tier]
        rung = next(each for each in self.ladder.tiers if each.name == tier)
        options = {
            "host": "127.0.0.1",
            "nthreads": rung.threads,
            "memory_limit": self._settings.memory_of(tier, self._places) or 0,
            "resources": rung.worker_resources,
            "dashboard": False,
            "silence_logs": logging.ERROR,
            "death_timeout": START_SECONDS,
            "preload": ["toolkit.clusters.quiet_end"],
        }
        environment = {TIER_VARIABLE: tier}
        if chosen.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._gpus_of(tier, slot))
        elif self._is_divided and "GPU" not in chosen.resources:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # those that there are belong to other tiers
        return {
            "cls": _WorkerProcess,
            "options": {
                "name": name,
                "options": options,
                "environment": environment,
                "walltime": rung.walltime,
            },
        }

    def _gpus_of(self, tier: str, slot: int) -> list[str]:
        """Deal the GPUs out, one tier after the other; where they do not go round, some share."""
        found, first = self._gpus, 0
        for name, each in self._settings.tiers.items():
            if name == tier:
                first += slot * each.gpus
                return (
                    [found[(first + at) % len(found)] for at in range(each.gpus)] if found else []
                )
            first += self._most[name] * each.gpus
        raise KeyError(tier)

    async def gone(self, jobs: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the workers whose processes have ended."""
        return {name: "" for name, job in jobs.items() if job.has_ended}

    def is_passing(self, problem: str) -> bool:
        """Whether it is worth to try again what could not start: a process is cheap."""
        del problem
        return True

    def why_waiting(self, job: Any) -> str:
        """No process waits."""
        del job
        return ""

    def close(self) -> None:
        """Do nothing: Dask's cluster ends the processes."""

    def _why_nobody(self) -> str:
        settings = self._settings
        if settings.gpus == "auto" and any(tier.gpus for tier in settings.tiers.values()):
            return (
                "no GPU is found on this machine, so no worker starts. Look at `nvidia-smi` and "
                "CUDA_VISIBLE_DEVICES; or pretend some, with gpus: 2."
            )
        return "no tier has a count above 0."


class _WorkerProcess(ProcessInterface):
    """Starts ``toolkit.clusters.worker_process`` for Dask's cluster."""

    def __init__(
        self,
        scheduler: str,
        name: str,
        options: dict[str, Any],
        environment: dict[str, str],
        walltime: float | None,
    ) -> None:
        super().__init__(scheduler=scheduler, name=name)  # type: ignore[no-untyped-call]
        self.scheduler, self.name, self.options = scheduler, name, options
        self.environment, self.walltime = environment, walltime
        self.process: asyncio.subprocess.Process | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process is not None and self.process.returncode is not None

    async def start(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        inherited = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": TICK,
            # What a worker says on its way out comes after `silence_logs` has ended.
            "DASK_LOGGING__DISTRIBUTED": os.environ.get("DASK_LOGGING__DISTRIBUTED", "error"),
            "PYTHONPATH": root if not inherited else f"{inherited}{os.pathsep}{root}",
            **self.environment,
            **ending_in(self.walltime),
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "toolkit.clusters.worker_process"),
            *(self.scheduler, json.dumps({"name": self.name, **self.options})),
            stdin=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        if self.walltime is not None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_later(self.walltime, self._kill)
        await super().start()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        process = self.process
        self._kill()
        if process is not None:
            await process.wait()
        await super().close()  # type: ignore[no-untyped-call]

    def _kill(self) -> None:
        """End the process with all that it has started, as a job queue does."""
        if self._end is not None:
            self._end.cancel()
        if self.process is not None and self.process.returncode is None:
            for member in _family(self.process.pid):
                _kill(member)


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
