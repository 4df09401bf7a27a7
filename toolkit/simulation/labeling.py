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

    by_run = () if is_single else ("run",)
    one = 0 if is_single else slice(None)
    coords: dict[str, Any] = {
        name: (by_run, each[one])
        for name, each in labels_of(params, seeds).items()
        if not (is_single and name == "run")
    }
    variables = {}
    for name, recorded in found.items():
        dim = "step" if recorded.every == 1 else f"step_every_{recorded.every}"
        coords[dim] = np.arange(0, steps, recorded.every)
        dims = (dim,) if recorded.values.ndim == 2 else (dim, "agent")
        variables[name] = ((*dims, *by_run), recorded.values[..., one])
    return xr.Dataset(variables, coords=coords)


def labels_of(params: Mapping[str, Tensor], seeds: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the labels of runs: their numbers, seeds and parameters."""
    found: dict[str, NDArray[Any]] = {"run": np.arange(len(seeds)), "seed": seeds}
    for name, value in params.items():
        found[name] = np.broadcast_to(value.detach().cpu().numpy(), len(seeds)).copy()
    return found
