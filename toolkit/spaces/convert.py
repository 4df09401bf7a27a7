"""A space as an xarray Dataset or a pandas table."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from toolkit.spaces.space import Space


def to_dataset(space: "Space") -> "xr.Dataset":
    """Return the labels of a space: dims as indexes, what varies along them as coordinates."""
    import xarray as xr

    coords: dict[str, Any] = {}
    for dim in space.dims:
        if not dim.hidden and dim.label_column is None:
            coords[dim.name] = (dim.name, dim.labels)
        for column in dim.columns:
            attrs = dict(column.attrs)
            if dim.hidden:
                coords[column.name] = ((), column.labels[0], attrs)
            else:
                coords[column.name] = (dim.name, column.labels, attrs)
    variables = {}
    for field in space.fields:
        data = field.data
        for name in field.dims:
            if space.dim(name).hidden:
                data = data.isel({name: 0})
        variables[field.name] = data.variable
        for inner in field.inner:
            if inner in data.coords and inner not in coords:
                coords[inner] = data.coords[inner].variable
    return xr.Dataset(variables, coords=coords)


def to_dataframe(space: "Space") -> "pd.DataFrame":
    """Return a table with one line per run."""
    import pandas as pd

    positions = dict(
        zip((dim.name for dim in space.dims), space.points().positions(slice(None)), strict=True)
    )
    table: dict[str, Any] = {}
    for dim in space.dims:
        at = positions[dim.name]
        if dim.label_column is None and not dim.hidden:
            table[dim.name] = dim.labels[at]
        for column in dim.columns:
            values = pd.Series(column.labels[np.maximum(at, 0)])
            table[column.name] = values.where(at >= 0) if at.size and at.min() < 0 else values
    for field in space.fields:
        if not field.inner and field.dims:
            table[field.name] = field.array(tuple(positions[name] for name in field.dims))
    return pd.DataFrame(table, index=pd.RangeIndex(len(space), name="run"))
