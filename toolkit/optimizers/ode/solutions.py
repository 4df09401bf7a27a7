"""What engines return: one solution for each set of parameters, a lane."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError

Floats = npt.NDArray[np.float64]


class Ended(IntEnum):
    """How the integration of a lane ended."""

    DONE = 0
    MANY_STEPS = 1
    SMALL_STEP = 2
    NOT_FINITE = 3
    RAISED = 4


class IntegrationError(ToolkitError):
    """The equations could not be integrated at some parameters."""


@dataclass(frozen=True, kw_only=True)
class Solutions:
    """The lanes of one call.

    Attributes
    ----------
    squares
        Weighted squares of the residuals, summed over the times, shape ``(n, n_states)``; NaN
        where a lane failed.
    ended
        How each lane ended, values of :class:`Ended`, shape ``(n,)``.
    reached
        The time that each lane reached, shape ``(n,)``.
    steps
        Steps of each lane, rejected ones included, shape ``(n,)``; 0 where the engine does not say.
    values
        The states at the times of the data, shape ``(n, n_states, n_times)``, where asked for.
    messages
        What was raised, by lane.
    """

    squares: Floats
    ended: npt.NDArray[np.uint8]
    reached: Floats
    steps: npt.NDArray[np.int64]
    values: Floats | None = None
    messages: dict[int, str] = field(default_factory=dict)

    @property
    def is_failed(self) -> npt.NDArray[np.bool_]:
        """Which lanes have no solution, shape ``(n,)``."""
        return np.asarray(self.ended != Ended.DONE)

    def error(self, lane: int) -> IntegrationError | None:
        """Return why a lane has no solution, None where it has one."""
        ended, at = Ended(int(self.ended[lane])), float(self.reached[lane])
        if ended == Ended.DONE:
            return None
        if ended == Ended.MANY_STEPS:
            return IntegrationError(
                f"{int(self.steps[lane]):,} steps led to t={at:.6g} only. The equations may be "
                "stiff here: problem.check(x) compares engines; max_steps= allows more."
            )
        if ended == Ended.SMALL_STEP:
            return IntegrationError(
                f"The step became too small to go on at t={at:.6g}, as before a singularity."
            )
        if ended == Ended.NOT_FINITE:
            return IntegrationError(f"The right-hand side is not finite at t={at:.6g}.")
        return IntegrationError(self.messages.get(lane, "The integration failed."))


class Engine(Protocol):
    """Integrates many lanes."""

    name: str
    compile_seconds: float

    def solve(self, params: Floats, initial: Floats, *, keep: bool = False) -> Solutions:
        """Integrate lanes.

        Parameters
        ----------
        params
            Shape ``(n, n_parameters)``.
        initial
            Shape ``(n, n_states)``.
        keep
            Whether the states at the times of the data are wanted.
        """


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """How exactly to integrate: the error of a step, and how many steps at most."""

    rtol: float = 1e-6
    atol: float = 1e-8
    max_steps: int = 10_000
