"""What a simulation model is: a state, a step, and what is observed of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from toolkit.simulation.step_draws import StepDraws

State = Any
"""A dataclass of tensors: of agents ``(n_agents, n_runs)``, of runs ``(n_runs,)``."""


Observed = Tensor | NDArray[np.int64]
"""What is recorded after a step: a tensor on the device, or on the CPU an array."""


class SimulationModel(nn.Module, ABC):
    """Base class of models of many agents that change step by step.

    A model writes three methods. What may be varied are its parameters, ``nn.Parameter``, of no
    dims; in a batch of runs a varied one has shape ``(n_runs,)`` and broadcasts with the trailing
    run dim of the state. What is fixed are buffers, which move with the model to its device.

    ``step`` is pure: it returns a new state and changes nothing, reads no value back to the host,
    and draws from ``rng`` alone. Where a step is captured for a GPU, ``t`` is a tensor of no dims:
    ``if t >= start`` has to be an operation on tensors there, such as ``mask & (t >= start)``, else
    the model is stepped without a capture.
    """

    n_agents: int

    @abstractmethod
    def initial_state(self, rng: "StepDraws") -> State:
        """Return the state before step 0 for ``rng.n_runs`` runs."""

    @abstractmethod
    def step(self, state: State, t: int, rng: "StepDraws") -> State:
        """Return the state after step ``t``, which counts from 0."""

    @abstractmethod
    def observe(self, state: State, t: int) -> Mapping[str, Tensor]:
        """Return what is recorded after step ``t``, each of shape ``(n_runs,)``."""

    def check(self) -> None:
        """Look at the parameters, those of a batch included; called before each play.

        Raises
        ------
        SimulationError
            If one is out of its range.
        """

    def add_numbers(self, **values: float) -> None:
        """Add parameters of no dims, float64, by their names."""
        for name, value in values.items():
            held = nn.Parameter(torch.tensor(float(value), dtype=torch.float64))
            self.register_parameter(name, held)

    def forward(self, body: Any, *arguments: Any) -> Any:
        """Call a function while ``torch.func.functional_call`` has put other parameters in."""
        return body(*arguments)


class Stepper(Protocol):
    """Steps many runs in place; ``state`` is that of the latest step."""

    state: State

    def step(self, t: int, rng: "StepDraws") -> None:
        """Go on by step ``t``."""

    def observe(self, t: int) -> Mapping[str, Observed]:
        """Return what the model's ``observe`` returns, maybe without a look at each agent."""


class ManyStepper(ABC):
    """A stepper that goes on by many steps in one call, where nothing is asked for between them.

    Attributes
    ----------
    observables
        The names of what it observes.
    """

    observables: tuple[str, ...]

    @abstractmethod
    def play(self, start: int, steps: int, rng: "StepDraws") -> Mapping[str, NDArray[np.int64]]:
        """Go on by steps from ``start`` on; return what is observed, each ``(steps, n_runs)``."""


@runtime_checkable
class HasActiveSet(Protocol):
    """A model that can step only those agents with which something may happen."""

    def stepper(self, state: State, t: int, contacts: str) -> Stepper:
        """Return what goes on from a state; its tensors are changed in place.

        Parameters
        ----------
        state
            Before step ``t``, on the CPU.
        t
            The next step.
        contacts
            ``"push"``, ``"pull"`` or ``"auto"``: how neighbors are counted.
        """


class DenseStepper:
    """Steps all agents by the model's own ``step``."""

    def __init__(self, model: SimulationModel, state: State) -> None:
        self._model, self.state = model, state

    def step(self, t: int, rng: "StepDraws") -> None:
        """Go on by step ``t``."""
        self.state = self._model.step(self.state, t, rng)

    def observe(self, t: int) -> Mapping[str, Observed]:
        """Return what the model observes."""
        return self._model.observe(self.state, t)
