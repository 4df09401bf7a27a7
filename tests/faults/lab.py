"""The processes of the harness: a scheduler, workers and drivers, living over many rounds."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
PATIENCE = 60.0
N_WORKERS = 2
PREFIX = "toolkit-faults-"


class StuckError(AssertionError):
    """Something that must happen did not."""


class Process:
    """A process that the zygote has forked; it may be killed at any moment."""

    def __init__(self, pid: int, outcome: Path | None = None) -> None:
        self.pid = pid
        self._outcome = outcome
        self._handle: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(pid)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; return whether it has ended."""
        if self._handle is None:
            return True
        ready, _, _ = select.select([self._handle], [], [], seconds)
        if ready:
            os.close(self._handle)
            self._handle = None
        return bool(ready)

    def finish(self, what: str = "a driver", seconds: float = PATIENCE) -> None:
        """Wait for its end, which must come."""
        if not self.wait(seconds):
            dump = _stack(self.pid)
            self.signal(signal.SIGKILL)
            raise StuckError(
                f"{what} (process {self.pid}) did not end within {seconds:.0f} s: {dump}"
            )

    def signal(self, number: int) -> None:
        """Send a signal, if it is there."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(PATIENCE)

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What a driver said at its end, None where it was killed before."""
        if self._outcome is None or not self._outcome.exists():
            return None
        found: dict[str, Any] = json.loads(self._outcome.read_text())
        return found


class Cluster:
    """A Dask scheduler and workers with nannies, each a process of its own.

    ``address`` is that of the scheduler. What was killed is started again by ``mend``.
    """

    def __init__(self, lab: "Lab", *, memory: int = 0, ttl: str | None = None) -> None:
        self._lab, self._memory, self._ttl, self._count = lab, memory, ttl, N_WORKERS
        self.folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=lab.folder))
        self.point_file = self.folder / "point"
        self.scheduler: Process | None = None
        self.nannies: dict[str, Process] = {}
        self.address = ""

    def mend(self) -> None:
        """Start what is missing, and wait until all workers are there."""
        injection_file = self.point_file
        injection_file.unlink(missing_ok=True)
        injection_file.with_suffix(".fired").unlink(missing_ok=True)
        if self.scheduler is None or not self.scheduler.is_alive:
            for nanny in self.nannies.values():
                nanny.kill()
            self._start_scheduler()
        for number in range(self._count):
            name = f"w{number}"
            if name not in self.nannies or not self.nannies[name].is_alive:
                self._start_nanny(name)
        begin = time.monotonic()
        has_replaced = False
        while len(found := self.workers()) < self._count:
            waited = time.monotonic() - begin
            if waited > PATIENCE / 2 and not has_replaced:
                # A nanny gives up where its worker dies while it starts: begin anew.
                has_replaced = True
                for name in self.nannies.keys() - found.keys():
                    self.nannies[name].kill()
                    self._start_nanny(name)
            if waited > PATIENCE:
                raise StuckError(f"{len(self.workers())} workers of {self._count} are there")
            time.sleep(0.03)

    def workers(self) -> dict[str, int]:
        """Return the workers that have started, by name: process number."""
        found = {}
        for file in self.folder.glob("worker-w?"):
            name, pid = file.name.removeprefix("worker-"), int(file.read_text() or 0)
            if pid and psutil.pid_exists(pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                        found[name] = pid
        return found

    def kill_all(self) -> None:
        """Kill every process of the cluster at once."""
        pids = [*self.workers().values()]
        processes = [each for each in (self.scheduler, *self.nannies.values()) if each is not None]
        for each in processes:
            each.signal(signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for each in processes:
            each.wait(PATIENCE)
        self.nannies.clear()
        for file in self.folder.glob("worker-w?"):
            file.unlink()

    def _start_scheduler(self) -> None:
        file = self.folder / "address"
        file.unlink(missing_ok=True)
        self.nannies.clear()
        for known in self.folder.glob("worker-w?"):
            known.unlink()
        self.scheduler = self._lab.fork(role="scheduler", address_file=str(file), ttl=self._ttl)
        wait_for(file.exists, "the scheduler")
        self.address = file.read_text()

    def _start_nanny(self, name: str) -> None:
        (self.folder / f"worker-{name}").unlink(missing_ok=True)
        self.nannies[name] = self._lab.fork(
            role="nanny",
            scheduler=self.address,
            preload=str(HERE / "preload.py"),
            options={
                "name": name,
                "host": "127.0.0.1",
                "nthreads": 1,
                "memory_limit": self._memory,
                "dashboard": False,
                "local_directory": str(self.folder),
                "death_timeout": 30,
            },
            environment={
                "TOOLKIT_FAULT_FILE": str(self.point_file),
                "TOOLKIT_FAULT_WORKERS": str(self.folder),
                "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "fork",
            },
        )


class Lab:
    """Everything that lives longer than a round. A context manager."""

    def __init__(self, folder: Path | None = None) -> None:
        # In memory, where that can be: it is the processes that are tested, not the disk.
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        place = Path(folder or shared or tempfile.gettempdir())
        _remove_what_is_left(place)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
        self.log = self.folder / "log"
        self.log.touch()
        self._zygote = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,  # Ctrl-C is for the harness, which ends the others
        )
        self._clusters: dict[tuple[tuple[str, Any], ...], Cluster] = {}
        self._started: list[Process] = []

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        for cluster in self._clusters.values():
            cluster.kill_all()
        for process in self._started:
            process.kill()
        assert self._zygote.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._zygote.stdin.close()
        self._zygote.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def cluster(self, **settings: Any) -> Cluster:
        """Return a cluster that is whole; the same one for the same settings."""
        key = tuple(sorted((name, value) for name, value in settings.items() if value))
        for other, cluster in list(self._clusters.items()):
            if other and other != key:
                self.drop(cluster)  # two cores do not serve many clusters
        if key not in self._clusters:
            self._clusters[key] = Cluster(self, **settings)
        cluster = self._clusters[key]
        cluster.mend()
        return cluster

    def drop(self, cluster: Cluster) -> None:
        """End a cluster for good."""
        cluster.kill_all()
        self._clusters = {key: each for key, each in self._clusters.items() if each is not cluster}

    def fork(
        self, *, log: Path | None = None, outcome: Path | None = None, **request: Any
    ) -> Process:
        """Have the zygote start a process."""
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        request["log"] = str(log or self.log)
        if outcome is not None:
            request["outcome"] = str(outcome)
        self._zygote.stdin.write(json.dumps(request) + "\n")
        process = Process(int(self._zygote.stdout.readline()), outcome)
        self._started = [each for each in self._started if each.is_alive]
        self._started.append(process)
        return process


def wait_for(claim: Any, what: str, seconds: float = PATIENCE, poll: float = 0.01) -> None:
    """Wait until a claim is true, which it must become."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            raise StuckError(f"{what}: waited {seconds:.0f} s in vain")
        time.sleep(poll)


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [pid, *(child.pid for child in parent.children(recursive=True))]
    return []


def _remove_what_is_left(place: Path) -> None:
    """Remove the folders of harnesses that were killed."""
    for folder in place.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            for disk in folder.glob("*/disk"):
                subprocess.run(["umount", "-l", str(disk)], check=False, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)


def _stack(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/wchan").read_text()
    return ""
