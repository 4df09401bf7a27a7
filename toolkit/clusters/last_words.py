"""What a worker process leaves behind when it dies: exit code, peak memory, last lines.

The worker has ``faulthandler`` write where it was into a file of its own. The process that started
the worker, Dask's nanny, sees it end, reads the file and tells the scheduler under a topic.
"""

import asyncio
import contextlib
import faulthandler
import itertools
import os
import re
import resource
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import NannyPlugin

from toolkit.clusters.stderr_tail import forget_tail, read_tail

_LOOK_SECONDS = 0.1
_SOONEST_S = 0.005  # in which a worker that has just been started may be at work, and die
_LONGEST = 65_536  # bytes that are read of what a worker wrote at its end
_LONGEST_LOG = 4_000
_LEFT_OVER_S = 3600.0
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_OURS = os.path.join("toolkit", "execution", "worker.py")  # is in the thread that works on runs
_THREAD = re.compile(r"^(?:Current thread|Thread) ", re.M)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.M)
_book: list[Any] = []


def open_book() -> None:
    """Have this worker process write where it is when a signal ends it, SIGALRM included."""
    if _book:
        return
    with contextlib.suppress(OSError):
        _clear()
        file = open(_page(os.getpid()), "wb", buffering=0)  # noqa: SIM115  (open until the end)
        _book.append(file)
        if not faulthandler.is_enabled():
            faulthandler.enable(file, all_threads=True)
        faulthandler.register(signal.SIGALRM, file, all_threads=True, chain=True)


class LastWordsPlugin(NannyPlugin):
    """Watches each nanny's worker, and tells how it ended."""

    idempotent = True

    def __init__(self, topic: str) -> None:
        self.name = topic

    def setup(self, nanny: Any) -> None:
        """Begin to watch."""
        self._watching = asyncio.get_running_loop().create_task(_watch(nanny, self.name))

    def teardown(self, nanny: Any) -> None:
        """Stop."""
        del nanny
        self._watching.cancel()

    def __reduce__(self) -> Any:
        return type(self), (self.name,)


async def _watch(nanny: Any, topic: str) -> None:
    """Tell of each worker of a nanny that ends, however short it lived."""
    pause, seen = _SOONEST_S, None
    while True:
        process = nanny.process and nanny.process.process
        if process is None or process is seen or not process.pid:  # the next one is yet to start
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, _LOOK_SECONDS)
            continue
        worker = _Worker(process)
        while process.exitcode is None:
            worker.look()
            try:
                await process.join(_LOOK_SECONDS)
            except TimeoutError:  # it lives
                pass
            except ValueError:  # it was closed, and its exit code follows
                await asyncio.sleep(_SOONEST_S)
        nanny.log_event(topic, worker.report(nanny))
        pause, seen = _SOONEST_S, process


class _Worker:
    """A worker process as its nanny sees it."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.pid = process.pid
        self.peak = float("nan")
        self.children, self.killed = _largest_child(), _killed_by_kernel()

    def look(self) -> None:
        """Note what will be gone when the process is."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{self.pid}/status", "rb", buffering=0) as file:
                found = file.read(8192).partition(b"VmHWM:")[2]
            self.peak = int(found.split(None, 1)[0]) * 1024.0

    def report(self, nanny: Any) -> dict[str, Any]:
        """Return what is known of its end."""
        manager = nanny.memory_manager
        code = self.process.exitcode
        largest = _largest_child()
        if largest > self.children:  # it held more than any before: known to the byte
            self.peak = largest
        by_dask = getattr(manager, "_last_terminated_pid", None) == self.pid
        by_kernel = code == -signal.SIGKILL and _killed_by_kernel() > self.killed
        log = read_tail(_LONGEST_LOG)
        forget_tail()
        return {
            "nanny": nanny.address,
            "pid": self.pid,
            "exit_code": None if code == 255 else code,
            "out_of_memory": by_dask or by_kernel,
            "memory_limit": int(getattr(manager, "memory_limit", 0) or 0),
            "peak_memory": self.peak,
            "traceback": readable(_read_page(self.pid)),
            "log": log,
            "host": socket.gethostname(),
        }


def readable(dump: str) -> str:
    r"""Return what ``faulthandler`` wrote as Python prints a traceback, the user's frames only.

    Examples
    --------
    >>> print(readable(
    ...     "Fatal Python error: Aborted\n\nCurrent thread 0x7f (most recent call first):\n"
    ...     '  File "/home/me/model.py", line 7 in step\n'
    ...     '  File "/home/me/model.py", line 3 in run\n'
    ... ))
    Traceback (most recent call last):
      File "/home/me/model.py", line 3, in run
      File "/home/me/model.py", line 7, in step
    Fatal Python error: Aborted
    <BLANKLINE>

    Of a run that waits for an external program there is no such frame.
    """
    error = dump.partition("\n")[0] if dump.startswith("Fatal") else ""
    threads = [_FRAME.findall(part) for part in _THREAD.split(dump)]
    at_work = [frames for frames in threads if any(_OURS in file for file, _, _ in frames)]
    current = [_FRAME.findall(part) for part in dump.split("Current thread ")[1:]]
    frames = (at_work or current or [[]])[0]
    own = list(itertools.takewhile(lambda frame: not frame[0].startswith(_PACKAGE), frames))
    if not own and at_work:  # it waited for an external program: none of these lines is the user's
        return error
    if not own:
        return dump[:_LONGEST_LOG]
    lines = [f'  File "{file}", line {line}, in {name}' for file, line, name in reversed(own)]
    return "\n".join(["Traceback (most recent call last):", *lines, error, ""])


def _page(pid: int) -> str:
    """Return the file of a worker process, in a folder that is this user's alone."""
    folder = os.path.join(tempfile.gettempdir(), f"toolkit-last-words-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return os.path.join(folder, f"{pid}.txt")


def _clear() -> None:
    """Remove the files of processes whose nanny ended with them."""
    folder = os.path.dirname(_page(0))
    for entry in os.scandir(folder):
        pid = entry.name.removesuffix(".txt")
        is_old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFT_OVER_S
        if is_old and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def _read_page(pid: int) -> str:
    try:
        path = _page(pid)
        with open(path, "rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace")
        os.unlink(path)
    except OSError:
        return ""
    return text


def _largest_child() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0


def _killed_by_kernel() -> int:
    """Return how many processes of this container or job the kernel killed for memory."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
            words = file.read(4096).split()
            if b"oom_kill" in words:
                return int(words[words.index(b"oom_kill") + 1])
    return 0
