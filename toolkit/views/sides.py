"""What an output can be drawn over: the dims of its runs, their parameters, its inner dims."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.spaces.labels import NEAR, as_labels, kind_of, match
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.reading.frame import RUN, FlatFrame
from toolkit.stores.reading.live import LiveStage, dims_of
from toolkit.views.picture import Along

Array = npt.NDArray[Any]


def outer_sides(stage: LiveStage) -> dict[str, Along]:
    """Return the dims of the runs of a stage, and the parameters that lie along them."""
    frame = stage.frame
    if isinstance(frame, FlatFrame):
        attrs = {c.name: c.attrs for dim in stage.runs.catalogue.dims for c in dim.columns}
        found = {
            name: _along(name, labels, attrs.get(name, {}), is_whole=False)
            for name, labels in stage.labels().items()
            if len(np.unique(labels[:1000])) > 1
        }
        runs = np.asarray(frame.ids([np.arange(len(frame.runs))]))
        return {**found, RUN: _along(RUN, runs, {"long_name": "run id"})}
    dims: dict[str, Along] = {}
    columns: dict[str, Along] = {}
    for name, axis in dims_of(frame).items():
        column = axis.dim.label_column
        attrs = {} if column is None else column.attrs
        dims[name] = _along(name, axis.ordered(axis.dim.labels), attrs)
        for each in axis.dim.columns:
            if each.name != name:
                labels = axis.ordered(each.labels)
                columns[each.name] = _along(each.name, labels, each.attrs, is_whole=False)
    return {**dims, **columns}


def inner_sides(variable: Variable, schema: Schema) -> dict[str, Along]:
    """Return the dims that stay inside of each run's value."""
    found = {}
    for name, size in zip(variable.dims, variable.shape, strict=True):
        coord = schema.coords.get(name)
        if coord is not None and coord.dims == (name,):
            found[name] = _along(name, coord.values, coord.attrs)
        else:
            found[name] = _along(name, np.arange(size), {})
    return found


def _along(
    name: str, labels: Array, attrs: Mapping[str, object], *, is_whole: bool = True
) -> Along:
    units, long_name = texts_of(attrs)
    return Along(name=name, labels=labels, units=units, long_name=long_name, is_whole=is_whole)


def texts_of(attrs: Mapping[str, object]) -> tuple[str, str]:
    """Return units and long name, ``""`` where they are not known."""
    units, long_name = attrs.get("units"), attrs.get("long_name")
    return "" if units is None else str(units), "" if long_name is None else str(long_name)


def replicates(stage: LiveStage) -> set[str]:
    """Return the dims of repetitions."""
    return {dim.name for dim in stage.runs.catalogue.dims if dim.kind == "replicates"}


def numbered(stage: LiveStage) -> set[str]:
    """Return the dims whose labels are no more than the numbers of rows."""
    dims = stage.runs.catalogue.dims
    return {RUN, *(dim.name for dim in dims if dim.kind == "rows" and dim.label_column is None)}


def position(dim: Along, label: object) -> int:
    """Return where a label stands along a dim.

    Raises
    ------
    ToolkitError
        If it has no such label.
    """
    labels = as_labels([label])
    is_like = kind_of(labels) == kind_of(dim.labels)
    at = int(match(dim.labels, labels, rtol=NEAR)[0]) if is_like else -1
    if at < 0:
        some = ", ".join(dim.words()[:8]) + (", …" if len(dim) > 8 else "")
        raise ToolkitError(f"{dim.name!r} has no label {label!r}; it has {some}.")
    return at


def home(stage: LiveStage, name: str) -> str:
    """Return the dim along which a parameter lies."""
    frame = stage.frame
    if isinstance(frame, FlatFrame) or name in frame.dims:
        return RUN if isinstance(frame, FlatFrame) else name
    for dim, axis in dims_of(frame).items():
        if any(column.name == name for column in axis.dim.columns):
            return dim
    raise ToolkitError(f"{name!r} lies along no dim of the runs.")


def in_blocks(dim: Along, size: int) -> Along:
    """Return a dim with one label for so many neighbors."""
    if size == 1:
        return dim
    starts = np.arange(0, len(dim), size)
    if dim.is_number:
        counts = np.minimum(size, len(dim) - starts)
        labels: Array = np.add.reduceat(dim.labels.astype(np.float64), starts) / counts
    else:
        labels = dim.labels[starts]
    return Along(name=dim.name, labels=labels, units=dim.units, long_name=dim.long_name, each=size)
