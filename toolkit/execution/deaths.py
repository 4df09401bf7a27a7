"""How the workers of a Dask client end: their nannies tell, and the driver asks."""

import contextlib
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from distributed import Client
from distributed.scheduler import KilledWorker

from toolkit.clusters.job_endings import JobEnding, ending_of
from toolkit.clusters.job_time import ends_at
from toolkit.clusters.last_words import LastWordsPlugin, open_book
from toolkit.clusters.retiring import let_go
from toolkit.execution import renewal
from toolkit.execution.alarm import allow_ending
from toolkit.execution.death import Death
from toolkit.execution.leaving import leave_in_time
from toolkit.stages.failure import TIER_VARIABLE
from toolkit.stores.journals.journal import written_by

_TOPIC = "toolkit-deaths"
WORKERS_TOPIC = "toolkit-workers"
_PATIENCE = 5.0
_THREADS = 4  # that ask the queueing system, which may take its time
_Process = tuple[str | None, int]  # by nanny and number
_FIELDS = (
    *("exit_code", "out_of_memory", "memory_limit", "peak_memory", "traceback", "log", "host"),
)


def prepare_worker(worker: Any) -> None:
    """Let the worker leave in time, runs be ended, and it be renewed where it has a nanny."""
    leave_in_time(worker)
    _say_who(worker)
    if worker.nanny is None:
        return
    allow_ending()
    renewal.limit_memory(worker.memory_manager.memory_limit)
    open_book()


def _say_who(worker: Any) -> None:
    """Tell once to which job of which tier a worker belongs, and when that ends."""
    job, ends = os.environ.get("SLURM_JOB_ID", ""), ends_at()
    if (job or ends < float("inf")) and not getattr(worker, "_toolkit_said", False):
        worker._toolkit_said = True
        worker.log_event(
            WORKERS_TOPIC,
            {
                "address": worker.address,
                "pid": os.getpid(),
                "job": job,
                "name": str(worker.name),
                "ends_at": ends,
                "tier": os.environ.get(TIER_VARIABLE, ""),
                "host": socket.gethostname(),
                "nanny": worker.nanny,
            },
        )


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
        self._known: dict[_Process, Death] = {}
        self._awaited_since: dict[_Process, float] = {}
        self._asked: dict[_Process, ThreadFuture[Death]] = {}  # whose jobs were asked for
        self._handed_on: set[_Process] = set()
        self._jobs: dict[str, dict[str, Any]] = {}  # what workers said, by their journals' names
        self._jobs_at = -_PATIENCE
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="toolkit-deaths")
        client.register_plugin(LastWordsPlugin(_TOPIC))

    def are_known(self, errors: Iterable[BaseException | None]) -> list[bool]:
        """Return for each error whether it is known how the worker ended that it names.

        Where that is not known yet, ask again in a moment; after some seconds nobody will tell.
        """
        processes = [
            _process(error) if isinstance(error, KilledWorker) and error.last_worker.nanny else None
            for error in errors
        ]
        if any(each is not None and each not in self._known for each in processes):
            self._ask()
        return [each is None or self._is_known(each) for each in processes]

    def _is_known(self, process: _Process) -> bool:
        if process not in self._known:
            now = time.monotonic()
            if now - self._awaited_since.setdefault(process, now) < _PATIENCE:
                return False
            self._known[process] = Death()  # its nanny is gone as well
        asked = self._asked.get(process)
        if asked is None:
            if self._known[process].is_explained:
                return True
            self._asked[process] = self._threads.submit(self._with_ending, process)
            return False
        if asked.done():
            self._known[process] = asked.result()
        return asked.done()

    def job_of(self, journal: str) -> tuple[str, float]:
        """Return the tier of a worker, and the seconds until its job ends; infinite for never."""
        said = self._said_of(journal)
        return ("", float("inf")) if said is None else (said["tier"], said["ends_at"] - time.time())

    def hand_on(self, journal: str) -> bool:
        """End the process of a worker whose run needs a longer job; whether that can be done."""
        said = self._said_of(journal)
        if said is None or not said["nanny"]:
            return False
        process = said["nanny"], said["pid"]
        self._handed_on.add(process)
        try:
            self._client.run(
                _end, said["pid"], workers=[said["address"]], nanny=True, on_error="ignore"
            )
        except (KeyError, OSError, TimeoutError):  # the worker has just gone by itself
            self._handed_on.discard(process)
            return False
        return True

    def _said_of(self, journal: str) -> dict[str, Any] | None:
        """Return what a worker said of its job, None where it has said nothing."""
        known = journal.rsplit("-", 1)[0] + "-"
        if known not in self._jobs and time.monotonic() - self._jobs_at > _PATIENCE:
            self._jobs_at = time.monotonic()
            for _, said in self._client.get_events(WORKERS_TOPIC):
                if isinstance(said, dict):
                    self._jobs[written_by(said["host"], said["pid"])] = said
        return self._jobs.get(known)

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def of(self, error: BaseException | None) -> Death | None:
        """Return how the worker ended that an error names, None where that is not known."""
        return self._known.get(_process(error)) if isinstance(error, KilledWorker) else None

    def _with_ending(self, process: _Process) -> Death:
        """Ask the queueing system what became of the job of a worker that nobody saw end."""
        death = self._known[process]
        jobs = {
            said["pid"]: said
            for _, said in self._client.get_events(WORKERS_TOPIC)
            if isinstance(said, dict) and said["pid"] == process[1]
        }
        said = jobs.get(process[1])
        if said is None:
            return death
        ending = ending_of(str(said["job"])) if said["job"] else JobEnding(job=said["name"])
        if ending.reason == "unknown" and time.time() >= said["ends_at"]:  # no queue says more
            ending = replace(ending, reason="walltime")
        if ending.reason in ("running", "unknown"):
            return death
        return replace(death, ending=ending, host=death.host or said["host"])

    def _ask(self) -> None:
        for _, said in self._client.get_events(_TOPIC):
            self._note(said, Death(**{name: said[name] for name in _FIELDS}))

    def _note(self, said: Mapping[str, Any], death: Death) -> None:
        """Keep it, unless more is known already."""
        process = said["nanny"], said["pid"]
        was_ended = death.exit_code == -signal.SIGALRM  # by this, and not by something else before
        death = replace(death, handed_on=was_ended and process in self._handed_on)
        self._known.setdefault(process, death)


def _end(pid: int, dask_worker: Any = None) -> None:
    """End the worker of a nanny, which writes where it is and is started again."""
    if dask_worker.pid == pid:
        os.kill(pid, signal.SIGALRM)


def _process(error: KilledWorker) -> _Process:
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


def retire(client: Client, processes: Iterable[str]) -> None:
    """Let workers go whose jobs are about to end, once nothing runs in them any more."""
    workers = [name.partition(" ")[0] for name in processes]
    with contextlib.suppress(OSError, TimeoutError):
        client.run_on_scheduler(let_go, workers=workers)


async def _restart(workers: list[str], dask_scheduler: Any = None) -> None:
    await dask_scheduler.restart_workers(
        workers=workers,
        wait_for_workers=False,
        on_error="return",
        stimulus_id=f"toolkit-renew-{time.time()}",
    )
