"""Blocks of one run each, which a run of 1 ms and more leaves: read as if they were one block."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Columns, Schema
from toolkit.stores.files.packing import element_dtype
from toolkit.stores.journals.records import (
    COLUMNS,
    PEAK,
    STARTED,
    Block,
    IntArray,
    Origin,
    Record,
    Stages,
    Started,
)
from toolkit.stores.journals.stretches import Stretch, read_stretch

_MOST = 4096


class Singles:
    """Blocks of one run each, gathered to be read as one.

    That a run was started is moot once it has ended.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._layout: np.dtype[Any] | None = None
        self._los: list[int] = []
        self._gathered: set[int] = set()
        self._payloads: list[memoryview] = []
        self._started: dict[int, Started] = {}
        self._first = self._last = 0
        self._time = 0.0
        self._stage = ""
        self._schema: Schema | None = None

    @property
    def is_full(self) -> bool:
        """Whether enough were gathered."""
        return len(self._los) >= _MOST

    def take(
        self, fields: tuple[Any, ...], payload: memoryview, stages: Stages, where: tuple[int, int]
    ) -> bool:
        """Take a record if it goes with those before; the caller flushes and goes on if not."""
        _, _, _, kind, flags, number, attempt, epoch, n, lo, time = fields
        known = stages.known.get(number)
        if known is None:
            return False
        if kind == STARTED:
            self._started[lo] = Started(Origin(known[0], attempt, epoch, time, *where), lo)
            return True
        if n != 1 or flags & ~(PEAK | COLUMNS) or lo in self._gathered:
            return False
        key = (flags, number, attempt, epoch, len(payload))
        if key != self._key or not self._los:
            layout = _single_layout(flags, known[1])
            if self._los or layout is None or layout.itemsize != len(payload):
                return False
            self._key, self._layout, self._first = key, layout, where[0]
            self._schema, self._stage = known[1], known[0]
        self._los.append(lo)
        self._gathered.add(lo)
        self._payloads.append(payload)
        self._started.pop(lo, None)
        self._last, self._time = where[1], time
        return True

    def flush(self) -> Iterator[Record]:
        """Yield what was gathered."""
        if self._los:
            assert self._layout is not None
            flags, _, attempt, epoch, _ = self._key
            rows = np.frombuffer(b"".join(self._payloads), self._layout)
            origin = Origin(self._stage, attempt, epoch, self._time, self._first, self._last)
            yield _block(origin, np.array(self._los, np.int64), rows, flags, self._schema)
            self._los, self._payloads = [], []
            self._gathered.clear()
        started, self._started = self._started, {}
        yield from started.values()


def stretch_at(
    view: memoryview, start: int, fields: tuple[Any, ...], stages: Stages
) -> Stretch | None:
    """Return the stretch that begins with a record, None where too few like it follow."""
    _, _, length, _, flags, number, _, _, n, _, _ = fields
    known = stages.known.get(number)
    if known is None or n != 1 or flags & ~(PEAK | COLUMNS):
        return None
    layout = _single_layout(flags, known[1])
    if layout is None or layout.itemsize != length:
        return None
    return read_stretch(view, start, layout)


def records_of(
    stretch: Stretch, fields: tuple[Any, ...], stages: Stages, first: int, base: int
) -> Iterator[Record]:
    """Yield a stretch as one block, and the marks of runs that have not ended in it."""
    flags, number, attempt, epoch = fields[4:8]
    stage, schema = stages.known[number]
    origin = Origin(stage, attempt, epoch, stretch.time, first, base + stretch.block_end)
    yield _block(origin, stretch.runs, stretch.rows, flags, schema)
    for run, time, start, end in stretch.begun:
        yield Started(Origin(stage, attempt, epoch, time, base + start, base + end), run)


def _block(
    origin: Origin, ids: IntArray, rows: npt.NDArray[Any], flags: int, schema: Schema | None
) -> Block:
    """Return blocks of one run each as one."""
    columns: Columns | None = None
    if flags & COLUMNS:
        names = rows.dtype.names or ()
        columns = [np.ascontiguousarray(rows[name]) for name in names[3:]]
    is_range = bool((np.diff(ids) == 1).all())
    return Block(
        origin,
        int(ids[0]),
        len(ids),
        None if is_range else ids,
        rows["status"],
        rows["seconds"],
        rows["peak"][:, 0] if flags & PEAK else None,
        columns,
        schema,
        in_chunk=False,
    )


def _single_layout(flags: int, schema: Schema | None) -> np.dtype[Any] | None:
    """Return the layout of a block of one run, None where its length may differ."""
    peak = (int(bool(flags & PEAK)),)
    formats: list[Any] = [("status", "u1"), ("seconds", "<f4"), ("peak", "<f4", peak)]
    if not flags & COLUMNS:
        return np.dtype(formats)
    if schema is None or not schema.is_fixed:
        return None
    for number, variable in enumerate(schema.variables):
        formats.append((f"column {number}", element_dtype(variable), variable.shape))
    try:
        return np.dtype(formats)
    except (ValueError, TypeError, OverflowError):
        return None
