"""Data that equations are fitted to: times, values, which are missing, what each is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.solutions import Floats
from toolkit.spaces.build import unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """Data of one experiment.

    Attributes
    ----------
    times
        Ascending, shape ``(n_times,)``.
    values
        NaN where there is none, shape ``(n_states, n_times)``.
    weights
        By which squared residuals are multiplied, 0 where there is no value; the same shape.
    """

    times: Floats
    values: Floats
    weights: Floats

    @property
    def filled(self) -> Floats:
        """The values, 0 where there is none."""
        return np.where(np.isnan(self.values), 0.0, self.values)

    @property
    def counts(self) -> Floats:
        """How many values each state has, shape ``(n_states,)``."""
        return np.asarray((self.weights > 0).sum(axis=1), np.float64)


def times_of(given: Any, start_time: float | None) -> tuple[Floats, float]:
    """Return the times of data, and when the states have their initial values.

    Raises
    ------
    SweepError
        If they do not ascend, or begin before the start.
    """
    times = _floats("times", given)
    if times.ndim != 1 or not times.size:
        raise SweepError(f"times= has shape {times.shape}, and must be a list of times.")
    if not np.isfinite(times).all():
        raise SweepError("times= has values that are not finite.")
    back = np.flatnonzero(np.diff(times) <= 0)
    if back.size:
        at = int(back[0])
        raise SweepError(
            f"times= must ascend, and {times[at + 1]:g} follows {times[at]:g}. Sort them, with the "
            "data; of values at the same time take the mean, with weights=."
        )
    start = float(times[0] if start_time is None else start_time)
    if not start <= times[0]:
        raise SweepError(
            f"start_time={start_time!r} lies after the first of times=, {times[0]:g}. It is when "
            "the states have their initial values."
        )
    if times[-1] == start:
        raise SweepError("times= must reach beyond the time of the initial values.")
    return times, start


def n_rows(data: Any) -> int:
    """Return how many states data have that are an array."""
    if isinstance(data, Mapping) or hasattr(data, "keys"):
        return len(list(data))
    return len(np.atleast_2d(np.asarray(data)))


def observations_of(
    times: Floats, data: Any, weights: Any, states: tuple[str, ...]
) -> Observations:
    """Return checked data.

    Parameters
    ----------
    times
        Shape ``(n_times,)``.
    data
        Shape ``(n_states, n_times)``, or by state shape ``(n_times,)``.
    weights
        None, a number, or as the data; or shape ``(n_states,)``.
    states
        Names.

    Raises
    ------
    SweepError
        If shapes do not fit, a state is not known, or nothing is there to fit.
    """
    values = _table("data", data, times, states)
    if np.isinf(values).any():
        raise SweepError("data= has infinite values. NaN says that a value is missing.")
    found = np.ones_like(values) if weights is None else spread("weights", weights, times, states)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise SweepError("weights= must be finite numbers of at least 0.")
    found = np.where(np.isnan(values), 0.0, found)
    if not found.any():
        raise SweepError("data= has no value to fit: all are missing, or have the weight 0.")
    return Observations(times=times, values=values, weights=found)


def spread(name: str, given: Any, times: Floats, states: tuple[str, ...]) -> Floats:
    """Return a number, one for each state, or numbers as the data, as shape of the data.

    Raises
    ------
    SweepError
        If the shape is another.
    """
    shape = (len(states), len(times))
    if isinstance(given, Mapping):
        by_state = {
            each: np.broadcast_to(_floats(name, numbers), times.shape)
            for each, numbers in given.items()
        }
        found = _table(name, by_state, times, states)
        return np.where(np.isnan(found), 1.0, found)
    found = _floats(name, given)
    if found.shape == (len(states),):
        found = found[:, None]
    elif found.shape == shape[::-1] != shape:
        found = found.T
    if found.shape not in ((), (len(states), 1), shape):
        raise SweepError(
            f"{name}= has shape {found.shape}: give a number, one for each of {len(states)} "
            f"states, or the shape of the data, {shape}."
        )
    return np.broadcast_to(found, shape).astype(np.float64)


def _table(name: str, given: Any, times: Floats, states: tuple[str, ...]) -> Floats:
    shape = (len(states), len(times))
    if isinstance(given, Mapping) or hasattr(given, "keys"):
        wrong = [each for each in given if each not in states]
        if wrong:
            raise SweepError(str(unknown(f"{name}: the state", wrong[0], states)))
        table = np.full(shape, np.nan)
        for each in given:
            column = _floats(name, given[each])
            if column.shape != times.shape:
                raise SweepError(
                    f"{name}: {each!r} has shape {column.shape}, and there are {len(times)} times."
                )
            table[states.index(each)] = column
        return table
    found = _floats(name, given)
    if found.shape == (len(times),) and len(states) == 1:
        found = found[None]
    if found.shape == shape[::-1] != shape:  # a row for each time
        found = found.T
    if found.shape != shape:
        raise SweepError(
            f"{name}= has shape {found.shape}, and must have {shape}: "
            f"{len(states)} state{'s' * (len(states) > 1)} ({', '.join(states)}) at "
            f"{len(times)} times, or the other way round. Where some states were not observed, "
            "give those that were by name."
        )
    return found


def _floats(name: str, given: Any) -> Floats:
    if given is None or isinstance(given, str):
        raise SweepError(f"{name}={given!r} must be numbers.")
    try:
        return np.array(given if not isinstance(given, Sequence) else list(given), np.float64)
    except (TypeError, ValueError) as error:
        raise SweepError(f"{name}= must be numbers: {error}.") from None
