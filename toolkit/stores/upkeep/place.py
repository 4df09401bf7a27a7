"""What a folder's file system does of all that stores and frozen inputs rely on, by trying it."""

import fcntl
import json
import mmap
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from toolkit.errors import StoreError
from toolkit.stores.files.storage import reported
from toolkit.stores.upkeep import place_reader

Use = Literal["store", "durability", "frozen"]

_LENGTH = 1 << 16
_READINGS, _APPENDS, _SYNCS = 500, 100, 10
_PATIENCE_S = 5.0
_LARGEST_CLOCK_DIFFERENCE_S = 60.0
_FEWEST_FILES = 10_000


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One thing that was tried.

    Parameters
    ----------
    what
        What is relied on.
    used_by
        ``"store"``, ``"durability"`` (``durability="power"``) or ``"frozen"``
        (``TOOLKIT_FROZEN_DIR``).
    is_good
        Whether the folder does it.
    found
        What was seen.
    otherwise
        What happens where it is missing.
    """

    what: str
    used_by: Use
    is_good: bool
    found: str
    otherwise: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """What was found about a folder."""

    folder: str
    file_system: str
    trials: tuple[Trial, ...]

    @property
    def is_good_for_stores(self) -> bool:
        """Whether all that a store relies on is there."""
        return all(trial.is_good for trial in self.trials if trial.used_by == "store")


def examine(folder: str | os.PathLike[str]) -> Place:
    """Try what stores and frozen inputs rely on, in a new folder inside of one.

    Takes about a second and a few hundred small files, which are deleted again. A second
    process looks at what this one does; both are on this machine, so what another machine sees,
    and how late, is not tried.

    Parameters
    ----------
    folder
        A folder that may be written to.

    Raises
    ------
    StoreError
        If it is no folder, or it cannot be written to.
    """
    path = os.path.abspath(os.path.expanduser(folder))
    if not os.path.isdir(path):
        raise StoreError(f"{folder} is no folder. Give the one in which stores are to lie.")
    with reported(path):
        here = tempfile.mkdtemp(prefix=".toolkit-doctor-", dir=path)
    try:
        with _Other() as other:
            trials = tuple(_tried(each, here, other) for each in _TRIALS)
    finally:
        shutil.rmtree(here, ignore_errors=True)
    return Place(folder=path, file_system=_file_system(path), trials=trials)


class _Other:
    """The second process."""

    def __enter__(self) -> "_Other":
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", place_reader.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def begin(self, name: str, *arguments: object) -> None:
        """Ask for something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return what was asked for.

        Raises
        ------
        OSError
            If the other process met one.
        """
        assert self._process.stdout is not None
        is_good, answer = json.loads(self._process.stdout.readline())
        if not is_good:
            raise OSError(answer)
        return answer

    def ask(self, name: str, *arguments: object) -> Any:
        """Ask for something and return it."""
        self.begin(name, *arguments)
        return self.answer()


_Found = tuple[bool, str]
_Try = tuple[str, Use, Callable[[str, _Other], _Found], str]


def _tried(one: _Try, here: str, other: _Other) -> Trial:
    what, used_by, function, otherwise = one
    try:
        is_good, found = function(tempfile.mkdtemp(dir=here), other)
    except OSError as error:
        is_good, found = False, str(error)
    return Trial(what=what, used_by=used_by, is_good=is_good, found=found, otherwise=otherwise)


def _replaces(here: str, other: _Other) -> _Found:
    path, temporary, end = (os.path.join(here, name) for name in ("data", "new/data", "end"))
    os.mkdir(os.path.dirname(temporary))
    _write(path, b"a" * _LENGTH)
    other.begin("watch", path, _LENGTH, _READINGS, end)
    number, began = 0, time.monotonic()
    while not os.path.exists(end) and time.monotonic() - began < _PATIENCE_S:
        _write(temporary, bytes([98 + number % 20]) * _LENGTH)
        os.replace(temporary, path)
        number += 1
    missing, torn = other.answer()
    seen = f"replaced {number:,} times, read {_READINGS:,} times meanwhile"
    if missing or torn:
        return False, f"{seen}: {missing:,} times not there, {torn:,} times torn"
    return number > 1, f"{seen}: always whole"


def _renames_folders(here: str, other: _Other) -> _Found:
    old, new, aside = (os.path.join(here, name) for name in ("old", "new", "aside"))
    for path, size in ((old, 1), (new, 2)):
        os.mkdir(path)
        _write(os.path.join(path, "file"), b"x" * size)
    os.rename(old, aside)
    os.rename(new, old)
    size = other.ask("size", os.path.join(old, "file"))
    return size == 2, "exchanged" if size == 2 else "another process still sees the old one"


def _appends(here: str, other: _Other) -> _Found:
    path = os.path.join(here, "journal")
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    latest = 0.0
    try:
        for number in range(1, _APPENDS + 1):
            os.writev(fd, [b"12345678", b"90"])
            began = time.monotonic()
            while (seen := other.ask("size", path)) != 10 * number:
                if time.monotonic() - began > _PATIENCE_S:
                    return False, f"{10 * number - seen} bytes unseen after {_PATIENCE_S:.0f} s"
                time.sleep(0.01)
                latest = max(latest, time.monotonic() - began)
    finally:
        os.close(fd)
    if latest:
        return True, f"seen by another process after {latest:.2f} s at most"
    return True, "seen by another process at once"


def _maps(here: str, other: _Other) -> _Found:
    path = os.path.join(here, "journal")
    _write(path, bytes(mmap.PAGESIZE))
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as page:
        page[100] = 7
        seen = other.ask("byte", path, 100)
    return seen == 7, "seen by another process" if seen == 7 else "not seen by another process"


def _shows_changes(here: str, other: _Other) -> _Found:
    path, temporary = os.path.join(here, "epoch"), os.path.join(here, "new")
    _write(path, b"1")
    before = other.ask("signature", path)
    _write(temporary, b"2")
    os.replace(temporary, path)
    began = time.monotonic()
    while other.ask("signature", path) == before:
        if time.monotonic() - began > _PATIENCE_S:
            return False, f"`stat` shows the old file after {_PATIENCE_S:.0f} s"
        time.sleep(0.01)
    return True, f"seen by another process within {time.monotonic() - began:.2f} s"


def _creates_once(here: str, other: _Other) -> _Found:
    path, lock, plain = (os.path.join(here, name) for name in ("mine", "lock", "plain"))
    _write(path, b"x")
    _write(plain, b"x")
    if other.ask("create", plain):
        return False, "two processes have made the same file"
    try:
        os.link(path, lock)
    except OSError as error:
        return True, f"by O_EXCL, for there are no hard links ({error.strerror})"
    if other.ask("link", path, lock):
        return False, "two processes have given the same name"
    return True, "by hard links"


def _unlinks(here: str, other: _Other) -> _Found:
    path = os.path.join(here, "inner", "journal")
    os.mkdir(os.path.dirname(path))
    _write(path, b"x")
    other.ask("hold", path)
    os.unlink(path)
    left = other.ask("names_left", path)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError as error:
        return False, f"its folder cannot be deleted meanwhile ({error.strerror})"
    return left == 0, "it has no name" if left == 0 else f"it seems to have {left} names"


def _has_room(here: str, other: _Other) -> _Found:
    del other
    found = os.statvfs(here)
    free = f"{found.f_bavail * found.f_frsize:,} bytes"
    if found.f_files == 0:  # it makes them as they are needed, or does not say
        return True, f"{free} are free; it does not say how many files"
    return found.f_favail >= _FEWEST_FILES, f"{free} and {found.f_favail:,} files are free"


def _agrees_on_time(here: str, other: _Other) -> _Found:
    del other
    path = os.path.join(here, "now")
    before = time.time()
    _write(path, b"x")
    written = os.stat(path).st_mtime
    after = time.time()
    difference = min(written - before, 0.0) + max(written - after, 0.0)
    return (
        abs(difference) < _LARGEST_CLOCK_DIFFERENCE_S,
        f"its clock is {difference:+.1f} s from that of this machine",
    )


def _syncs(here: str, other: _Other) -> _Found:
    del other
    folder = os.open(here, os.O_RDONLY | os.O_DIRECTORY)
    seconds = []
    try:
        for number in range(_SYNCS):
            with open(os.path.join(here, f"{number}"), "wb") as file:
                file.write(b"x" * 4096)
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
            os.fsync(folder)
            seconds.append(time.perf_counter() - began)
    finally:
        os.close(folder)
    return True, f"{1000 * sorted(seconds)[_SYNCS // 2]:.2f} ms for a file and its folder"


def _locks(here: str, other: _Other) -> _Found:
    path = os.path.join(here, "frozen")
    _write(path, b"x")
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if other.ask("lock", path):
            return False, "two processes have the same lock"
    if not other.ask("lock", path):
        return False, "a lock outlives the file's being closed"
    return True, "held by one process at a time, given back when it closes the file"


def _keeps_modes(here: str, other: _Other) -> _Found:
    del other
    path = os.path.join(here, "frozen")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    found = os.stat(path)
    mode, is_mine = stat.S_IMODE(found.st_mode), found.st_uid == os.geteuid()
    whose = "of this user" if is_mine else f"of user id {found.st_uid}"
    return is_mine and mode == 0o600, f"a file of mode 0600 has mode {mode:04o} and is {whose}"


_TRIALS: tuple[_Try, ...] = (
    ("a rename replaces a file at once", "store", _replaces,
     "a reader may see a chunk that is gone or torn, until it looks again"),
    ("folders are renamed", "store", _renames_folders,
     "an output whose type is widened, and `compact`, are an error"),
    ("what is appended is seen", "store", _appends,
     "finished runs show late; a takeover may run them again"),
    ("files are mapped into memory", "store", _maps,
     "no journal can be begun, or a death is pinned on another run"),
    ("a replaced file is seen to be another", "store", _shows_changes,
     "a worker whose driver is gone notices late, and its runs are made twice"),
    ("a name is given once", "store", _creates_once,
     "two drivers may hold one store, and values get lost: start one at a time"),
    ("an open file can be deleted", "store", _unlinks,
     "a store can only be deleted, and its journals, once its workers have ended"),
    ("there is room", "store", _has_room,
     "a store takes a file for each chunk of each output: the sweep stops when there is none"),
    ("clocks agree", "store", _agrees_on_time,
     "left-overs of kills are deleted late, or while they are in use"),
    ("fsync works", "durability", _syncs,
     "a power cut takes what was written last; without it a store cannot be begun"),
    ("locks are held", "frozen", _locks,
     "frozen inputs cannot lie here: leave TOOLKIT_FROZEN_DIR on a local disk"),
    ("modes are kept", "frozen", _keeps_modes,
     "frozen inputs are refused here: leave TOOLKIT_FROZEN_DIR on a local disk"),
)  # fmt: skip


def _write(path: str, raw: bytes) -> None:
    with open(path, "wb") as file:
        file.write(raw)


def _file_system(path: str) -> str:
    """Return the type of the file system that a folder is on, ``""`` where nobody says."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = "", ""
    for _, at, name, *_ in lines:
        at = at.replace("\\040", " ")
        is_above = real == at or real.startswith(at.rstrip("/") + "/")
        if is_above and len(at) >= len(best):
            best, kind = at, name
    return kind
