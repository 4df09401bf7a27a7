"""An epidemic through which gradients flow: its runs have the same bits as any others."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from toolkit.simulation.estimators import Estimator

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic, EpidemicState
    from toolkit.simulation.network import ContactNetwork
    from toolkit.simulation.step_draws import StepDraws

Layout = tuple[tuple[int, int], ...]


class SoftEpidemic:
    """Steps an epidemic with a float for each agent and compartment: 1 where it is, else 0.

    Compartments that agents leave after some steps hold a cohort for each step in which agents
    came, and a cohort leaves as a whole: so a change of who might have been infected goes on
    through the course of the disease, as an infection does. Numbers of steps have no gradient.

    Parameters
    ----------
    model
        Whose rules these are, with the parameters of the runs.
    state
        Before step 0.
    """

    def __init__(self, model: "Epidemic", state: "EpidemicState") -> None:
        self._model = model
        # By compartment and the step from which its time counts; -1 where it is for ever.
        self._cohorts: dict[tuple[int, int], Tensor] = {}
        for code in model.codes.values():
            since = -1 if model.steps_in(code) is None else 0
            self._cohorts[code, since] = (state.stage == code).double()

    @property
    def layout(self) -> Layout:
        """What each of the tensors is."""
        return tuple(self._cohorts)

    @property
    def tensors(self) -> list[Tensor]:
        """The state."""
        return list(self._cohorts.values())

    def restore(self, layout: Layout, tensors: list[Tensor]) -> None:
        """Take a state as it was."""
        self._cohorts = dict(zip(layout, tensors, strict=True))

    def step(self, t: int, rng: "StepDraws", events: Estimator) -> Mapping[str, Tensor]:
        """Go on by a step; return what is observed, each of shape ``(n_runs,)``."""
        model = self._model
        self._move(t, rng, events)
        if model.vaccination is not None and t >= model.vaccination.start:
            now = (model.vaccination_steps(rng) == t).double()
            self._shift(0, model.codes["vaccinated"], now)
        if model.isolation is not None and t >= model.isolation.start:
            found = rng.uniform("isolation", model.n_agents) < model.isolation.detection
            self._shift(model.infectious, model.codes["isolated"], found.double())
        seen = {"new_infections": self._infect(t, rng, events).sum(0)}
        seen |= {name: self._in(code).sum(0) for name, code in model.codes.items()}
        return {name: events.observed(value) for name, value in seen.items()}

    def _in(self, code: int) -> Tensor:
        """Return who is in a compartment."""
        found = [each for (of, _), each in self._cohorts.items() if of == code]
        return sum(found[1:], start=found[0]) if found else self._nobody()

    def _nobody(self) -> Tensor:
        return torch.zeros_like(next(iter(self._cohorts.values())))

    def _add(self, code: int, since: int, some: Tensor) -> None:
        key = code, -1 if self._model.steps_in(code) is None else since
        there = self._cohorts.get(key)
        self._cohorts[key] = some if there is None else there + some

    def _move(self, t: int, rng: "StepDraws", events: Estimator) -> None:
        """Make the transitions that are due."""
        model = self._model
        coming: list[tuple[int, Tensor]] = []
        for (code, since), cohort in list(self._cohorts.items()):
            lasts = model.steps_in(code)
            if lasts is None or since < 0 or not model.compartments[code].then:
                continue
            is_due = (lasts.detach() == t - since).reshape(1, -1)
            if not bool(is_due.any()):
                continue
            leaves = cohort * is_due
            if bool((lasts.detach() <= t - since).all()):
                del self._cohorts[code, since]
            else:
                self._cohorts[code, since] = cohort - leaves
            coming += self._ways(code, leaves, rng, events)
        for code, some in coming:
            self._add(code, t, some)

    def _ways(
        self, code: int, leaves: Tensor, rng: "StepDraws", events: Estimator
    ) -> list[tuple[int, Tensor]]:
        """Return who goes where from a compartment."""
        model = self._model
        each = model.compartments[code]
        to = [model.codes[name] for name in each.then]
        if len(to) == 1:
            return [(to[0], leaves)]
        p = model.chance_of_second(code)[model.group.long()].expand(leaves.shape)
        uniform = rng.uniform(f"after {each.name}", model.n_agents)
        second = events.happens(p, uniform, leaves.detach() > 0.5)
        return [(to[0], leaves * (1 - second)), (to[1], leaves * second)]

    def _shift(self, before: int, after: int, share: Tensor) -> None:
        """Have agents go on to another compartment with the time that they have left."""
        for (code, since), cohort in list(self._cohorts.items()):
            if code == before:
                moved = cohort * share
                self._cohorts[code, since] = cohort - moved
                self._add(after, since, moved)

    def _infect(self, t: int, rng: "StepDraws", events: Estimator) -> Tensor:
        """Return who is infected in this step."""
        model = self._model
        kinds = [0] if model.vaccination is None else [0, model.codes["vaccinated"]]
        well = [self._in(code) for code in kinds]
        p = self._risk()
        may = sum((each.detach() for each in well[1:]), start=well[0].detach()) > 0.5
        hit = events.happens(p, rng.uniform("infection", model.n_agents), may)
        total = self._nobody()
        for code, some in zip(kinds, well, strict=True):
            new = some * hit
            self._cohorts[code, -1] = some - new
            total = total + new
        self._add(model.first, t + int(model.first == model.infectious), total)
        return total

    def _risk(self) -> Tensor:
        """Return the probabilities of infection, those of a run bit for bit, with a gradient."""
        model = self._model
        ill = self._in(model.infectious)
        codes = torch.stack([self._in(code).detach() for code in model.codes.values()]).argmax(0)
        hard = model.risk(ill.detach() > 0.5, codes)
        factor = model.susceptibilities[:, None]
        if model.vaccination is not None:
            protected = self._in(model.codes["vaccinated"]).detach()
            factor = factor * (1.0 - model.vaccination.efficacy * protected)
        log_escape: Any = 0.0
        summed: Any = _Summed.apply
        for layer, weight in enumerate(model.layer_weights):
            one = factor * (model.beta * weight).reshape(1, -1)
            met = summed(ill, model.network, layer)
            log_escape = log_escape + met * torch.log1p(-one.clamp(max=1 - 1e-12))
        soft = -torch.expm1(log_escape)
        return hard.detach() + (soft - soft.detach())


class _Summed(torch.autograd.Function):
    """The sum over those who may infect an agent; backwards, over those whom it may infect."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, network: "ContactNetwork", layer: int) -> Tensor:
        ctx.network, ctx.layer = network, layer
        return network.summed(given, layer)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        [grad] = grads
        found: Tensor = ctx.network.reversed().summed(grad.contiguous(), ctx.layer)
        return found, None, None
