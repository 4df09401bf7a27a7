"""Threads and processes inside runs: how many, on which cores, and that they end with the run."""

import contextlib
import fcntl
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

from toolkit.resources import THREAD_VARIABLES
from toolkit.stages.command_process import launchers

_POLL_SECONDS = 0.02


class _Before:
    """What was set before the first limit, to be put back."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.limit = 0  # what libraries and variables are set to now; 0: nothing was changed
        self.variables: dict[str, str | None] = {}
        self.pools: Any = None
        self.torch_threads = 0
        self.cpu_count: Any = None
        self.has_been_raised = False  # a library may have been loaded for several threads


_before = _Before()
_thread = threading.local()


def limit_threads(n: int) -> None:
    """Let what runs in this thread use ``n`` threads: OpenMP, BLAS, torch, joblib, children.

    Costs nothing where the same was asked for before. In a worker, ``os.cpu_count`` says ``n``
    too, by which ``multiprocessing.Pool`` and others choose how many processes to start.
    """
    torch = sys.modules.get("torch")
    state = (n, torch is not None)
    if _before.limit == n and getattr(_thread, "state", None) == state:
        return
    with _before.lock:
        if torch is not None and not _before.torch_threads:
            _before.torch_threads = torch.get_num_threads()
        _set_libraries(n)
        _before.limit = n
        _set_torch(torch, n)
    _thread.state = state


def release_threads() -> None:
    """Put back what was set before the first limit."""
    with _before.lock:
        if not _before.limit:
            return
        for name, value in _before.variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if _before.pools is not None:
            _before.pools.restore_original_limits()
        torch = sys.modules.get("torch")
        if torch is not None and _before.torch_threads:
            torch.set_num_threads(_before.torch_threads)
        if _before.cpu_count is not None:
            os.cpu_count = _before.cpu_count
        lock, has_been_raised = _before.lock, _before.has_been_raised
        _before.__init__()  # type: ignore[misc]
        _before.lock, _before.has_been_raised = lock, has_been_raised
    _thread.state = None


@contextlib.contextmanager
def held_cores(n: int) -> Iterator[None]:
    """Hold n of this machine's cores, so that runs of several threads do not share them.

    All workers of one user on one machine agree by file locks, which end with the process that
    holds them. A run of one thread takes none: there are never more such runs than cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    n = min(n, len(cores))
    if n <= 1:
        yield
        return
    folder = os.path.join(tempfile.gettempdir(), f"toolkit-cores-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as held:
        with _locked(os.path.join(folder, "queue")):  # who came first gets cores first
            missing = n
            while missing:
                for core in cores:
                    if missing and (lock := _try_lock(os.path.join(folder, str(core)))) is not None:
                        held.callback(os.close, lock)
                        missing -= 1
                if missing:
                    time.sleep(_POLL_SECONDS)
        yield


def allow_children() -> None:
    """Let runs start processes: those that ``multiprocessing`` calls daemons, as workers, may not.

    Functions that came to this worker by value go on to its children by value.
    """
    process = multiprocessing.current_process()
    if process.daemon and _is_worker():
        process._config["daemon"] = False  # type: ignore[attr-defined]
        ForkingPickler.reducer_override = _by_value  # type: ignore[method-assign]


def end_children(*, thoroughly: bool = True) -> None:
    """End the processes that a run has left behind in a worker; elsewhere nothing is done.

    Parameters
    ----------
    thoroughly
        Whether to look for programs too, not only for what ``multiprocessing`` started.
    """
    if not _is_worker() or not (multiprocessing.process._children or thoroughly):  # type: ignore[attr-defined]
        return
    if not _has_children():
        return
    _end_loky()
    import psutil

    ours = _trackers()
    family = []
    for child in psutil.Process().children():
        if child.pid not in ours:
            with contextlib.suppress(psutil.NoSuchProcess):
                family += [child, *child.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=2)
    multiprocessing.active_children()  # forgets those that have ended


def _by_value(pickler: object, given: Any) -> Any:
    del pickler
    if not isinstance(given, types.FunctionType):
        return NotImplemented
    found: object = sys.modules.get(given.__module__)
    for part in given.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is given and given.__module__ != "__main__":
        return NotImplemented
    import cloudpickle

    return cloudpickle.loads, (cloudpickle.dumps(given),)


def _is_worker() -> bool:
    """Whether this process is a Dask worker's own, and not one that the user has started."""
    distributed = sys.modules.get("distributed")
    if multiprocessing.parent_process() is None or distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


def _set_libraries(n: int) -> None:
    """Set variables for what is loaded later and for children, and limits for what is loaded."""
    is_set = _before.limit == 0 and os.environ.get("OMP_NUM_THREADS") == str(n)
    for name in THREAD_VARIABLES:
        _before.variables.setdefault(name, os.environ.get(name))
        os.environ[name] = str(n)
    if n > 1:
        _before.has_been_raised = True
    # A worker started with one thread a library has that, but for what was loaded under more.
    if not (is_set and n == 1 and not _before.has_been_raised):
        limits = _pools().limit(limits=n)
        _before.pools = _before.pools or limits
    if _is_worker():
        if _before.cpu_count is None:
            _before.cpu_count = os.cpu_count
        os.cpu_count = lambda: n


def _pools() -> Any:
    """Return the thread pools of the libraries that are loaded; looking for them takes 3 ms."""
    from threadpoolctl import ThreadpoolController

    if len(sys.modules) not in _found:
        _found.clear()
        _found[len(sys.modules)] = ThreadpoolController()
    return _found[len(sys.modules)]


_found: dict[int, Any] = {}


def _set_torch(torch: Any, n: int) -> None:
    if torch is None or not hasattr(torch, "set_num_threads"):
        return
    torch.set_num_threads(n)
    with contextlib.suppress(RuntimeError):  # once a process, before any parallel work
        torch.set_num_interop_threads(n)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _try_lock(path: str) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _has_children() -> bool:
    """Look in 0.1 ms; where the system does not say, there may be some."""
    try:
        for thread in os.listdir("/proc/self/task"):
            path = f"/proc/self/task/{thread}/children"
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                if {int(pid) for pid in file.read().split()} - launchers():
                    return True
    except OSError:
        return True
    return not os.path.exists(f"/proc/self/task/{threading.get_native_id()}/children")


def _end_loky() -> None:
    """Shut joblib's pool down: it would take killed processes for a failure of the next run."""
    for name in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        executor = getattr(sys.modules.get(name), "_executor", None)
        if executor is not None:
            with contextlib.suppress(Exception):
                executor.shutdown(wait=True, kill_workers=True)


def _trackers() -> set[int | None]:
    """Return what serves this process for as long as it lives: it is no run's."""
    found: set[int | None] = {*launchers()}
    for name in (
        "multiprocessing.resource_tracker",
        "joblib.externals.loky.backend.resource_tracker",
        "loky.backend.resource_tracker",
    ):
        found.add(getattr(getattr(sys.modules.get(name), "_resource_tracker", None), "_pid", None))
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    found.add(getattr(server, "_forkserver_pid", None))
    return found
