"""The datasets of several stages as one."""

from collections.abc import Mapping

import xarray as xr


def merged(stages: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the datasets of stages over parts of one space as one, each over its own dims.

    Parameters
    ----------
    stages
        By name; where there are several, ``status`` and its like bear the stage's name.
    """
    if len(stages) == 1:
        only = next(iter(stages.values()))
        return only.drop_vars(_taken_whole(only))
    parts = [data.drop_vars(_taken_whole(data)) for data in stages.values()]
    whole = xr.merge(parts, compat="override", join="outer", combine_attrs="override")
    attrs = dict(next(iter(stages.values())).attrs)
    attrs.pop("stage", None)
    objects = [name for data in stages.values() for name in data.attrs.get("objects", [])]
    whole.attrs = {**attrs, "stages": list(stages)}
    if objects:
        whole.attrs["objects"] = objects
    return whole


def _taken_whole(data: xr.Dataset) -> list[str]:
    """Return the scalars that tell runs over some labels of a dim from runs over others."""
    return [
        str(name)
        for name, coord in data.coords.items()
        if str(name).startswith("over_") and coord.ndim == 0
    ]
