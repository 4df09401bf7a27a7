"""The labels of new runs as bytes, so that a journal can tell of runs before the metadata does."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.spaces.axis import Column, Dim
from toolkit.stores.files.packing import Buffer

_NUMBERS = {"f": "<f8", "i": "<i8", "b": "|b1"}
_KINDS = ("axis", "rows", "constant", "replicates")


class Described:
    """Says the same dims again and again; what is said of them is put into words once."""

    def __init__(self) -> None:
        self._others: list[Dim] = []
        self._key: list[Any] = []
        self._text = b""

    def payload(self, dims: Sequence[Dim]) -> list[Buffer] | None:
        """Return what :func:`dims_payload` does; None where a journal cannot tell of these runs."""
        rows, *others = dims
        key: list[Any] = [rows.name, rows.copies is None]
        for column in rows.columns:
            key += (column.name, column.labels.dtype, column.objects is None)
        is_known = len(others) == len(self._others) and all(map(is_, others, self._others))
        if not is_known or key != self._key:
            self._key = []
            if not _can_be_added(dims):
                return None
            if any(column.labels.dtype.kind == "U" for column in rows.columns):
                return dims_payload(dims)
            self._key, self._others = key, others
            self._text = bytes(dims_payload(dims)[0])
        return [self._text, *_numbers(dims)]


def _can_be_added(dims: Sequence[Dim]) -> bool:
    """Whether a journal can tell of runs: numbers and text along one dim, other dims of one label.

    What a run receives in place of its label, an object, is not stored anywhere.
    """
    return all(dim.size == 1 for dim in dims[1:]) and all(
        column.labels.dtype.kind in "fibU" and column.objects is None and dim.copies is None
        for dim in dims
        for column in dim.columns
    )


def dims_payload(dims: Sequence[Dim]) -> list[Buffer]:
    """Return the payload of a record of new runs: JSON of 4 + n bytes, then columns of numbers.

    Parameters
    ----------
    dims
        The first with a label for each run, the others of one label; all numbers or text.
    """
    told = []
    for dim in dims:
        described = []
        for column in dim.columns:
            kind = _NUMBERS.get(column.labels.dtype.kind)
            one: dict[str, Any] = {"name": column.name, "attrs": dict(column.attrs)}
            one["required"] = column.required
            if kind is None:
                one["labels"] = column.labels.tolist()
            else:
                one["dtype"] = kind
            described.append(one)
        known = {"name": dim.name, "kind": dim.kind, "hidden": dim.hidden}
        told.append({**known, "columns": described})
    text = json.dumps(told).encode()
    return [len(text).to_bytes(4, "little") + text, *_numbers(dims)]


def read_dims(payload: Buffer, n: int) -> tuple[Dim, ...]:
    """Return the dims of ``n`` new runs.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the bytes are no such payload.
    """
    view = memoryview(payload)
    end = 4 + int.from_bytes(view[:4], "little")
    if len(view) < end:
        raise ValueError("the description is cut")
    rest, dims = view[end:], list[Dim]()
    for told, columns in _described(bytes(view[4:end])):
        made = []
        for said in columns:
            labels, rest = _labels(said, 1 if dims else n, rest)
            name, attrs, required = said.name, said.attrs, said.required
            made.append(Column(name=name, labels=labels, attrs=attrs, required=required))
        dims.append(Dim(size=1 if dims else n, columns=tuple(made), **told))
    if len(rest) or not dims:
        raise ValueError("bytes are left over, or no dim is there")
    return tuple(dims)


class _Said(NamedTuple):
    """What is said of a column: its labels follow as numbers, unless they are texts."""

    name: str
    attrs: dict[str, object]
    required: bool
    dtype: np.dtype[Any] | None
    texts: list[str] | None


@lru_cache(8)  # most records of a journal say the same
def _described(text: bytes) -> list[tuple[dict[str, Any], list[_Said]]]:
    """Return what is said of each dim, and of its columns."""
    dims = []
    for told in json.loads(text):
        if told["kind"] not in _KINDS or not isinstance(told["name"], str):
            raise ValueError("no dim")
        known = {"name": told["name"], "kind": told["kind"], "hidden": bool(told["hidden"])}
        dims.append((known, [_said(one) for one in told["columns"]]))
    return dims


def _said(one: Mapping[str, Any]) -> _Said:
    name, attrs = one["name"], one["attrs"]
    if not isinstance(name, str) or not isinstance(attrs, dict):
        raise TypeError("neither name nor attributes")
    texts = one.get("labels")
    is_text = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if texts is not None and not is_text:
        raise ValueError("not a text for each run")
    if texts is None and one["dtype"] not in _NUMBERS.values():
        raise ValueError("no type of labels")
    dtype = np.dtype(one["dtype"]) if texts is None else None
    return _Said(name, attrs, bool(one["required"]), dtype, texts)


def _numbers(dims: Sequence[Dim]) -> list[Buffer]:
    return [
        column.labels.astype(_NUMBERS[column.labels.dtype.kind], copy=False).tobytes()
        for dim in dims
        for column in dim.columns
        if column.labels.dtype.kind in _NUMBERS
    ]


def _labels(said: _Said, size: int, rest: memoryview) -> tuple[npt.NDArray[Any], memoryview]:
    if said.dtype is None:
        texts = said.texts or []
        if len(texts) != size:
            raise ValueError("not a text for each run")
        return np.array(texts, np.str_), rest
    length = size * said.dtype.itemsize
    if len(rest) < length:
        raise ValueError("labels are cut")
    labels = np.frombuffer(rest, said.dtype, size)
    if said.dtype.kind == "b" and not (labels.view(np.uint8) < 2).all():
        raise ValueError("neither true nor false")
    return labels.copy(), rest[length:]
