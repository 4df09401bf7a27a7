"""Records of a journal: their bytes, and the scanner that reads them and trusts none.

A record is a header of 48 bytes and a payload. The CRC32 covers all after itself. Everything is
little-endian, plain numbers, JSON and columns; nothing is pickled.
"""

import functools
import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.stages.said import RunLog
from toolkit.stages.schema import Columns, Schema
from toolkit.stores.failure_log import as_failure
from toolkit.stores.packing import Buffer, element_dtype, pack, unpack
from toolkit.stores.stretches import FEWEST, Stretch, read_stretch

# magic, crc, length of the payload, kind, flags, stage, attempt, epoch, n, lo, time
HEADER = struct.Struct("<4sIQBBHIIIqd")
MAGIC = b"TKR1"
SCHEMA, STARTED, BLOCK, ERRORS, LOGS = 1, 2, 3, 4, 5
IDS, PEAK, COLUMNS, IN_CHUNK, ONE_STATUS, ONE_SECONDS, ONE_PEAK = 1, 2, 4, 8, 16, 32, 64

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
StatusArray = npt.NDArray[np.uint8]

_SINGLES = 4096


class Origin(NamedTuple):
    """Where a record stands and who wrote it: ``start`` and ``end`` are offsets in the file."""

    stage: str
    attempt: int
    epoch: int
    time: float
    start: int
    end: int


class Described(NamedTuple):
    """From here on, blocks of this stage hold these columns (none known yet: ``schema`` None)."""

    origin: Origin
    schema: Schema | None


class Started(NamedTuple):
    """A run has begun."""

    origin: Origin
    run: int


class Block(NamedTuple):
    """Outcomes of ``n`` runs: ``lo … lo + n - 1``, or ``ids`` where they are not consecutive.

    ``status`` uint8, ``seconds`` and ``peak_memory`` (bytes, None: not measured) float32, all of
    shape ``(n,)``; ``columns`` are None where the values are in the chunk or where no run of the
    block succeeded.
    """

    origin: Origin
    lo: int
    n: int
    ids: IntArray | None
    status: StatusArray
    seconds: FloatArray
    peak_memory: FloatArray | None
    columns: Columns | None
    schema: Schema | None
    in_chunk: bool

    def run_ids(self) -> IntArray:
        """Return the run ids, shape ``(n,)``."""
        return np.arange(self.lo, self.lo + self.n) if self.ids is None else self.ids


class Errors(NamedTuple):
    """Failures of runs, as the fields of ``RunFailure``."""

    origin: Origin
    failures: list[dict[str, Any]]


class Logs(NamedTuple):
    """What runs have said; see ``toolkit.stages.said.RunLog``."""

    origin: Origin
    logs: list[RunLog]


Record = Described | Started | Block | Errors | Logs


class Stages:
    """Which stage each number of a journal stands for, with the last schema said of it."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[str, Schema | None]] = {}


def record(
    kind: int,
    payload: Sequence[Buffer] = (),
    *,
    stage: int,
    epoch: int,
    time: float,
    attempt: int = 0,
    flags: int = 0,
    n: int = 0,
    lo: int = 0,
) -> list[Buffer]:
    """Return one record as buffers to be written in one go."""
    length = sum(map(len, payload))
    attempt = min(attempt, 0xFFFFFFFF)
    body = HEADER.pack(MAGIC, 0, length, kind, flags, stage, attempt, epoch, n, lo, time)[8:]
    crc = zlib.crc32(body)
    for part in payload:
        crc = zlib.crc32(part, crc)
    return [MAGIC + crc.to_bytes(4, "little") + body, *payload]


def schema_payload(name: str, schema: Schema | None) -> list[Buffer]:
    """Return the payload of a schema record."""
    document = {"stage": name, "schema": None if schema is None else schema.to_json()}
    return [json.dumps(document).encode()]


def block_payload(
    ids: IntArray | None,
    status: StatusArray,
    seconds: FloatArray,
    peak_memory: FloatArray | None,
    schema: Schema | None,
    columns: Columns | None,
) -> tuple[int, list[Buffer]]:
    """Return flags and payload of a block; what is the same in all runs is written once."""
    if len(status) == 1 and ids is None:
        return _single_payload(status, seconds, peak_memory, schema, columns)
    flags, payload = 0, list[Buffer]()
    if ids is not None:
        flags |= IDS
        payload.append(np.ascontiguousarray(ids, "<i8").view(np.uint8).data)
    if peak_memory is not None and np.isnan(peak_memory).all():
        peak_memory = None
    kinds = (
        (status, "u1", ONE_STATUS),
        (seconds, "<f4", ONE_SECONDS),
        (peak_memory, "<f4", ONE_PEAK),
    )
    for values, dtype, flag in kinds:
        if values is None:
            continue
        if len(values) > 1 and (values == values[0]).all():
            flags |= flag
            values = values[:1]
        payload.append(np.ascontiguousarray(values, dtype).view(np.uint8).data)
    if peak_memory is not None:
        flags |= PEAK
    if schema is not None and columns is not None:
        flags |= COLUMNS
        payload += pack(schema, columns)
    return flags, payload


def _single_payload(
    status: StatusArray,
    seconds: FloatArray,
    peak_memory: FloatArray | None,
    schema: Schema | None,
    columns: Columns | None,
) -> tuple[int, list[Buffer]]:
    """Do the same for one run: such a block is written after each run of over 1 ms."""
    flags = 0
    payload: list[Buffer] = [struct.pack("<Bf", int(status[0]), float(seconds[0]))]
    if peak_memory is not None and not math.isnan(peak_memory[0]):
        flags |= PEAK
        payload.append(struct.pack("<f", float(peak_memory[0])))
    if schema is not None and columns is not None:
        flags |= COLUMNS
        payload += pack(schema, columns)
    return flags, payload


def scan(data: Buffer, stages: Stages, *, base: int = 0, skip: bool = False) -> Iterator[Record]:
    """Yield the records of a piece of a journal, up to the first that is not whole and true.

    Records of single runs that follow one another come as one block: a million of them are read
    in seconds. Its origin is from where the first begins to where the last ends.

    Any bytes are safe to scan: lengths are checked against what is there before anything is
    allocated, and a record that does not fit its own description ends the scan.

    Parameters
    ----------
    data
        Bytes that begin with a record.
    stages
        What earlier records of this journal said of its stages; updated.
    base
        Offset of ``data`` in the journal.
    skip
        Yield schema records only, without checking the others.
    """
    singles = Singles()
    yield from _scan(memoryview(data), stages, base, skip, singles)
    yield from singles.flush()


def _scan(
    view: memoryview, stages: Stages, base: int, skip: bool, singles: "Singles"
) -> Iterator[Record]:
    size, start, header = len(view), 0, HEADER.size
    sought = 0  # from here on it is worth to look for a stretch again
    while start + header <= size:
        fields = HEADER.unpack_from(view, start)
        magic, crc, length, kind = fields[:4]
        end = start + header + length
        if magic != MAGIC or end > size:
            return
        if kind == BLOCK and not skip and start >= sought:
            stretch = _stretch(view, start, fields, stages)
            if stretch is not None:
                yield from singles.flush()
                yield from _read(stretch, fields, stages, base + start, base)
                start = stretch.end
                continue
            sought = start + FEWEST * (end - start)
        if not skip or kind == SCHEMA:
            if zlib.crc32(view[start + 8 : end]) != crc:
                return
            if kind in (STARTED, BLOCK) and not skip:
                where = (base + start, base + end)
                payload = view[start + header : end]
                if singles.take(fields, payload, stages, where):
                    start = end
                    if singles.is_full:
                        yield from singles.flush()
                    continue
            yield from singles.flush()
            try:
                found = _parse(fields, view[start + header : end], stages, base + start, base + end)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
                return
            yield found
        start = end


def _stretch(
    view: memoryview, start: int, fields: tuple[Any, ...], stages: Stages
) -> Stretch | None:
    _, _, length, _, flags, number, _, _, n, _, _ = fields
    known = stages.known.get(number)
    if known is None or n != 1 or flags & ~(PEAK | COLUMNS):
        return None
    layout = _single_layout(flags, known[1])
    if layout is None or layout.itemsize != length:
        return None
    return read_stretch(view, start, layout)


def _read(
    stretch: Stretch, fields: tuple[Any, ...], stages: Stages, first: int, base: int
) -> Iterator[Record]:
    flags, number, attempt, epoch = fields[4:8]
    stage, schema = stages.known[number]
    origin = Origin(stage, attempt, epoch, stretch.time, first, base + stretch.block_end)
    yield _block(origin, stretch.runs, stretch.rows, flags, schema)
    for run, time, start, end in stretch.begun:
        yield Started(Origin(stage, attempt, epoch, time, base + start, base + end), run)


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
        return len(self._los) >= _SINGLES

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


def whole(data: Buffer) -> int:
    """Return how many bytes the first record wants; 0 where that is no record."""
    if len(data) < HEADER.size:
        return HEADER.size
    magic, _, length = HEADER.unpack_from(data, 0)[:3]
    return HEADER.size + int(length) if magic == MAGIC else 0


def _parse(
    fields: tuple[Any, ...], payload: memoryview, stages: Stages, start: int, end: int
) -> Record:
    _, _, _, kind, flags, number, attempt, epoch, n, lo, time = fields
    if kind == SCHEMA:
        return _parse_schema(payload, stages, number, (attempt, epoch, time, start, end))
    stage, schema = stages.known[number]
    origin = Origin(stage, attempt, epoch, time, start, end)
    if kind == STARTED:
        return Started(origin, lo)
    if kind == ERRORS:
        failures = json.loads(bytes(payload))
        if not isinstance(failures, list) or not all(_is_failure(item) for item in failures):
            raise ValueError("not a list of failures")
        return Errors(origin, [as_failure(item) for item in failures])
    if kind == LOGS:
        return Logs(origin, [run_log(*item) for item in json.loads(bytes(payload))])
    if kind != BLOCK:
        raise ValueError(f"unknown kind {kind}")
    ids = None
    if flags & IDS:
        raw, payload = _cut(payload, 8 * n)
        ids = np.frombuffer(raw, "<i8", n)
    status, payload = _series(payload, "u1", n, flags & ONE_STATUS)
    seconds, payload = _series(payload, "<f4", n, flags & ONE_SECONDS)
    peak_memory = None
    if flags & PEAK:
        peak_memory, payload = _series(payload, "<f4", n, flags & ONE_PEAK)
    columns = None
    if flags & COLUMNS:
        if schema is None:
            raise ValueError("columns without a schema")
        columns = unpack(schema, n, payload)
    elif len(payload):
        raise ValueError("bytes are left over")
    in_chunk = bool(flags & IN_CHUNK)
    return Block(origin, lo, n, ids, status, seconds, peak_memory, columns, schema, in_chunk)


def _parse_schema(
    payload: memoryview, stages: Stages, number: int, rest: tuple[int, int, float, int, int]
) -> Described:
    document: Mapping[str, Any] = json.loads(bytes(payload))
    name, text = document["stage"], document["schema"]
    if not isinstance(name, str) or not isinstance(text, str | None):
        raise TypeError("neither name nor schema")
    schema = None if text is None else _schema(text)
    if schema is not None:
        # Also checks, against hostile bytes, that every variable has a type that is stored.
        unpack(schema, 0, memoryview(b""))
    stages.known[number] = (name, schema)
    return Described(Origin(name, *rest), schema)


@functools.lru_cache(64)
def _schema(text: str) -> Schema:
    """Return one object for one text: what reads many journals compares schemas by identity."""
    return Schema.from_json(text)


def run_log(runs: object, text: object) -> RunLog:
    """Return what runs have said as JSON has it.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    if not isinstance(runs, list) or not isinstance(text, str | None):
        raise TypeError("not what runs have said")
    return RunLog(tuple((int(lo), int(hi)) for lo, hi in runs), text)


def _is_failure(item: object) -> bool:
    return isinstance(item, dict) and type(item.get("run")) is int


def _cut(payload: memoryview, size: int) -> tuple[memoryview, memoryview]:
    if size > len(payload):
        raise ValueError(f"{size} bytes are said, {len(payload)} are there")
    return payload[:size], payload[size:]


def _series(
    payload: memoryview, dtype: str, n: int, is_one: int
) -> tuple[npt.NDArray[Any], memoryview]:
    width = 1 if dtype == "u1" else 4
    if not is_one:
        raw, payload = _cut(payload, width * n)
        return np.frombuffer(raw, dtype, n), payload
    raw, payload = _cut(payload, width)
    return np.broadcast_to(np.frombuffer(raw, dtype, 1), (n,)), payload
