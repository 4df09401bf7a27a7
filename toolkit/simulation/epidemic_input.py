"""What is given to an epidemic, checked: numbers, groups and agents."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from toolkit.errors import SimulationError


def whole(number: object) -> nn.Parameter:
    """Return a whole number as a parameter.

    Raises
    ------
    SimulationError
        If it is none.
    """
    value = np.asarray(number)
    if value.ndim or value.dtype.kind not in "iu":
        raise SimulationError(f"{number!r} is no whole number.")
    return nn.Parameter(torch.tensor(int(value), dtype=torch.int64), requires_grad=False)


def by_group(
    name: str, given: Sequence[float] | None, n_groups: int, *, otherwise: float
) -> NDArray[np.float64]:
    """Return a number for each group.

    Raises
    ------
    SimulationError
        If their number is another, or one is below 0 or not finite.
    """
    if given is None:
        return np.full(n_groups, otherwise)
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (n_groups,):
        raise SimulationError(
            f"{name} has shape {values.shape}; there are {n_groups} groups: give a number for each."
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        raise SimulationError(f"{name}={values.tolist()}: give numbers from 0 on.")
    return values


def check_between(name: str, given: Tensor, low: float, high: float) -> None:
    """Raise SimulationError if one of the values is not from ``low`` to ``high``."""
    values = given.detach()
    is_wrong = ~((values >= low) & (values <= high))
    if bool(is_wrong.any()):
        wrong = values[is_wrong].flatten()[0].item()
        raise SimulationError(f"{name}={wrong:g}: it must be from {low:g} to {high:g}.")


def groups_of(given: ArrayLike | None, n_agents: int) -> NDArray[np.uint8]:
    """Return the group of each agent, 0 where none are given.

    Raises
    ------
    SimulationError
        If they are not whole numbers from 0 to 255, one for each agent.
    """
    if given is None:
        return np.zeros(n_agents, np.uint8)
    values = np.asarray(given)
    if values.shape != (n_agents,) or values.dtype.kind not in "iu":
        raise SimulationError(
            f"group is of {values.dtype} with shape {values.shape}: give a whole number for each "
            f"of the {n_agents:,} agents."
        )
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < 256:
        raise SimulationError(
            f"group goes from {values.min()} to {values.max()}: it must be from 0 to 255."
        )
    return values.astype(np.uint8)


def agents_of(given: ArrayLike, n_agents: int) -> Tensor:
    """Return agents, int64.

    Raises
    ------
    SimulationError
        If they are not whole numbers of agents that there are.
    """
    chosen = np.asarray(given)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise SimulationError("initial_infected must be a number, or whole numbers of agents.")
    if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < n_agents:
        raise SimulationError(
            f"initial_infected names agents from {chosen.min()} to {chosen.max()}; there are "
            f"{n_agents:,}, from 0 on."
        )
    return torch.from_numpy(chosen.astype(np.int64))
