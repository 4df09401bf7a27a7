"""Runs through which gradients flow, and how near these come to finite differences."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from toolkit.errors import SimulationError
from toolkit.simulation.estimators import SAMPLED, Estimator, check_estimator, estimator
from toolkit.simulation.policies import policies_of
from toolkit.simulation.step_draws import StepDraws

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.simulation.runner import Runner

_SMALLEST = 1e-3  # step of a parameter that is 0


class SoftStepper(Protocol):
    """Steps many runs by operations that have gradients.

    Its whole state are ``tensors``; what each of them is says ``layout``.
    """

    @property
    def layout(self) -> Any:
        """What each of the tensors is."""

    @property
    def tensors(self) -> list[Tensor]:
        """The state."""

    def restore(self, layout: Any, tensors: list[Tensor]) -> None:
        """Take a state as it was."""

    def step(self, t: int, rng: StepDraws, events: Estimator) -> Mapping[str, Tensor]:
        """Go on by step ``t``; return what is observed, each of shape ``(n_runs,)``."""


@runtime_checkable
class Differentiable(Protocol):
    """A model whose steps can be made of operations that have gradients."""

    def soft(self, state: Any) -> SoftStepper:
        """Return what goes on from a state before step 0."""


def rollout(
    runner: "Runner",
    steps: int,
    params: Mapping[str, Any] | None,
    seeds: ArrayLike | None,
    *,
    name: str,
    temperature: float,
    checkpoint_every: int | None,
    relative_step: float,
) -> dict[str, Tensor]:
    """Return what is observed of runs; see :meth:`Runner.rollout`."""
    check_estimator(name)
    if checkpoint_every is not None and checkpoint_every < 1:
        raise SimulationError(f"checkpoint_every={checkpoint_every}: give a number from 1 on.")
    given, chosen = runner.given(steps, params, seeds)
    if name == "finite_difference":
        return _differences(runner, steps, given, chosen, relative_step)
    model = runner.model
    if policies_of(model):
        raise SimulationError(
            f"{type(model).__name__} has a policy, whose decisions no estimator stands for. Pass "
            "estimator='finite_difference'."
        )
    if not isinstance(model, Differentiable):
        raise SimulationError(
            f"{type(model).__name__} has no steps that gradients flow through. Pass "
            "estimator='finite_difference', or write its method soft()."
        )
    seeds_there = torch.from_numpy(chosen).to(runner.device)
    events = estimator(name, len(chosen), temperature)
    rng = StepDraws(seeds_there)

    def begun() -> SoftStepper:
        runner.model.check()
        return model.soft(model.initial_state(rng))

    stepper: SoftStepper = torch.func.functional_call(model, given, (begun,))
    names: list[str] = []
    layouts = {0: stepper.layout}

    def go(first: int, last: int, noted: Any, *tensors: Tensor) -> tuple[Any, ...]:
        """Go some steps from a state; return the state after them, and what was observed."""

        def body() -> tuple[Any, ...]:
            stepper.restore(layouts[first], list(tensors))
            events.noted = noted
            rows = []
            for t in range(first, last):
                seen = stepper.step(t, rng.at(t), events)
                names[:] = seen
                rows.append(torch.stack(list(seen.values())))
            layouts[last] = stepper.layout
            return (torch.stack(rows), events.noted, *stepper.tensors)

        result: tuple[Any, ...] = torch.func.functional_call(model, given, (body,))
        return result

    every = steps if checkpoint_every is None else checkpoint_every
    state, noted, parts = list(stepper.tensors), events.noted, []
    for first in range(0, steps, every):
        last = min(first + every, steps)
        if checkpoint_every is None:
            seen, noted, *state = go(first, last, noted, *state)
        else:  # only the state between two parts is kept; steps are made again on the way back
            seen, noted, *state = checkpoint(go, first, last, noted, *state, use_reentrant=False)
        parts.append(seen)
    values = torch.cat(parts)
    return {each: values[:, at] for at, each in enumerate(names)}


def _differences(
    runner: "Runner", steps: int, given: Mapping[str, Tensor], seeds: Any, relative_step: float
) -> dict[str, Tensor]:
    """Return what is observed, with the gradient of central differences.

    All are runs of one batch, with common random numbers: a run and its neighbors have one seed.
    They differ by the parameters that were given and require a gradient, else by the model's own.
    A parameter that is 0 is stepped up only, for it may be one that cannot be below. Under
    ``torch.no_grad()`` there is nothing to differ by.
    """
    if not relative_step > 0:
        raise SimulationError(f"relative_step={relative_step:g}: it must be above 0.")
    own = {name: each for name, each in runner.model.named_parameters() if not each.ndim}
    if others := sorted(set(given) - set(own)):
        raise SimulationError(
            f"{', '.join(others)}: finite differences are taken by parameters that are one number."
        )
    known = {**own, **given}
    varied = [each for each, value in given.items() if value.requires_grad]
    if not torch.is_grad_enabled():
        varied = []
    elif not varied:
        varied = [each for each, value in known.items() if value.requires_grad]
    n, many = len(seeds), 1 + 2 * len(varied)
    values = {each: known[each].detach().double().cpu().expand(n) for each in known}
    batch = {each: value.repeat(many) for each, value in values.items()}
    widths = {}
    for at, each in enumerate(varied):
        up = torch.where(values[each] == 0, _SMALLEST, relative_step * values[each].abs())
        down = torch.where(values[each] == 0, 0.0, up)
        widths[each] = up + down
        batch[each][(1 + 2 * at) * n : (2 + 2 * at) * n] += up
        batch[each][(2 + 2 * at) * n : (3 + 2 * at) * n] -= down
    whole = {
        each: value.numpy().astype(np.int64)
        if not known[each].dtype.is_floating_point
        else value.numpy()
        for each, value in batch.items()
    }
    arrays = runner.arrays(steps, whole, np.tile(seeds, many))
    names = list(arrays)
    seen = torch.from_numpy(np.stack([arrays[each].astype(np.float64) for each in names]))
    parts = seen.reshape(len(names), steps, many, n)
    slopes = [
        (parts[:, :, 1 + 2 * at] - parts[:, :, 2 + 2 * at]) / widths[each]
        for at, each in enumerate(varied)
    ]
    apply: Any = _Slopes.apply
    out = apply(parts[:, :, 0], slopes, *(known[each] for each in varied))
    return {each: out[at] for at, each in enumerate(names)}


class _Slopes(torch.autograd.Function):
    """Values whose derivatives by parameters are given."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, slopes: Sequence[Tensor], *params: Tensor) -> Tensor:
        ctx.slopes, ctx.params = slopes, params
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        [grad] = grads
        found = []
        for slope, param in zip(ctx.slopes, ctx.params, strict=True):
            each = (grad * slope).sum((0, 1))  # by run
            each = each if param.ndim else each.sum()
            found.append(each.to(param.dtype).to(param.device))
        return (None, None, *found)


def compared(
    runner: "Runner",
    steps: int,
    output: str,
    params: Mapping[str, float],
    *,
    seeds: ArrayLike,
    estimators: Sequence[str] = SAMPLED,
    temperature: float = 0.5,
    relative_step: float = 0.05,
) -> "pd.DataFrame":
    """Return gradients of several estimators; see :meth:`Runner.check_gradient`."""
    import pandas as pd

    if not params:
        raise SimulationError("params is empty: name what to differentiate by, with its value.")
    n = len(np.asarray(seeds))
    rows = []
    truth: dict[str, tuple[float, float]] = {}
    for name in ("finite_difference", *estimators):
        given = {
            each: torch.full((n,), float(value), dtype=torch.float64, requires_grad=True)
            for each, value in params.items()
        }
        seen = runner.rollout(
            steps,
            given,
            seeds,
            estimator=name,
            temperature=temperature,
            relative_step=relative_step,
        )
        if output not in seen:
            raise SimulationError(
                f"There is no output {output!r}. There are: {', '.join(map(str, seen))}."
            )
        grads = torch.autograd.grad(seen[output].sum(), list(given.values()), allow_unused=True)
        for each, grad in zip(given, grads, strict=True):
            by_run = np.zeros(n) if grad is None else grad.detach().cpu().numpy()
            mean, error = (
                float(by_run.mean()),
                float(by_run.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan,
            )
            truth.setdefault(each, (mean, error))
            rows.append(
                (each, name, mean, error, mean / truth[each][0] if truth[each][0] else np.nan)
            )
    columns = ["parameter", "estimator", "gradient", "standard_error", "ratio"]
    return pd.DataFrame(rows, columns=columns).set_index(["parameter", "estimator"])
