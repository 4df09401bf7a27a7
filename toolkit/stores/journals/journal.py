"""Journals: one append-only file per worker process, which a kill at any moment leaves readable.

A journal begins with a page of 4096 bytes: magic, format, epoch, the store's identity, host and
process, and then slots for the runs in progress. The page is memory-mapped, so that noting a run
costs a store into memory and survives ``kill -9``. Records follow the page.
"""

import errno
import mmap
import os
import socket
import struct
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.packing import Buffer
from toolkit.stores.journals.records import Record, Stages
from toolkit.stores.journals.scanning import scan, whole

PAGE = 4096
SUFFIX = ".journal"
_HEAD = struct.Struct("<4sHHI36s64sqd")  # magic, format, unused, epoch, identity, host, pid, time
_MAGIC, _FORMAT = b"TKJ\x01", 1
_SLOTS = 512  # where the slots begin; each is two int64: run (-1: none) and number of the stage
_N_SLOTS = (PAGE - _SLOTS) // 16
_PIECE = 1 << 24  # bytes read at once

Durability = Literal["process", "power"]


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the first page of a journal says."""

    epoch: int
    identity: str
    host: str
    pid: int
    created: float


class Journal:
    """The journal of this process, open for appending.

    Parameters
    ----------
    folder
        The ``.journal`` folder of the store.
    identity, epoch
        Of the store and of the driver that this process works for.
    durability
        ``"power"``: every append is on the disk before it returns.
    """

    def __init__(
        self, folder: str, identity: str, epoch: int, durability: Durability = "process"
    ) -> None:
        host = socket.gethostname()
        self.name = f"{written_by(host, os.getpid())}{uuid.uuid4().hex[:8]}{SUFFIX}"
        self.path = os.path.join(folder, self.name)
        self.durability = durability
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o666)
        try:
            page = _page(identity, epoch, host)
            self.offset = os.write(self._fd, page)
            if self.offset != PAGE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            self._map = mmap.mmap(self._fd, PAGE)
        except BaseException:
            os.close(self._fd)
            os.unlink(self.path)
            raise
        self.slots = memoryview(self._map)[_SLOTS:].cast("q")

    def slot(self, index: int) -> memoryview:
        """Return a slot of the page, two int64: the run in progress and its stage's number."""
        first = 2 * (index % _N_SLOTS)
        return self.slots[first : first + 2]

    def append(self, buffers: list[Buffer]) -> None:
        """Write records in one system call; an error leaves the journal as it was."""
        if len(buffers) > 1000:
            buffers = [b"".join(buffers)]
        size = sum(map(len, buffers))
        written = os.writev(self._fd, buffers)
        if written != size:
            # What comes after a torn record is never read: take the piece back.
            os.ftruncate(self._fd, self.offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        self.offset += size
        if self.durability == "power":
            os.fsync(self._fd)

    @property
    def is_linked(self) -> bool:
        """Whether the file still has its name: a deleted store leaves it without."""
        return self._fd >= 0 and os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """Close the file; its slots may still be written to, and nobody reads them."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Tail:
    """Reads a journal piece by piece, each record once.

    A record that is not whole ends a reading and is tried again by the next one: its writer may
    be in the middle of it.
    """

    def __init__(self, path: str, page: Page, done: int = PAGE) -> None:
        self.path = path
        self.page = page
        self.offset = PAGE
        self.stages = Stages()
        if done > PAGE:
            self._skip(done)

    def read(self) -> Iterator[Record]:
        """Yield the records since the last reading, up to the first that is not whole."""
        try:
            fd = open_plain(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            yield from self.read_from(fd)
        finally:
            os.close(fd)

    def read_from(self, fd: int) -> Iterator[Record]:
        """Yield the same from a file that is open, and may be unlinked."""
        size, want = os.fstat(fd).st_size, _PIECE
        while self.offset < size:
            piece = os.pread(fd, min(want, size - self.offset), self.offset)
            before = self.offset
            for found in scan(piece, self.stages, base=before):
                self.offset = max(self.offset, found.origin.end)
                yield found
            if self.offset == before:
                need = whole(piece)
                if need <= len(piece) or need > size - self.offset:
                    return
                want = need
            else:
                want = _PIECE

    def _skip(self, done: int) -> None:
        """Go to an offset that was reached before; only schemas on the way are read."""
        with open(self.path, "rb", opener=open_plain) as file:
            done = min(done, os.fstat(file.fileno()).st_size)
            file.seek(PAGE)
            while self.offset < done:
                head = file.read(48)
                need = whole(head)
                if len(head) < 48 or need < 48 or self.offset + need > done:
                    break
                if head[16] == 1:
                    for _ in scan(head + file.read(need - 48), self.stages, base=self.offset):
                        pass
                else:
                    file.seek(need - 48, os.SEEK_CUR)
                self.offset += need


def read_page(path: str) -> Page | None:
    """Return the page of a journal, None where the file is no whole journal of this format."""
    try:
        with open(path, "rb", opener=open_plain) as file:
            raw = file.read(PAGE)
    except OSError:
        return None
    size = _HEAD.size
    if len(raw) < PAGE or zlib.crc32(raw[:size]) != int.from_bytes(raw[size : size + 4], "little"):
        return None
    magic, version, _, epoch, identity, host, pid, created = _HEAD.unpack_from(raw)
    if magic != _MAGIC or version != _FORMAT:
        return None
    return Page(
        epoch=epoch,
        identity=identity.rstrip(b"\0").decode("ascii", "replace"),
        host=host.rstrip(b"\0").decode("utf-8", "replace"),
        pid=pid,
        created=created,
    )


def read_slots(path: str) -> list[tuple[int, int]]:
    """Return the runs in progress that the page notes, as (run, number of the stage)."""
    try:
        with open(path, "rb", opener=open_plain) as file:
            raw = file.read(PAGE)
    except OSError:
        return []
    if len(raw) < PAGE:
        return []
    values = memoryview(raw)[_SLOTS:].cast("q").tolist()
    return [(run, n) for run, n in zip(values[::2], values[1::2], strict=True) if run >= 0]


def _page(identity: str, epoch: int, host: str) -> bytes:
    head = _HEAD.pack(
        _MAGIC, _FORMAT, 0, epoch, identity.encode(), host.encode()[:64], os.getpid(), time.time()
    )
    head += zlib.crc32(head).to_bytes(4, "little")
    slots = struct.pack("<qq", -1, -1) * _N_SLOTS
    return head.ljust(_SLOTS, b"\0") + slots


def written_by(host: str, pid: int) -> str:
    """Return what the names of all journals begin with that a process writes."""
    return f"{_plain(host)}-{pid}-"


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in text)[:64]
