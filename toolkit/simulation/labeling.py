"""Recorded runs with their labels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.simulation.recording import Recorded

if TYPE_CHECKING:
    import xarray as xr


def labelled(
    found: Mapping[str, Recorded],
    params: Mapping[str, Tensor],
    seeds: NDArray[np.int64],
    steps: int,
) -> "xr.Dataset":
    """Return runs over ``step`` and ``run``, and over ``agent`` where states were recorded.

    What was recorded every k steps lies over ``step_every_k``.
    """
    import xarray as xr

    n_runs = len(seeds)
    coords: dict[str, Any] = {"run": np.arange(n_runs), "seed": ("run", seeds)}
    for name, value in params.items():
        each = value.detach().cpu().numpy()
        coords[name] = ("run", np.broadcast_to(each, n_runs).copy())
    variables = {}
    for name, recorded in found.items():
        dim = "step" if recorded.every == 1 else f"step_every_{recorded.every}"
        coords[dim] = np.arange(0, steps, recorded.every)
        dims = (dim, "run") if recorded.values.ndim == 2 else (dim, "agent", "run")
        variables[name] = (dims, recorded.values)
    return xr.Dataset(variables, coords=coords)
