"""What one run returns: names, types, inner dims, and columns of many runs of it."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from toolkit.errors import StageError

Kind = Literal["fixed", "text", "ragged", "object"]
Array = npt.NDArray[Any]

RESERVED_NAMES = frozenset(
    {"run", "status", "attempts", "seconds", "peak_memory", "rng", "run_seed"}
)
_MOST_COORD_BYTES = 1 << 30
_TYPE_NAMES = {"b": "bool", "M": "datetime", "m": "timedelta", "U": "text"}


class SchemaMismatch(StageError):  # noqa: N818  (the name is what happened, as in KeyError's family)
    """Two runs returned what one stored variable cannot hold."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One output of a stage, as every run of it is stored.

    Parameters
    ----------
    name
        Name of the output; ``group.name`` for an entry of a nested dict.
    kind
        ``"fixed"``: numbers, bools and dates of one shape. ``"text"``: Python strings of one
        shape. ``"ragged"``: one dim of differing length. ``"object"``: anything else, pickled.
    dtype
        Numpy type of the elements (``"<f8"``, ``"<M8[ns]"``); ``""`` for text and object.
    dims
        Inner dims, after ``run``.
    shape
        Inner shape; ``()`` for a ragged variable.
    attrs
        Units, long name, comment: what JSON can hold.
    """

    name: str
    kind: Kind = "fixed"
    dtype: str = ""
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    attrs: Mapping[str, object] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The type in words, as error messages name it."""
        if self.kind != "fixed":
            return f"ragged {dtype_label(self.dtype)}" if self.kind == "ragged" else self.kind
        return dtype_label(self.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coord:
    """Labels along inner dims, the same in every run.

    Parameters
    ----------
    dims
        The inner dims that the labels lie along.
    values
        Shape of these dims; numbers, bools, dates or text (numpy's ``U``).
    attrs
        Units, long name, comment: what JSON can hold.
    """

    dims: tuple[str, ...]
    values: Array
    attrs: Mapping[str, object] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Coord)
            and self.dims == other.dims
            and same_values(self.values, other.values)
            and dict(self.attrs) == dict(other.attrs)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The outputs of a stage, their inner coordinates and attributes."""

    variables: tuple[Variable, ...] = ()
    coords: Mapping[str, Coord] = field(default_factory=dict)
    attrs: Mapping[str, object] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which they are stored."""
        return tuple(variable.name for variable in self.variables)

    @property
    def is_fixed(self) -> bool:
        """Whether every output is stored as plain arrays, so that a worker may write chunks."""
        return all(variable.kind == "fixed" for variable in self.variables)

    @property
    def nbytes_per_run(self) -> int:
        """Bytes that a run takes: exact for fixed outputs, 16 bytes an element for others."""
        return sum(
            math.prod(v.shape) * (np.dtype(v.dtype).itemsize if v.kind == "fixed" else 16)
            for v in self.variables
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of the inner dims; those of ragged dims differ and are left out."""
        return {
            dim: size for v in self.variables for dim, size in zip(v.dims, v.shape, strict=False)
        }

    def to_json(self) -> str:
        """Return the schema as JSON text; equal schemas give equal text."""
        variables = [
            {**vars(v), "dims": list(v.dims), "shape": list(v.shape), "attrs": dict(v.attrs)}
            for v in self.variables
        ]
        coords = {name: _coord_to_json(coord) for name, coord in self.coords.items()}
        document = {"variables": variables, "coords": coords, "attrs": dict(self.attrs)}
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Schema":
        """Return the schema that ``to_json`` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the text is none.
        """
        document = json.loads(text)
        return cls(
            variables=tuple(_variable_from_json(v) for v in document["variables"]),
            coords={name: _coord_from_json(coord) for name, coord in document["coords"].items()},
            attrs=document["attrs"],
        )


@dataclass
class RaggedColumn:
    """Values of differing length, one after the other.

    Parameters
    ----------
    lengths
        How many elements each run has, int64, shape ``(n_runs,)``; 0 where missing.
    values
        Elements of all runs, shape ``(sum(lengths),)``: of the variable's type, or the uint8
        bytes of one pickle a run for objects.
    """

    lengths: npt.NDArray[np.int64]
    values: Array

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of the values and their lengths."""
        return self.lengths.nbytes + self.values.nbytes

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Where each run begins and the last one ends, shape ``(n_runs + 1,)``."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths, dtype=np.int64)])

    def row(self, index: int) -> Array:
        """Return the elements of one run."""
        if index < 0:
            index += len(self)
        start = int(self.lengths[:index].sum())
        return self.values[start : start + int(self.lengths[index])]


Column = Array | RaggedColumn
Columns = list[Column]


def widen(a: Schema, b: Schema) -> Schema:
    """Return the smallest schema that holds both; order and attributes are those of ``a``.

    Ints widen to longer ints and to float, floats to longer floats and to complex. Whether an
    int can be a float is a matter of its value: ``columns.cast`` refuses those that cannot.

    Raises
    ------
    SchemaMismatch
        If names, inner dims, shapes, coordinates or kinds of type differ; it names both.
    """
    if a is b:
        return a
    if sorted(a.names) != sorted(b.names):
        raise names_differ(a.names, b.names)
    for name in dict.fromkeys([*a.coords, *b.coords]):
        one, other = a.coords.get(name), b.coords.get(name)
        if one is None or other is None:
            had, has = ("none", "some") if one is None else ("some", "none")
            raise SchemaMismatch(
                f"Coordinate {name!r}: earlier runs have {had}, this one has {has}. "
                "Return the same coordinates in every run."
            )
        if one.dims != other.dims or not same_values(one.values, other.values):
            raise SchemaMismatch(
                f"Coordinate {name!r} differs: {_brief(one.values)} then {_brief(other.values)}. "
                "Return the same inner coordinates in every run, or declare the output with "
                "tk.ragged(dim)."
            )
    others = {variable.name: variable for variable in b.variables}
    variables = tuple(_widen(variable, others[variable.name]) for variable in a.variables)
    return a if variables == a.variables else replace(a, variables=variables)


def widen_dtype(a: str, b: str) -> str | None:
    """Return the type that holds both, or None where the kinds do not mix."""
    if a == b:
        return a
    one, other = np.dtype(a), np.dtype(b)
    if one.kind in "iu" and other.kind in "iu":
        common = np.promote_types(one, other)
        return dtype_text(common) if common.kind in "iu" else None
    numbers = "iufc"
    if one.kind in numbers and other.kind in numbers:
        return dtype_text(np.promote_types(one, other))
    return None


def dtype_text(dtype: npt.DTypeLike) -> str:
    """Return a numpy type as stored: little-endian text such as ``"<f8"``."""
    return np.dtype(dtype).newbyteorder("<").str


def dtype_label(dtype: str) -> str:
    """Return a type in the words of its user: ``float64``, ``datetime``, ``bool``."""
    found = np.dtype(dtype)
    return _TYPE_NAMES.get(found.kind, found.name)


def same_values(a: Array, b: Array) -> bool:
    """Whether two arrays are equal, NaN and NaT counting as equal to themselves."""
    if a is b:
        return True
    if a.shape != b.shape:
        return False
    numbers = "fcmM"
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in numbers and b.dtype.kind in numbers))


def exact(values: Array, dtype: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the values in another type and where that keeps them exactly.

    Parameters
    ----------
    values
        Shape ``(n_runs, *shape)``.
    dtype
        Type that ``widen_dtype`` gave.

    Returns
    -------
    values, kept
        Shapes ``(n_runs, *shape)`` and ``(n_runs,)``.
    """
    target = np.dtype(dtype)
    if values.dtype == target:
        return values, np.ones(len(values), bool)
    with np.errstate(all="ignore"):
        converted = values.astype(target)
        if values.dtype.kind in "iu" and target.kind in "fc" and values.dtype.itemsize > 2:
            # Compared as ints: numpy would compare an int with a float as two floats.
            limit = 2.0 ** (8 * values.dtype.itemsize - (values.dtype.kind == "i"))
            inside = (converted.real < limit) & (converted.real >= -limit)
            same = inside & (np.where(inside, converted.real, 0).astype(values.dtype) == values)
        elif values.dtype.kind in "iu" and target.kind in "iu":
            same = converted.astype(values.dtype) == values
            if values.dtype.kind != target.kind:
                same &= (converted < 0) == (values < 0)
        else:
            same = np.ones(values.shape, bool)
    return converted, same.all(axis=tuple(range(1, same.ndim)))


def _widen(a: Variable, b: Variable) -> Variable:
    if a.kind != b.kind:
        raise kinds_differ(a, b)
    if a.kind != "object" and (a.dims != b.dims or a.shape != b.shape):
        if a.shape != b.shape:
            raise SchemaMismatch(
                f"Output {a.name!r} has another shape: {a.shape} then {b.shape}. "
                "Return one shape in every run, or declare a 1-D output of differing length: "
                f"outputs={{{a.name!r}: tk.ragged('dim')}}."
            )
        raise SchemaMismatch(f"Output {a.name!r} has other dims: {a.dims} then {b.dims}.")
    if a.dtype == b.dtype:
        return a
    dtype = widen_dtype(a.dtype, b.dtype)
    if dtype is None:
        raise kinds_differ(a, b)
    return a if dtype == a.dtype else replace(a, dtype=dtype)


def kinds_differ(a: Variable, b: Variable) -> SchemaMismatch:
    """Return the error for two kinds of value under one name."""
    return SchemaMismatch(
        f"Output {a.name!r} has another type: {a.label} then {b.label}. "
        "Return one kind of value in every run, or declare its type with outputs=."
    )


def names_differ(a: Sequence[str], b: Sequence[str]) -> SchemaMismatch:
    """Return the error for runs whose outputs have other names."""
    return SchemaMismatch(
        f"Outputs have other names: {', '.join(a) or 'none'}; then {', '.join(b) or 'none'}. "
        "Return the same names, in any order, in every run."
    )


def _brief(values: Array) -> str:
    text = np.array2string(values, threshold=6, edgeitems=2, separator=", ").replace("\n", "")
    return f"{text} {values.shape}"


def _variable_from_json(document: Mapping[str, Any]) -> Variable:
    dims, shape = _names(document["dims"]), _sizes(document["shape"])
    variable = Variable(**{**document, "dims": dims, "shape": shape})
    texts = (variable.name, variable.kind, variable.dtype)
    if not all(isinstance(text, str) for text in texts) or not isinstance(variable.attrs, dict):
        raise TypeError(f"no output: {str(document)[:200]}")
    if variable.kind not in ("fixed", "text", "ragged", "object"):
        raise ValueError(f"an output of kind {variable.kind!r}")
    if len(dims) != (1 if variable.kind == "ragged" else len(shape)):
        raise ValueError(f"dims {dims} of shape {shape}")
    return variable


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"no names of dims: {str(value)[:200]}")
    return tuple(value)


def _sizes(value: Any) -> tuple[int, ...]:
    """Return a shape; a text in its place would be repeated where sizes are multiplied."""
    if not isinstance(value, list) or not all(type(n) is int and 0 <= n < 1 << 62 for n in value):
        raise TypeError(f"no shape: {str(value)[:200]}")
    return tuple(value)


def _coord_to_json(coord: Coord) -> dict[str, object]:
    values = coord.values
    document: dict[str, object] = {"dims": list(coord.dims), "attrs": dict(coord.attrs)}
    if values.dtype.kind in "UO":
        return document | {"shape": list(values.shape), "text": values.ravel().tolist()}
    raw = np.ascontiguousarray(values, np.dtype(dtype_text(values.dtype)))
    encoded = base64.b64encode(raw.tobytes()).decode("ascii")
    return document | {"shape": list(values.shape), "dtype": raw.dtype.str, "base64": encoded}


def _coord_from_json(document: Mapping[str, Any]) -> Coord:
    if "text" in document:
        texts = _names(document["text"])
        if 4 * len(texts) * max(map(len, texts), default=0) > _MOST_COORD_BYTES:
            raise ValueError("labels that are too long")
        values = np.array(texts, dtype=str)
    else:
        dtype = np.dtype(str(document["dtype"]))
        if dtype.kind not in "biufcmM":
            raise ValueError(f"labels of type {dtype}")
        values = np.frombuffer(base64.b64decode(document["base64"]), dtype)
    if not isinstance(document["attrs"], dict):
        raise TypeError("no attributes")
    return Coord(
        dims=_names(document["dims"]),
        values=values.reshape(_sizes(document["shape"])),
        attrs=document["attrs"],
    )
