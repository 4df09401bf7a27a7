"""What is given to a runner, checked: parameters by their names, and seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import SimulationModel


def parameters_of(
    model: SimulationModel, params: Mapping[str, Any], device: torch.device
) -> dict[str, Tensor]:
    """Return parameters of a model as tensors of its types.

    Raises
    ------
    SimulationError
        If the model has none of a name, a number is not finite, or a value has not the shape of
        the parameter, with the runs in front where it is one for each.
    """
    known = dict(model.named_parameters())
    found = {}
    for name, value in params.items():
        if name not in known:
            raise SimulationError(
                f"{type(model).__name__} has no parameter {name!r}. It has: "
                f"{', '.join(sorted(known))}."
            )
        own = known[name]
        each = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        if tuple(each.shape) != tuple(own.shape) and tuple(each.shape[1:]) != tuple(own.shape):
            what = "one number" if not own.ndim else f"shape {tuple(own.shape)}"
            raise SimulationError(
                f"params[{name!r}] has shape {tuple(each.shape)}: give {what}, or one for each run."
            )
        if not own.dtype.is_floating_point and each.dtype.is_floating_point:
            raise SimulationError(f"params[{name!r}] is of {each.dtype}: give whole numbers.")
        tensor = each.to(own.dtype)
        if not bool(torch.isfinite(tensor.detach()).all()):
            raise SimulationError(f"params[{name!r}] holds a number that is not finite.")
        found[name] = tensor.to(device)
    return found


def seeds_of(seeds: ArrayLike | None, varied: Mapping[str, Tensor]) -> NDArray[np.int64]:
    """Return a seed for each run: 0, 1, 2, … where none are given.

    ``varied`` are the parameters that have one value for each run.

    Raises
    ------
    SimulationError
        If lengths differ, or there is no run.
    """
    lengths = {name: len(each) for name, each in varied.items()}
    if seeds is not None:
        array = np.asarray(seeds)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise SimulationError("seeds must be whole numbers, one for each run.")
        lengths["seeds"] = len(array)
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {n:,}" for name, n in lengths.items())
        raise SimulationError(f"These must be one for each run, and differ in length: {told}.")
    n_runs = next(iter(lengths.values()), 1)
    if not n_runs:
        raise SimulationError("There is no run: the arrays are empty.")
    return np.arange(n_runs) if seeds is None else array.astype(np.int64)
