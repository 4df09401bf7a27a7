"""The datasets of several stages as one."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from toolkit.run_status import Status
from toolkit.stores.reading.cells import fill_of


def merged(stages: Mapping[str, xr.Dataset], *, mask: bool = True) -> xr.Dataset:
    """Return the datasets of stages over parts of one space as one, each over its own dims.

    Parameters
    ----------
    stages
        By name; where there are several, ``status`` and its like bear the stage's name.
    mask
        Whether whole numbers become floats where a stage knows fewer labels than another.
    """
    if len(stages) == 1:
        only = next(iter(stages.values()))
        return only.drop_vars(_taken_whole(only))
    parts = [data.drop_vars(_taken_whole(data)) for data in stages.values()]
    parts = [_over_all(data, parts, mask=mask) for data in parts]
    whole = xr.merge(parts, compat="override", join="outer", combine_attrs="override")
    attrs = dict(next(iter(stages.values())).attrs)
    attrs.pop("stage", None)
    objects = [name for data in stages.values() for name in data.attrs.get("objects", [])]
    whole.attrs = {**attrs, "stages": list(stages)}
    if objects:
        whole.attrs["objects"] = objects
    return whole


def _over_all(data: xr.Dataset, parts: list[xr.Dataset], *, mask: bool) -> xr.Dataset:
    """Return a stage's dataset over the labels of all stages; it skipped those it did not know."""
    wanted = {}
    for name, index in data.indexes.items():
        others = [part.indexes[name] for part in parts if name in part.indexes]
        if any(not other.equals(index) for other in others):
            wanted[name] = _union(others)
    if not wanted:
        return data
    fills = {name: _fill(name, data[name].dtype, mask=mask) for name in data.variables}
    return data.reindex(wanted, fill_value=fills)


def _union(indexes: "list[pd.Index[Any]]") -> "pd.Index[Any]":
    """Return all labels: numbers and dates ascend, others come in the order of the stages."""
    found = indexes[0]
    for other in indexes[1:]:
        found = found.append(other.difference(found, sort=False))
    return found.sort_values() if found.dtype.kind in "iufmM" else found


def _fill(name: Hashable, dtype: np.dtype[Any], *, mask: bool) -> Any:
    if str(name).startswith("status_"):
        return np.uint8(Status.SKIPPED)
    if dtype.kind in "biu" and mask and not str(name).startswith("attempts_"):
        return np.nan
    return fill_of(dtype)


def _taken_whole(data: xr.Dataset) -> list[str]:
    """Return the scalars that tell runs over some labels of a dim from runs over others."""
    return [
        str(name)
        for name, coord in data.coords.items()
        if str(name).startswith("over_") and coord.ndim == 0
    ]
