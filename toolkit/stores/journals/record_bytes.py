"""Records as bytes, for those who append to a journal."""

import json
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Columns, Schema
from toolkit.stores.files.packing import Buffer, pack
from toolkit.stores.journals.records import (
    COLUMNS,
    HEADER,
    IDS,
    MAGIC,
    ONE_PEAK,
    ONE_SECONDS,
    ONE_STATUS,
    PEAK,
    FloatArray,
    IntArray,
    StatusArray,
)


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
    for values, dtype, flag in ((status, "u1", ONE_STATUS), (seconds, "<f4", ONE_SECONDS)):
        raw, is_one = _series(values, dtype)
        flags |= flag * is_one
        payload.append(raw)
    if peak_memory is not None and not np.isnan(peak_memory).all():
        raw, is_one = _series(peak_memory, "<f4")
        flags |= PEAK | ONE_PEAK * is_one
        payload.append(raw)
    if schema is not None and columns is not None:
        flags |= COLUMNS
        payload += pack(schema, columns)
    return flags, payload


def _series(values: npt.NDArray[Any], dtype: str) -> tuple[bytes, bool]:
    """Return values as bytes, those of one where all of several are the same, and whether so."""
    raw = values.astype(dtype, copy=False).tobytes()
    n = len(values)
    first = raw[: len(raw) // max(n, 1)]
    return (first, True) if n > 1 and raw == first * n else (raw, False)


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
