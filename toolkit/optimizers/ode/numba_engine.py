"""The engine ``"numba"``: the right-hand side compiled into a loop over lanes."""

import dis
import itertools
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.solutions import Floats, Solutions, Tolerances
from toolkit.optimizers.ode.system import System
from toolkit.stages.code import code_hash
from toolkit.stages.current import current_run

_MOST_UNROLLED = 16  # states, above which the right-hand side gets an array and no tuple
_LEAST_LANES = 8  # in a thread


class NotCompiledError(Exception):
    """Numba is not there, or cannot compile the right-hand side."""


class NumbaEngine:
    """Dormand and Prince's method 5(4) with steps of each lane's own.

    Where numba is told to keep what it compiles, it does so by the hash of the right-hand side and
    of the user's own functions and constants in it.

    Parameters
    ----------
    system, observations, tolerances
        What is integrated.
    threads
        How many work on the lanes; None for as many as the run may use, 1 outside of sweeps.

    Raises
    ------
    NotCompiledError
        If the right-hand side cannot be compiled.
    """

    name = "numba"

    def __init__(
        self,
        system: System,
        observations: Observations,
        tolerances: Tolerances,
        threads: int | None = None,
    ) -> None:
        self._threads = threads
        self._start, self._tolerances = system.start_time, tolerances
        self._times, self._weights = observations.times, observations.weights
        self._data = observations.filled
        began = time.perf_counter()
        self._integrate = _compiled(system)
        self.compile_seconds = time.perf_counter() - began

    def solve(self, params: Floats, initial: Floats, *, keep: bool = False) -> Solutions:
        """Integrate lanes; shapes as :class:`toolkit.optimizers.ode.solutions.Engine` says."""
        n, n_states = initial.shape
        found = Solutions(
            squares=np.empty((n, n_states)),
            ended=np.zeros(n, np.uint8),
            reached=np.empty(n),
            steps=np.zeros(n, np.int64),
            values=np.empty((n if keep else 0, n_states, len(self._times))),
        )

        def part(first: int, last: int) -> None:
            own = self._tolerances
            self._integrate(
                *(np.ascontiguousarray(params), np.ascontiguousarray(initial), self._start),
                *(self._times, self._data, self._weights),
                *(own.rtol, own.atol, own.max_steps, first, last),
                *(found.squares, found.values, found.ended, found.reached, found.steps),
            )

        threads = min(self._threads or current_run().threads, n // _LEAST_LANES)
        if threads < 2:
            part(0, n)
        else:
            pieces = np.linspace(0, n, 4 * threads + 1).astype(int).tolist()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, pieces[:-1], pieces[1:]))
        return found


def _compiled(system: System) -> Callable[..., None]:
    try:
        from numba.core.errors import NumbaError

        from toolkit.optimizers.ode.compiling import compiled_lanes
    except (ImportError, RuntimeError) as error:
        raise NotCompiledError(
            f"numba cannot be imported ({error}); uv pip install 'parallel-analysis-toolkit[fast]'"
        ) from error
    key = code_hash(system.rhs).token
    wrong: Exception | None = None
    for is_unrolled in (True, False):
        if is_unrolled and len(system.states) > _MOST_UNROLLED:
            continue
        try:
            return compiled_lanes(
                returning_tuples(system.rhs),
                system.parameters,
                len(system.states),
                key,
                is_unrolled,
            )
        except (NumbaError, NotImplementedError, AssertionError, TypeError) as error:
            wrong = wrong or error
    raise NotCompiledError(_first_lines(wrong)) from wrong


def returning_tuples(rhs: Any) -> Any:
    """Return a function that returns a tuple where this one returns a list that it has just made.

    Compiled code makes a list in memory of its own for each call, and a tuple in registers.

    Examples
    --------
    >>> returning_tuples(lambda t, u, p: [u[1], -u[0]])(0.0, (1.0, 2.0), ())
    (2.0, -1.0)
    """
    if not isinstance(rhs, types.FunctionType):
        return rhs
    code, steps = rhs.__code__, list(dis.get_instructions(rhs))
    words = bytearray(code.co_code)
    for made, after in itertools.pairwise(steps):
        if made.opname == "BUILD_LIST" and after.opname == "RETURN_VALUE":
            words[made.offset] = dis.opmap["BUILD_TUPLE"]
    found = types.FunctionType(
        code.replace(co_code=bytes(words)),
        rhs.__globals__,
        rhs.__name__,
        rhs.__defaults__,
        rhs.__closure__,
    )
    found.__kwdefaults__ = rhs.__kwdefaults__
    return found


def _first_lines(error: Exception | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:300]
