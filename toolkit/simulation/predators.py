"""Predators and prey on a network of places: the lattice Lotka-Volterra model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import SimulationModel
from toolkit.simulation.network import ContactNetwork

if TYPE_CHECKING:
    from toolkit.simulation.step_draws import StepDraws

EMPTY, PREY, PREDATOR = 0, 1, 2


@dataclass
class Places:
    """One byte for each place and run.

    Attributes
    ----------
    kind
        0 empty, 1 prey, 2 predator; uint8, shape ``(n_agents, n_runs)``.
    """

    kind: Tensor


class LotkaVolterra(SimulationModel):
    """Places that are empty, or hold a prey or a predator.

    In a step each prey next to an empty place fills it with probability ``birth``, each predator
    eats the prey next to it with probability ``predation`` and leaves offspring in its place, and
    each predator dies with probability ``death`` (Mobilia, Georgiev and Täuber, J. Stat. Phys. 128,
    447, 2007). Where all have mixed well, the mean numbers follow the equations of Lotka and
    Volterra with a limit to growth.

    Parameters
    ----------
    network
        Which places are next to each other.
    birth, predation, death
        Probabilities in a step.
    prey, predators
        Shares of places at the start, drawn at random.

    Raises
    ------
    SimulationError
        If a probability is not from 0 to 1, or both shares are above 1 together.
    """

    birth: Tensor
    predation: Tensor
    death: Tensor
    prey: Tensor
    predators: Tensor

    def __init__(
        self,
        network: ContactNetwork,
        *,
        birth: float,
        predation: float,
        death: float,
        prey: float = 0.3,
        predators: float = 0.1,
    ) -> None:
        super().__init__()
        self.network, self.n_agents = network, network.n_agents
        self.add_numbers(
            birth=birth, predation=predation, death=death, prey=prey, predators=predators
        )
        self.check()

    def check(self) -> None:
        """Look at the parameters, those of a batch included.

        Raises
        ------
        SimulationError
            If one is out of its range.
        """
        for name, _ in self.named_parameters():
            values = getattr(self, name).detach()
            if not bool(((values >= 0) & (values <= 1)).all()):
                raise SimulationError(f"{name} must be from 0 to 1.")
        if bool((self.prey.detach() + self.predators.detach() > 1).any()):
            raise SimulationError("prey and predators are shares of places: above 1 together.")

    def initial_state(self, rng: "StepDraws") -> Places:
        """Return prey and predators at random places."""
        drawn = rng.uniform("place", self.n_agents)
        is_prey = drawn < self.prey
        is_predator = ~is_prey & (drawn < self.prey + self.predators)
        return Places(is_prey.to(torch.uint8) * PREY + is_predator.to(torch.uint8) * PREDATOR)

    def step(self, state: Places, t: int, rng: "StepDraws") -> Places:
        """Return the state after a step; all look at the state before it."""
        del t
        drawn = rng.uniform("change", self.n_agents)
        born = 1 - self._none(self.birth, state.kind == PREY)
        eaten = 1 - self._none(self.predation, state.kind == PREDATOR)
        kind = state.kind
        changes = (
            (EMPTY, PREY, born),
            (PREY, PREDATOR, eaten),
            (PREDATOR, EMPTY, self.death.expand(drawn.shape)),
        )
        after = kind
        for before, then, p in changes:
            after = torch.where((kind == before) & (drawn < p), then, after)
        return Places(after.to(torch.uint8))

    def observe(self, state: Places, t: int) -> Mapping[str, Tensor]:
        """Return how many prey and predators there are."""
        del t
        return {
            "prey": (state.kind == PREY).sum(0),
            "predators": (state.kind == PREDATOR).sum(0),
        }

    def _none(self, p: Tensor, some: Tensor) -> Tensor:
        """Return the probability that nothing comes of neighbors of a kind."""
        found = torch.ones((), dtype=torch.float64, device=some.device)
        for layer, weight in enumerate(self.network.weights):
            count = self.network.summed(some.double(), layer)
            found = found * torch.pow(1 - p * weight, count)
        return found
