"""A simulation model as a stage: a batch of runs is one call, the model is a frozen input."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import SimulationError
from toolkit.inputs.frozen import Frozen, freeze
from toolkit.resources import Resources
from toolkit.simulation.runner import Runner
from toolkit.stages.stage import Stage, stage
from toolkit.stages.torch_batch import device as worker_device

SEED = "run_seed"


def as_stage(
    runner: Runner,
    steps: int,
    *,
    name: str | None = None,
    observe: str | Sequence[str] | None = None,
    resources: Resources | None = None,
) -> Stage:
    """Return a stage that runs a model; see :meth:`Runner.as_stage`."""
    known = {name: each for name, each in runner.model.named_parameters() if not each.ndim}
    shown = list(runner.run(1).data_vars)
    chosen = [observe] if isinstance(observe, str) else list(shown if observe is None else observe)
    for each in chosen:
        if each not in shown:
            raise SimulationError(
                f"{type(runner.model).__name__} does not observe {each!r}. It observes: "
                f"{', '.join(map(str, shown))}."
            )
    if not isinstance(steps, int) or steps < 1:
        raise SimulationError(f"steps={steps!r}: give a whole number from 1 on.")
    arguments = {each.replace(".", "_"): each for each in known}
    if len(arguments) < len(known):
        raise SimulationError(
            f"The parameters {', '.join(sorted(known))} cannot be told apart as arguments, in "
            "which a dot is an underscore. Rename one."
        )
    model = copy.deepcopy(runner.model).to("cpu")
    call = _Call(
        freeze(model, name=type(model).__name__),
        {argument: (full, known[full].item()) for argument, full in arguments.items()},
        steps=steps,
        observe=tuple(map(str, chosen)),
        way=runner.way,
    )
    found: Stage = stage(
        call,
        name=name or _snake(type(model).__name__),
        outputs={str(each): ("step",) for each in chosen},
        rename={argument: full for argument, full in arguments.items() if argument != full},
        vectorized=True,
        resources=resources,
    )
    return found


class _Call:
    """Runs a batch; its arguments are the model's parameters and the seeds.

    Parameters
    ----------
    model
        Frozen.
    parameters
        By argument: the parameter's name in the model, and its own value.
    steps
        Of each run.
    observe
        What is returned.
    way
        The words that a runner takes.
    """

    def __init__(
        self,
        model: Frozen,
        parameters: Mapping[str, tuple[str, float]],
        *,
        steps: int,
        observe: tuple[str, ...],
        way: Mapping[str, str],
    ) -> None:
        self.model, self.parameters = model, dict(parameters)
        self.steps, self.observe, self.way = steps, observe, dict(way)
        some = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(SEED, some),
                *(
                    inspect.Parameter(argument, some, default=value)
                    for argument, (_, value) in self.parameters.items()
                ),
            ]
        )

    def __call__(self, run_seed: NDArray[np.int64], *given: Any, **named: Any) -> dict[str, Any]:
        """Return what is observed, each of shape ``(n_runs, steps)``."""
        values = dict(zip(self.parameters, given, strict=False)) | named
        params = {self.parameters[argument][0]: value for argument, value in values.items()}
        seeds = np.atleast_1d(np.asarray(run_seed))
        found = _runner(self.model, tuple(self.way.items())).arrays(self.steps, params, seeds)
        return {name: np.ascontiguousarray(found[name].T) for name in self.observe}


@lru_cache(maxsize=8)
def _runner(model: Frozen, way: tuple[tuple[str, str], ...]) -> Runner:
    """Return the runner of this process for a frozen model."""
    own = model.get()
    if worker_device().type != "cpu":  # a module is moved in place
        own = copy.deepcopy(own)
    words = dict(way)
    return Runner(own, mode=words["mode"], contacts=words["contacts"])


def _snake(name: str) -> str:
    """Return the name of a class as that of a stage."""
    if name.isupper():
        return name.lower()
    parts = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
    return parts.lstrip("_")
