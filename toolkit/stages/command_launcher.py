"""A small process that starts one program after the other, and leaves none of them behind.

Run as ``python -I -S command_launcher.py FD``, where FD is a socket. It gets requests and gives
answers, each eight bytes of length and a dict by ``marshal``; while a program runs, anything that
arrives ends it. When the other side is gone, however it went, all that was started here is killed:
this process adopts the orphans of its programs (``PR_SET_CHILD_SUBREAPER``), and each program dies
with it (``PR_SET_PDEATHSIG``). It imports little and has one thread, so that it starts in 20 ms,
forks safely, and programs do not inherit the high-water mark of a large worker.
"""

import contextlib
import ctypes
import errno
import marshal
import os
import select
import signal
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_PIECE = 1 << 16
_END_SECONDS = 5.0  # a process that the kernel cannot end by then is given up


def main() -> None:
    """Serve requests until the other side closes the socket."""
    link = int(sys.argv[1])
    os.set_inheritable(link, False)
    control = _prctl()
    control(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while (request := receive(link)) is not None:
        try:
            answer = _run(request, link, woken, control)
        except Exception as problem:  # noqa: BLE001  (the other side raises it)
            answer = {"error": (0, f"{type(problem).__name__}: {problem}")}
        with contextlib.suppress(OSError):
            send(link, answer)


def receive(link: int) -> dict[str, Any] | None:
    """Return the next message, None where the other side is gone."""
    head = _read_all(link, 8)
    body = None if head is None else _read_all(link, int.from_bytes(head, "little"))
    message: dict[str, Any] | None = None if body is None else marshal.loads(body)
    return message


def send(link: int, message: dict[str, Any]) -> None:
    """Send a message.

    Raises
    ------
    OSError
        If the other side is gone.
    """
    body = marshal.dumps(message)
    left = memoryview(len(body).to_bytes(8, "little") + body)
    while left:
        left = left[os.write(link, left) :]


def _read_all(link: int, size: int) -> bytes | None:
    pieces, missing = [], size
    while missing:
        try:
            piece = os.read(link, min(missing, 1 << 20))
        except OSError:
            return None
        if not piece:
            return None
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _run(request: dict[str, Any], link: int, woken: int, control: Any) -> dict[str, Any]:
    """Run one program to its end; return how it ended and the largest memory of its processes."""
    files: list[int] = []
    logs: dict[int, _Log] = {}
    try:
        try:
            _open(request, files, logs)
            program, problem = _start(request, files, control)
        finally:
            for file in files:
                os.close(file)
        if problem is None:
            return _watch(program, link, woken, logs)
        os.waitpid(program, 0)
        return {"error": problem}
    finally:
        for reading, log in logs.items():
            while log.take(reading):
                pass
            log.close()
            os.close(reading)


def _open(request: dict[str, Any], files: list[int], logs: "dict[int, _Log]") -> None:
    """Open what the program gets as its standard files; by the end read from what is bounded."""
    files.append(os.open(request["stdin"], os.O_RDONLY | os.O_CLOEXEC))
    for name in ("stdout", "stderr"):
        path, limit = request[name]
        file = os.open(path, _NEW_FILE, 0o600)
        if limit is None:
            files.append(file)
        else:
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            files.append(writing)
            logs[reading] = _Log(file, limit)


def _watch(program: int, link: int, woken: int, logs: "dict[int, _Log]") -> dict[str, Any]:
    """Wait for the program, write down what it says, and end what it leaves behind."""
    waiting = select.poll()
    for file in (link, woken, *logs):
        waiting.register(file, select.POLLIN | select.POLLHUP)
    memory, status, is_wanted = 0, None, True
    while status is None and is_wanted:
        for ready, _ in waiting.poll():
            if ready in logs:
                if logs[ready].take(ready) == 0:
                    waiting.unregister(ready)
            elif ready == link:
                is_wanted = False
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, _PIECE)
        found, status, memory = _reap(program, status, memory)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    deadline = time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        found, status, memory = _reap(program, status, memory)
        if not found:
            break
        time.sleep(0.001)
    exit_code = None if status is None else os.waitstatus_to_exitcode(status)
    return {"exit_code": exit_code, "memory": memory * 1024, "ended": not is_wanted}


def _reap(program: int, status: int | None, memory: int) -> tuple[bool, int | None, int]:
    """Take in the processes that ended; say whether there are others."""
    while True:
        try:
            ended, how, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return False, status, memory
        if not ended:
            return True, status, memory
        memory = max(memory, used.ru_maxrss)
        if ended == program:
            status = how


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _start(
    request: dict[str, Any], files: list[int], control: Any
) -> tuple[int, tuple[int, str] | None]:
    """Fork and become the program; return its process, and why it could not be started."""
    reading, writing = os.pipe()  # closed by a successful exec
    launcher, program = os.getpid(), os.fork()
    if program:
        os.close(writing)
        said = _read_all_there(reading)
        os.close(reading)
        if not said:
            return program, None
        number = int(said)
        return program, (number, os.strerror(number))
    try:
        os.setsid()
        control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(127)
        for name in ("SIGINT", "SIGTERM", "SIGPIPE", "SIGXFSZ", "SIGCHLD"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        for target, file in enumerate(files):
            os.dup2(file, target)  # files are above 2: standard ones of this process are open
        os.chdir(request["folder"])
        os.execve(request["program"], request["arguments"], request["environment"])
    except OSError as problem:
        os.write(writing, str(problem.errno or errno.EINVAL).encode())
    finally:
        os._exit(127)


def _read_all_there(file: int) -> bytes:
    said = b""
    while piece := os.read(file, 64):
        said += piece
    return said


class _Log:
    """A file with the first and the last part of what a program says.

    Parameters
    ----------
    file
        Where it is written.
    limit
        Bytes of each part.
    """

    def __init__(self, file: int, limit: int) -> None:
        self.file, self.limit = file, limit
        self.written = self.left_out = 0
        self.tail = bytearray()

    def take(self, reading: int) -> int | None:
        """Take in what is there; return how many bytes: 0 at the end, None if none came."""
        try:
            piece = os.read(reading, _PIECE)
        except BlockingIOError:
            return None
        head = piece[: max(0, self.limit - self.written)]
        if head:
            with contextlib.suppress(OSError):  # a full disk does not end the program
                os.write(self.file, head)
            self.written += len(head)
        self.tail += piece[len(head) :]
        if len(self.tail) > 2 * self.limit:
            self.left_out += len(self.tail) - self.limit
            del self.tail[: -self.limit]
        return len(piece)

    def close(self) -> None:
        """Write the last part."""
        extra = len(self.tail) - self.limit
        if extra > 0:
            self.left_out += extra
            del self.tail[:extra]
        with contextlib.suppress(OSError):
            if self.left_out:
                os.write(self.file, f"\n… {self.left_out} bytes left out …\n".encode())
            os.write(self.file, self.tail)
        os.close(self.file)


def _prctl() -> Any:
    """Return Linux's ``prctl``; elsewhere a function that does nothing."""
    try:
        function = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return lambda *_: None
    return lambda option, value: function(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
