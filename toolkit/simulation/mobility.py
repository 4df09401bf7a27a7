"""An epidemic among people who live in households and meet at places and in regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.epidemic import MOST_STEPS
from toolkit.simulation.epidemic_input import by_group, check_between, whole
from toolkit.simulation.model import SimulationModel
from toolkit.simulation.policies import Policy

if TYPE_CHECKING:
    from toolkit.simulation.step_draws import StepDraws

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED = range(4)
NEVER = -1
HOUSEHOLD, COMMUNITY, REGION = "household", "community", "region"


@dataclass
class MobilityState:
    """Four bytes for each agent and run.

    Attributes
    ----------
    stage
        0 susceptible, 1 exposed, 2 infectious, 3 recovered; uint8, ``(n_agents, n_runs)``.
    until
        The step at whose beginning the agent leaves it, int16; -1 for never.
    is_home
        Whether the agent stayed at home in the latest step, bool.
    new_infections
        In the latest step, int64, shape ``(n_runs,)``.
    """

    stage: Tensor
    until: Tensor
    is_home: Tensor
    new_infections: Tensor


class MobilitySEIR(SimulationModel):
    """Susceptible, exposed, infectious, recovered, by who is where at the same time.

    In each step agents are at home with their household, then at their places, such as school and
    work, then in the community of a region. In a household of n members of whom I are infectious
    each of the others meets a hazard ``beta_household * I / n ** household_exponent``; at a place,
    and in a region, contacts depend on the share of those who are there: ``beta * I / n``
    with I and n counted among those who came. An agent of total hazard h escapes infection in a
    step with probability ``exp(-h)``. This is the force of infection of N. Ferguson et al.,
    "Strategies for containing an emerging influenza pandemic in Southeast Asia", Nature 437, 209,
    2005, without its travel kernel: between regions agents move by a matrix, and return home, as
    commuters do in L. Sattenspiel and K. Dietz, "A structured epidemic model incorporating
    geographic mobility among regions", Math. Biosci. 128, 71, 1995. With households and one
    community alone it is the epidemic with two levels of mixing of F. Ball, D. Mollison and
    G. Scalia-Tomba, Ann. Appl. Probab. 7, 46, 1997, in steps.

    Who is infected in step t is exposed until step ``t + incubation_steps``, then infectious for
    ``infectious_steps`` steps.

    Parameters
    ----------
    people
        By name, for each agent: the number of its household and of each place, -1 for none;
        ``region`` (from 0 on, where it lives) and ``age_group`` where there are any. A
        :class:`~toolkit.simulation.Population` is such a mapping.
    rates
        By name of these, and for ``"community"``: the hazard at which an infectious agent infects,
        per step, from 0 on. They are parameters: ``beta_household`` and so on.
    mobility
        Of each region's residents the share who spend the day in each region, shape
        ``(n_regions, n_regions)``, rows sum to 1; None: all stay in their own.
    is_recurrent
        Whether an agent goes to the same region in every step of a run; else it is drawn anew.
    household_exponent
        0: each pair in a household meets as often, however large it is; 1: a member has as many
        contacts in any household. Ferguson et al. take 0.8.
    incubation_steps, infectious_steps
        At least 1.
    initial_infected
        How many agents, chosen by the seed, are infectious at step 0; or which, as an array.
    susceptibility
        By age group: what the hazard is multiplied by; None: 1.
    policy
        By which agents stay at home, such as a
        :class:`~toolkit.simulation.policies.StayHomePolicy`: they meet their household only.
    by_region
        Whether the number of infectious residents of each region is observed as well, as
        ``infectious_in_0`` and so on.

    Raises
    ------
    SimulationError
        If a number is out of its range, or people lack what a rate is for.
    """

    def __init__(
        self,
        people: Mapping[str, ArrayLike],
        *,
        rates: Mapping[str, float],
        mobility: ArrayLike | None = None,
        is_recurrent: bool = True,
        household_exponent: float = 0.8,
        incubation_steps: int = 3,
        infectious_steps: int = 7,
        initial_infected: int | ArrayLike = 10,
        susceptibility: Sequence[float] | None = None,
        policy: Policy | None = None,
        by_region: bool = False,
    ) -> None:
        super().__init__()
        arrays = {name: _whole_numbers(name, values) for name, values in people.items()}
        self.n_agents = _length(arrays)
        known = [name for name in arrays if name not in (REGION, "age_group")]
        if unknown := [name for name in rates if name not in (*known, COMMUNITY)]:
            raise SimulationError(
                f"rates names {', '.join(map(repr, unknown))}; people meet in: "
                f"{', '.join((*known, COMMUNITY))}."
            )
        if not rates:
            raise SimulationError("rates is empty: nobody meets anybody.")
        self.places = tuple(name for name in rates if name != COMMUNITY)
        self.has_community = COMMUNITY in rates
        self.is_recurrent, self.by_region, self.policy = is_recurrent, by_region, policy
        self.infectious = INFECTIOUS
        self.codes = {"susceptible": 0, "exposed": 1, "infectious": 2, "recovered": 3}
        self.add_numbers(**{f"beta_{name}": rate for name, rate in rates.items()})
        if HOUSEHOLD in self.places:
            self.add_numbers(household_exponent=household_exponent)
        self.incubation_steps = whole(incubation_steps)
        self.infectious_steps = whole(infectious_steps)
        self._sizes: dict[str, int] = {}
        for name in self.places:
            self._hold(f"at_{name}", _numbered(arrays[name]))
        group = arrays.get("age_group", np.zeros(self.n_agents, np.int64))
        region = arrays.get(REGION, np.zeros(self.n_agents, np.int64))
        for name, values in (("age_group", group), (REGION, region)):
            if int(values.min()) < 0:
                raise SimulationError(f"{name} has {values.min()}: it goes from 0 on.")
        self._hold("group", group)
        factors = by_group("susceptibility", susceptibility, int(group.max()) + 1, otherwise=1.0)
        self._hold("factor", factors[group])
        self._hold("region", region)
        shares, self.n_regions = _mobility(mobility, int(region.max()) + 1)
        self._hold("travels", shares)
        chosen = np.asarray(initial_infected)
        if chosen.ndim == 0:
            self.initial_infected = whole(initial_infected)
        else:
            self._hold("first", _agents(chosen, self.n_agents))
        self.check()

    def check(self) -> None:
        """Look at the parameters, those of a batch included.

        Raises
        ------
        SimulationError
            If one is out of its range.
        """
        for name in (*self.places, *((COMMUNITY,) if self.has_community else ())):
            check_between(f"beta_{name}", self._number(f"beta_{name}"), 0.0, np.inf)
        if HOUSEHOLD in self.places:
            check_between("household_exponent", self._number("household_exponent"), 0.0, np.inf)
        for name in ("incubation_steps", "infectious_steps"):
            check_between(name, getattr(self, name), 1, MOST_STEPS)
        if hasattr(self, "initial_infected"):
            check_between("initial_infected", self.initial_infected, 0, self.n_agents)

    @property
    def most_steps(self) -> int:
        """How many steps fit into the type of ``until``."""
        lasting = max(int(each.max()) for each in (self.incubation_steps, self.infectious_steps))
        return MOST_STEPS - lasting

    def initial_state(self, rng: "StepDraws") -> MobilityState:
        """Return all agents susceptible but for those that are infectious from the start."""
        shape = self.n_agents, rng.n_runs
        if hasattr(self, "initial_infected"):
            rank = rng.uniform("initial", self.n_agents).argsort(dim=0, stable=True).argsort(dim=0)
            is_first = rank < self.initial_infected
        else:
            is_first = torch.zeros(shape, dtype=torch.bool, device=rng.device)
            is_first[self._held("first")] = True
        stage = is_first.to(torch.uint8) * INFECTIOUS
        until = torch.where(is_first, self.infectious_steps, NEVER).to(torch.int16)
        none = torch.zeros(rng.n_runs, dtype=torch.int64, device=rng.device)
        return MobilityState(stage, until, torch.zeros_like(is_first), none)

    def step(self, state: MobilityState, t: int, rng: "StepDraws") -> MobilityState:
        """Return the state after a step: transitions, the policy, contacts."""
        is_due = state.until == t
        begins, ends = is_due & (state.stage == EXPOSED), is_due & (state.stage == INFECTIOUS)
        stage = torch.where(begins, INFECTIOUS, torch.where(ends, RECOVERED, state.stage))
        until = torch.where(begins, (t + self.infectious_steps).to(torch.int16), state.until)
        until = torch.where(ends, NEVER, until)
        is_home = torch.zeros_like(state.is_home)
        now = MobilityState(stage, until, is_home, state.new_infections)
        if self.policy is not None:
            now = self.policy.act(self, now, t, rng)
        p = -torch.expm1(-self.hazard(now, rng).contiguous())
        is_new = (now.stage == SUSCEPTIBLE) & (rng.uniform("infection", self.n_agents) < p)
        stage = torch.where(is_new, EXPOSED, now.stage)
        until = torch.where(is_new, (t + self.incubation_steps).to(torch.int16), now.until)
        return MobilityState(stage, until, now.is_home, is_new.sum(0))

    def hazard(self, state: MobilityState, rng: "StepDraws") -> Tensor:
        """Return what each agent meets in a step, float64, shape ``(n_agents, n_runs)``."""
        shape = state.stage.shape
        is_ill, is_out = state.stage == INFECTIOUS, ~state.is_home
        found = torch.zeros(shape, dtype=torch.float64, device=state.stage.device)
        for name in self.places:
            at = self._held(f"at_{name}")[:, None].expand(shape)
            comes = at >= 0
            if name != HOUSEHOLD:
                comes = comes & is_out
            found = found + self._met(name, at.clamp(min=0), comes, is_ill)
        if self.has_community:
            found = found + self._met(COMMUNITY, self.visited(rng), is_out, is_ill)
        return found * self._held("factor")[:, None]

    def visited(self, rng: "StepDraws") -> Tensor:
        """Return the region in which each agent spends the day, int64, ``(n_agents, n_runs)``."""
        region = self._held("region")
        if self.n_regions == 1:
            return region[:, None].expand(-1, rng.n_runs)
        day = rng.at(0) if self.is_recurrent else rng
        drawn = day.uniform("destination", self.n_agents)
        return torch.searchsorted(self._held("travels")[region], drawn, right=True)

    def observe(self, state: MobilityState, t: int) -> Mapping[str, Tensor]:
        """Return new infections, how many are in each stage, and how many stayed at home."""
        del t
        seen = {name: (state.stage == code).sum(0) for name, code in self.codes.items()}
        seen = {"new_infections": state.new_infections, **seen, "at_home": state.is_home.sum(0)}
        if self.by_region:
            is_ill = (state.stage == INFECTIOUS).long()
            lives = self._held("region")[:, None].expand(is_ill.shape)
            each = is_ill.new_zeros(self.n_regions, is_ill.shape[1]).scatter_add_(0, lives, is_ill)
            seen |= {f"infectious_in_{at}": each[at] for at in range(self.n_regions)}
        return seen

    def _met(self, name: str, at: Tensor, comes: Tensor, is_ill: Tensor) -> Tensor:
        """Return the hazard at places of a kind; numbers are counted whole, so that they agree."""
        n = self.n_regions if name == COMMUNITY else self._sizes[name]
        there = torch.zeros(n, at.shape[1], dtype=torch.int32, device=at.device)
        ill = there.clone().scatter_add_(0, at, (comes & is_ill).int()).double()
        there = there.scatter_add_(0, at, comes.int()).clamp(min=1).double()
        if name == HOUSEHOLD:
            # Laid out like that for one run, so that the same loop of torch goes over it.
            exponent = self._number("household_exponent").expand(there.shape).contiguous()
            there = torch.pow(there, exponent)
        hazard = self._number(f"beta_{name}") * ill / there
        return torch.where(comes, torch.gather(hazard, 0, at), 0.0)

    def _hold(self, name: str, values: NDArray[Any]) -> None:
        """Keep an array that moves with the model."""
        self.register_buffer(f"_{name}", torch.from_numpy(values), persistent=False)
        if name.startswith("at_"):
            self._sizes[name.removeprefix("at_")] = max(1, int(values.max()) + 1)

    def _held(self, name: str) -> Tensor:
        found: Tensor = getattr(self, f"_{name}")
        return found

    @property
    def group(self) -> Tensor:
        """The age group of each agent, int64, shape ``(n_agents,)``."""
        return self._held("group")

    def _number(self, name: str) -> Tensor:
        found: Tensor = getattr(self, name)  # under functional_call no parameter, but a tensor
        return found


def _whole_numbers(name: str, given: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(given)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise SimulationError(
            f"{name!r} is of {values.dtype} with shape {values.shape}: give a whole number for "
            "each agent."
        )
    return values.astype(np.int64)


def _length(arrays: Mapping[str, NDArray[np.int64]]) -> int:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        told = ", ".join(f"{name}: {n:,}" for name, n in lengths.items()) or "nothing"
        raise SimulationError(f"people need arrays of one length, by agent; found {told}.")
    return next(iter(lengths.values()))


def _numbered(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return groups numbered without gaps from 0 on; what is below 0 is in none, -1."""
    is_in = values >= 0
    found = np.full(len(values), -1, np.int64)
    found[is_in] = np.unique(values[is_in], return_inverse=True)[1]
    return found


def _mobility(given: ArrayLike | None, n: int) -> tuple[NDArray[np.float64], int]:
    """Return cumulative shares by region, and how many regions there are."""
    if given is None:
        given = np.eye(n)
    shares = np.asarray(given, np.float64)
    if shares.ndim != 2 or shares.shape[0] != shares.shape[1] or len(shares) < n:
        raise SimulationError(
            f"mobility has shape {shares.shape}: agents live in {n} regions; give a row and a "
            "column for each."
        )
    is_right = np.isfinite(shares).all() and (shares >= 0).all()
    if not is_right or not np.allclose(shares.sum(1), 1.0, atol=1e-6):
        raise SimulationError("mobility: rows are shares from 0 on, which sum to 1.")
    total = np.cumsum(shares / shares.sum(1, keepdims=True), 1)
    total[total >= total[:, -1:]] = 1.0  # rounding leads nobody out of the last region
    return total, len(shares)


def _agents(chosen: NDArray[np.generic], n: int) -> NDArray[np.int64]:
    values = _whole_numbers("initial_infected", chosen)
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < n:
        raise SimulationError(
            f"initial_infected names agents from {values.min()} to {values.max()}; there are "
            f"{n:,}, from 0 on."
        )
    return values
