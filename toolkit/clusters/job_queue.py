"""A job queue as a cluster: dask-jobqueue's jobs, by tiers, under one scheduler here."""

import asyncio
import contextlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import dask
from distributed import Status

from toolkit.clusters.addresses import dashboard_options
from toolkit.clusters.certificates import Certificates
from toolkit.clusters.job_classes import SUBMIT_SECONDS, SUBMITTERS, job_class, new_job
from toolkit.clusters.job_script import folders, job_options
from toolkit.clusters.profile import Profile
from toolkit.clusters.site_command import ask
from toolkit.clusters.slurm_queue import Absences, jobs_of_user
from toolkit.clusters.tiers import Ladder
from toolkit.errors import ClusterError

_LOOK_SECONDS = 3.0  # between two questions to the queue about all jobs
_TIMEOUT = 20.0
_AT_ONCE = 8  # commands that submit
_PASSING = re.compile(
    r"timed out|unable to contact|connection refused|temporarily|try again|too many|limit|busy",
    re.I,
)
_WORDS = re.compile(
    r"Exit code: (?P<code>\d+)\n.*stdout:\n(?P<out>.*)\nstderr:\n(?P<error>.*)", re.S
)


class JobQueue:
    """Jobs of a queue, by tiers.

    Parameters
    ----------
    profile
        Of a kind that dask-jobqueue knows.

    Attributes
    ----------
    ladder
        The tiers; it counts workers, of which a job may have several.
    """

    waits = False
    startup = 15.0

    def __init__(self, profile: Profile) -> None:
        self._path, self._settings = profile.path, profile.queue
        job_class(self._settings.kind)
        self.ladder: Ladder = self._settings.ladder()
        self._certificates: Certificates | None = None
        self._submitting: asyncio.Semaphore | None = None
        self._jobs: dict[str, Any] = {}
        self._asked_at = 0.0
        self._absent = Absences()
        self._reasons: dict[str, str] = {}
        self._before: Any = None
        logs = self._settings.log_folder
        self.early_end = "its jobs ended or were cancelled before a worker joined; look at " + (
            f"their logs in {logs}" if logs else "what they wrote"
        )

    def check(self) -> None:
        """Make the folders that jobs write to, and have SIGTERM end the cluster.

        Raises
        ------
        ClusterError
            Where there is no such queue.
        """
        submit = SUBMITTERS[self._settings.kind]
        if shutil.which(submit) is None:
            raise ClusterError(
                f"{self._path}: there is no command {submit} here, which submits jobs of kind "
                f"{self._settings.kind!r}. Start this on a login node."
            )
        for folder in folders(self._settings):
            try:
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ClusterError(
                    f"{self._path}: the folder {folder} cannot be made: {error.strerror or error}. "
                    "Set log_folder and shared_folder to folders of yours that all nodes share."
                ) from None
        self._end_on_sigterm()

    def scheduler_options(self) -> dict[str, Any]:
        """Listen where the nodes can reach it."""
        settings = self._settings
        place = {"host": settings.scheduler_host, "interface": settings.interface}
        options: dict[str, Any] = {"port": 0, **dashboard_options(settings.dashboard)}
        options["protocol"] = "tls://" if settings.security == "tls" else "tcp://"
        options["security"] = self.security()
        # A host says more than the network that workers share.
        for name in ("host", "interface"):
            if place[name]:
                return options | {name: place[name]}
        return options

    @property
    def certificates(self) -> Path | None:
        """The folder of the certificates, None where all is in the clear."""
        return None if self._certificates is None else self._certificates.folder

    def security(self) -> Any:
        """Make certificates, unless the profile says that all is in the clear."""
        if self._settings.security != "tls":
            return None
        if self._certificates is None:
            self._certificates = Certificates(self._settings.shared_folder)
        return self._certificates.security

    def processes(self, tier: str) -> int:
        """Return how many workers one job of a tier has."""
        return self._settings.tiers[tier].processes

    def scaled(self, tier: str, jobs: int) -> None:
        """Nothing changes for others."""

    def spec(self, tier: str, name: str, slot: int) -> dict[str, Any]:
        """Return what submits a job."""
        del slot
        files = self._certificates.of_workers if self._certificates is not None else None
        if self._submitting is None:
            self._submitting = asyncio.Semaphore(_AT_ONCE)
        options = job_options(self._settings, tier) | {
            "security": files,
            "protocol": "tls://" if files is not None else None,
        }
        return {
            "cls": _Job,
            "options": {
                "name": name,
                "kind": self._settings.kind,
                "options": options,
                "turn": self._submitting,
                "book": self._jobs,
            },
        }

    async def gone(self, jobs: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the jobs that could not be submitted, and those that the queue knows no more.

        SLURM is asked every few seconds for all of them. Other queues are not: their jobs are
        given up when their workers stay away.
        """
        failed = {name: job.problem for name, job in jobs.items() if job.problem}
        now = time.monotonic()
        submitted = {job.job_id: name for name, job in jobs.items() if job.job_id is not None}
        is_due = now - self._asked_at > _LOOK_SECONDS
        if self._settings.kind != "slurm" or not submitted or not is_due:
            return failed
        self._asked_at = now
        said = await asyncio.to_thread(jobs_of_user)
        if said is None:
            self._reasons = {}
            return failed
        self._reasons = {job: each.why for job, each in said.items()}
        return failed | dict.fromkeys(self._absent.without(said, submitted), "")

    def why_waiting(self, job: Any) -> str:
        """Return what SLURM says of a job that it has not begun, in words."""
        return self._reasons.get(job.job_id, "")

    def is_passing(self, problem: str) -> bool:
        """Whether it is worth to try again: the queue was busy, or has a limit of jobs."""
        return _PASSING.search(problem) is not None

    def close(self) -> None:
        """Cancel what may be left with one command, and remove the certificates."""
        _cancel(self._settings.kind, [each.job_id for each in self._jobs.values()])
        for job in self._jobs.values():
            job.is_cancelled = True
        self._jobs.clear()
        if self._certificates is not None:
            self._certificates.remove()
            self._certificates = None
        if self._before is not None and _is_main():
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _end_on_sigterm(self) -> None:
        """Let SIGTERM, which would end this process on the spot, end it with what it has begun."""
        if _is_main() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, _exit)


class _Job:
    """One job, from the command that submits it to the one that cancels it.

    It stands between Dask's cluster, for which an error at the start of one worker is one of all,
    and dask-jobqueue's job. ``job_id`` is as the queue calls it, None before it is submitted.
    """

    def __init__(
        self,
        scheduler: str,
        name: str,
        kind: str,
        options: dict[str, Any],
        turn: asyncio.Semaphore,
        book: dict[str, Any],
    ) -> None:
        self._options = {"scheduler": scheduler, "name": name, **options}
        self.job_id: str | None = None
        self.name, self.problem, self.is_cancelled = name, "", False
        self.status = Status.created
        self._turn, self._book, self._kind = turn, book, kind

    def __await__(self) -> Any:
        return self._start().__await__()

    async def _start(self) -> "_Job":
        if self.status == Status.created:
            self.status = Status.running
            async with self._turn:
                try:
                    # No folder for logs of dask-jobqueue's own; the profile says where they go.
                    with dask.config.set({f"jobqueue.{self._kind}.log-directory": None}):
                        job = new_job(self._kind, **self._options)
                    await job
                    self.job_id = job.job_id
                    self._book[self.name] = self
                except (RuntimeError, ValueError, TypeError, LookupError, OSError) as error:
                    self.problem = _words(error, SUBMITTERS[self._kind])
        return self

    async def close(self) -> None:
        """Cancel it, unless that is done."""
        self._book.pop(self.name, None)
        if self.job_id is not None and not self.is_cancelled:
            self.is_cancelled = True
            await asyncio.to_thread(_cancel, self._kind, [self.job_id])
        self.status = Status.closed


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _cancel(kind: str, jobs: Iterable[str | None]) -> None:
    """Cancel jobs with one command; here and now, for the interpreter may be about to end."""
    ids = [job for job in jobs if job is not None]
    if not ids:
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        ask([*shlex.split(job_class(kind).cancel_command), *ids], timeout=_TIMEOUT)


def _words(error: BaseException, command: str) -> str:
    """Return what the queue said, without what dask-jobqueue says around it."""
    match = _WORDS.search(str(error))
    if match is not None and match["code"] == "124":
        return f"{command} timed out: it gave no answer within {SUBMIT_SECONDS} s"
    said = (match["error"].strip() or match["out"].strip()) if match is not None else ""
    return said or str(error) or type(error).__name__


def _exit(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(128 + number)
