"""The engine ``"scipy"``: one lane after the other in plain Python, the reference."""

import warnings
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.solutions import Ended, Floats, Solutions, Tolerances
from toolkit.optimizers.ode.system import System

METHODS = {"lsoda": "LSODA", "rk45": "RK45", "dop853": "DOP853", "bdf": "BDF", "radau": "Radau"}


class ScipyEngine:
    """Solvers of scipy, a step at a time, so that their number has a limit.

    Parameters
    ----------
    system, observations, tolerances
        What is integrated.
    method
        One of ``METHODS``; LSODA changes between a method for stiff systems and one for others.

    Raises
    ------
    SweepError
        If the system is text.
    """

    compile_seconds = 0.0

    def __init__(
        self,
        system: System,
        observations: Observations,
        tolerances: Tolerances,
        method: str = "lsoda",
    ) -> None:
        if isinstance(system.rhs, str):
            raise SweepError("DiffSL text needs engine='diffsol'; scipy takes a Python function.")
        self.name = f"scipy:{method}"
        self._system, self._observations, self._tolerances = system, observations, tolerances
        self._method = METHODS[method]

    def solve(self, params: Floats, initial: Floats, *, keep: bool = False) -> Solutions:
        """Integrate lanes; shapes as :class:`toolkit.optimizers.ode.solutions.Engine` says."""
        n, n_states = initial.shape
        seen = self._observations
        found = Solutions(
            squares=np.full((n, n_states), np.nan),
            ended=np.zeros(n, np.uint8),
            reached=np.zeros(n),
            steps=np.zeros(n, np.int64),
            values=np.full((n, n_states, len(seen.times)), np.nan) if keep else None,
        )
        for lane in range(n):
            values = np.full((n_states, len(seen.times)), np.nan)
            try:
                why, at, steps = self._solve_one(params[lane].tolist(), initial[lane], values)
            except (ArithmeticError, ValueError) as error:
                why, at, steps = Ended.RAISED, np.nan, 0
                found.messages[lane] = f"rhs raised {type(error).__name__}: {error}"
            found.ended[lane], found.reached[lane], found.steps[lane] = why, at, steps
            if why == Ended.DONE:
                found.squares[lane] = (seen.weights * (seen.filled - values) ** 2).sum(axis=1)
            if found.values is not None:
                found.values[lane] = values
        return found

    def _solve_one(
        self, params: list[float], initial: Floats, values: Floats
    ) -> tuple[Ended, float, int]:
        import scipy.integrate

        times, own = self._observations.times, self._tolerances
        rhs, row = self._system.rhs, self._system.row(*params)
        assert callable(rhs)
        self._system.derivative(self._system.start_time, initial, params)

        def derivative(t: float, u: Floats) -> Any:
            return rhs(t, u, row)

        is_first = times <= self._system.start_time
        values[:, is_first] = initial[:, None]
        at, steps = int(is_first.sum()), 0
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            solver = getattr(scipy.integrate, self._method)(
                derivative,
                *(self._system.start_time, initial, times[-1]),
                rtol=own.rtol,
                atol=own.atol,
            )
            while at < len(times):
                if steps >= own.max_steps:
                    return Ended.MANY_STEPS, float(solver.t), steps
                solver.step()
                steps += 1
                if not np.isfinite(solver.y).all():
                    return Ended.NOT_FINITE, float(solver.t), steps
                if solver.status == "failed":
                    return Ended.SMALL_STEP, float(solver.t), steps
                until = int(np.searchsorted(times, solver.t, side="right"))
                if until > at:
                    values[:, at:until] = solver.dense_output()(times[at:until])
                    at = until
        return Ended.DONE, float(times[-1]), steps
