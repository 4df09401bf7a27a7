"""Stretches of a journal where records of single runs follow one another, read all at once.

A run of 1 ms and more leaves a block of one run and the mark that the next one begins: thousands of
records of the same kinds and lengths, of which NumPy reads the numbers in one go. Each is checked
as any other, its CRC32 included.
"""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FEWEST, MOST = 32, 1 << 14
_STARTED = 2

_HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("crc", "<u4"),
        ("length", "<u8"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("stage", "<u2"),
        ("attempt", "<u4"),
        ("epoch", "<u4"),
        ("n", "<u4"),
        ("lo", "<i8"),
        ("time", "<f8"),
    ]
)
_CRC_FROM = 8
_SAME = ("magic", "length", "kind", "flags", "stage", "attempt", "epoch", "n")


class Mark(NamedTuple):
    """That a run has begun; ``start`` and ``end`` are offsets in the data."""

    run: int
    time: float
    start: int
    end: int


class Stretch(NamedTuple):
    """Blocks of one run each, with the marks between them.

    ``runs`` (int64) and ``rows``, the payloads, have the shape ``(n,)``. ``begun`` are the marks of
    runs that have not ended here. ``block_end`` and ``end`` are the offsets in the data after the
    last block and after its mark, ``time`` is that of the last block.
    """

    runs: npt.NDArray[np.int64]
    rows: npt.NDArray[Any]
    begun: list[Mark]
    time: float
    block_end: int
    end: int


def read_stretch(view: memoryview, start: int, layout: np.dtype[Any]) -> Stretch | None:
    """Return the stretch that begins at an offset; None where too few records follow.

    Every record is true and goes with the first: its kind, length, flags, stage, attempt and epoch
    are the same, and no run comes twice.

    Parameters
    ----------
    view
        The data.
    start
        Where the block of a run begins.
    layout
        Of the block's payload.
    """
    size = _HEADER.itemsize
    length = size + layout.itemsize
    has_marks = _is_marked(view, start, start + length)
    period = length + has_marks * size
    count = min((len(view) - start) // period, MOST)
    if count < FEWEST:
        return None
    fields = [("block", _HEADER), ("payload", layout), ("mark", _HEADER)][: 2 + has_marks]
    records = np.frombuffer(view, np.dtype(fields), count, start)
    count = _leading(_alike(records["block"]))
    if has_marks and count:
        count = _leading(_alike(records["mark"][:count]))
    if count < FEWEST or int(records["block"]["length"][0]) != layout.itemsize:
        return None
    begins = range(start, start + count * period, period)
    true = _are_true(view, begins, length, records["block"]["crc"][:count])
    if has_marks:
        marks = (begin + length for begin in begins)
        true &= _are_true(view, marks, size, records["mark"]["crc"][:count])
    runs = records["block"]["lo"][:count].astype(np.int64)
    true &= _come_first(runs)
    count = _leading(true)
    if count < FEWEST:
        return None
    runs, records = runs[:count], records[:count]
    return Stretch(
        runs=runs,
        rows=records["payload"].copy(),
        begun=[
            Mark(
                int(records["mark"]["lo"][at]),
                float(records["mark"]["time"][at]),
                begins[at] + length,
                begins[at] + period,
            )
            for at in _not_ended(records["mark"]["lo"], runs)
        ]
        if has_marks
        else [],
        time=float(records["block"]["time"][-1]),
        block_end=begins[count - 1] + length,
        end=start + count * period,
    )


def _is_marked(view: memoryview, start: int, end: int) -> bool:
    """Whether the record at ``end`` marks a run's begin and is otherwise like that at ``start``."""
    size = _HEADER.itemsize
    if end + size > len(view):
        return False
    block, mark = (np.frombuffer(view, _HEADER, 1, at)[0] for at in (start, end))
    is_alike = all(mark[name] == block[name] for name in ("magic", "stage", "attempt", "epoch"))
    return bool(is_alike and mark["kind"] == _STARTED and mark["length"] == 0)


def _alike(headers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which headers describe the same kind of record as the first."""
    alike = np.ones(len(headers), bool)
    for name in _SAME:
        values = headers[name]
        alike &= values == values[0]
    return alike


def _are_true(
    view: memoryview, begins: Iterable[int], length: int, said: npt.NDArray[np.uint32]
) -> npt.NDArray[np.bool_]:
    """Return which records have the checksum that they say."""
    crc32 = zlib.crc32
    found = [crc32(view[begin + _CRC_FROM : begin + length]) for begin in begins]
    true: npt.NDArray[np.bool_] = np.array(found, np.uint32) == said
    return true


def _come_first(runs: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which runs have not come before."""
    first = np.zeros(len(runs), bool)
    first[np.unique(runs, return_index=True)[1]] = True
    return first


def _not_ended(marked: npt.NDArray[np.int64], runs: npt.NDArray[np.int64]) -> list[int]:
    """Return the places of the marks whose run does not end further on."""
    order = np.argsort(runs)
    place = np.searchsorted(runs[order], marked)
    place[place == len(runs)] = 0
    ends = order[place]
    is_ended = (runs[ends] == marked) & (ends > np.arange(len(marked)))
    return np.flatnonzero(~is_ended).tolist()


def _leading(true: npt.NDArray[np.bool_]) -> int:
    """Return how many are true before the first that is not."""
    return len(true) if true.all() else int(np.argmin(true))
