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
    *,
    is_single: bool = False,
) -> "xr.Dataset":
    """Return runs over ``step`` and ``run``, and over ``agent`` where states were recorded.

    What was recorded every k steps lies over ``step_every_k``. A single run has no dim ``run``.
    """
    import xarray as xr

    n_runs = len(seeds)
    by_run = () if is_single else ("run",)
    one = 0 if is_single else slice(None)
    coords: dict[str, Any] = {} if is_single else {"run": np.arange(n_runs)}
    coords["seed"] = (by_run, seeds[one])
    for name, value in params.items():
        each = value.detach().cpu().numpy()
        coords[name] = (by_run, np.broadcast_to(each, n_runs)[one].copy())
    variables = {}
    for name, recorded in found.items():
        dim = "step" if recorded.every == 1 else f"step_every_{recorded.every}"
        coords[dim] = np.arange(0, steps, recorded.every)
        dims = (dim,) if recorded.values.ndim == 2 else (dim, "agent")
        variables[name] = ((*dims, *by_run), recorded.values[..., one])
    return xr.Dataset(variables, coords=coords)
