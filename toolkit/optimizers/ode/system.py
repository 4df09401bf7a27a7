"""A system of ordinary differential equations: right-hand side, parameters, initial values."""

import keyword
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.solutions import Floats
from toolkit.spaces.build import unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """Equations without data.

    Parameters
    ----------
    rhs
        Called as ``rhs(t, u, p)``, or DiffSL text.
    parameters
        Names, in their order.
    states
        Names, in their order.
    initial
        For each state a number or the name of a parameter, or a function of the parameters; None
        where DiffSL text says it.
    start_time
        When the states have their initial values.
    """

    rhs: Callable[..., Any] | str
    parameters: tuple[str, ...]
    states: tuple[str, ...]
    initial: tuple[float | str, ...] | Callable[..., Any] | None
    start_time: float

    @cached_property
    def row(self) -> Any:
        """The namedtuple in which parameters reach the right-hand side."""
        return namedtuple("Parameters", self.parameters)

    def initial_of(self, params: Floats) -> Floats:
        """Return the initial values of lanes, shape ``(n, n_states)``.

        Parameters
        ----------
        params
            Shape ``(n, n_parameters)``.

        Raises
        ------
        SweepError
            If a function of the parameters returns another number of values.
        """
        n = len(params)
        found = np.zeros((n, len(self.states)))
        if self.initial is None:
            return found
        if not callable(self.initial):
            for state, given in enumerate(self.initial):
                is_name = isinstance(given, str)
                found[:, state] = params[:, self.parameters.index(given)] if is_name else given
            return found
        for lane in range(n):
            values = np.asarray(self.initial(self.row(*params[lane].tolist())), np.float64)
            if values.shape != (len(self.states),):
                raise SweepError(
                    f"initial returns an array of shape {values.shape}, and there are "
                    f"{len(self.states)} states ({', '.join(self.states)}): return one number each."
                )
            found[lane] = values
        return found

    def derivative(self, t: float, u: Floats, params: Sequence[float]) -> Floats:
        """Return the right-hand side as plain Python gives it, shape ``(n_states,)``.

        Raises
        ------
        SweepError
            If it has another length.
        """
        assert callable(self.rhs)
        found = np.asarray(self.rhs(t, u, self.row(*params)), np.float64)
        if found.shape != (len(self.states),):
            raise SweepError(
                f"rhs returns {_many(found)}, and there are {len(self.states)} states "
                f"({', '.join(self.states)}). It must return the derivative of each, in this order."
            )
        return found


def system_of(
    rhs: object,
    *,
    parameters: object,
    initial: object,
    start_time: float,
    n_rows: int,
    others: Sequence[str] = (),
) -> System:
    """Return a checked system.

    Parameters
    ----------
    rhs, parameters, initial, start_time
        As :class:`toolkit.optimizers.ODEProblem` takes them.
    n_rows
        How many states the data have, where ``initial`` does not say it.
    others
        Names that are parameters of the fit, and none of the equations.

    Raises
    ------
    SweepError
        If something is missing or does not fit.
    """
    if not callable(rhs) and not isinstance(rhs, str):
        raise SweepError(
            f"rhs={rhs!r:.60} must be a function rhs(t, u, p) that returns the derivatives, or "
            "DiffSL text."
        )
    names = _names(parameters)
    taken = [name for name in others if name in names]
    if taken:
        raise SweepError(f"{taken[0]!r} is among the parameters already.")
    if initial is None and not isinstance(rhs, str):
        raise SweepError("initial= is missing: the values of the states at the first time.")
    given: tuple[float | str, ...] | Callable[..., Any] | None
    if initial is None or callable(initial):
        given, states = initial, tuple(f"u{number}" for number in range(n_rows))
    else:
        if isinstance(initial, Mapping):
            states, values = tuple(map(str, initial)), tuple(initial.values())
        else:
            values = tuple(initial) if isinstance(initial, Sequence | np.ndarray) else ()
            states = tuple(f"u{number}" for number in range(len(values)))
        if not values or isinstance(initial, str):
            raise SweepError(
                f"initial={initial!r:.60} must have a number, or the name of a parameter, for "
                "each state: (10.0, 5.0), {'prey': 10.0, 'predator': 'p0'}, or a function of the "
                "parameters."
            )
        given = tuple(_initial_value(state, each, names) for state, each in zip(states, values))  # noqa: B905
    return System(
        rhs=rhs, parameters=names, states=states, initial=given, start_time=float(start_time)
    )


def _names(parameters: object) -> tuple[str, ...]:
    listed = (
        () if isinstance(parameters, str) or not isinstance(parameters, Sequence) else parameters
    )
    names = tuple(listed)
    wrong = [
        name
        for name in names
        if not isinstance(name, str)
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or name.startswith("_")
    ]
    if not names or wrong:
        found = wrong[0] if wrong else parameters
        raise SweepError(
            f"parameters= must list names as Python takes them, such as ['alpha', 'beta']; found "
            f"{found!r}."
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SweepError(f"parameters= has {twice[0]!r} twice.")
    return names


def _initial_value(state: str, given: Any, names: tuple[str, ...]) -> float | str:
    if isinstance(given, str):
        if given not in names:
            raise SweepError(
                f"initial value of {state!r}: {unknown('the parameter', given, names)}"
            )
        return given
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise SweepError(
            f"initial value of {state!r} is {given!r}, and must be a finite number or the name of "
            "a parameter."
        )
    return value


def _many(found: Floats) -> str:
    if found.ndim == 1:
        return f"{len(found)} values"
    return "one number" if not found.ndim else f"an array of shape {found.shape}"
