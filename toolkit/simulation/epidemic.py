"""Epidemics on a contact network: compartments that agents pass through, durations in steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from toolkit.errors import SimulationError
from toolkit.simulation.compiled import CompiledOutbreak, is_countable
from toolkit.simulation.epidemic_input import (
    agents_of,
    by_group,
    check_between,
    groups_of,
    whole,
)
from toolkit.simulation.interventions import Isolation, Vaccination
from toolkit.simulation.model import DenseStepper, SimulationModel, Stepper
from toolkit.simulation.network import ContactNetwork
from toolkit.simulation.outbreak import Outbreak
from toolkit.simulation.policies import Policy
from toolkit.simulation.soft_epidemic import SoftEpidemic
from toolkit.simulation.transmission import GONE, NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolkit.simulation.step_draws import StepDraws

SUSCEPTIBLE = 0
MOST_STEPS = 2**15 - 1


@dataclass(frozen=True, kw_only=True)
class Compartment:
    """One stage of a disease.

    Attributes
    ----------
    name
        As it is recorded.
    lasts
        The parameter that holds its steps; None: for ever.
    then
        What comes after it; of two, the second with the model's probability of that.
    is_infectious
        Whether agents infect others in it.
    is_susceptible
        Whether agents are infected in it.
    """

    name: str
    lasts: str | None = None
    then: tuple[str, ...] = ()
    is_infectious: bool = False
    is_susceptible: bool = False


@dataclass
class EpidemicState:
    """Three bytes for each agent and run.

    Attributes
    ----------
    stage
        The number of a compartment, uint8, shape ``(n_agents, n_runs)``.
    until
        The step at whose beginning the agent leaves it, int16, same shape; -1 of who can fall
        ill, -32,768 of who stays where they are.
    new_infections
        In the latest step, int64, shape ``(n_runs,)``.
    """

    stage: Tensor
    until: Tensor
    new_infections: Tensor


class Epidemic(SimulationModel):
    """Base class of epidemics: a model names its compartments, the first of them susceptible.

    In each step agents whose time is over go on to the next compartment; then interventions act;
    then every infectious agent infects each susceptible contact with probability ``beta``, times
    the weight of the layer and the susceptibility of the contact's group. An agent with k
    infectious contacts escapes with the k-th power of that (the chain binomial of Reed and Frost).

    Parameters
    ----------
    network
        Who meets whom.
    beta
        Probability of transmission for each contact and step, from 0 to 1. Where the network has
        several layers, their weights, which multiply it there, are parameters as well:
        ``weight_household`` and so on.
    initial_infected
        How many agents, chosen by the seed, are infectious at step 0; or which, as an array.
    group
        A number from 0 on for each agent, such as an age group; None: all are in group 0.
    susceptibility
        By group: what ``beta`` is multiplied by; None: 1.
    vaccination, isolation
        What is done; None: nothing. Isolation may be a
        :class:`~toolkit.simulation.policies.Policy`, which is held as ``policy``.

    Raises
    ------
    SimulationError
        If a number is out of its range.
    """

    compartments: tuple[Compartment, ...] = ()
    # Compartment: the method that says how probable the second is that may follow.
    branches: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        network: ContactNetwork,
        *,
        beta: float,
        initial_infected: int | ArrayLike,
        group: ArrayLike | None = None,
        susceptibility: Sequence[float] | None = None,
        vaccination: Vaccination | None = None,
        isolation: Isolation | Policy | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.n_agents = network.n_agents
        self.beta = nn.Parameter(torch.tensor(float(beta), dtype=torch.float64))
        self._weight_names = []
        if network.n_layers > 1:
            for name, weight in zip(network.names, network.weights, strict=True):
                self._weight_names.append(f"weight_{name.replace('.', '_')}")
                value = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
                self.register_parameter(self._weight_names[-1], value)
        self.policy = isolation if isinstance(isolation, Policy) else None
        self.vaccination = vaccination
        self.isolation = None if isinstance(isolation, Policy) else isolation
        self.compartments = _with(self.compartments, vaccination, isolation)
        self.codes = {each.name: code for code, each in enumerate(self.compartments)}
        groups = groups_of(group, self.n_agents)
        self.n_groups = max(int(groups.max()) + 1, len(susceptibility or ()))
        self.register_buffer("group", torch.from_numpy(groups), persistent=False)
        self.group: Tensor
        factors = by_group("susceptibility", susceptibility, self.n_groups, otherwise=1.0)
        self.register_buffer("_factors", torch.from_numpy(factors), persistent=False)
        self._factors: Tensor
        self._who: Tensor | None
        if np.ndim(initial_infected) == 0:
            self.initial_infected = whole(initial_infected)
            self.register_buffer("_who", None)
        else:
            who = agents_of(initial_infected, self.n_agents)
            self.register_buffer("_who", who, persistent=False)
        back = network.reversed()
        self._most_contacts = [int(back.degree(at).max()) for at in range(back.n_layers)]

    def check(self) -> None:
        """Look at the parameters, those of a batch included.

        Raises
        ------
        SimulationError
            If one is out of its range.
        """
        check_between("beta", self.beta, 0.0, 1.0)
        for name in self._weight_names:
            check_between(name, getattr(self, name), 0.0, np.inf)
        most = float(self._factors.max())
        for name, weight in zip(self.network.names, self.layer_weights, strict=True):
            largest = float((self.beta * weight).detach().max()) * most
            if largest > 1:
                raise SimulationError(
                    f"beta times the weight of layer {name!r} times the largest susceptibility is "
                    f"{largest:g}: a probability is at most 1."
                )
        for each in self.compartments:
            if each.lasts is not None:
                check_between(each.lasts, getattr(self, each.lasts), 1, MOST_STEPS)
        if self._who is None:
            check_between("initial_infected", self.initial_infected, 0, self.n_agents)

    @property
    def layer_weights(self) -> list[Tensor]:
        """What multiplies beta in each layer; of several layers, parameters ``weight_<layer>``."""
        if not self._weight_names:
            return [self.beta.new_full((), weight) for weight in self.network.weights]
        return [getattr(self, name) for name in self._weight_names]

    @property
    def infectious(self) -> int:
        """The number of the compartment in which agents infect others."""
        return next(code for code, each in enumerate(self.compartments) if each.is_infectious)

    @property
    def first(self) -> int:
        """The number of the compartment into which an infection leads."""
        return self.codes[self.compartments[SUSCEPTIBLE].then[0]]

    @property
    def first_steps(self) -> Tensor:
        """How many steps after its infection an agent leaves that."""
        steps = self.steps_in(self.first)
        assert steps is not None
        return steps + 1 if self.compartments[self.first].is_infectious else steps

    def steps_in(self, code: int) -> Tensor | None:
        """Return how many steps agents are in a compartment, None for ever."""
        lasts = self.compartments[code].lasts
        if lasts is None:
            return None
        found: Tensor = getattr(self, lasts)  # under functional_call no parameter, but a tensor
        return found

    def chance_of_second(self, code: int) -> Tensor:
        """Return how probable the second is that may follow a compartment.

        Returns
        -------
        Tensor
            Shape ``(n_groups, n_runs)``, or ``(n_groups, 1)`` where it is one for all runs.
        """
        name = self.compartments[code].name
        if name == "isolated":  # who is isolated has the disease that others have
            name = self.compartments[self.infectious].name
        found: Tensor = getattr(self, self.branches[name])()
        return found

    def initial_state(self, rng: "StepDraws") -> EpidemicState:
        """Return all agents susceptible but for those that are infectious from the start."""
        shape = self.n_agents, rng.n_runs
        stage = torch.full(shape, SUSCEPTIBLE, dtype=torch.uint8, device=rng.device)
        until = torch.full(shape, NEVER, dtype=torch.int16, device=rng.device)
        agents, runs = self._first_cases(rng)
        stage[agents, runs] = self.infectious
        steps = self.steps_in(self.infectious)
        assert steps is not None
        until[agents, runs] = steps.to(torch.int16).expand(rng.n_runs)[runs]
        none = torch.zeros(rng.n_runs, dtype=torch.int64, device=rng.device)
        return EpidemicState(stage, until, none)

    def step(self, state: EpidemicState, t: int, rng: "StepDraws") -> EpidemicState:
        """Return the state after a step: transitions, interventions, transmission."""
        stage, until = self._moved(state.stage, state.until, t, rng)
        if self.vaccination is not None and _may_have_begun(t, self.vaccination.start):
            is_now = (stage == SUSCEPTIBLE) & (self.vaccination_steps(rng) == t)
            stage = torch.where(is_now, self.codes["vaccinated"], stage)
        if self.isolation is not None and _may_have_begun(t, self.isolation.start):
            is_found = rng.uniform("isolation", self.n_agents) < self.isolation.detection
            is_found = is_found & (stage == self.infectious) & (t >= self.isolation.start)
            stage = torch.where(is_found, self.codes["isolated"], stage)
        if self.policy is not None:
            now = self.policy.act(self, EpidemicState(stage, until, state.new_infections), t, rng)
            stage, until = now.stage, now.until
        p = self.risk(stage == self.infectious, stage)
        is_new = self._is_susceptible(stage) & (rng.uniform("infection", self.n_agents) < p)
        stage = torch.where(is_new, self.first, stage)
        until = torch.where(is_new, (t + self.first_steps).to(torch.int16), until)
        return EpidemicState(stage, until, is_new.sum(0))

    @property
    def susceptibilities(self) -> Tensor:
        """Each agent's factor of beta, shape ``(n_agents,)``."""
        return self._factors[self.group.long()]

    def risk(self, is_infectious: Tensor, stage: Tensor) -> Tensor:
        """Return each agent's probability of infection were it susceptible, float64.

        Parameters
        ----------
        is_infectious, stage
            Shape ``(n_agents, n_runs)``; so is the result.
        """
        kind = self.group.long()[:, None].expand(stage.shape)
        if self.vaccination is not None:
            kind = kind + self.n_groups * (stage == self.codes["vaccinated"])
        escape = torch.ones((), dtype=torch.float64, device=stage.device)
        for at, table in enumerate(self.escapes()):
            counts = self.network.summed(is_infectious.float(), at).long()
            flat = table.reshape(-1, table.shape[-1]).expand(-1, stage.shape[1])
            escape = escape * torch.gather(flat, 0, kind * table.shape[1] + counts)
        return 1.0 - escape

    def escapes(self) -> list[Tensor]:
        """Return for each layer the probability to escape k infectious contacts.

        Each of shape ``(n_kinds, 1 + most contacts, n_runs)``, or ``(…, 1)`` for one beta: products
        one after the other, which are the same bits in any batch and on any device. Kinds are the
        groups, then the groups of the vaccinated.
        """
        factors = self._factors
        if self.vaccination is not None:
            factors = torch.cat([factors, factors * (1.0 - self.vaccination.efficacy)])
        found = []
        for weight, most in zip(self.layer_weights, self._most_contacts, strict=True):
            one = 1.0 - factors[:, None, None] * (self.beta * weight).reshape(1, 1, -1)
            powers = torch.cumprod(one.expand(-1, most, -1), 1)
            found.append(torch.cat([torch.ones_like(one), powers], 1))
        return found

    def vaccination_steps(self, rng: "StepDraws") -> Tensor:
        """Return when each agent is vaccinated, -1 for never; int64, ``(n_agents, n_runs)``."""
        given = self.vaccination
        assert given is not None
        key = rng.at(0).uniform("vaccination", self.n_agents)
        step = given.start + (key / given.per_step).long()
        return torch.where(key < given.coverage, step, NEVER)

    def observe(self, state: EpidemicState, t: int) -> "Mapping[str, Tensor]":
        """Return new infections, and how many agents are in each compartment."""
        del t
        counts = {name: (state.stage == code).sum(0) for name, code in self.codes.items()}
        return {"new_infections": state.new_infections, **counts}

    def soft(self, state: EpidemicState) -> SoftEpidemic:
        """Return what steps all agents by operations that have gradients."""
        return SoftEpidemic(self, state)

    @property
    def most_steps(self) -> int:
        """How many steps fit into the type of ``until``."""
        lasting = [self.steps_in(code) for code in self.codes.values()]
        return MOST_STEPS - max(int(each.max()) for each in lasting if each is not None)

    def stepper(self, state: EpidemicState, t: int, contacts: str) -> Stepper:
        """Return what steps only those with whom something may happen, on the CPU.

        A model that has its own ``step`` or ``observe`` is stepped by these.
        """
        own = type(self)
        if own.step is not Epidemic.step or own.observe is not Epidemic.observe:
            return DenseStepper(self, state)
        if is_countable(self):
            return CompiledOutbreak(self, state, contacts=contacts)
        return Outbreak(self, state, t, contacts=contacts)

    def _moved(
        self, stage: Tensor, until: Tensor, t: int, rng: "StepDraws"
    ) -> tuple[Tensor, Tensor]:
        """Return stages and times after the transitions that are due."""
        is_due = until == t
        before = stage
        for code, each in enumerate(self.compartments):
            if not each.then or each.lasts is None:
                continue
            leaves = is_due & (before == code)
            after = [self.codes[name] for name in each.then]
            ways = [(after[0], leaves)]
            if len(after) > 1:
                p = self.chance_of_second(code)[self.group.long()]
                is_second = rng.uniform(f"after {each.name}", self.n_agents) < p
                ways = [(after[0], leaves & ~is_second), (after[1], leaves & is_second)]
            for to, some in ways:
                stage = torch.where(some, to, stage)
                steps = self.steps_in(to)
                rests = NEVER if self.compartments[to].is_susceptible else GONE
                ends = rests if steps is None else (t + steps).to(torch.int16)
                until = torch.where(some, ends, until)
        return stage, until

    def _is_susceptible(self, stage: Tensor) -> Tensor:
        found = stage == SUSCEPTIBLE
        return found | (stage == self.codes["vaccinated"]) if self.vaccination else found

    def _first_cases(self, rng: "StepDraws") -> tuple[Tensor, Tensor]:
        """Return who is infectious from the start: agents and runs, int64, of one shape."""
        every_run = torch.arange(rng.n_runs, device=rng.device)
        if self._who is not None:
            who = self._who[:, None].expand(-1, rng.n_runs)
            return who, every_run.expand(who.shape)
        count = self.initial_infected.detach().expand(rng.n_runs)
        tries = 2 * int(count.max()) + 16
        while True:  # agents are drawn one after the other, until enough are distinct
            drawn = (rng.uniform("initial", tries) * self.n_agents).long()
            is_chosen = _first_distinct(drawn, count)
            if bool((is_chosen.sum(0) == count).all()):
                return drawn[is_chosen], every_run.expand(drawn.shape)[is_chosen]
            tries *= 2


def _may_have_begun(t: "int | Tensor", start: int) -> bool:
    """Whether something that begins at a step may act; a step on the device is not asked."""
    return isinstance(t, Tensor) or t >= start


def _with(
    compartments: tuple[Compartment, ...],
    vaccination: Vaccination | None,
    isolation: Isolation | Policy | None,
) -> tuple[Compartment, ...]:
    """Return compartments with those that interventions add."""
    found = list(compartments)
    if isolation is not None:
        ill = next(each for each in compartments if each.is_infectious)
        found.append(Compartment(name="isolated", lasts=ill.lasts, then=ill.then))
    if vaccination is not None:
        found.append(Compartment(name="vaccinated", then=compartments[0].then, is_susceptible=True))
    return tuple(found)


def _first_distinct(drawn: Tensor, count: Tensor) -> Tensor:
    """Return which draws are the first ``count`` of a column that were not drawn before."""
    ranked, order = drawn.sort(dim=0, stable=True)
    again = torch.zeros_like(ranked, dtype=torch.bool)
    again[1:] = ranked[1:] == ranked[:-1]
    is_new = torch.ones_like(again).scatter(0, order, ~again)
    return is_new & (is_new.cumsum(0) <= count)
