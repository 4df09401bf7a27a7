"""Columns of runs as plain bytes and back: what a journal record holds after its header."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Column, Columns, RaggedColumn, Schema, Variable

Array = npt.NDArray[Any]
Buffer = bytes | memoryview


def pack(schema: Schema, columns: Sequence[Column]) -> list[Buffer]:
    """Return the columns as buffers to be written one after the other.

    Fixed columns are their raw little-endian bytes. Text is the int64 lengths of the encoded
    strings, then all strings. Ragged and object columns are int64 lengths, then all values.
    """
    buffers: list[Buffer] = []
    for variable, column in zip(schema.variables, columns, strict=True):
        if isinstance(column, RaggedColumn):
            buffers += [_raw(column.lengths, "<i8"), _raw(column.values, element_dtype(variable))]
        elif variable.kind == "text":
            texts = [str(text).encode("utf-8", "replace") for text in column.ravel()]  # as chunks
            lengths = np.fromiter(map(len, texts), np.int64, len(texts))
            buffers += [_raw(lengths, "<i8"), b"".join(texts)]
        else:
            buffers.append(_raw(column, element_dtype(variable)))
    return buffers


def unpack(schema: Schema, n: int, payload: memoryview) -> Columns:
    """Return the columns of ``n`` runs, as views of the payload where that is possible.

    Raises
    ------
    ValueError
        If the payload is not exactly as long as the schema and its own lengths say. Nothing is
        allocated that is larger than the payload.
    """
    columns: Columns = []
    for variable in schema.variables:
        if variable.kind == "fixed":
            values, payload = _read(payload, element_dtype(variable), (n, *variable.shape))
            columns.append(values)
        elif variable.kind == "text":
            text, payload = _read_text(payload, (n, *variable.shape))
            columns.append(text)
        else:
            lengths, payload = _read_lengths(payload, n)
            values, payload = _read(payload, element_dtype(variable), (int(lengths.sum()),))
            columns.append(RaggedColumn(lengths, values))
    if len(payload):
        raise ValueError(f"{len(payload)} bytes are left over")
    return columns


def element_dtype(variable: Variable) -> np.dtype[Any]:
    """Return the numpy type of one element; bytes for objects.

    Raises
    ------
    ValueError
        If it is none that a store holds (a schema from a foreign file may say anything).
    """
    if variable.kind == "object":
        return np.dtype(np.uint8)
    try:
        dtype = np.dtype(variable.dtype)
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"no such type: {variable.dtype!r}") from error
    if dtype.kind not in "biufcmM":
        raise ValueError(f"no type of a stored output: {variable.dtype!r}")
    return dtype


def _raw(values: Array, dtype: npt.DTypeLike) -> Buffer:
    array = np.ascontiguousarray(values, dtype)
    if not array.nbytes:
        return b""
    return array.reshape(-1).view(np.uint8).data


def _read(
    payload: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[Array, memoryview]:
    if min(shape, default=0) < 0:
        raise ValueError("a negative length")
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size > len(payload):
        raise ValueError(f"{size} bytes are said, {len(payload)} are there")
    if not size:
        return np.empty(shape, dtype), payload
    return np.frombuffer(payload, dtype, count).reshape(shape), payload[size:]


def _read_lengths(payload: memoryview, count: int) -> tuple[npt.NDArray[np.int64], memoryview]:
    lengths, payload = _read(payload, np.dtype("<i8"), (count,))
    if count and (int(lengths.min()) < 0 or int(lengths.max()) > len(payload)):
        raise ValueError("a length beyond the end")
    return lengths, payload


def _read_text(payload: memoryview, shape: tuple[int, ...]) -> tuple[Array, memoryview]:
    if min(shape) < 0:
        raise ValueError("a negative length")
    count = math.prod(shape)
    lengths, payload = _read_lengths(payload, count)
    total = int(lengths.sum())
    if total > len(payload):
        raise ValueError(f"{total} bytes of text are said, {len(payload)} are there")
    raw = bytes(payload[:total])
    text = np.empty(count, object)
    start = 0
    for index, length in enumerate(lengths.tolist()):
        text[index] = raw[start : start + length].decode("utf-8", "surrogatepass")
        start += length
    return text.reshape(shape), payload[total:]
