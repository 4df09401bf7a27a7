"""Columns of many runs: made empty, taken from, joined, and cast to a wider schema."""

from collections.abc import Sequence
from typing import Any
from typing import cast as typed

import numpy as np

from toolkit.stages.schema import (
    Array,
    Column,
    Columns,
    RaggedColumn,
    Schema,
    SchemaMismatch,
    Variable,
    exact,
    kinds_differ,
    names_differ,
)


def empty_columns(schema: Schema, n: int) -> Columns:
    """Return columns of ``n`` missing runs: NaN, NaT, 0, False, ``""`` or no elements."""
    return [_empty_column(variable, n) for variable in schema.variables]


def take(columns: Sequence[Column], indices: Array | slice) -> Columns:
    """Return the runs at these positions (integers, a mask or a slice), in this order."""
    return [_take(column, indices) for column in columns]


def concatenate(parts: Sequence[Sequence[Column]]) -> Columns:
    """Return the columns of several batches of one schema, one after the other.

    Raises
    ------
    ValueError
        If there is no part.
    """
    if not parts:
        raise ValueError("There is nothing to concatenate.")
    return [_concatenate(list(column)) for column in zip(*parts, strict=True)]


def cast(columns: Sequence[Column], from_schema: Schema, to_schema: Schema) -> Columns:
    """Return columns in the types of a wider schema.

    Raises
    ------
    SchemaMismatch
        If a value cannot be held exactly, such as an int beyond 2**53 as a float.
    """
    if from_schema is to_schema:
        return list(columns)
    if sorted(from_schema.names) != sorted(to_schema.names):
        raise names_differ(from_schema.names, to_schema.names)
    found = {v.name: (c, v) for c, v in zip(columns, from_schema.variables, strict=True)}
    return [_cast(*found[new.name], new) for new in to_schema.variables]


def _empty_column(variable: Variable, n: int) -> Column:
    if variable.kind == "text":
        return np.full((n, *variable.shape), "", dtype=object)
    if variable.kind == "fixed":
        dtype = np.dtype(variable.dtype)
        if dtype.kind in "iub":
            return np.zeros((n, *variable.shape), dtype)
        missing = np.nan if dtype.kind in "fc" else typed(Any, dtype.type)("NaT", "ns")
        return np.full((n, *variable.shape), missing, dtype)
    dtype = np.dtype(variable.dtype if variable.kind == "ragged" else np.uint8)
    return RaggedColumn(np.zeros(n, np.int64), np.zeros(0, dtype))


def _take(column: Column, indices: Array | slice) -> Column:
    if not isinstance(column, RaggedColumn):
        return column[indices]
    lengths = column.lengths[indices]
    starts = column.offsets[:-1][indices]
    if isinstance(indices, slice) and indices.step in (None, 1):
        first = int(starts[0]) if len(starts) else 0
        return RaggedColumn(lengths, column.values[first : first + int(lengths.sum())])
    ends = np.cumsum(lengths)
    within = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
    return RaggedColumn(lengths, column.values[np.repeat(starts, lengths) + within])


def _concatenate(parts: list[Column]) -> Column:
    ragged = [part for part in parts if isinstance(part, RaggedColumn)]
    if ragged:
        lengths = np.concatenate([part.lengths for part in ragged])
        return RaggedColumn(lengths, np.concatenate([part.values for part in ragged]))
    return np.concatenate(typed(list[Array], parts))


def _cast(column: Column, old: Variable, new: Variable) -> Column:
    if old.kind != new.kind:
        raise kinds_differ(old, new)
    if old.dtype == new.dtype:
        return column
    values = column.values if isinstance(column, RaggedColumn) else column
    converted, kept = exact(values, new.dtype)
    if not kept.all():
        worst = values[~kept].ravel()[0]
        raise SchemaMismatch(
            f"Output {old.name!r} holds {worst}, which {new.label} cannot hold exactly. "
            f"Return float({old.name}) in every run, or declare a type with outputs=."
        )
    return (
        RaggedColumn(column.lengths, converted) if isinstance(column, RaggedColumn) else converted
    )
