"""One driver at a time: a lock file with a heartbeat, which works on shared file systems."""

import contextlib
import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from toolkit.errors import StoreError
from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.storage import JOURNALS, explain, reported, write_file

FILE = f"{JOURNALS}/lock.json"
_LONGEST = 1 << 16
HEARTBEAT_S = 5.0
MISSED_BEATS = 3


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock: a process, known by when it started, and how often its heart beat."""

    host: str
    pid: int
    process_start: str
    token: str
    since: float
    beat: int = 0

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {since}"


class Lock:
    """The lock of a store.

    A lock is stale when its process is gone (on this host: by number and start time) or, where
    it was taken on another host, when its heart has not beaten while we watched. A stale lock is
    first renamed, which only one process can do, then made anew.

    Parameters
    ----------
    path
        Folder of the store.
    heartbeat_s
        Seconds between beats.
    say
        Called with a line of text while a lock of another host is being watched.
    """

    def __init__(
        self,
        path: str,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._store = path
        self._path = os.path.join(path, FILE)
        self._heartbeat_s = heartbeat_s
        self._say = say
        self._mine: Holder | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object has taken the lock and not given it back."""
        return self._mine is not None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        StoreError
            If a living process holds it; the message names host, process and remedy.
        """
        mine = Holder(
            host=socket.gethostname(),
            pid=os.getpid(),
            process_start=process_start(os.getpid()) or "",
            token=uuid.uuid4().hex,
            since=time.time(),
        )
        for _ in range(5):
            if self._create(mine):
                self._mine = mine
                self._stop.clear()
                self._thread = threading.Thread(target=self._beat, name="store-lock", daemon=True)
                self._thread.start()
                return
            holder = read_holder(self._store)
            if holder is not None and self._is_alive(holder):
                raise StoreError(
                    f"Store {self._store} is in use by {holder}. Wait until it has ended, or stop "
                    f"it. If that process is no driver of this store any more, delete {self._path}."
                )
            self._put_aside(holder)
        raise StoreError(
            f"Store {self._store}: other processes keep taking its lock. Try again later."
        )

    def check(self) -> None:
        """Raise if somebody else has taken the lock since.

        Raises
        ------
        StoreError
            With the name of the new holder.
        """
        holder = read_holder(self._store)
        if self._mine is None or holder is None or holder.token != self._mine.token:
            whose = "nobody" if holder is None else str(holder)
            raise StoreError(
                f"Store {self._store} was taken over: its lock belongs to {whose}. This driver "
                "stops writing. What it stored is kept; the new driver goes on."
            )

    def release(self) -> None:
        """Give the lock back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        mine, self._mine = self._mine, None
        holder = read_holder(self._store)
        if mine is not None and holder is not None and holder.token == mine.token:
            with reported(self._store), contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _create(self, mine: Holder) -> bool:
        """Make the lock file with its content in one step, unless there is one."""
        temporary = os.path.join(self._store, JOURNALS, f"{mine.token}.tmp")
        with reported(self._store):
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(asdict(mine), file)
            try:
                # A link fails where the name is taken, and appears with its content.
                os.link(temporary, self._path)
            except FileExistsError:
                return False
            except OSError:
                return self._create_plainly(mine)
            finally:
                os.unlink(temporary)
        return True

    def _create_plainly(self, mine: Holder) -> bool:
        """Do the same where the file system has no hard links."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(fd, json.dumps(asdict(mine)).encode())
        finally:
            os.close(fd)
        return True

    def _is_alive(self, holder: Holder) -> bool:
        if holder.host == socket.gethostname():
            return process_start(holder.pid) == (holder.process_start or None)
        return self._beats(holder)

    def _beats(self, holder: Holder) -> bool:
        """Watch a lock of another host for as long as three beats take."""
        seconds = MISSED_BEATS * self._heartbeat_s
        if self._say is not None:
            self._say(
                f"The store is locked by {holder}. Watching for {seconds:.0f} s whether it lives."
            )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(self._heartbeat_s / 5, 1.0))
            now = read_holder(self._store)
            if now is None or now.token != holder.token:
                return False
            if now.beat != holder.beat:
                return True
        return False

    def _put_aside(self, holder: Holder | None) -> None:
        """Rename a stale lock away, and put it back if it was not the one that was looked at."""
        aside = os.path.join(self._store, JOURNALS, f"lock-{uuid.uuid4().hex}.tmp")
        if os.path.isdir(self._path):
            raise explain(IsADirectoryError(errno.EISDIR, "a folder", self._path), self._store)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._path, aside)
            found = _read(aside)
            if found is not None and holder is not None and found.token != holder.token:
                with contextlib.suppress(OSError):
                    os.link(aside, self._path)
            os.unlink(aside)

    def _beat(self) -> None:
        beat = 0
        while not self._stop.wait(self._heartbeat_s):
            mine = self._mine
            holder = read_holder(self._store)
            if mine is None or holder is None or holder.token != mine.token:
                return
            beat += 1
            # A full disk or a folder that is gone is for the next fold to report.
            with contextlib.suppress(OSError):
                text = json.dumps(asdict(replace(mine, beat=beat)))
                write_file(self._store, FILE, text.encode())


def read_holder(path: str) -> Holder | None:
    """Return who holds the lock of a store, None where nobody does."""
    return _read(os.path.join(path, FILE))


def is_in_use(path: str) -> bool:
    """Whether a driver seems to hold a store: one of another host counts as alive."""
    holder = read_holder(path)
    if holder is None:
        return False
    if holder.host != socket.gethostname():
        return True
    return process_start(holder.pid) == (holder.process_start or None)


def process_start(pid: int) -> str | None:
    """Return when a process of this host started, as its system counts; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return ""
        return ""
    return None if fields[0] in "ZX" else fields[19]


def _read(path: str) -> Holder | None:
    try:
        with open(path, encoding="utf-8", opener=open_plain) as file:
            found = json.loads(file.read(_LONGEST))
        return Holder(
            host=str(found["host"]),
            pid=int(found["pid"]),
            process_start=str(found["process_start"]),
            token=str(found["token"]),
            since=float(found["since"]),
            beat=int(found["beat"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
