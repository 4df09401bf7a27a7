"""What a fit minimizes, made of the squares of residuals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.observations import Observations, spread
from toolkit.optimizers.ode.solutions import Floats
from toolkit.spaces.build import unknown

COSTS = {
    "sse": "sum of squared residuals",
    "rmse": "root of the mean squared residual",
    "gaussian": "negative log-likelihood under Gaussian noise",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """Standard deviations of the data.

    Attributes
    ----------
    deviations
        Shape ``(n_states, n_times)``; 1 where a parameter says it.
    names
        For each state the parameter that is its standard deviation, or None.
    """

    deviations: Floats
    names: tuple[str | None, ...]


def noise_of(given: Any, times: Floats, states: tuple[str, ...]) -> Noise | None:
    """Return checked standard deviations; None where none are given.

    Parameters
    ----------
    given
        None; a number or the name of a parameter, for all states or by state; or as the data.
    times
        Shape ``(n_times,)``.
    states
        Names.

    Raises
    ------
    SweepError
        If they do not fit, or are not above 0.
    """
    if given is None:
        return None
    by_state: dict[str, Any]
    if isinstance(given, Mapping):
        by_state = dict(given)
        wrong = [each for each in by_state if each not in states]
        if wrong:
            raise SweepError(str(unknown("noise: the state", wrong[0], states)))
        missing = [each for each in states if each not in by_state]
        by_state |= dict.fromkeys(missing, 1.0)
    elif isinstance(given, str):
        by_state = dict.fromkeys(states, given)
    else:
        rows = spread("noise", given, times, states)
        by_state = dict(zip(states, rows, strict=True))
    names = tuple(
        each if isinstance(each, str) else None for each in (by_state[state] for state in states)
    )
    numbers = {state: each for state, each in by_state.items() if not isinstance(each, str)}
    found = np.ones((len(states), len(times)))
    for state, each in numbers.items():
        found[states.index(state)] = each
    if not (np.isfinite(found) & (found > 0)).all():
        raise SweepError("noise= holds standard deviations: finite numbers above 0.")
    return Noise(deviations=found, names=names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """What costs are made of, for lanes; those of several data sets add up.

    Attributes
    ----------
    squares
        Weighted squared residuals, shape ``(n,)``.
    weights
        Sum of the weights.
    log_likelihood
        Under Gaussian noise, shape ``(n,)``; None where the noise is not known.
    """

    squares: Floats
    weights: float
    log_likelihood: Floats | None

    def __add__(self, other: "Tally") -> "Tally":
        """Return that of both data sets."""
        both = None
        if self.log_likelihood is not None and other.log_likelihood is not None:
            both = self.log_likelihood + other.log_likelihood
        return Tally(
            squares=self.squares + other.squares,
            weights=self.weights + other.weights,
            log_likelihood=both,
        )

    def cost(self, kind: str) -> Floats:
        """Return a cost, one of ``COSTS`` or ``"log_likelihood"``, shape ``(n,)``."""
        if kind == "sse":
            return self.squares
        if kind == "rmse":
            return np.asarray(np.sqrt(self.squares / self.weights))
        if self.log_likelihood is None:
            raise SweepError(
                "A likelihood needs noise=: the standard deviation of the data, or the name of a "
                "parameter that is to be fitted."
            )
        return -self.log_likelihood if kind == "gaussian" else self.log_likelihood


def tally(
    squares: Floats, observations: Observations, noise: Noise | None, named: Mapping[str, Floats]
) -> Tally:
    """Return what costs are made of.

    Parameters
    ----------
    squares
        Squared residuals by state, divided by the squares of those deviations that are numbers,
        shape ``(n, n_states)``.
    observations, noise
        Of the data.
    named
        Values of the parameters, each of shape ``(n,)``.
    """
    likelihood = None
    if noise is not None:
        is_there = observations.weights > 0
        likelihood = np.zeros(len(squares))
        with np.errstate(divide="ignore", invalid="ignore"):
            for state, name in enumerate(noise.names):
                count = int(is_there[state].sum())
                logs = float(np.log(noise.deviations[state][is_there[state]]).sum())
                spread_ = named[name] if name is not None else np.ones(len(squares))
                spread_ = np.where(spread_ > 0, spread_, np.nan)
                likelihood -= 0.5 * squares[:, state] / spread_**2
                likelihood -= count * (np.log(spread_) + 0.5 * np.log(2 * np.pi)) + logs
    return Tally(
        squares=squares.sum(axis=1),
        weights=float(observations.weights.sum()),
        log_likelihood=likelihood,
    )
