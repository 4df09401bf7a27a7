"""Records of a journal from its bytes: a scanner that trusts none."""

import functools
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.said import RunLog
from toolkit.stages.schema import Schema
from toolkit.stores.files.packing import Buffer, unpack
from toolkit.stores.journals.added_runs import read_dims
from toolkit.stores.journals.failure_log import as_failure
from toolkit.stores.journals.records import (
    ADDED,
    BLOCK,
    COLUMNS,
    ERRORS,
    HEADER,
    IDS,
    IN_CHUNK,
    LOGS,
    MAGIC,
    ONE_PEAK,
    ONE_SECONDS,
    ONE_STATUS,
    PEAK,
    SCHEMA,
    STARTED,
    Added,
    Block,
    Described,
    Errors,
    Logs,
    Origin,
    Record,
    Stages,
    Started,
)
from toolkit.stores.journals.single_blocks import Singles, records_of, stretch_at
from toolkit.stores.journals.stretches import FEWEST


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
            stretch = stretch_at(view, start, fields, stages)
            if stretch is not None:
                yield from singles.flush()
                yield from records_of(stretch, fields, stages, base + start, base)
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
    if kind == ADDED:
        return Added(origin, lo, read_dims(payload, n))
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
