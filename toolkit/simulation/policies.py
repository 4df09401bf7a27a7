"""Policies: modules that observe agents, decide for each of them, and change the state."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from toolkit.errors import SimulationError
from toolkit.simulation.model import SimulationModel, State

if TYPE_CHECKING:
    from toolkit.simulation.step_draws import StepDraws

CHECKED_STEPS = 3  # so many first steps are looked at
_COMPUTED_IN = (torch.float32, torch.float16, torch.bfloat16)


class Policy(nn.Module, ABC):
    """Base class of what agents do by what they observe: a model calls :meth:`act` in its step.

    A policy writes three methods. :meth:`observe` says what each agent knows, :meth:`decide` turns
    that into a probability to act, and :meth:`transition` says what becomes of those who act. Who
    acts is drawn by seed, step, stream and agent. As a submodule of its model its parameters have
    names there, such as ``policy.logits.weight``.

    ``decide`` is called for one run at a time, with arrays of all agents: a run alone and a run
    in a batch go through the same operations on the same shapes, and have the same bits. (A matrix
    product over all runs at once would round otherwise than one over a single run.) On the CPU it
    is called with one thread, which for arrays of this size is faster as well.

    Parameters
    ----------
    start
        The first step in which agents act.
    stream
        Of the random numbers: another one for each policy of a model.
    compute_dtype
        In which ``decide`` computes: ``torch.float32``, ``float16`` or ``bfloat16``. Parameters
        keep their type, and so do the state and all hazards of the model.
    tolerance
        In float16 and bfloat16 the first steps of each call are decided in float32 as well. If
        more than this share of agents and runs decides otherwise, it is an error. 1: do not look.

    Raises
    ------
    SimulationError
        If a number is out of its range.
    """

    def __init__(
        self,
        *,
        start: int = 0,
        stream: str = "policy",
        compute_dtype: torch.dtype = torch.float32,
        tolerance: float = 0.01,
    ) -> None:
        super().__init__()
        if start < 0:
            raise SimulationError(f"start={start}: give a step, from 0 on.")
        if compute_dtype not in _COMPUTED_IN:
            raise SimulationError(
                f"compute_dtype={compute_dtype}: it must be one of "
                f"{', '.join(map(str, _COMPUTED_IN))}."
            )
        if not 0 <= tolerance <= 1:
            raise SimulationError(f"tolerance={tolerance:g}: it is a share, from 0 to 1.")
        self.start, self.stream = start, stream
        self.compute_dtype, self.tolerance = compute_dtype, tolerance
        self._n_dims: dict[str, int] | None = None

    @abstractmethod
    def observe(self, model: SimulationModel, state: State, t: int) -> tuple[Tensor, ...]:
        """Return what agents know: tensors that broadcast to ``(n_agents, n_runs)``."""

    @abstractmethod
    def decide(self, *observed: Tensor) -> Tensor:
        """Return the probability with which each agent acts, for one run.

        Parameters
        ----------
        observed
            What :meth:`observe` returns, each of shape ``(n_agents,)``, in ``compute_dtype``.

        Returns
        -------
        Tensor
            From 0 to 1, shape ``(n_agents,)`` or ``(n_agents, 1)``.
        """

    @abstractmethod
    def transition(self, model: SimulationModel, state: State, acts: Tensor, t: int) -> State:
        """Return the state after some agents have acted; ``acts``: bool ``(n_agents, n_runs)``."""

    def act(self, model: SimulationModel, state: State, t: int, rng: "StepDraws") -> State:
        """Return the state after agents have observed, decided and acted.

        Raises
        ------
        SimulationError
            In the first steps: if probabilities are none, or the type in which they are computed
            changes more decisions than are tolerated.
        """
        is_captured = isinstance(t, Tensor)  # then nothing may be asked of the device
        if not is_captured and t < self.start:
            return state
        seen = self.observe(model, state, t)
        drawn = rng.uniform(self.stream, model.n_agents)
        chances = self._chances(seen, drawn.shape, self.compute_dtype)
        acts = drawn < chances
        if is_captured:
            acts = acts & (t >= self.start)
        elif t < self.start + CHECKED_STEPS:
            self._check(t, seen, drawn, chances)
        return self.transition(model, state, acts, t)

    def forward(self, body: Any, *arguments: Any) -> Any:
        """Call a function while ``torch.func.functional_call`` has put other parameters in."""
        return body(*arguments)

    def note_shapes(self) -> None:
        """Remember how many dims each parameter has, before runs bring one value each."""
        self._n_dims = {name: each.ndim for name, each in self.named_parameters()}

    def _chances(self, seen: tuple[Tensor, ...], shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return probabilities ``(n_agents, n_runs)`` as they come of computing in a type."""
        if self._n_dims is None:
            self.note_shapes()
        assert self._n_dims is not None
        values = {
            name: each.to(dtype) if each.is_floating_point() else each
            for name, each in (*self.named_parameters(), *self.named_buffers())
        }
        varied = {name for name, n in self._n_dims.items() if values[name].ndim > n}
        spread = [each.to(dtype).expand(shape) for each in seen]

        def decided(runs: Iterable[int]) -> list[Tensor]:
            return [
                self._column(self.decide(*(each[:, run].contiguous() for each in spread)), shape[0])
                for run in runs
            ]

        with _one_thread(spread[0].device):
            if not varied:
                columns = torch.func.functional_call(self, values, (decided, range(shape[1])))
                return torch.stack(columns, 1)
            columns = []
            for run in range(shape[1]):
                own = {name: each[run] if name in varied else each for name, each in values.items()}
                columns += torch.func.functional_call(self, own, (decided, [run]))
            return torch.stack(columns, 1)

    def _column(self, found: Tensor, n_agents: int) -> Tensor:
        if found.shape not in ((n_agents,), (n_agents, 1)):
            raise SimulationError(
                f"{type(self).__name__}.decide returns shape {tuple(found.shape)}: it must be one "
                f"probability for each of the {n_agents:,} agents."
            )
        return found.reshape(-1).float()

    def _check(self, t: int, seen: tuple[Tensor, ...], drawn: Tensor, chances: Tensor) -> None:
        """Look at probabilities, and whether decisions are those of float32."""
        name = type(self).__name__
        exact = chances
        if self.compute_dtype is not torch.float32 and self.tolerance < 1:
            exact = self._chances(seen, drawn.shape, torch.float32)
        if not bool(((exact >= 0) & (exact <= 1)).all()):
            raise SimulationError(
                f"{name}.decide returns numbers that are no probabilities, at step {t}: they must "
                "be from 0 to 1."
            )
        if exact is chances:
            return
        differs = ((drawn < chances) != (drawn < exact)) | ~torch.isfinite(chances)
        share = differs.double().mean().item()
        if share > self.tolerance:
            raise SimulationError(
                f"{name} computed in {self.compute_dtype} decides otherwise than in float32 for "
                f"{share:.2%} of agents at step {t}; tolerance={self.tolerance:g} allows "
                f"{self.tolerance:.2%}. Scale what it observes, compute in float32, or allow more."
            )


class EpidemicPolicy(Policy):
    """A policy of agents who know their age group, whether they are infectious, and prevalence.

    :meth:`observe` returns these three: the number of the group; 1 for who is infectious, else 0;
    the share of agents who are infectious in the run, from 0 to 1. Override it for others.

    Parameters
    ----------
    logits
        A module that takes the three, shape ``(n_agents, 3)``, and returns the logit of the
        probability to act, ``(n_agents, 1)``, such as ``nn.Linear(3, 1)``. None where ``decide`` is
        overridden.
    start, stream, compute_dtype, tolerance
        As for :class:`Policy`.
    """

    def __init__(self, logits: nn.Module | None = None, **given: Any) -> None:
        super().__init__(**given)
        self.logits = logits

    def observe(self, model: SimulationModel, state: State, t: int) -> tuple[Tensor, ...]:
        """Return age group, whether infectious, and prevalence."""
        del t
        known: Any = model
        is_infectious = state.stage == known.infectious
        prevalence = is_infectious.sum(0).double() / model.n_agents
        return known.group[:, None].float(), is_infectious.float(), prevalence.float()

    def decide(self, *observed: Tensor) -> Tensor:
        """Return the logistic function of what the module says."""
        if self.logits is None:
            raise SimulationError(
                f"{type(self).__name__} needs a module, logits=…, or a method decide of its own."
            )
        found: Tensor = torch.sigmoid(self.logits(torch.stack(observed, 1)))
        return found


class IsolationPolicy(EpidemicPolicy):
    """Infectious agents who act are isolated: they infect nobody from that step on.

    It is passed as ``isolation=`` to an epidemic, in place of an
    :class:`~toolkit.simulation.interventions.Isolation`, which finds all with one probability.
    """

    def transition(self, model: SimulationModel, state: State, acts: Tensor, t: int) -> State:
        """Isolate those of the infectious who act."""
        del t
        known: Any = model
        is_found = acts & (state.stage == known.infectious)
        stage = torch.where(is_found, known.codes["isolated"], state.stage)
        return replace(state, stage=stage)


class StayHomePolicy(EpidemicPolicy):
    """Agents who act stay at home in this step, ill or not, and decide anew in the next one.

    It is passed as ``policy=`` to a :class:`~toolkit.simulation.mobility.MobilitySEIR`.
    """

    def transition(self, model: SimulationModel, state: State, acts: Tensor, t: int) -> State:
        """Have those who act stay at home."""
        del model, t
        return replace(state, is_home=acts)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Have matrix products summed in one order, however many threads a worker has."""
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def policies_of(model: nn.Module) -> list[Policy]:
    """Return the policies that a model holds."""
    return [each for each in model.modules() if isinstance(each, Policy)]
