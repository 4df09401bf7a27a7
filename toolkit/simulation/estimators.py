"""How a gradient passes a random event: estimators by name.

Each is given the probability of an event and the uniform number that decides it, and returns 1
where the event happens and else 0, the same bits as in a run; they differ in what flows back.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from toolkit.errors import SimulationError

SAMPLED = ("straight_through", "gumbel_softmax", "score_function")
ESTIMATORS = (*SAMPLED, "finite_difference")
_LEAST = 1e-12


class Estimator(ABC):
    """Base class: what decides events of a rollout, and weights what is observed of it.

    Parameters
    ----------
    n_runs
        How many runs there are.
    temperature
        Of a relaxation.

    Attributes
    ----------
    noted
        What is handed on from step to step, shape ``(n_runs,)``.
    """

    def __init__(self, n_runs: int, temperature: float) -> None:
        self.n_runs, self.temperature = n_runs, temperature
        self.noted = torch.zeros(n_runs, dtype=torch.float64)

    @abstractmethod
    def happens(self, p: Tensor, uniform: Tensor, may: Tensor) -> Tensor:
        """Return 1.0 where an event happens and 0.0 elsewhere.

        Parameters
        ----------
        p
            Its probability, shape ``(n_agents, n_runs)``.
        uniform
            What decides: it happens where this is below ``p``.
        may
            Whether it can happen in the run, bool; elsewhere nothing is multiplied by it but what
            flows back from another course of the run.
        """

    def observed(self, value: Tensor) -> Tensor:
        """Return what is observed in a step, shape ``(n_runs,)``, with what flows back from it."""
        return value


class StraightThrough(Estimator):
    """The gradient of the probability stands for that of the event (Bengio et al. 2013)."""

    def happens(self, p: Tensor, uniform: Tensor, may: Tensor) -> Tensor:
        """Return the event, with the gradient of its probability."""
        del may
        return (uniform < p).to(p.dtype) + (p - p.detach())


class GumbelSoftmax(Estimator):
    """The gradient of a logistic relaxation stands for it (Jang, Gu and Poole 2017)."""

    def happens(self, p: Tensor, uniform: Tensor, may: Tensor) -> Tensor:
        """Return the event, with the gradient of its relaxation."""
        del may
        logit = torch.logit(p.clamp(_LEAST, 1 - _LEAST)) - torch.logit(uniform.clamp(_LEAST))
        soft = torch.sigmoid(logit / self.temperature)
        return (uniform < p).to(p.dtype) + (soft - soft.detach())


class ScoreFunction(Estimator):
    """Observations are weighted by the score of all events before (Foerster et al. 2018, DiCE).

    It is not biased, but its variance grows with the number of agents and steps.
    """

    def happens(self, p: Tensor, uniform: Tensor, may: Tensor) -> Tensor:
        """Return the event, without a gradient, and note its logarithmic probability."""
        hard = uniform < p
        held = p.clamp(_LEAST, 1 - _LEAST)
        log = torch.where(hard, torch.log(held), torch.log1p(-held))
        self.noted = self.noted.to(p.device) + torch.where(may & (p > 0), log, 0.0).sum(0)
        return hard.to(p.dtype)

    def observed(self, value: Tensor) -> Tensor:
        """Return the value times a one whose gradient is the score."""
        return value * torch.exp(self.noted - self.noted.detach())


_MADE: dict[str, Callable[[int, float], Estimator]] = {
    "straight_through": StraightThrough,
    "gumbel_softmax": GumbelSoftmax,
    "score_function": ScoreFunction,
}


def estimator(name: str, n_runs: int, temperature: float) -> Estimator:
    """Return an estimator by its name.

    Raises
    ------
    SimulationError
        If there is none of this name, or the temperature is not above 0.
    """
    check_estimator(name)
    if not temperature > 0:
        raise SimulationError(f"temperature={temperature:g}: it must be above 0.")
    return _MADE[name](n_runs, temperature)


def check_estimator(name: str) -> None:
    """Raise SimulationError if there is no estimator of this name."""
    if name not in ESTIMATORS:
        raise SimulationError(
            f"estimator={name!r}: it must be one of {', '.join(map(repr, ESTIMATORS))}."
        )
