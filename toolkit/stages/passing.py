"""What one stage returned, as the arguments of the next: floats, arrays, DataArrays, objects."""

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Array, Column, RaggedColumn, Schema, Variable

Mask = npt.NDArray[np.bool_]


def passed(variable: Variable, schema: Schema, column: Column) -> list[Any]:
    """Return an output of n runs as n arguments.

    A number, date or text arrives as a Python scalar (dates as ``np.datetime64``), an array as an
    array, as a DataArray where its dims were named, anything else as the object that it was.
    Arrays are read-only: runs that take the same one share it.
    """
    if isinstance(column, RaggedColumn):
        rows = np.split(column.values, column.offsets[1:-1]) if len(column) else []
        if variable.kind == "object":
            return [pickle.loads(row.tobytes()) if len(row) else None for row in rows]
        return [_locked(np.array(row)) for row in rows]
    values = np.asarray(column)
    if variable.shape == ():
        scalars: list[Any] = list(values) if values.dtype.kind in "mM" else values.tolist()
        return scalars
    values = _locked(np.array(values))
    if not has_named_dims(variable):
        return list(values)
    return [_labelled(row, variable.dims, schema, {}) for row in values]


def passed_together(variable: Variable, schema: Schema, column: Column) -> Any:
    """Return an output of n runs as one argument of a vectorized stage, shape ``(n, …)``."""
    if isinstance(column, RaggedColumn):
        items = passed(variable, schema, column)
        out = np.empty(len(items), dtype=object)
        out[:] = items
        return out
    return _locked(np.array(column))


def passed_whole(
    variable: Variable,
    schema: Schema,
    column: Column,
    labels: Mapping[str, Array],
    there: Mask,
) -> Any:
    """Return an output of the runs along dims that are taken whole, as one DataArray.

    Parameters
    ----------
    variable, schema
        The output.
    column
        Of all cells along these dims, in C order.
    labels
        Of each of the dims.
    there
        Which cells have a value, shape ``(n,)``; the others are NaN, NaT, ``""`` or None.
    """
    import xarray as xr

    shape = tuple(len(each) for each in labels.values())
    if isinstance(column, RaggedColumn) or variable.kind == "text":
        items = passed(variable, schema, column) if isinstance(column, RaggedColumn) else column
        values: Array = np.empty(len(there), dtype=object)
        for at, item in enumerate(items):
            values[at] = item if there[at] or variable.kind == "text" else None
        return xr.DataArray(values.reshape(shape), dims=tuple(labels), coords=dict(labels))
    values = np.array(column)
    if not there.all():
        if values.dtype.kind in "biu":
            values = values.astype(np.float64)
        values[~there] = np.array("NaT", values.dtype) if values.dtype.kind in "mM" else np.nan
    values = values.reshape(shape + values.shape[1:])
    return _labelled(_locked(values), (*labels, *variable.dims), schema, labels)


def everything(named: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return all outputs of n runs as n dicts."""
    names = list(named)
    return [dict(zip(names, row, strict=True)) for row in zip(*named.values(), strict=True)]


def has_named_dims(variable: Variable) -> bool:
    """Whether the dims of an output were named by its function or its declaration."""
    usual = tuple(f"{variable.name}_dim{n}" for n in range(len(variable.dims)))
    return bool(variable.dims) and variable.dims != usual


def _labelled(
    values: Array, dims: tuple[str, ...], schema: Schema, labels: Mapping[str, Array]
) -> Any:
    import xarray as xr

    coords: dict[str, Any] = {name: (name, each) for name, each in labels.items()}
    coords |= {
        name: (coord.dims, coord.values, dict(coord.attrs))
        for name, coord in schema.coords.items()
        if set(coord.dims) <= set(dims) and name not in coords
    }
    return xr.DataArray(values, dims=dims, coords=coords)


def _locked(values: Array) -> Array:
    values.flags.writeable = False
    return values
