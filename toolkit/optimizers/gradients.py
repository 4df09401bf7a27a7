"""Gradients of objectives that compute with torch, as further outputs of their runs."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats
from toolkit.optimizers.search_space import SearchSpace
from toolkit.stages.code import code_hash
from toolkit.stages.stage import Stage, stage

_PREFIX = "gradient_"


def with_gradients(
    objective: Callable[..., Any] | Stage, axes: Sequence[str], value: str | None, method: str
) -> tuple[Stage, str]:
    """Return a stage that returns gradients too, and the name of the output to minimize.

    A stage that declares an output ``gradient_<parameter>`` for each axis stays as it is.

    Parameters
    ----------
    objective
        Computes with torch from the arguments that are searched: one run, which gets tensors.
    axes
        The parameters to fit.
    value
        The output to minimize, None for the only one.
    method
        That needs them, for messages.

    Raises
    ------
    SweepError
        If torch is not installed, or the objective takes arrays of a batch.
    """
    made = objective if isinstance(objective, Stage) else stage(objective)
    names = () if made.declared is None else made.declared.names
    if value is not None and {value, *(_PREFIX + name for name in axes)} <= set(names):
        return made, value
    if made.vectorized is True:
        raise SweepError(
            f"method={method!r} needs gradients, and {made.name!r} takes the arrays of a batch. "
            "Write it with torch for one run, tk.stage(f, vectorized='torch'), or let it return "
            f"{_PREFIX}{axes[0]} and so on beside its value."
        )
    _torch(method)
    own = {there: here for here, there in made.rename.items()}
    arguments = {name: own.get(name, name) for name in axes}
    output = value or (names[0] if len(names) == 1 else made.name)
    function = Differentiated(
        made.function, arguments, output, is_mapped=made.vectorized == "torch", method=method
    )
    return replace(made, function=function, outputs=None), output


class Differentiated:
    """A function of numbers that returns its value and its gradient, by torch.

    Parameters
    ----------
    function
        Gets tensors for the arguments by which it is differentiated.
    arguments
        By parameter, the argument that holds it.
    output
        The output to differentiate, where there are several.
    is_mapped
        Whether it runs under ``torch.func.vmap``.
    method
        That needs the gradient, for messages.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, str],
        output: str,
        *,
        is_mapped: bool,
        method: str,
    ) -> None:
        self.function, self.arguments, self.output = function, dict(arguments), output
        self.is_mapped, self.method = is_mapped, method
        self.__name__ = getattr(function, "__name__", output)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def toolkit_code_parts(self) -> Mapping[str, str]:
        """Return the hashes of the function's code, and by what it is differentiated."""
        by = ", ".join(sorted(self.arguments.values()))
        return {**code_hash(self.function).parts, "gradient of": f"{self.output} by {by}"}

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the value, and the gradient as an output for each parameter."""
        torch = _torch(self.method)
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        others = next(
            (
                each.name
                for each in inspect.signature(self.function).parameters.values()
                if each.kind is inspect.Parameter.VAR_KEYWORD
            ),
            None,
        )

        def at(name: str) -> Any:
            return given if others is None or name in given else given[others]

        def called(tensors: Mapping[str, Any]) -> Any:
            for name, tensor in tensors.items():
                at(name)[name] = tensor
            return self._value(self.function(*bound.args, **bound.kwargs))

        names = list(self.arguments.values())
        if self.is_mapped:
            start = {name: at(name)[name] for name in names}
            gradient, value = torch.func.grad_and_value(called)(start)
            found = [gradient[name] for name in names]
        else:
            leaves = {
                name: torch.tensor(at(name)[name], dtype=torch.float64, requires_grad=True)
                for name in names
            }
            value = called(leaves)
            if not getattr(value, "requires_grad", False):
                raise SweepError(self._refusal(value))
            gradients = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
            found = [0.0 if each is None else float(each) for each in gradients]
            value = float(value.detach())
        by_name = zip(self.arguments, found, strict=True)
        return {self.output: value, **{_PREFIX + name: each for name, each in by_name}}

    def _value(self, result: Any) -> Any:
        if isinstance(result, Mapping):
            if self.output not in result:
                listed = ", ".join(map(repr, result))
                raise SweepError(f"value={self.output!r} is no output of the objective: {listed}.")
            return result[self.output]
        return result

    def _refusal(self, value: object) -> str:
        return (
            f"method={self.method!r} follows gradients, and the objective returned "
            f"{type(value).__name__} that does not depend on {', '.join(self.arguments)} through "
            "torch. Compute it with torch from the tensors that it gets, or choose a method "
            "without gradients, such as 'cmaes'."
        )


def gradient_names(space: SearchSpace) -> tuple[str, ...]:
    """Return the outputs that hold a gradient, one for each axis."""
    return tuple(_PREFIX + name for name in space.axes)


def unit_gradients(
    space: SearchSpace, points: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Floats | None:
    """Return gradients by unit coordinates, shape ``(n, n_dims)``; None where there are none.

    Parameters
    ----------
    space
        What is searched.
    points
        The values of each parameter, shape ``(n,)``.
    outputs
        Of these runs, by name.
    """
    if not set(gradient_names(space)) <= set(outputs):
        return None
    return np.column_stack(
        [
            np.asarray(outputs[_PREFIX + name], np.float64)
            * _slope(space, name, np.asarray(points[name], np.float64))
            for name in space.axes
        ]
    )


def _slope(space: SearchSpace, name: str, values: Floats) -> Floats:
    """Return how fast a parameter changes with its unit coordinate, shape ``(n,)``."""
    kind = space.axes[name]
    u, step = kind.cdf(values), 1e-6
    low, high = np.clip(u - step, 0.0, 1.0), np.clip(u + step, 0.0, 1.0)
    return np.asarray((kind.ppf(high) - kind.ppf(low)) / (high - low), np.float64)


def check_real(space: SearchSpace, what: str) -> None:
    """Raise a SweepError where an axis is not of real numbers."""
    discrete = [name for name, count in zip(space.axes, space.counts, strict=True) if count]
    if discrete:
        raise SweepError(
            f"{what} needs axes of real numbers, and {', '.join(discrete)} takes only some values. "
            "Hold it constant, or search with a method such as 'cmaes'."
        )


def _torch(method: str) -> Any:
    try:
        import torch
    except ImportError:
        raise SweepError(
            f"method={method!r} needs gradients by torch, which is not installed. Install it with: "
            "pip install 'parallel-analysis-toolkit[torch]'"
        ) from None
    return torch
