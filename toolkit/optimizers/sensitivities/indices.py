"""Indices of sensitivity from the labelled results of a design."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats
from toolkit.optimizers.sensitivities.designs import DESIGN, Design, salib

if TYPE_CHECKING:
    import xarray as xr

_SOBOL = {"S1": "first_order", "ST": "total_order"}
_MORRIS = {"mu": "mu", "mu_star": "mu_star", "sigma": "sigma"}


def indices(
    data: "xr.Dataset | xr.DataArray",
    *,
    level: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> "xr.Dataset":
    """Return how sensitive outputs are to each parameter of a design.

    Parameters
    ----------
    data
        Results of a sweep over ``tk.sensitivity.saltelli`` or ``tk.sensitivity.morris``. Other
        dims, of the sweep or of the outputs, are kept: an index for each of their labels.
    level
        Of the confidence.
    resamples
        Bootstrap samples that it is estimated from.
    seed
        Of these.

    Returns
    -------
    xarray.Dataset
        Along ``parameter``, and ``output`` where there are several. Of a Saltelli design:
        ``first_order`` and ``total_order``, shares of the variance, with ``…_confidence``, the half
        width of the interval; with ``second_order=True`` also ``second_order`` along ``parameter``
        and ``with``. Of a Morris design, for a parameter that goes over its whole axis: ``mu``,
        ``mu_star`` (the mean of absolute effects) with its confidence, and ``sigma``, which tells
        effects that depend on other parameters or are not straight.

    Raises
    ------
    SweepError
        If the data are of no design, runs are missing, or there is no number to look at.
    """
    import xarray as xr

    dataset = data.to_dataset(name=data.name or "value") if isinstance(data, xr.DataArray) else data
    design, dim = _design_of(dataset)
    dataset = dataset.sortby(dim)
    outputs = [
        str(name)
        for name, each in dataset.data_vars.items()
        if dim in each.dims and each.dtype.kind in "biuf"
    ]
    if not outputs:
        raise SweepError(f"There is no output of numbers along {dim!r} to look at.")
    points = design.points()
    made = []
    for name in outputs:
        output = dataset[name].transpose(dim, ...)
        _require_whole(output, dim, len(points))
        others = {str(each): output.sizes[each] for each in output.dims if each != dim}
        values = np.asarray(output.values, np.float64)
        cells = [
            _of_one(design, points, values[(slice(None), *at)], level, resamples, seed)
            for at in np.ndindex(*others.values())
        ]
        coords = {each: output.coords[each] for each in others if each in output.coords}
        made.append(_labelled(design, cells, others, coords))
    found = made[0]
    if len(made) > 1:
        found = xr.concat(made, dim="output").assign_coords(output=outputs)
    found.attrs = {"design": design.kind, "n": design.n, "level": level}
    return found


def _design_of(dataset: "xr.Dataset") -> tuple[Design, str]:
    """Return the design whose points the data are of, and its dim."""
    told = [
        (str(each.attrs[DESIGN]), str(each.dims[0]))
        for each in dataset.coords.values()
        if DESIGN in each.attrs and each.ndim == 1
    ]
    if len(set(told)) != 1:
        raise SweepError(
            "These are no results of a design. Make the space with tk.sensitivity.saltelli or "
            "tk.sensitivity.morris, and keep its parameters among the coordinates."
        )
    return Design.from_text(told[0][0]), told[0][1]


def _require_whole(output: "xr.DataArray", dim: str, n: int) -> None:
    found = output.sizes[dim]
    if found != n:
        raise SweepError(f"The design has {n:,} points along {dim!r}, and the data {found:,}.")
    values = np.asarray(output.values, np.float64).reshape(n, -1)  # the dim comes first
    missing = int((~np.isfinite(values)).any(axis=1).sum())
    if missing:
        raise SweepError(
            f"{missing:,} of the {n:,} runs have no finite {output.name!r}, and indices need all: "
            "sweep.failures() says why, sweep.retry() runs them again."
        )


def _of_one(
    design: Design, points: Floats, values: Floats, level: float, resamples: int, seed: int
) -> dict[str, Floats]:
    given: dict[str, Any] = {"num_resamples": resamples, "conf_level": level, "seed": seed}
    if not np.ptp(values) > 0:  # no variance to share
        return dict.fromkeys(_names(design), np.full(len(design.names), np.nan)) | (
            {"second_order": np.full((len(design.names),) * 2, np.nan)}
            if design.second_order
            else {}
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if design.kind == "morris":
            made = salib("analyze.morris").analyze(
                design.problem, points, values, num_levels=design.levels, **given
            )
            names = _MORRIS
        else:
            made = salib("analyze.sobol").analyze(
                design.problem, values, calc_second_order=design.second_order, **given
            )
            names = _SOBOL
    found = {ours: np.asarray(made[theirs], np.float64) for theirs, ours in names.items()}
    for theirs, ours in names.items():
        if f"{theirs}_conf" in made:
            found[f"{ours}_confidence"] = np.asarray(made[f"{theirs}_conf"], np.float64)
    if design.second_order:
        upper = np.asarray(made["S2"], np.float64)
        found["second_order"] = np.where(np.isfinite(upper), upper, upper.T)
    return found


def _names(design: Design) -> list[str]:
    if design.kind == "morris":
        return [*_MORRIS.values(), "mu_star_confidence"]
    return [*_SOBOL.values(), *(f"{name}_confidence" for name in _SOBOL.values())]


def _labelled(
    design: Design, cells: list[dict[str, Floats]], others: dict[str, int], coords: dict[str, Any]
) -> "xr.Dataset":
    import xarray as xr

    names = list(design.names)
    found = {}
    for name in cells[0]:
        dims = ("parameter", "with") if name == "second_order" else ("parameter",)
        values = np.stack([cell[name] for cell in cells], axis=-1)
        values = values.reshape(*values.shape[:-1], *others.values())
        found[name] = ((*dims, *others), values)
    labels: dict[str, Any] = {"parameter": names, **coords}
    if design.second_order:
        labels["with"] = names
    return xr.Dataset(found, coords=labels)
