"""The runs of a stage as a labelled Dataset."""

import contextlib
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from toolkit import __version__
from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.spaces.axis import Column, Dim, Field
from toolkit.stages.schema import RaggedColumn, Schema, Variable
from toolkit.stores.arrays.layout import STATE_ATTRIBUTES
from toolkit.stores.catalogues.box import Ints, compact
from toolkit.stores.catalogues.matching import SpaceLike
from toolkit.stores.files.limits import require_room
from toolkit.stores.reading.cells import (
    STATE_DTYPES,
    Cells,
    NoRuns,
    Runs,
    anything_missing,
    exact_floats,
    fill_of,
    read_column,
    read_dtype,
    read_output,
    read_state,
    schema_of,
    with_values,
)
from toolkit.stores.reading.frame import (
    RUN,
    AlongDim,
    FlatFrame,
    Frame,
    SpaceFrame,
    StoreFrame,
    is_dense,
)
from toolkit.stores.reading.objects import read_objects

LOADED = 100_000_000
"""Bytes of the variables, the small ones first, that are loaded; others are read where used."""

Array = npt.NDArray[Any]
Variables = dict[str, xr.Variable]


def labelled(
    runs: Runs | None,
    space: SpaceLike | None = None,
    *,
    name: str | None = None,
    flat: bool | None = None,
    mask: bool = True,
    load: bool = True,
    defaults: Mapping[str, object] | None = None,
    attrs: Mapping[str, object] | None = None,
    qualified: bool = False,
    unpickle: bool = False,
) -> xr.Dataset:
    """Return the runs of a stage as a Dataset of outputs over labelled dims.

    Outputs are variables; the parameters and ``status``, ``attempts``, ``seconds`` and
    ``peak_memory`` are coordinates. Numbers and dates ascend along a dim, other labels keep their
    order. Outputs that are pickled objects are left out unless ``unpickle`` says so: their names
    stand in ``attrs["objects"]``.

    Parameters
    ----------
    runs
        The runs of one stage in a store; None where nothing is stored yet.
    space
        What is asked for; None for everything stored.
    name
        Name of the stage; None for that of the runs.
    flat
        Whether runs lie along one ``run`` dim with labels as coordinates. None: a given space
        has its dims; what is stored has them where at least a tenth of their cells exist.
    mask
        Whether only runs that are done or stale show values, the others NaN, NaT or "". Without
        it values are as stored, and whole numbers stay so.
    load
        Whether variables of up to 100 MB are loaded now, and not where they are first used.
    defaults
        What older runs had, by the name of an argument that was added later.
    attrs
        Attributes of the Dataset.
    qualified
        Whether ``status`` and its like bear the stage's name (``status_<stage>``), as where
        several stages are open at once.
    unpickle
        Whether outputs that are objects are variables too, unpickled where they are looked at
        (never by ``load``), None where a run has none. Unpickling runs code that the store's
        author chose.

    Raises
    ------
    StoreError
        If the space cannot be mapped to the store's, or integers that floats cannot hold are
        read beside missing ones.
    """
    if runs is None:
        runs = NoRuns(name or "stage")
    frame = _frame(runs, space, flat, defaults or {})
    if isinstance(frame, FlatFrame):
        coords = _flat_coords(runs, frame)
    else:
        coords = _grid_coords(runs, frame, space)
    outputs, inner, objects = _outputs(runs, frame, mask=mask, unpickle=unpickle)
    clash = sorted(set(outputs) & set(coords))
    if clash:
        raise StoreError(
            f"Outputs and coordinates share the names {clash}. Name the outputs otherwise in "
            "outputs=."
        )
    name = name or runs.name
    suffix = f"_{name}" if qualified else ""
    states = {f"{name}{suffix}": variable for name, variable in _states(runs, frame).items()}
    data = xr.Dataset(outputs, coords={**coords, **inner, **states}, attrs=dict(attrs or {}))
    data.attrs.setdefault("toolkit_version", __version__)
    data.attrs.setdefault("stage", name)
    if objects:
        data.attrs["objects"] = objects
    if load:
        pickled = {v.name for v in schema_of(runs).variables if v.kind == "object"}
        left = LOADED
        for label, variable in sorted(data.variables.items(), key=lambda item: item[1].nbytes):
            left -= variable.nbytes
            if left >= 0 and label not in pickled:
                # An output that cannot be read masked is an error where somebody looks at it,
                # and none for the sweep that has just computed it and all others.
                with contextlib.suppress(StoreError):
                    variable.load()
    return data


def space_coords(space: SpaceLike) -> Variables:
    """Return the coordinates of a space as :func:`labelled` gives them."""
    axes = tuple(AlongDim.of(dim) for dim in space.dims if not dim.hidden)
    return _coords(axes, space)


def _frame(
    runs: Runs, space: SpaceLike | None, flat: bool | None, defaults: Mapping[str, object]
) -> Frame:
    if space is not None:
        if flat:
            ids = runs.catalogue.find(space, defaults=defaults)
            return FlatFrame(runs=ids)
        return SpaceFrame.of(runs.catalogue, space, defaults)
    status = np.asarray(runs.read("status", slice(0, runs.n_runs)))
    if flat or (flat is None and not is_dense(runs.catalogue, status)):
        return FlatFrame(runs=compact(np.flatnonzero(status != Status.SKIPPED)))
    return StoreFrame(catalogue=runs.catalogue)


def _grid_coords(runs: Runs, frame: Frame, space: SpaceLike | None) -> Variables:
    axes: tuple[AlongDim, ...] = getattr(frame, "axes", ())
    if space is not None:
        return _coords(axes, space)
    coords = _dim_coords(axes, runs.catalogue.dims)
    for field in runs.catalogue.fields:
        if field.values is not None and field.known is not None:
            dims = tuple(runs.catalogue.dims[number].name for number in field.dims)
            values = _with_gaps(field.values, ~field.known)
            coords[field.name] = _along(axes, dims, values, {})
    return coords


def _coords(axes: tuple[AlongDim, ...], space: SpaceLike) -> Variables:
    coords = _dim_coords(axes, space.dims)
    for given in space.fields:
        if not given.inner:
            coords[given.name] = _field(axes, given)
    return coords


def _dim_coords(axes: tuple[AlongDim, ...], dims: tuple[Dim, ...]) -> Variables:
    coords: Variables = {}
    for axis in axes:
        dim = axis.dim
        coords[dim.name] = _index(dim, axis)
        for column in dim.columns:
            if column.name != dim.name:
                labels = axis.ordered(column.labels)
                coords[column.name] = xr.Variable((dim.name,), labels, dict(column.attrs))
    seen = {axis.dim.name for axis in axes}
    for dim in dims:
        if dim.name not in seen and dim.size == 1:
            coords.update(_scalars(dim))
    return coords


def _index(dim: Dim, axis: AlongDim) -> xr.Variable:
    column = dim.label_column
    labels = axis.ordered(dim.labels)
    return xr.Variable((dim.name,), labels, {} if column is None else dict(column.attrs))


def _scalars(dim: Dim) -> Variables:
    """Return the columns of a dim that is not seen as scalar coordinates."""

    def scalar(column: Column) -> xr.Variable:
        return xr.Variable((), column.labels[0], dict(column.attrs))

    coords = {column.name: scalar(column) for column in dim.columns}
    if dim.name not in coords and dim.kind == "rows":
        coords[dim.name] = xr.Variable((), dim.labels[0])
    return coords


def _field(axes: tuple[AlongDim, ...], field: Field) -> xr.Variable:
    return _along(axes, field.dims, np.asarray(field.data.values), dict(field.data.attrs))


def _along(
    axes: tuple[AlongDim, ...], dims: tuple[str, ...], values: Array, attrs: dict[str, Any]
) -> xr.Variable:
    """Return values over some dims, hidden ones dropped, in the order of reading."""
    by_name = {axis.dim.name: axis for axis in axes}
    for number, name in enumerate(dims):
        axis = by_name.get(name)
        if axis is not None and axis.order is not None:
            values = np.take(values, axis.order, axis=number)
    hidden = tuple(number for number, name in enumerate(dims) if name not in by_name)
    kept = tuple(name for name in dims if name in by_name)
    return xr.Variable(kept, values.squeeze(axis=hidden), attrs)


def _flat_coords(runs: Runs, frame: FlatFrame) -> Variables:
    ids = frame.runs
    index: Any = pd.Index(ids, name=RUN)
    coords: Variables = {RUN: xr.Variable((RUN,), index, {"long_name": "run id"})}
    attrs = {c.name: c.attrs for dim in runs.catalogue.dims for c in dim.columns}
    there = np.asarray(ids) >= 0 if not isinstance(ids, range) else None
    asked: Ints | range = ids
    if there is not None and not there.all():
        asked = np.where(there, ids, 0)
        if runs.n_runs == 0:
            return coords
    for name, (labels, inactive) in runs.catalogue.labels(asked).items():
        absent = inactive if there is None else inactive | ~there
        values = _with_gaps(labels, absent)
        coords[name] = xr.Variable((RUN,), values, dict(attrs.get(name, {})))
    return coords


def _with_gaps(labels: Array, absent: npt.NDArray[np.bool_]) -> Array:
    """Return labels with NaN, NaT or "" where there are none."""
    if not absent.any():
        return labels
    if labels.dtype.kind in "biu":
        labels = labels.astype(np.float64)
    labels = labels.copy()
    labels[absent] = "" if labels.dtype.kind in "UO" else fill_of(labels.dtype)
    return labels


def _states(runs: Runs, frame: Frame) -> Variables:
    found = {}
    for name, dtype in STATE_DTYPES.items():
        attrs = dict(STATE_ATTRIBUTES[name])
        if "flag_values" in attrs:
            attrs["flag_values"] = np.array(attrs["flag_values"], dtype=np.uint8)
        read = partial(read_state, runs, name, isinstance(frame, SpaceFrame))
        cells = Cells(frame, (), dtype, read)
        found[name] = cells.variable(frame.dims, attrs, cached=_is_small(cells))
    return found


def _outputs(
    runs: Runs, frame: Frame, *, mask: bool, unpickle: bool
) -> tuple[Variables, Variables, list[str]]:
    """Return outputs, inner coordinates, and the names of the objects that are left out."""
    schema = schema_of(runs)
    missing: bool | None = None
    outputs: Variables = {}
    for variable in schema.variables:
        if variable.kind not in ("fixed", "text"):
            continue
        if mask and missing is None and np.dtype(variable.dtype or object).kind in "biu":
            missing = anything_missing(runs, frame, mask=mask)
        dtype = read_dtype(variable, missing=bool(missing), mask=mask)
        read = partial(_read_output, runs, variable, dtype, mask)
        cells = Cells(frame, variable.shape, dtype, read)
        dims = (*frame.dims, *variable.dims)
        outputs[variable.name] = cells.variable(dims, _attrs(variable), cached=_is_small(cells))
    objects = [variable for variable in schema.variables if variable.kind == "object"]
    for variable in objects if unpickle else ():
        read = partial(read_objects, runs, variable.name, mask)
        cells = Cells(frame, (), np.dtype(object), read)
        outputs[variable.name] = cells.variable(frame.dims, _attrs(variable), cached=True)
    outputs.update(_ragged(runs, frame, schema, mask=mask))
    order = {name: outputs[name] for name in schema.names if name in outputs}
    inner = {
        name: xr.Variable(coord.dims, coord.values, dict(coord.attrs))
        for name, coord in schema.coords.items()
    }
    left_out = [] if unpickle else [variable.name for variable in objects]
    return order | outputs, inner, left_out


def _read_output(
    runs: Runs, variable: Variable, dtype: np.dtype[Any], mask: bool, ids: Ints | slice
) -> Array:
    return read_output(runs, variable, dtype, ids, mask=mask)


def _ragged(runs: Runs, frame: Frame, schema: Schema, *, mask: bool) -> Variables:
    """Return ragged outputs, padded to the longest run, and their lengths as ``n_<dim>``."""
    ragged = [variable for variable in schema.variables if variable.kind == "ragged"]
    if not ragged:
        return {}
    ids = frame.ids([np.arange(size) for size in frame.shape]).ravel()
    there = with_values(runs, ids, mask=mask)
    columns: dict[str, RaggedColumn] = {}
    for variable in ragged:
        column = read_column(runs, variable.name, ids[there]) if there.any() else None
        if isinstance(column, RaggedColumn):
            columns[variable.name] = column
        else:
            empty = np.zeros(0, dtype=variable.dtype)
            columns[variable.name] = RaggedColumn(np.zeros(0, dtype=np.int64), empty)
    longest: dict[str, int] = {}
    for variable in ragged:
        lengths = columns[variable.name].lengths
        dim = variable.dims[0]
        longest[dim] = max(longest.get(dim, 0), int(lengths.max(initial=0)))
    found: Variables = {}
    counts: dict[str, Array] = {}
    for variable in ragged:
        column, dim = columns[variable.name], variable.dims[0]
        padded, lengths = _padded(variable, column, there, longest[dim], mask=mask)
        found[variable.name] = xr.Variable(
            (*frame.dims, dim), padded.reshape((*frame.shape, -1)), _attrs(variable)
        )
        name = f"n_{dim}"
        if name in counts and not np.array_equal(counts[name], lengths):
            name = f"n_{variable.name}"
        counts[name] = lengths
    for name, lengths in counts.items():
        words = {"long_name": f"length of {name.removeprefix('n_')}"}
        found[name] = xr.Variable(frame.dims, lengths.reshape(frame.shape), words)
    return found


def _padded(
    variable: Variable,
    column: RaggedColumn,
    there: npt.NDArray[np.bool_],
    longest: int,
    *,
    mask: bool,
) -> tuple[Array, Ints]:
    """Return values of shape ``(n_cells, longest)`` and how many of each row are values."""
    lengths = np.zeros(len(there), dtype=np.int64)
    lengths[there] = column.lengths
    has_gaps = bool((lengths < longest).any())
    values, dtype = column.values, np.dtype(variable.dtype)
    if mask and has_gaps and dtype.kind in "biu":
        values, dtype = exact_floats(variable.name, values), np.dtype(np.float64)
    size = len(there) * longest * dtype.itemsize
    require_room(size, f"Output {variable.name!r}, padded to its longest run of {longest:,},")
    padded = np.full((len(there), longest), fill_of(dtype), dtype=dtype)
    padded[np.arange(longest) < lengths[:, np.newaxis]] = values
    return padded, lengths


def _attrs(variable: Variable) -> dict[str, Any]:
    return dict(variable.attrs)


def _is_small(cells: Cells) -> bool:
    return math.prod(cells.shape) * cells.dtype.itemsize <= LOADED
