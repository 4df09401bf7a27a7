"""Programs that runs start: one launcher for each program in progress, kept for the next."""

import atexit
import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.stages import command_launcher
from toolkit.stages.failure import RunStopped

_LOOK_SECONDS = 0.2  # exceptions that others raise in this thread are seen after that long
_EXIT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended.

    Parameters
    ----------
    exit_code
        Its exit code, minus the number of the signal that killed it; None where it is not known.
    memory
        Bytes that the largest of its processes held at most.
    was_ended
        Whether it was ended by :func:`end_programs`.
    """

    exit_code: int | None
    memory: int = 0
    was_ended: bool = False


def run_program(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    stdin: Path | None,
    stdout: tuple[Path, int | None],
    stderr: tuple[Path, int | None],
) -> Ended:
    """Run a program in a session of its own and wait for it; what it leaves behind is killed.

    Parameters
    ----------
    arguments
        The program's path and its arguments, none of which any shell sees.
    environment
        All variables that it gets.
    folder
        Where it runs.
    stdin
        A file, None for an empty one.
    stdout, stderr
        Files to be written, each with the number of bytes of the first and the last part that are
        kept; None: all.

    Raises
    ------
    OSError
        If it cannot be started.
    ValueError
        If an argument holds a zero byte.
    RunStopped
        If :func:`stop_programs` has ended it.
    """
    request: dict[str, Any] = {
        "program": _encoded(arguments[0]),
        "arguments": [_encoded(each) for each in arguments],
        "environment": {_encoded(name): _encoded(value) for name, value in environment.items()},
        "folder": _encoded(str(folder)),
        "stdin": _encoded(os.devnull if stdin is None else str(stdin)),
        "stdout": (_encoded(str(stdout[0])), stdout[1]),
        "stderr": (_encoded(str(stderr[0])), stderr[1]),
    }
    launcher = _taken(request)
    try:
        answer = launcher.answer()
    except BaseException:
        launcher.close()
        raise
    finally:
        with _lock:
            _busy.discard(launcher)
    if launcher.is_stopped:
        launcher.close()
        raise RunStopped
    if answer is None:
        launcher.close()
        return Ended(exit_code=None, was_ended=launcher.was_ended)
    if launcher.was_ended:
        launcher.close()
    else:
        with _lock:
            _idle.append(launcher)
    if "error" in answer:
        number, text = answer["error"]
        raise OSError(number, text, arguments[0])
    return Ended(
        exit_code=answer["exit_code"], memory=answer["memory"], was_ended=launcher.was_ended
    )


def end_programs() -> int:
    """Kill the programs that run for this process now, with all that they started.

    Their runs fail. Returns how many there were; may be called from any thread.
    """
    with _lock:  # so that none has got another program meanwhile
        for launcher in _busy:
            launcher.end()
        return len(_busy)


def stop_programs(thread: int | None = None) -> None:
    """Kill the programs that run for this process now; in their runs ``RunStopped`` is raised.

    Parameters
    ----------
    thread
        Only what runs for this thread, another than the present one; it can start no other
        program until :func:`allow_programs` is called. None: what runs for any.
    """
    with _lock:
        if thread is not None:
            _stopped.add(thread)
        for launcher in _busy:
            if thread in (None, launcher.thread):
                launcher.is_stopped = True
                launcher.end()


def allow_programs(thread: int) -> None:
    """Let a thread start programs again."""
    _stopped.discard(thread)


def launchers() -> set[int]:
    """Return the processes that start programs for this one; they end with it."""
    with _lock:
        return {each.pid for each in (*_idle, *_busy)}


class _Launcher:
    """The other side of ``command_launcher``."""

    def __init__(self) -> None:
        self.was_ended = self.is_stopped = False
        self.thread = 0  # for which its program runs
        self._link, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", command_launcher.__file__, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, Any]) -> bool:
        """Send a request; say whether the launcher is alive."""
        try:
            command_launcher.send(self._link.fileno(), request)
        except OSError:
            return False
        return True

    def answer(self) -> dict[str, Any] | None:
        """Wait for the answer, None where the launcher died."""
        link = self._link.fileno()
        while not select.select([link], [], [], _LOOK_SECONDS)[0]:
            pass
        return command_launcher.receive(link)

    def end(self) -> None:
        """End the program that runs."""
        self.was_ended = True
        with contextlib.suppress(OSError):
            self._link.send(b"!")

    def close(self) -> None:
        """End the program, if one runs, and the launcher; wait for that."""
        with contextlib.suppress(OSError):
            self._link.close()
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Give up what belongs to the process that this one was forked from."""
        self._link.close()
        self._process.returncode = 0


_lock = threading.Lock()
_idle: list[_Launcher] = []
_busy: set[_Launcher] = set()
_stopped: set[int] = set()  # threads that start no programs


def _taken(request: dict[str, Any]) -> _Launcher:
    """Return a launcher that has got the request: an idle one, else a new one."""
    thread = threading.get_ident()
    while True:
        with _lock:  # whoever is found busy has its request: what else arrives ends the program
            if thread in _stopped:
                raise RunStopped
            launcher = _idle.pop() if _idle else _Launcher()
            if launcher.ask(request):
                launcher.thread = thread
                _busy.add(launcher)
                return launcher
        launcher.close()


def _encoded(text: str) -> bytes:
    found = os.fsencode(text)
    if b"\0" in found:
        raise ValueError(f"a zero byte in {text[:80]!r}, which no program can be given")
    return found


def _close_all() -> None:
    with _lock:
        found = [*_idle, *_busy]
        _idle.clear()
        _busy.clear()
    for launcher in found:
        launcher.close()


def _forget_all() -> None:
    global _lock
    _lock = threading.Lock()
    for launcher in (*_idle, *_busy):
        launcher.forget()
    _idle.clear()
    _busy.clear()
    _stopped.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
