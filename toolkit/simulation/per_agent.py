"""Rules that are written for one agent, run for all of them."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger("toolkit")

_looped = 0


def looped() -> int:
    """Return for how many agents rules were called one by one in this process."""
    return _looped


class PerAgent:
    """A rule of one agent as a function of all: made by :func:`per_agent`."""

    def __init__(self, rule: Callable[..., Any]) -> None:
        self._rule = rule
        self._is_looped = False
        functools.update_wrapper(self, rule)

    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., Any]:
        """Bind it to a model, where it is one of its methods."""
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *arguments: Any) -> Any:
        """Return what the rule returns, with the dims of the agents and runs in front."""
        at = [number for number, each in enumerate(arguments) if isinstance(each, Tensor)]
        if not at:
            return self._rule(*arguments)
        broadcast: Any = torch.broadcast_tensors
        spread: list[Tensor] = list(broadcast(*(arguments[number] for number in at)))
        shape = spread[0].shape
        flat = [each.reshape(-1) for each in spread]
        given = list(arguments)

        def one(*values: Tensor) -> Any:
            for number, value in zip(at, values, strict=True):
                given[number] = value
            return self._rule(*given)

        found = self._all(one, flat)
        return _over(found, lambda values: values.reshape(*shape, *values.shape[1:]))

    def _all(self, one: Callable[..., Any], flat: list[Tensor]) -> Any:
        if not self._is_looped:
            try:
                return torch.func.vmap(one)(*flat)
            except RuntimeError as error:
                if "vmap" not in str(error):
                    raise
                self._is_looped = True
                why = " ".join(str(error).split())[:200]
                logger.warning(
                    "the rule %s is called for one agent after the other, which is slow, for "
                    "torch.func.vmap cannot run it: %s",
                    getattr(self._rule, "__qualname__", self._rule),
                    why,
                )
        global _looped
        _looped += len(flat[0])
        return _stacked([one(*values) for values in zip(*flat, strict=True)])


def per_agent(rule: Callable[..., Any]) -> PerAgent:
    """Lift a rule of one agent to all agents and runs, by ``torch.func.vmap``.

    Tensors of shape ``(n_agents, n_runs)``, or that broadcast with it, arrive as one number each;
    whatever else is given arrives as it is. The rule returns a number, a tensor, or a tuple or dict
    of them. Where vmap cannot run it, as with ``if`` on a number, it is called for one agent after
    the other: that is said once, and counted in ``Runner.stats().looped``.

    Parameters
    ----------
    rule
        A function, or a method of a model.

    Examples
    --------
    >>> @per_agent
    ... def aged(age, dies):
    ...     return torch.where(dies, 0, age + 1)
    >>> aged(torch.tensor([[3, 5], [8, 1]]), torch.tensor([[False, True], [False, False]]))
    tensor([[4, 0],
            [9, 2]])
    """
    return PerAgent(rule)


def _over(found: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(found, Mapping):
        return {name: change(each) for name, each in found.items()}
    if isinstance(found, tuple):
        return tuple(change(each) for each in found)
    return change(found)


def _stacked(rows: list[Any]) -> Any:
    """Return results of single agents as those of all."""
    first = rows[0]
    if isinstance(first, Mapping):
        return {name: torch.stack([torch.as_tensor(row[name]) for row in rows]) for name in first}
    if isinstance(first, tuple):
        return tuple(
            torch.stack([torch.as_tensor(each) for each in column])
            for column in zip(*rows, strict=True)
        )
    return torch.stack([torch.as_tensor(row) for row in rows])
