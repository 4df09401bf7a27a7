"""The folder of frozen inputs on this machine: who uses a file, and files that nobody uses.

A process that uses a file holds a shared ``flock`` on it, which ends with the process, however it
ends. So a file in use is one that cannot be locked exclusively, and no list of owners can be wrong.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import FrozenError

VARIABLE = "TOOLKIT_FROZEN_DIR"
SUFFIX = ".frozen"
_PART = ".part"
_LOCK = ".lock"


def folder() -> Path:
    """Return the folder of this user's frozen inputs, made if there is none.

    ``toolkit-frozen-<uid>`` in the folder that the environment variable ``TOOLKIT_FROZEN_DIR``
    names, else in the machine's temporary folder (``TMPDIR`` or ``/tmp``).

    Raises
    ------
    FrozenError
        If it belongs to somebody else, is no folder, or cannot be made.
    """
    home = Path(os.environ.get(VARIABLE) or tempfile.gettempdir())
    path = home.expanduser().absolute() / f"toolkit-frozen-{os.geteuid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise FrozenError(
                f"{path} is not a folder of this user's (it belongs to user id {found.st_uid}), "
                f"so frozen inputs in it cannot be trusted. Set {VARIABLE} to another folder."
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise FrozenError(
            f"Frozen inputs cannot be kept in {path}: {error}. Set {VARIABLE} to a folder that "
            "can be written."
        ) from error
    return path


def path_of(token: str) -> Path:
    """Return where the file of a token is, or would be."""
    return folder() / f"{token}{SUFFIX}"


def claim(path: Path) -> int | None:
    """Open a file and lock it as used by this process.

    Returns
    -------
    int or None
        The descriptor, which holds the claim; None where there is no such file.

    Raises
    ------
    FrozenError
        If it is not a plain file of this user's that nobody else can read or write.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FrozenError(f"{path} cannot be opened: {error}.") from error
        try:
            _check(path, descriptor)
            _lock(path, descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed between the two: look again


def give_up(descriptor: int, path: Path) -> None:
    """End a claim; the last one to do so removes the file."""
    # A mapping has the same description open, so that closing alone would not unlock.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
    remove_unclaimed(path)


def remove_unclaimed(path: Path) -> bool:
    """Remove a file that no process uses; whether it did."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(path, descriptor):
            return False
        path.unlink()
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def sweep() -> int:
    """Remove what processes that died have left; return how many files."""
    ours = (SUFFIX, _PART, _LOCK)
    return sum(remove_unclaimed(path) for path in folder().iterdir() if path.suffix in ours)


@contextlib.contextmanager
def new_file(token: str) -> Iterator[int]:
    """Give a descriptor to write a file to; leaving publishes it under its token.

    The descriptor stays open: it is a claim. If the body raises, nothing is published and the
    descriptor is closed.
    """
    path = path_of(token)
    descriptor, name = tempfile.mkstemp(suffix=_PART, prefix=f"{token[:12]}-", dir=path.parent)
    try:
        _lock(path, descriptor, fcntl.LOCK_SH)
        yield descriptor
        os.replace(name, path)
    except BaseException as error:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise FrozenError(f"A frozen input cannot be written to {path}: {error}.") from error
        raise


@contextlib.contextmanager
def alone(token: str) -> Iterator[None]:
    """Be the only process of this machine that is in here for a token."""
    path = folder() / f"{token}{_LOCK}"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        _lock(path, descriptor, fcntl.LOCK_EX)
        if _is_at(path, descriptor):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file that was refused, so that a good one can take its place.

    Raises
    ------
    FrozenError
        If it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FrozenError(
            f"{path} is not what its name says and cannot be removed: {error}. Remove it, or set "
            f"{VARIABLE} to another folder."
        ) from error


def _check(path: Path, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise FrozenError(f"{path} is not a plain file.")
    if found.st_uid != os.geteuid():
        raise FrozenError(f"{path} belongs to user id {found.st_uid}, not {os.geteuid()}.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise FrozenError(f"{path} can be read or written by others (mode {mode:04o}, not 0600).")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _lock(path: Path, descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        raise FrozenError(
            f"{path} cannot be locked: {error}. Set {VARIABLE} to a folder on a local disk."
        ) from error
