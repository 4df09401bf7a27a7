"""Columns of numbers, one for each parameter, from samples, posteriors and tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.views.plots.labels import label_of, spreads_by_magnitude
from toolkit.views.plots.marks import failures, state_names

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A parameter or an output over points, shape ``(n,)``, NaN where there is no value."""

    name: str
    label: str
    values: Floats
    is_log: bool


@dataclass(frozen=True, kw_only=True)
class Points:
    """What is drawn of a sample.

    Attributes
    ----------
    columns
        The parameters.
    extra
        Further columns that were asked for, by name.
    marks
        By state: which points failed or are blocked.
    """

    columns: tuple[Column, ...]
    extra: Mapping[str, Column]
    marks: Mapping[Status, npt.NDArray[np.bool_]]


def points_of(
    data: "xr.Dataset | pd.DataFrame",
    parameters: Sequence[str] | None,
    picture: str,
    *,
    extra: Iterable[str] = (),
    logs: Mapping[str, bool] | None = None,
    fewest: int = 2,
) -> Points:
    """Return parameters, and what goes with them, point by point.

    Parameters
    ----------
    data
        Parameters as coordinates along a dim that is no parameter itself, as samples have them;
        else as variables, as posteriors do, over the same dims, which are strung together.
    parameters
        Their names; None for all that there are.
    extra
        Names of further columns over the same dims.
    logs
        Whether a parameter's axis is logarithmic; for others it is looked at.
    fewest
        Parameters that the picture needs.

    Raises
    ------
    ToolkitError
        If names are unknown, are no numbers, or have other dims.
    """
    dataset = as_dataset(data, picture)
    extra = list(extra)
    if parameters is None:
        names = [name for name in _parameters(dataset) if name not in extra]
    else:
        names = list(parameters)
    _check_known(dataset, [*names, *extra], picture)
    if len(names) < fewest:
        raise ToolkitError(
            f"tk.plot.{picture} needs {fewest} parameters or more, and found "
            f"{', '.join(map(repr, names)) or 'none'}. Name them: "
            f"parameters=[…], out of {', '.join(map(repr, numbers_of(dataset))) or 'none'}."
        )
    for name in logs or {}:
        if name not in names:
            raise ToolkitError(f"log= names {name!r}, which is not drawn: {', '.join(names)} are.")
    dims = list(dict.fromkeys(dim for name in names for dim in dataset[name].dims))
    for name in extra:
        left = [str(dim) for dim in dataset[name].dims if dim not in dims]
        if left:
            raise ToolkitError(
                f"tk.plot.{picture} draws points over {', '.join(map(str, dims))}, and {name!r} "
                f"also has {', '.join(left)}. Select a label, as in data.isel({left[0]}=0), or "
                f"reduce it: data.assign({name}=data[{name!r}].mean({left[0]!r}))."
            )
    sizes = {dim: dataset.sizes[dim] for dim in dims}

    def column(name: str) -> Column:
        values = _strung(dataset[name].variable, sizes).astype(np.float64)
        is_log = (logs or {}).get(name)
        return Column(
            name=name,
            label=label_of(dataset[name]),
            values=values,
            is_log=spreads_by_magnitude(values) if is_log is None else is_log,
        )

    marks = {
        status: _strung(flags, sizes).astype(bool)
        for status, flags in failures(dataset).items()
        if set(flags.dims) <= set(dims)
    }
    return Points(
        columns=tuple(map(column, names)), extra={name: column(name) for name in extra}, marks=marks
    )


def as_dataset(data: "xr.Dataset | xr.DataArray | pd.DataFrame", picture: str) -> "xr.Dataset":
    """Return a table as a Dataset, its columns over a dim ``row``; an output with its coordinates.

    Raises
    ------
    ToolkitError
        If it is something else.
    """
    import pandas as pd
    import xarray as xr

    if isinstance(data, pd.DataFrame):
        table = data.reset_index() if any(data.index.names) else data.reset_index(drop=True)
        return xr.Dataset({str(name): ("row", table[name].to_numpy()) for name in table})
    if isinstance(data, xr.DataArray):
        return data.to_dataset(name=data.name if data.name is not None else "value")
    if isinstance(data, xr.Dataset):
        return data
    raise ToolkitError(
        f"tk.plot.{picture} draws a Dataset or a DataFrame, and was given {type(data).__name__}."
    )


def column_of(dataset: "xr.Dataset", weights: Any) -> list[str]:
    """Return the name of weights that are a column of the data; nothing where they are numbers.

    Raises
    ------
    ToolkitError
        If there is no such column.
    """
    if not isinstance(weights, str):
        return []
    if weights not in dataset.variables:
        raise ToolkitError(
            f"There are no weights {weights!r} in the data, which has "
            f"{', '.join(map(repr, numbers_of(dataset)))}."
        )
    return [weights]


def weights_of(points: Points, weights: Any) -> Floats | None:
    """Return the weight of each point, shape ``(n,)``; None where there are none.

    Raises
    ------
    ToolkitError
        If there are fewer or more than points.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        return points.extra[weights].values
    numbers = np.asarray(weights, dtype=np.float64).ravel()
    count = len(points.columns[0].values)
    if numbers.size != count:
        raise ToolkitError(
            f"weights= has {numbers.size:,} numbers, and there are {count:,} points."
        )
    return numbers


def checked(weights: Floats) -> Floats:
    """Return weights that add up to one, those that are missing as zero.

    Raises
    ------
    ToolkitError
        If one is below zero, or all are zero.
    """
    found = np.nan_to_num(weights, nan=0.0)
    if (found < 0).any() or not np.isfinite(found).all() or not found.sum() > 0:
        raise ToolkitError(
            f"Weights have to be zero or more, and some above zero; they are from "
            f"{weights.min():g} to {weights.max():g}. Of logarithms take "
            "np.exp(log_weights - log_weights.max())."
        )
    total: Floats = found / found.sum()
    return total


def quantiles(values: Floats, shares: Sequence[float], weights: Floats | None) -> Floats:
    """Return quantiles of values, of which some may weigh more."""
    there = np.isfinite(values)
    if weights is None:
        return np.quantile(values[there], shares)
    values, weights = values[there], weights[there]
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return np.interp(shares, (reached - weights[order] / 2) / reached[-1], values[order])


def numbers_of(dataset: "xr.Dataset") -> list[str]:
    """Return the names of what is a number, ``status`` and its like left out."""
    states = state_names(dataset)
    return [
        str(name)
        for name, each in dataset.variables.items()
        if each.dtype.kind in "iuf" and name not in states
    ]


def _strung(variable: Any, sizes: Mapping[Any, int]) -> npt.NDArray[Any]:
    """Return values over all dims in one row."""
    whole = variable.set_dims(sizes).transpose(*sizes)
    return np.asarray(whole.values).ravel()


def _parameters(dataset: "xr.Dataset") -> list[str]:
    """Return the parameters of a sample; else the variables of a posterior."""
    coords = [
        name
        for name in numbers_of(dataset)
        if name in dataset.coords and name not in dataset.dims and dataset[name].ndim
    ]
    if coords:
        most = max((dataset[name].size for name in coords), default=0)
        return [name for name in coords if dataset[name].size == most]
    names = [
        name for name in numbers_of(dataset) if name in dataset.data_vars and dataset[name].ndim
    ]
    return [name for name in names if dataset[name].dims == dataset[names[0]].dims]


def _check_known(dataset: "xr.Dataset", names: Sequence[str], picture: str) -> None:
    for name in names:
        if name not in dataset.variables:
            raise ToolkitError(
                f"tk.plot.{picture} finds no {name!r} in the data, which has "
                f"{', '.join(map(repr, numbers_of(dataset)))}."
            )
        if dataset[name].dtype.kind not in "iufb":
            raise ToolkitError(
                f"tk.plot.{picture} draws numbers, and {name!r} is {dataset[name].dtype}. Select "
                "by it, or turn it into numbers."
            )
