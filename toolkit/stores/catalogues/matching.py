"""Match a space's labels to a catalogue's: which dim holds which, which label is where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.spaces import build
from toolkit.spaces.axis import Column, Dim, Field
from toolkit.spaces.labels import kind_of, scalars, text_label
from toolkit.spaces.points import Points
from toolkit.stores.catalogues.box import Ints, strides_of
from toolkit.stores.catalogues.positions import (
    copies_of,
    copies_of_product,
    match_labels,
    match_numbers,
    match_rows,
)

MAX_EXPANDED = 50_000_000


class NotStored(Enum):
    """What stands in for an object whose label alone is stored."""

    NOT_STORED = "not stored"


NOT_STORED = NotStored.NOT_STORED


class Labelled(Protocol):
    """What has labels along dims."""

    @property
    def dims(self) -> tuple[Dim, ...]:
        """All dims, constants included."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Parameters over several dims."""


class SpaceLike(Labelled, Protocol):
    """What a catalogue needs of a space."""

    def points(self) -> Points:
        """Return the runs."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a catalogue's dim finds its positions in a space.

    Parameters
    ----------
    dims
        Numbers of the space's dims that hold this dim's parameters, ascending.
    sizes
        Their sizes.
    positions
        Position along the catalogue's dim of each cell of their product (C order).
    """

    dims: tuple[int, ...]
    sizes: tuple[int, ...]
    positions: Ints

    def varying(self) -> tuple[int, ...]:
        """Return the dims of more than one position."""
        return tuple(d for d, size in zip(self.dims, self.sizes, strict=True) if size > 1)

    def at(self, points: Sequence[Ints]) -> Ints:
        """Return the position for each point of the space; -1 where one of its dims is."""
        index = np.zeros(len(points[0]), dtype=np.int64)
        inactive = np.zeros(len(points[0]), dtype=bool)
        for dim, stride in zip(self.dims, strides_of(self.sizes), strict=True):
            inactive |= points[dim] < 0
            index += points[dim] * stride
        index[inactive] = 0
        found = self.positions[index]
        found[inactive] = -1
        return found


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A catalogue's dims grown by a space's labels, and where each finds its positions."""

    dims: tuple[Dim, ...]
    sources: tuple[Source, ...]

    def is_one_to_one(self) -> bool:
        """Return whether each varying dim of the space is one dim of the catalogue."""
        varying = [source.varying() for source in self.sources]
        every = [dim for dims in varying for dim in dims]
        return all(len(dims) <= 1 for dims in varying) and len(set(every)) == len(every)


def align(
    dims: tuple[Dim, ...],
    held_fields: Sequence[str],
    space: Labelled,
    defaults: Mapping[str, object],
) -> Alignment:
    """Return the catalogue's dims with the space's labels added, and the space's positions there.

    Raises
    ------
    StoreError
        If a parameter is missing on one side, or its labels changed type.
    """
    if not dims and not held_fields:
        sources = [
            Source(dims=(number,), sizes=(dim.size,), positions=np.arange(dim.size))
            for number, dim in enumerate(space.dims)
        ]
        return Alignment(dims=space.dims, sources=tuple(sources))
    _check_names(dims, held_fields, space, defaults)
    dims = _with_defaults(dims, space.dims, defaults)
    holder = {
        column.name: number for number, dim in enumerate(space.dims) for column in dim.columns
    }
    grown, sources = [], []
    for dim in dims:
        if dim.columns:
            numbers = tuple(sorted({holder[column.name] for column in dim.columns}))
        else:
            numbers = _columnless(dim, space.dims)
        grown_dim, positions = _merge(dim, [space.dims[number] for number in numbers])
        grown.append(grown_dim)
        sizes = tuple(space.dims[number].size for number in numbers)
        sources.append(Source(dims=numbers, sizes=sizes, positions=positions))
    return Alignment(dims=tuple(grown), sources=tuple(sources))


def _check_names(
    dims: tuple[Dim, ...],
    held_fields: Sequence[str],
    space: Labelled,
    defaults: Mapping[str, object],
) -> None:
    held = [column.name for dim in dims for column in dim.columns]
    asked = [column.name for dim in space.dims for column in dim.columns]
    asked_fields = [field.name for field in space.fields]
    for name in [*held, *held_fields]:
        if (name in held) != (name in asked) or (name in held_fields) != (name in asked_fields):
            if name in asked or name in asked_fields:
                kinds = ("one value a label", "one value for each cell of several dims")
                here, there = kinds if name in held else kinds[::-1]
                raise StoreError(
                    f"Parameter {name!r} cannot be mapped: the store holds {here}, this space "
                    f"gives {there}. Use another store, or give {name!r} as before."
                )
            raise StoreError(
                f"This space lacks the parameter {name!r}, so its runs cannot be mapped to the "
                f"store's, which have {_listed([*held, *held_fields])}; the space has "
                f"{_listed([*asked, *asked_fields])}. Use another store, or keep {name!r} as a "
                f"constant ({_example(dims, name)})."
            )
    new = [n for n in [*asked, *asked_fields] if n not in held and n not in held_fields]
    for name in new:
        if name not in defaults or name in asked_fields:
            raise StoreError(
                f"The store's runs have no parameter {name!r}, so this space cannot be mapped to "
                f"it: the store has {_listed([*held, *held_fields])}. Use another store, or give "
                f"the argument {name!r} a default value: the stored runs then count as having "
                "had it."
            )


def _with_defaults(
    dims: tuple[Dim, ...], asked: tuple[Dim, ...], defaults: Mapping[str, object]
) -> tuple[Dim, ...]:
    """Return the dims with the parameters that they lack, at the value older runs had."""
    number_of = {column.name: number for number, dim in enumerate(dims) for column in dim.columns}
    result = list(dims)
    for dim in asked:
        new = [column for column in dim.columns if column.name not in number_of]
        homes = {number_of[c.name] for c in dim.columns if c.name in number_of}
        if not new:
            continue
        if len(homes) == 1 and result[home := homes.pop()].kind == "rows":
            kept = result[home]
            columns = [_default_column(c, defaults[c.name], kept.size) for c in new]
            result[home] = replace(kept, columns=(*kept.columns, *columns))
        elif len(new) == len(dim.columns):
            columns = [_default_column(c, defaults[c.name], 1) for c in new]
            result.append(replace(dim, size=1, columns=tuple(columns)))
        else:
            for column in new:
                columns = [_default_column(column, defaults[column.name], 1)]
                result.append(
                    Dim(name=column.name, size=1, columns=tuple(columns), kind="constant")
                )
    return tuple(result)


def _default_column(like: Column, value: object, size: int) -> Column:
    column = build.constant(like.name, value, lenient=True).columns[0]
    labels, objects = column.labels, column.objects
    if like.objects is not None and objects is None and kind_of(like.labels) == "text":
        labels, objects = _as_text(labels), (value,)
    return replace(
        like,
        labels=np.repeat(labels, size),
        objects=None if objects is None else objects * size,
    )


def _columnless(dim: Dim, asked: tuple[Dim, ...]) -> tuple[int, ...]:
    for number, other in enumerate(asked):
        if other.name == dim.name:
            return (number,)
    raise StoreError(
        f"This space lacks the dim {dim.name!r}, so its runs cannot be mapped to the store's. "
        f"Use another store, or keep the dim {dim.name!r}."
    )


def _merge(dim: Dim, sources: list[Dim]) -> tuple[Dim, Ints]:
    """Return the dim with the labels of these dims' product added, and their positions."""
    shape = tuple(source.size for source in sources)
    n = math.prod(shape)
    if n > MAX_EXPANDED and len(sources) > 1:
        raise StoreError(
            f"The store holds {_listed([c.name for c in dim.columns])} together along "
            f"{dim.name!r}; this space crosses them to {n:,} rows, more than {MAX_EXPANDED:,}. "
            "Use another store."
        )
    asked: dict[str, Column] = {}
    for axis, source in enumerate(sources):
        if len(sources) == 1:
            index = None
        else:
            ladder = np.arange(source.size).reshape((-1,) + (1,) * (len(shape) - axis - 1))
            index = np.broadcast_to(ladder, shape).ravel()
        for column in source.columns:
            asked[column.name] = column if index is None else _rows_of(column, index)
    pairs = [_unify(column, asked[column.name]) for column in dim.columns]
    copies = np.zeros(0, dtype=np.int64)
    if not pairs:
        positions = match_numbers(dim, sources[0])
    elif dim.kind == "rows":
        copies = copies_of_product(sources)
        positions = match_rows(pairs, dim, copies)
    else:
        positions = match_labels(*pairs[0])
    new = np.flatnonzero(positions >= dim.size)
    _, first = np.unique(positions[new], return_index=True)
    added = new[first]
    columns = tuple(_grow(known, wanted, positions, added) for known, wanted in pairs)
    kind, common = dim.kind, dim.common
    if kind == "constant" and len(sources) == 1 and len(dim.columns) == 1:
        kind, common = sources[0].kind, sources[0].common
    size = dim.size + len(added)
    if kind == "constant" and size > 1:
        kind = "axis"
    grown = replace(dim, size=size, columns=columns, kind=kind, common=common, hidden=False)
    if dim.kind == "rows" and len(added):
        numbers = None
        if not pairs:
            numbers = np.concatenate([dim.labels, sources[0].labels[added]])
        every = np.concatenate([copies_of(dim), copies[added] if pairs else added * 0])
        grown = replace(grown, numbers=numbers, copies=every if every.any() else None)
    return grown, positions


def _rows_of(column: Column, index: Ints) -> Column:
    objects = column.objects
    if objects is not None:
        objects = tuple(objects[i] for i in index.tolist())
    return replace(column, labels=column.labels[index], objects=objects)


def _unify(known: Column, wanted: Column) -> tuple[Column, Column]:
    """Return both columns with labels of one type, or raise if theirs do not mix."""
    here, there = kind_of(known.labels), kind_of(wanted.labels)
    if here == there:
        if here == "number" and known.labels.dtype != wanted.labels.dtype:
            known, wanted = (
                replace(column, labels=_as_floats(column)) for column in (known, wanted)
            )
        return known, wanted
    if known.objects is not None and here == "text" and wanted.objects is None:
        values = tuple(scalars(wanted.labels))
        return known, replace(wanted, labels=_as_text(wanted.labels), objects=values)
    raise StoreError(
        f"Parameter {known.name!r} is a {here} in the store ({_some(known.labels)}) and a {there} "
        f"in this space ({_some(wanted.labels)}). Write its values as before, or use another store."
    )


def _as_floats(column: Column) -> npt.NDArray[np.float64]:
    labels = column.labels
    floats = labels.astype(np.float64)
    if labels.dtype.kind in "iu" and len(labels) and int(np.abs(labels).max()) > 2**53:
        raise StoreError(
            f"Parameter {column.name!r} has integers beyond 2**53 ({_some(labels)}) beside "
            "decimals, and floats cannot hold both. Use integers only, or another store."
        )
    return floats


def _grow(known: Column, wanted: Column, positions: Ints, added: Ints) -> Column:
    """Return the known column with the added rows of the wanted one, and its newest objects."""
    labels = known.labels
    if len(added):
        labels = np.concatenate([labels, wanted.labels[added]])
    objects: tuple[object, ...] | None = None
    if known.objects is not None or wanted.objects is not None:
        held = list(known.objects if known.objects is not None else scalars(known.labels))
        held += [NOT_STORED] * len(added)
        given = wanted.objects if wanted.objects is not None else scalars(wanted.labels)
        for position, value in zip(positions.tolist(), given, strict=True):
            held[position] = value
        objects = tuple(held)
    attrs = {**known.attrs, **wanted.attrs}
    return replace(known, labels=labels, objects=objects, attrs=attrs)


def _as_text(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array([text_label(value) for value in scalars(labels)], dtype=np.str_)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _some(labels: npt.NDArray[Any]) -> str:
    shown = ", ".join(repr(value) for value in labels[:3].tolist())
    return shown + (", …" if len(labels) > 3 else "")


def _example(dims: tuple[Dim, ...], name: str) -> str:
    for dim in dims:
        for column in dim.columns:
            if column.name == name and len(column.labels):
                return f"{name}={column.labels[:1].tolist()[0]!r}"
    return f"{name}=…"
