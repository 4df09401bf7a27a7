"""Journals as they are on the disk: torn tails, flipped bits, foreign bytes."""

import os
import zlib
from collections.abc import Iterator

from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.storage import JOURNALS
from toolkit.stores.journals.journal import PAGE, SUFFIX, Tail, read_page
from toolkit.stores.journals.records import BLOCK, HEADER, MAGIC

_MOST = 1 << 28  # bytes that are searched behind a record that is not true


def examine_journals(
    folder: str, identity: str, *, is_in_use: bool
) -> Iterator[tuple[str, str, bool]]:
    """Yield place, state and whether that is damage, of each journal that is not whole.

    A tail that is torn is no damage: it is what a kill leaves, and what was acknowledged stands
    before it.

    Parameters
    ----------
    folder, identity
        Of the store.
    is_in_use
        Whether somebody may be writing: then a torn tail is a record in the making.
    """
    try:
        names = sorted(os.listdir(os.path.join(folder, JOURNALS)))
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(SUFFIX):
            found = _examine(os.path.join(folder, JOURNALS, name), identity, is_in_use=is_in_use)
            if found is not None:
                yield f"{JOURNALS}/{name}", *found


def _examine(path: str, identity: str, *, is_in_use: bool) -> tuple[str, bool] | None:
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:  # it was folded and deleted meanwhile
        return None
    if size < PAGE:
        return f"is cut in its first page ({size} bytes): its writer was killed at once", False
    page = read_page(path)
    if page is None:
        return "does not begin as a journal: its first page is damaged or foreign", True
    if page.identity != identity:
        return f"belongs to another store ({page.identity or 'unknown'}) and is not read", False
    tail = Tail(path, page)
    try:
        for _ in tail.read():
            pass
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        return f"cannot be read from byte {tail.offset:,} on ({error})", True
    left = size - tail.offset
    if not left:
        return None
    runs, records = _behind(path, tail.offset)
    if records:
        return (
            f"is damaged at byte {tail.offset:,}: {records:,} whole records behind it, with "
            f"outcomes of {runs:,} runs, are not read",
            True,
        )
    if _is_whole(path, tail.offset, left):
        return f"is damaged at byte {tail.offset:,}: its last record is whole and not true", True
    if is_in_use:
        return None
    return f"has a torn tail of {left:,} bytes: its writer was killed", False


def _behind(path: str, offset: int) -> tuple[int, int]:
    """Return how many runs and records stand whole behind a place that cannot be read."""
    with open(path, "rb", opener=open_plain) as file:
        file.seek(offset)
        data = memoryview(file.read(_MOST))
    raw = bytes(data)
    at, runs, records = raw.find(MAGIC, 1), 0, 0
    while at >= 0:
        end = _end_of(data, at)
        if end:
            kind, n = HEADER.unpack_from(data, at)[3], HEADER.unpack_from(data, at)[8]
            records += 1
            runs += n if kind == BLOCK else 0
        at = end if end and raw.startswith(MAGIC, end) else raw.find(MAGIC, end or at + 1)
    return runs, records


def _end_of(data: memoryview, at: int) -> int:
    """Return where the record that begins here ends, 0 where none does."""
    if at + HEADER.size > len(data):
        return 0
    _, crc, length = HEADER.unpack_from(data, at)[:3]
    end = int(at + HEADER.size + length)
    if end > len(data) or zlib.crc32(data[at + 8 : end]) != crc:
        return 0
    return end


def _is_whole(path: str, offset: int, left: int) -> bool:
    """Whether the bytes at the end are a record's in full, or no record's at all."""
    with open(path, "rb", opener=open_plain) as file:
        file.seek(offset)
        head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        return not MAGIC.startswith(head[:4]) and not head.startswith(MAGIC)
    magic, _, length = HEADER.unpack_from(head)[:3]
    return magic != MAGIC or HEADER.size + int(length) <= left
