"""The engine ``"diffsol"``: implicit methods for stiff systems, compiled by pydiffsol."""

import time
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.solutions import Ended, Floats, Solutions, Tolerances
from toolkit.optimizers.ode.system import System
from toolkit.optimizers.ode.tracing import NotTracedError, diffsl_of

METHODS = ("bdf", "esdirk34", "tr_bdf2", "tsit45")


class DiffsolEngine:
    """Solvers of pydiffsol, one lane after the other.

    A Python function is written down as DiffSL text, from which derivatives are exact. How many
    steps a lane took is not told, and has no limit.

    Parameters
    ----------
    system, observations, tolerances
        What is integrated.
    method
        One of ``METHODS``.

    Raises
    ------
    SweepError
        If pydiffsol is not installed, or the system cannot be compiled.
    """

    def __init__(
        self,
        system: System,
        observations: Observations,
        tolerances: Tolerances,
        method: str = "bdf",
    ) -> None:
        self.name = f"diffsol:{method}"
        self._observations, self._n_states = observations, len(system.states)
        began = time.perf_counter()
        self._ode = _compiled(system, method)
        self.compile_seconds = time.perf_counter() - began
        self._ode.rtol, self._ode.atol = tolerances.rtol, tolerances.atol
        self._ode.t0 = system.start_time

    def solve(self, params: Floats, initial: Floats, *, keep: bool = False) -> Solutions:
        """Integrate lanes; shapes as :class:`toolkit.optimizers.ode.solutions.Engine` says.

        The initial values are those of the compiled text.
        """
        del initial
        n, seen = len(params), self._observations
        shape = (self._n_states, len(seen.times))
        filled = seen.filled
        found = Solutions(
            squares=np.full((n, self._n_states), np.nan),
            ended=np.zeros(n, np.uint8),
            reached=np.full(n, seen.times[-1]),
            steps=np.zeros(n, np.int64),
            values=np.full((n, *shape), np.nan) if keep else None,
        )
        for lane in range(n):
            try:
                values = np.asarray(self._ode.solve_dense(params[lane], seen.times).ys)
            except RuntimeError as error:
                found.ended[lane], found.reached[lane] = Ended.RAISED, np.nan
                found.messages[lane] = f"diffsol: {error}"
                continue
            if values.shape != shape or not np.isfinite(values).all():
                found.ended[lane] = Ended.NOT_FINITE
                continue
            found.squares[lane] = (seen.weights * (filled - values) ** 2).sum(axis=1)
            if found.values is not None:
                found.values[lane] = values
        return found


def _compiled(system: System, method: str) -> Any:
    try:
        import pydiffsol
    except ImportError:
        raise SweepError(
            "engine='diffsol' needs pydiffsol: uv pip install 'parallel-analysis-toolkit[diffsol]'."
        ) from None
    if isinstance(system.rhs, str):
        text = system.rhs
    else:
        try:
            text = diffsl_of(system)
        except NotTracedError as error:
            raise SweepError(
                f"engine='diffsol' writes rhs down by calling it once with symbols, and it has "
                f"{error}. Use arithmetic and functions of numpy, or give DiffSL text."
            ) from error
    try:
        ode = pydiffsol.Ode(
            text,
            matrix_type=pydiffsol.nalgebra_dense,
            ode_solver=getattr(pydiffsol, method),
        )
    except RuntimeError as error:
        raise SweepError(f"diffsol cannot compile the equations: {error}") from error
    if ode.nparams != len(system.parameters):
        raise SweepError(
            f"The DiffSL text has {ode.nparams} inputs, and parameters= names "
            f"{len(system.parameters)}: {', '.join(system.parameters)}."
        )
    shown = ode.nout or ode.nstates
    if shown != len(system.states):
        raise SweepError(
            f"The DiffSL text has {shown} states or outputs, and the data {len(system.states)}."
        )
    return ode
