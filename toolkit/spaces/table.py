"""Spaces from xarray Datasets and pandas tables."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import SpaceError
from toolkit.spaces import build
from toolkit.spaces.axis import Column, Dim, Field
from toolkit.spaces.labels import require_names
from toolkit.spaces.rows import rows_dim
from toolkit.spaces.space import Space

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def space(data: Any, dims: str | Sequence[str] | None = None) -> Space:
    """Return the space that a Dataset or a table describes.

    Parameters
    ----------
    data
        Dataset: variables that share a dim vary together, other dims multiply, scalars are
        constants. DataFrame: one run per row, along the name of the index or ``"row"``.
    dims
        The dims to sweep. Other dims of a Dataset stay inside of the values, which arrive as
        DataArrays; what is lazy is read a slice at a time, where it is used. None for all.

    Raises
    ------
    SpaceError
        A dim is unknown or has a MultiIndex, or labels are not finite or stand twice.

    Examples
    --------
    >>> import xarray as xr
    >>> sites = xr.Dataset({"rate": ("site", [0.1, 0.4])}, coords={"year": [2020, 2021]})
    >>> space(sites).sizes
    {'site': 2, 'year': 2}
    """
    import pandas as pd
    import xarray as xr

    if isinstance(data, pd.DataFrame):
        if dims is not None:
            raise SpaceError(
                "tk.space(DataFrame) has one dim, its rows: leave dims= out.\nName it by the index."
            )
        return _from_table(data)
    if isinstance(data, xr.Dataset):
        return _from_dataset(data, (dims,) if isinstance(dims, str) else dims)
    if isinstance(data, xr.DataArray):
        raise SpaceError(
            "tk.space takes a Dataset, found a DataArray.\n"
            "Name it: tk.space(array.to_dataset(name=...))."
        )
    if isinstance(data, Mapping):
        raise SpaceError(
            "tk.space takes a Dataset or a DataFrame, found a mapping.\nUse tk.grid or tk.zipped."
        )
    raise SpaceError(f"tk.space takes a Dataset or a DataFrame, found {type(data).__name__}.")


def _from_table(data: "pd.DataFrame") -> Space:
    import pandas as pd

    index = data.index
    if isinstance(index, pd.MultiIndex):
        raise SpaceError(
            "the table has a MultiIndex, where one label per row is needed.\n"
            "Use data.reset_index() first."
        )
    if not len(data) or not len(data.columns):
        raise SpaceError(f"the table is empty: {len(data)} rows, {len(data.columns)} columns.")
    if not data.columns.is_unique:
        raise SpaceError(
            f"columns stand twice: {data.columns[data.columns.duplicated()].tolist()}.\n"
            "Rename them."
        )
    if index.name == "run":  # the numbers of Space.to_dataframe, which are no labels
        index = index.rename(None)
    name: str = "row" if index.name is None else index.name  # type: ignore[assignment]
    require_names([name, *data.columns])
    columns = [build.column(str(key), _series(values)) for key, values in data.items()]
    plain = isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(len(index)))
    numbers = None
    if index.name is None and pd.api.types.is_integer_dtype(index) and index.is_unique:
        numbers = None if plain else np.asarray(index, dtype=np.int64)
    elif name not in data.columns:
        columns.insert(0, build.column(name, index))
    return Space(dims=(rows_dim(name, columns, numbers),))


def _series(values: "pd.Series[Any]") -> Any:
    array = values.to_numpy()
    return array if array.dtype.kind != "O" else array.tolist()


def _from_dataset(data: "xr.Dataset", dims: Sequence[str] | None) -> Space:
    import pandas as pd

    swept = _swept(data, dims)
    for name in swept:
        if isinstance(data.indexes.get(name), pd.MultiIndex):
            raise SpaceError(
                f"the dim {name!r} has a MultiIndex.\nUse data.reset_index({name!r}) first."
            )
    alone: dict[str, list[Column]] = {name: [] for name in swept}
    constants: list[Dim] = []
    fields: list[Field] = []
    for key, array in data.variables.items():
        name = str(key)
        along = [dim for dim in swept if dim in array.dims]
        required = key in data.data_vars
        if not array.dims:
            constants.append(build.constant(name, array, required=required))
        elif len(array.dims) == 1 and along:
            if name != along[0]:
                alone[along[0]].append(replace(_column(name, array), required=required))
        elif required:
            ordered = data[key].transpose(*along, ...)
            fields.append(Field(name=name, dims=tuple(along), data=ordered))
        elif along:
            fields.append(
                Field(
                    name=name,
                    dims=tuple(along),
                    data=data[key].transpose(*along, ...),
                    required=False,
                )
            )
    made = [_dim(data, name, alone[name], fields) for name in swept]
    return Space(dims=(*made, *constants), fields=tuple(fields))


def _dim(data: "xr.Dataset", name: str, columns: Sequence[Column], fields: Sequence[Field]) -> Dim:
    size = data.sizes[name]
    if not size:
        raise SpaceError(f"the dim {name!r} is empty.")
    given = name in data.variables
    label = _column(name, data.variables[name]) if given else build.column(name, range(size))
    if columns:
        return rows_dim(name, [label, *columns] if given else columns)
    build.require_unique(name, label.labels)
    over = any(name in field.dims for field in fields)
    return Dim(name=name, size=size, columns=(replace(label, required=not over),), kind="axis")


def _column(name: str, variable: "xr.Variable") -> Column:
    values = variable.values
    made = build.column(name, values if values.dtype.kind != "O" else values.tolist())
    return replace(made, attrs={str(key): value for key, value in variable.attrs.items()})


def _swept(data: "xr.Dataset", dims: Sequence[str] | None) -> tuple[str, ...]:
    known: list[Hashable] = list(data.sizes)
    if dims is None:
        require_names([str(name) for name in known])
        return tuple(str(name) for name in known)
    for name in dims:
        if name not in known:
            raise build.unknown("dims=: the dim", name, [str(k) for k in known])
    require_names(dims)
    return tuple(dict.fromkeys(dims))
