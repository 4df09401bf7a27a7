"""The labels of new runs as bytes, so that a journal can tell of runs before the metadata does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.spaces.axis import Column, Dim
from toolkit.stores.files.packing import Buffer

_NUMBERS = {"f": "<f8", "i": "<i8", "b": "|b1"}
_KINDS = ("axis", "rows", "constant", "replicates")


class Described:
    """Says the same dims again and again; what is said of them is put into words once."""

    def __init__(self) -> None:
        self._known: tuple[list[Any], bytes] = ([], b"")

    def payload(self, dims: Sequence[Dim]) -> list[Buffer]:
        """Return what :func:`dims_payload` does."""
        key = [
            (dim.name, column.name, column.labels.dtype, dim is dims[0] or column.labels[0])
            for dim in dims
            for column in dim.columns
        ]
        if any(column.labels.dtype.kind == "U" for column in dims[0].columns):
            return dims_payload(dims)
        if key != self._known[0]:
            self._known = (key, bytes(dims_payload(dims)[0]))
        return [self._known[1], *_numbers(dims)]


def can_be_added(dims: Sequence[Dim]) -> bool:
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
        The first with a label for each run, the others of one label; see :func:`can_be_added`.
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
    for told in json.loads(bytes(view[4:end])):
        size = 1 if dims else n
        if told["kind"] not in _KINDS or not isinstance(told["name"], str):
            raise ValueError("no dim")
        columns = []
        for one in told["columns"]:
            labels, rest = _labels(one, size, rest)
            name, attrs = one["name"], one["attrs"]
            if not isinstance(name, str) or not isinstance(attrs, dict):
                raise TypeError("neither name nor attributes")
            required = bool(one["required"])
            columns.append(Column(name=name, labels=labels, attrs=attrs, required=required))
        hidden = bool(told["hidden"])
        dim = Dim(name=told["name"], size=size, columns=tuple(columns), kind=told["kind"])
        dims.append(replace(dim, hidden=hidden))
    if len(rest) or not dims:
        raise ValueError("bytes are left over, or no dim is there")
    return tuple(dims)


def _numbers(dims: Sequence[Dim]) -> list[Buffer]:
    return [
        np.ascontiguousarray(column.labels, _NUMBERS[column.labels.dtype.kind]).view(np.uint8).data
        for dim in dims
        for column in dim.columns
        if column.labels.dtype.kind in _NUMBERS
    ]


def _labels(
    one: Mapping[str, Any], size: int, rest: memoryview
) -> tuple[npt.NDArray[Any], memoryview]:
    if "labels" in one:
        texts = one["labels"]
        if len(texts) != size or not all(isinstance(text, str) for text in texts):
            raise ValueError("not a text for each run")
        return np.array(texts, np.str_), rest
    if one["dtype"] not in _NUMBERS.values():
        raise ValueError("no type of labels")
    dtype = np.dtype(one["dtype"])
    if len(rest) < size * dtype.itemsize:
        raise ValueError("labels are cut")
    labels = np.frombuffer(rest, dtype, size)
    if dtype.kind == "b" and not (labels.view(np.uint8) < 2).all():
        raise ValueError("neither true nor false")
    return labels.copy(), rest[size * dtype.itemsize :]
