"""The values of one output as a picture has room for them: means over the dims not drawn."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.views.report.choices import Choice, described
from toolkit.views.report.drawing import safe

if TYPE_CHECKING:
    import xarray as xr

MOST_ALONG = 300  # cells along an axis: more than a picture of this size shows
MOST_POINTS = 2_000  # along a line
MOST_READ = 1 << 25  # values that are read for one picture

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CellsShown:
    """What is drawn, and what has to be said of it.

    Attributes
    ----------
    values
        Means of the runs with a value, over dims ``dim_0`` (and ``dim_1``), NaN where there is
        none; a coordinate ``status`` tells why.
    spread
        Standard deviation over the dims that are not drawn; None where there is none.
    thinned
        How many labels of a dim stand for one that is read, by dim.
    blocks
        How many cells along a dim were drawn as their mean, by dim.
    not_finite
        How many values were left out because they are infinite.
    """

    values: "xr.DataArray"
    spread: Floats | None
    thinned: dict[str, int]
    blocks: dict[str, int]
    not_finite: int


def cells_of(choice: Choice, most_along: int) -> CellsShown:
    """Return the values over the dims of a choice, at most ``most_along`` along each.

    Dims are named anew: those of users may bear any name.
    """
    output, thinned = _thinned(choice.output, choice)
    status = output.coords["status"].variable if "status" in output.coords else None
    whole = np.asarray(output.variable.transpose(*choice.dims, ...).values, dtype=np.float64)
    infinite = np.isinf(whole)
    not_finite = int(infinite.sum())
    if not_finite:
        whole = np.where(infinite, np.nan, whole)
    rest = tuple(range(len(choice.dims), whole.ndim))
    means, spread = _means(whole, rest)
    flags = {state: _flags(status, state, output, choice) for state in _WHY}
    sizes = dict(zip(choice.dims, means.shape, strict=True))
    blocks = {dim: -(-size // most_along) for dim, size in sizes.items() if size > most_along}
    lengths = [blocks.get(dim, 1) for dim in choice.dims]
    if blocks:
        spread = None if spread is None else _in_blocks(spread, lengths, np.nanmean)
        means = _in_blocks(means, lengths, np.nanmean)
        flags = {s: _in_blocks(f, lengths, np.nanmax) for s, f in flags.items()}
    coords = {
        f"dim_{number}": _labels(output, dim, lengths[number], number)
        for number, dim in enumerate(choice.dims)
    }
    return CellsShown(
        values=_array(choice, means, flags, coords),
        spread=spread if rest else None,
        thinned=thinned,
        blocks=blocks,
        not_finite=not_finite,
    )


_WHY = (Status.BLOCKED, Status.FAILED)  # the later counts where a cell has runs of both


def _thinned(output: "xr.DataArray", choice: Choice) -> "tuple[xr.DataArray, dict[str, int]]":
    """Leave labels out, evenly, where there are too many values to read them all."""
    inner = {str(dim) for dim in output.dims} - {dim.name for dim in choice.stage.dims}
    steps: dict[str, int] = {}
    order = [d for d in choice.rest if d not in inner] + [*choice.dims]
    order.sort(key=lambda dim: -output.sizes[dim])
    for dim in [*order, *order]:
        if output.size <= MOST_READ:
            break
        step = min(-(-output.size // MOST_READ), max(1, output.sizes[dim] // 32))
        if step > 1:
            output = output.isel({dim: slice(None, None, step)})
            steps[dim] = steps.get(dim, 1) * step
    return output, steps


def _means(whole: Floats, rest: tuple[int, ...]) -> tuple[Floats, Floats | None]:
    if not rest:
        return whole, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of cells without a value
        return np.nanmean(whole, axis=rest), np.nanstd(whole, axis=rest)


def _flags(
    status: "xr.Variable | None", state: Status, output: "xr.DataArray", choice: Choice
) -> Floats:
    """Return where any run is in a state, over the dims that are drawn."""
    shape = tuple(output.sizes[dim] for dim in choice.dims)
    # Along an inner dim a failed run would be marked at each of its cells.
    if status is None or not set(choice.dims) <= set(status.dims):
        return np.zeros(shape)
    rest = [dim for dim in status.dims if dim not in choice.dims]
    found = (status == state).any(rest).transpose(*choice.dims)
    return np.asarray(found.values, dtype=np.float64)


def _in_blocks(values: Floats, lengths: list[int], reduce: Any) -> Floats:
    """Reduce blocks of cells to one each; the last block of a dim may be shorter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for axis, length in enumerate(lengths):
            if length == 1:
                continue
            size = values.shape[axis]
            padding = [(0, 0)] * values.ndim
            padding[axis] = (0, -size % length)
            padded = np.pad(values, padding, constant_values=np.nan)
            shape = (*values.shape[:axis], -1, length, *values.shape[axis + 1 :])
            values = reduce(padded.reshape(shape), axis=axis + 1)
    return values


def _labels(output: "xr.DataArray", dim: str, length: int, number: int) -> "xr.Variable":
    import xarray as xr

    coord = output.coords.get(dim)
    labels = np.arange(output.sizes[dim]) if coord is None else np.asarray(coord.values)
    if length > 1:
        labels = _block_labels(labels, length)
    if labels.dtype.kind not in "iufmM":
        labels = np.array([safe(str(each)) for each in labels.tolist()], dtype=object)
    long_name, units = described({} if coord is None else coord.attrs, dim)
    attrs = {"long_name": safe(long_name), "units": safe(units)}
    return xr.Variable((f"dim_{number}",), labels, attrs)


def _block_labels(labels: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    if labels.dtype.kind not in "iuf":
        return labels[length // 2 :: length] if len(labels) % length == 0 else labels[::length]
    starts = np.arange(0, len(labels), length)
    sums = np.add.reduceat(labels.astype(np.float64), starts)
    means: npt.NDArray[Any] = sums / np.diff([*starts, len(labels)])
    return means


def _array(
    choice: Choice, means: Floats, flags: dict[Status, Floats], coords: "dict[str, xr.Variable]"
) -> "xr.DataArray":
    import xarray as xr

    status = np.where(np.isnan(means), np.uint8(Status.PENDING), np.uint8(Status.DONE))
    for state, found in flags.items():
        status = np.where(np.isnan(means) & (found > 0), np.uint8(state), status)
    dims = tuple(coords)
    long_name, units = described(choice.output.attrs, choice.name)
    return xr.DataArray(
        means,
        dims=dims,
        coords={**coords, "status": (dims, status)},
        name="output",
        attrs={"long_name": safe(long_name), "units": safe(units)},
    )
