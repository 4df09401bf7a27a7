"""SIR and SEIR on a contact network: stages that agents pass through, with durations in steps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from toolkit.errors import SimulationError
from toolkit.simulation.model import SimulationModel
from toolkit.simulation.network import ContactNetwork
from toolkit.simulation.outbreak import Outbreak

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolkit.simulation.step_draws import StepDraws

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED = range(4)
STAGES = ("susceptible", "exposed", "infectious", "recovered")

_MOST_STEPS = 2**15 - 1
_NEVER = -1


@dataclass
class EpidemicState:
    """Three bytes for each agent and run.

    Attributes
    ----------
    stage
        One of ``STAGES``, uint8, shape ``(n_agents, n_runs)``.
    until
        The step at whose beginning the agent leaves its stage, int16, -1 for never; same shape.
    new_infections
        In the latest step, int64, shape ``(n_runs,)``.
    """

    stage: Tensor
    until: Tensor
    new_infections: Tensor


class SEIR(SimulationModel):
    """Susceptible, exposed, infectious, recovered, on a contact network.

    In each step every infectious agent infects each susceptible contact with probability ``beta``.
    Who is infected in step t is exposed until step ``t + incubation_steps``, then infectious for
    ``infectious_steps`` steps. As in D. T. Gillespie's and later chain-binomial models (Reed and
    Frost), an agent with k infectious contacts escapes with probability ``(1 - beta) ** k``.

    Parameters
    ----------
    network
        Who meets whom; what happens in a layer is multiplied by its weight.
    beta
        Probability of transmission for each contact and step, from 0 to 1.
    incubation_steps
        From infection to being infectious, at least 1.
    infectious_steps
        At least 1.
    initial_infected
        How many agents, chosen by the seed, are infectious at step 0; or which, as an array.

    Raises
    ------
    SimulationError
        If a number is out of its range.
    """

    stages: tuple[str, ...] = STAGES

    def __init__(
        self,
        network: ContactNetwork,
        *,
        beta: float,
        incubation_steps: int = 3,
        infectious_steps: int = 7,
        initial_infected: int | ArrayLike = 10,
    ) -> None:
        super().__init__()
        self.network = network
        self.n_agents = network.n_agents
        self.beta = nn.Parameter(torch.tensor(float(beta), dtype=torch.float64))
        self.incubation_steps = _whole(incubation_steps)
        self.infectious_steps = _whole(infectious_steps)
        chosen = np.asarray(initial_infected)
        self._who: Tensor | None
        if chosen.ndim == 0:
            self.initial_infected = _whole(initial_infected)
            self.register_buffer("_who", None)
        else:
            _check_agents(chosen, self.n_agents)
            self.register_buffer(
                "_who", torch.from_numpy(chosen.astype(np.int64)), persistent=False
            )
        back = network.reversed()
        self._most_contacts = [int(back.degree(at).max()) for at in range(back.n_layers)]
        self.check()

    def check(self) -> None:
        """Look at the parameters, those of a batch included.

        Raises
        ------
        SimulationError
            If one is out of its range.
        """
        _check_between("beta", self.beta, 0.0, 1.0)
        weight = max(self.network.weights)
        if weight > 1 and float(self.beta.detach().max()) * weight > 1:
            raise SimulationError(
                f"beta={float(self.beta.detach().max()):g} times the weight {weight:g} of a layer "
                "is above 1: it is a probability."
            )
        if self._has_exposed:
            _check_between("incubation_steps", self.incubation_steps, 1, _MOST_STEPS)
        _check_between("infectious_steps", self.infectious_steps, 1, _MOST_STEPS)
        if self._who is None:
            _check_between("initial_infected", self.initial_infected, 0, self.n_agents)

    @property
    def _has_exposed(self) -> bool:
        return "exposed" in self.stages

    def initial_state(self, rng: "StepDraws") -> EpidemicState:
        """Return all agents susceptible but for those that are infectious from the start."""
        shape = self.n_agents, rng.n_runs
        stage = torch.full(shape, SUSCEPTIBLE, dtype=torch.uint8, device=rng.device)
        until = torch.full(shape, _NEVER, dtype=torch.int16, device=rng.device)
        is_first = self._first(rng)
        stage.masked_fill_(is_first, INFECTIOUS)
        leaves = self.infectious_steps.to(torch.int16).expand(shape)
        until = torch.where(is_first, leaves, until)
        return EpidemicState(
            stage, until, torch.zeros(rng.n_runs, dtype=torch.int64, device=rng.device)
        )

    def step(self, state: EpidemicState, t: int, rng: "StepDraws") -> EpidemicState:
        """Return the state after a step: transitions that are due, then transmission."""
        stage, until = state.stage, state.until
        is_due = until == t
        falls_ill = is_due & (stage == EXPOSED)
        recovers = is_due & (stage == INFECTIOUS)
        stage = torch.where(falls_ill, INFECTIOUS, torch.where(recovers, RECOVERED, stage))
        until = torch.where(falls_ill, (t + self.infectious_steps).to(torch.int16), until)
        until = torch.where(recovers, _NEVER, until)
        p = self.risk(stage == INFECTIOUS)
        is_new = (stage == SUSCEPTIBLE) & (rng.uniform("infection", self.n_agents) < p)
        stage = torch.where(is_new, self.first_stage, stage)
        until = torch.where(is_new, (t + self.first_steps).to(torch.int16), until)
        return EpidemicState(stage, until, is_new.sum(0))

    @property
    def first_stage(self) -> int:
        """The stage in which an agent is that was just infected."""
        return EXPOSED if self._has_exposed else INFECTIOUS

    @property
    def first_steps(self) -> Tensor:
        """How many steps after its infection an agent leaves its first stage."""
        return self.incubation_steps if self._has_exposed else 1 + self.infectious_steps

    def risk(self, is_infectious: Tensor) -> Tensor:
        """Return each agent's probability of infection, float64, from who is infectious.

        Parameters
        ----------
        is_infectious
            Bool, shape ``(n_agents, n_runs)``; so is the result.
        """
        escape = None
        for at, table in enumerate(self.escapes()):
            counts = self.network.summed(is_infectious.float(), at).long()
            found = torch.gather(table.expand(-1, counts.shape[1]), 0, counts)
            escape = found if escape is None else escape * found
        assert escape is not None
        return 1.0 - escape

    def escapes(self) -> list[Tensor]:
        """Return for each layer the probability to escape k infectious contacts.

        Each of shape ``(1 + most contacts, n_runs)``, or ``(…, 1)`` for one beta: products one
        after the other, which are the same bits in any batch and on any device.
        """
        found = []
        for weight, most in zip(self.network.weights, self._most_contacts, strict=True):
            one = (1.0 - self.beta * weight).reshape(1, -1)
            powers = torch.cumprod(one.expand(most, -1), 0)
            found.append(torch.cat([torch.ones_like(one), powers]))
        return found

    def observe(self, state: EpidemicState, t: int) -> "Mapping[str, Tensor]":
        """Return new infections, and how many agents are in each stage."""
        del t
        counts = {
            name: (state.stage == at).sum(0)
            for at, name in enumerate(STAGES)
            if name in self.stages
        }
        return {"new_infections": state.new_infections, **counts}

    def stepper(self, state: EpidemicState, t: int, contacts: str) -> Outbreak:
        """Return what steps only those with whom something may happen, on the CPU."""
        return Outbreak(self, state, t, contacts=contacts)

    def _first(self, rng: "StepDraws") -> Tensor:
        """Return who is infectious from the start, bool, shape ``(n_agents, n_runs)``."""
        is_first = torch.zeros(self.n_agents, rng.n_runs, dtype=torch.bool, device=rng.device)
        if self._who is not None:
            is_first[self._who] = True
            return is_first
        count = self.initial_infected.detach().expand(rng.n_runs)
        tries = 2 * int(count.max()) + 16
        while True:  # agents are drawn one after the other, until enough are distinct
            drawn = (rng.uniform("initial", tries) * self.n_agents).long()
            is_chosen = _first_distinct(drawn, count)
            if bool((is_chosen.sum(0) == count).all()):
                break
            tries *= 2
        runs = torch.arange(rng.n_runs, device=rng.device).expand(tries, -1)
        is_first[drawn[is_chosen], runs[is_chosen]] = True
        return is_first


class SIR(SEIR):
    """Susceptible, infectious, recovered, on a contact network: :class:`SEIR` without incubation.

    Who is infected in step t is infectious from step ``t + 1`` on. Parameters are those of
    :class:`SEIR`.
    """

    stages = ("susceptible", "infectious", "recovered")

    def __init__(
        self,
        network: ContactNetwork,
        *,
        beta: float,
        infectious_steps: int = 7,
        initial_infected: int | ArrayLike = 10,
    ) -> None:
        super().__init__(
            network,
            beta=beta,
            incubation_steps=1,
            infectious_steps=infectious_steps,
            initial_infected=initial_infected,
        )


def _first_distinct(drawn: Tensor, count: Tensor) -> Tensor:
    """Return which draws are the first ``count`` of a column that were not drawn before."""
    ranked, order = drawn.sort(dim=0, stable=True)
    again = torch.zeros_like(ranked, dtype=torch.bool)
    again[1:] = ranked[1:] == ranked[:-1]
    is_new = torch.ones_like(again).scatter(0, order, ~again)
    return is_new & (is_new.cumsum(0) <= count)


def _whole(number: object) -> nn.Parameter:
    value = np.asarray(number)
    if value.ndim or value.dtype.kind not in "iu":
        raise SimulationError(f"{number!r} is no whole number.")
    return nn.Parameter(torch.tensor(int(value), dtype=torch.int64), requires_grad=False)


def _check_between(name: str, given: Tensor, low: float, high: float) -> None:
    values = given.detach()
    is_wrong = ~((values >= low) & (values <= high))
    if bool(is_wrong.any()):
        wrong = values[is_wrong].flatten()[0].item()
        raise SimulationError(f"{name}={wrong:g}: it must be from {low:g} to {high:g}.")


def _check_agents(chosen: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", n: int) -> None:
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise SimulationError("initial_infected must be a number, or whole numbers of agents.")
    if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < n:
        raise SimulationError(
            f"initial_infected names agents from {chosen.min()} to {chosen.max()}; there are "
            f"{n:,}, from 0 on."
        )
