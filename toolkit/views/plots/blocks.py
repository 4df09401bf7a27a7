"""Arrays of more cells than a screen shows, as means of blocks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from toolkit.views.plots.labels import Along

if TYPE_CHECKING:
    import xarray as xr

MOST_CELLS = 1_000_000
_MOST_ALONG = 1_000  # cells along an axis that is reduced: about the dots of a screen


def block_lengths(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return how many cells of each dim go into one; nothing where there is room for all.

    Examples
    --------
    >>> block_lengths({"x": 900, "y": 900})
    {}
    >>> block_lengths({"x": 4000, "y": 600})
    {'x': 4}
    """
    if np.prod([float(size) for size in sizes.values()]) <= MOST_CELLS:
        return {}
    lengths = {dim: -(-size // _MOST_ALONG) for dim, size in sizes.items()}
    return {dim: length for dim, length in lengths.items() if length > 1}


def reduced(data: "xr.Dataset", lengths: Mapping[str, int]) -> "xr.Dataset":
    """Return means of blocks, missing cells left out; of yes and no, whether there is a yes.

    The data is not computed. The last block of a dim may be shorter.
    """
    if not lengths:
        return data
    blocks = data.coarsen(dict(lengths), boundary="pad")
    means, any_of = blocks.mean(), blocks.max()
    flags = [name for name, each in data.data_vars.items() if each.dtype == bool]
    return means.assign({name: any_of[name] > 0 for name in flags})


def positions(axis: Along, length: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return the middle of each block on its axis."""
    starts = np.arange(0, len(axis.positions), length)
    if axis.positions.dtype.kind in "mM":
        whole = axis.positions.view("i8")
        means = np.add.reduceat(whole / length, starts)
        counts = np.diff([*starts, len(whole)])
        return (means * (length / counts)).astype("i8").view(axis.positions.dtype)
    values = np.log(axis.positions) if axis.is_log else axis.positions
    means = np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
    return np.exp(means) if axis.is_log else means


def note(lengths: Mapping[str, int], dims: tuple[str, ...]) -> str | None:
    """Return that the picture shows means, None where it shows all."""
    if not lengths:
        return None
    if len(dims) == 1:
        return f"means of {lengths[dims[0]]:,} neighbors along {dims[0]}"
    sizes = " × ".join(f"{lengths.get(dim, 1):,}" for dim in dims)
    return f"means of blocks of {sizes} cells ({' × '.join(dims)})"
