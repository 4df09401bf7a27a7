"""Where the bytes of a store lie: in a folder, or in memory. Keys are paths with slashes."""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from toolkit.errors import StoreError
from toolkit.stores.files.inside import check_folders, open_inside
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.packing import Buffer

JOURNALS = ".journal"


class Storage(Protocol):
    """Bytes under keys; a put replaces all of a value or nothing."""

    @property
    def compresses(self) -> bool:
        """Whether chunks are worth compressing here."""

    def get(self, key: str) -> bytes | None:
        """Return the bytes under this key, None where there are none."""

    def names(self, key: str) -> set[str]:
        """Return the names of what is directly under this key."""

    def put(self, key: str, data: Buffer) -> None:
        """Put these bytes under the key, at once for every reader."""

    def replace_tree(self, old: str, new: str) -> None:
        """Put all that is under the key ``new`` in the place of what is under ``old``."""

    def delete_tree(self, key: str) -> None:
        """Delete all that is under this key."""


class Folder:
    """A folder on a file system. Files appear by renaming, so a kill leaves none half written."""

    compresses = True

    def __init__(self, path: str, durability: Literal["process", "power"] = "process") -> None:
        self.path = path
        self.durability = durability

    def get(self, key: str) -> bytes | None:
        """Return the bytes of a file, None where there is none.

        Raises
        ------
        StoreError
            If it is no plain file, lies outside of the folder, or is larger than the memory.
        """
        try:
            with open(open_inside(self.path, key), "rb", buffering=0) as file:
                require_room(os.fstat(file.fileno()).st_size, f"File {key} of store {self.path}")
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise explain(error, self.path) from error

    def names(self, key: str) -> set[str]:
        """Return the names of what is in a folder; none where there is no folder."""
        check_folders(self.path, f"{key}/")
        try:
            return set(os.listdir(os.path.join(self.path, key)))
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError as error:
            raise explain(error, self.path) from error

    def put(self, key: str, data: Buffer) -> None:
        """Write a file under a temporary name in the journal folder, then rename it."""
        with reported(self.path):
            write_file(self.path, key, data, self.durability)

    def replace_tree(self, old: str, new: str) -> None:
        """Rename a folder into the place of another one."""
        source, target = os.path.join(self.path, new), os.path.join(self.path, old)
        check_folders(self.path, old)
        check_folders(self.path, new)
        with reported(self.path):
            if not os.path.isdir(source):
                return
            if os.path.isdir(target):
                os.rename(target, os.path.join(self.path, JOURNALS, f"old-{uuid.uuid4().hex}.tmp"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(source, target)

    def delete_tree(self, key: str) -> None:
        """Delete a folder and all in it, if it is there; a link is not followed."""
        check_folders(self.path, key)
        shutil.rmtree(os.path.join(self.path, key), ignore_errors=True)


class Memory:
    """A dict, for sweeps without a store on disk."""

    compresses = False

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """Return the bytes under this key, None where there are none."""
        return self.values.get(key)

    def names(self, key: str) -> set[str]:
        """Return the names of what is directly under this key."""
        inside = (name[len(key) + 1 :] for name in self.values if name.startswith(f"{key}/"))
        return {name for name in inside if "/" not in name}

    def put(self, key: str, data: Buffer) -> None:
        """Put these bytes under the key."""
        self.values[key] = bytes(data)

    def replace_tree(self, old: str, new: str) -> None:
        """Put all that is under ``new`` in the place of what is under ``old``."""
        moved = {key: data for key, data in self.values.items() if key.startswith(f"{new}/")}
        self.delete_tree(old)
        self.delete_tree(new)
        self.values.update({old + key[len(new) :]: data for key, data in moved.items()})

    def delete_tree(self, key: str) -> None:
        """Delete all that is under this key."""
        for found in [name for name in self.values if name.startswith(f"{key}/")]:
            del self.values[found]


def write_file(
    folder: str, key: str, data: Buffer, durability: Literal["process", "power"] = "process"
) -> None:
    """Write a file of a store so that it is there as a whole or not at all."""
    check_folders(folder, key)
    temporary = os.path.join(folder, JOURNALS, f"{uuid.uuid4().hex}.tmp")
    target = os.path.join(folder, key)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write_all(fd, data)
            if durability == "power":
                os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.replace(temporary, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durability == "power":
        _sync_folder(os.path.dirname(target))


@contextmanager
def reported(path: str) -> Iterator[None]:
    """Turn an error of the file system into one that names the store and the remedy."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: str) -> StoreError:
    """Return the error of the file system in the words of the store's user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "Free some space or raise the quota, then run again: what is stored stays valid."
        what = "the disk is full"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy = "Change the permissions of the folder, or give another path as store=."
        where = os.path.relpath(error.filename, path) if error.filename else "."
        is_inside = where not in (".", "..") and not where.startswith("../")
        what = "it may not be written to or read here" + (f": {where}" if is_inside else "")
    elif error.errno == errno.EMFILE:
        what = "this process has too many open files"
        remedy = "Raise the limit (ulimit -n), then run again."
    elif error.errno in (errno.ELOOP, errno.EINVAL, errno.EISDIR):
        what = f"it holds what is no plain file ({error.filename or 'a link, pipe or device'})"
        remedy = "Put a plain file in its place, or restore the store from a copy."
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        what = "a part of it is not there any more"
        remedy = "Was it deleted or moved while it was in use? Run again to make what is missing."
    else:
        what, remedy = "the file system failed", "Run again when it works: finished runs are kept."
    return StoreError(f"Store {path}: {what} ({error.strerror or error}). {remedy}")


def _write_all(fd: int, data: Buffer) -> None:
    view = memoryview(data).cast("B")
    while len(view):
        view = view[os.write(fd, view) :]


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
