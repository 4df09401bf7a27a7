"""Frozen content as bytes: a head that is unpickled, and aligned buffers that are mapped.

A file is: magic (16 bytes), length of the head, number of buffers, then for each buffer its offset,
its length and whether it is mapped copy-on-write (all uint64, little endian), the head, and the
buffers, each at a multiple of 64 bytes. The token is the hash of all of that.
"""

import hashlib
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from toolkit.errors import FrozenError

ALIGNMENT = 64
_MAGIC = b"toolkit frozen 1"
_COUNTS = struct.Struct("<QQ")
_ENTRY = struct.Struct("<QQQ")
_PIECE = 1 << 24
_THREADS = 4

Views = Sequence[memoryview]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the parts of a file are.

    Parameters
    ----------
    header
        All bytes before the first buffer.
    head
        The pickle, a part of the header.
    entries
        Offset, length (bytes) and whether it is mapped copy-on-write, one for each buffer.
    """

    header: bytes
    head: bytes
    entries: tuple[tuple[int, int, bool], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole file."""
        return max([len(self.header), *(offset + length for offset, length, _ in self.entries)])


def lay_out(head: bytes, buffers: Views, is_writable: Sequence[bool]) -> Layout:
    """Return the layout of a file with this head and these buffers, each of bytes."""
    start = len(_MAGIC) + _COUNTS.size + _ENTRY.size * len(buffers) + len(head)
    entries = []
    for buffer, writable in zip(buffers, is_writable, strict=True):
        start += -start % ALIGNMENT
        entries.append((start, len(buffer), writable))
        start += len(buffer)
    table = b"".join(_ENTRY.pack(*entry) for entry in entries)
    header = b"".join([_MAGIC, _COUNTS.pack(len(head), len(buffers)), table, head])
    return Layout(header=header, head=head, entries=tuple(entries))


def token_of(layout: Layout, digests: Sequence[bytes]) -> str:
    """Return the hash of a file from its header and those of its buffers: 40 hex digits."""
    digest = hashlib.blake2b(layout.header, digest_size=20)
    for each in digests:
        digest.update(each)
    return digest.hexdigest()


def digest_of(buffer: memoryview) -> bytes:
    """Return the hash of a buffer of bytes, that of the hashes of its pieces of 16 MB.

    Large buffers are hashed by several threads: hashing frees the interpreter.
    """
    pieces = [buffer[start : start + _PIECE] for start in range(0, len(buffer), _PIECE)]
    if len(pieces) < 2:
        return _digest(buffer)
    with ThreadPoolExecutor(min(_THREADS, len(os.sched_getaffinity(0)))) as pool:
        return _digest(b"".join(pool.map(_digest, pieces)))


def write(descriptor: int, layout: Layout, buffers: Views) -> None:
    """Write a file."""
    _write_at(descriptor, memoryview(layout.header), 0)
    for (offset, _, _), buffer in zip(layout.entries, buffers, strict=True):
        _write_at(descriptor, buffer, offset)
    os.ftruncate(descriptor, layout.nbytes)


def read_layout(view: memoryview) -> Layout:
    """Return the layout of a mapped file.

    Raises
    ------
    FrozenError
        If it is not one.
    """
    try:
        if view[: len(_MAGIC)] != _MAGIC:
            raise FrozenError("it does not begin as a frozen input does")
        at = len(_MAGIC)
        length, count = _COUNTS.unpack_from(view, at)
        at += _COUNTS.size
        start = at + _ENTRY.size * count
        if start + length > len(view):
            raise FrozenError("it is cut off")
        entries = tuple(
            (offset, size, bool(writable))
            for offset, size, writable in _ENTRY.iter_unpack(view[at:start])
        )
    except struct.error as error:
        raise FrozenError(f"its header cannot be read ({error})") from error
    end = start + length
    for offset, size, _ in entries:
        if offset % ALIGNMENT or offset < end or offset + size > len(view):
            raise FrozenError("its table of buffers is wrong")
    return Layout(header=bytes(view[:end]), head=bytes(view[start:end]), entries=entries)


def check(view: memoryview, token: str, nbytes: int) -> Layout:
    """Return the layout of a mapped file whose every byte has been held against its token.

    Raises
    ------
    FrozenError
        If it is not what the token says. Nothing of it was unpickled.
    """
    if len(view) != nbytes:
        raise FrozenError(f"it has {len(view):,} bytes where {nbytes:,} are expected")
    layout = read_layout(view)
    digests = [digest_of(view[start : start + size]) for start, size, _ in layout.entries]
    found = token_of(layout, digests)
    if found != token:
        raise FrozenError(f"its content has the hash {found}, not {token}")
    return layout


def _digest(piece: memoryview | bytes) -> bytes:
    return hashlib.blake2b(piece, digest_size=20).digest()


def _write_at(descriptor: int, view: memoryview, offset: int) -> None:
    while len(view):
        written = os.pwrite(descriptor, view[:_PIECE], offset)
        view, offset = view[written:], offset + written
