"""Engines by name."""

import warnings

from toolkit.errors import SweepError
from toolkit.optimizers.ode import diffsol_engine, scipy_engine
from toolkit.optimizers.ode.diffsol_engine import DiffsolEngine
from toolkit.optimizers.ode.numba_engine import NotCompiledError, NumbaEngine
from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.scipy_engine import ScipyEngine
from toolkit.optimizers.ode.solutions import Engine, Tolerances
from toolkit.optimizers.ode.system import System
from toolkit.optimizers.ode.torch_engine import TorchEngine
from toolkit.spaces.build import unknown

ENGINES = (
    "auto",
    "numba",
    "torch",
    "scipy",
    *(f"scipy:{method}" for method in scipy_engine.METHODS),
    "diffsol",
    *(f"diffsol:{method}" for method in diffsol_engine.METHODS),
)
SLOWER = "several hundred times"  # scipy than compiled lanes, for a few states: tests/benchmarks


def check_engine(name: object) -> str:
    """Return the name of an engine; raise a SweepError where there is none of this name."""
    if name not in ENGINES:
        raise SweepError(str(unknown("engine: the name", name, ENGINES)))
    return str(name)


def make_engine(
    name: str,
    system: System,
    observations: Observations,
    tolerances: Tolerances,
    threads: int | None = None,
) -> Engine:
    """Return an engine by name.

    ``"auto"`` compiles a function with numba; where that is not possible scipy is taken, with a
    warning. DiffSL text is for pydiffsol.

    Raises
    ------
    SweepError
        If the engine is not installed, or cannot take the right-hand side.
    """
    kind, _, method = name.partition(":")
    given = system, observations, tolerances
    if kind == "auto":
        if isinstance(system.rhs, str):
            return DiffsolEngine(*given)
        try:
            return NumbaEngine(*given, threads)
        except NotCompiledError as error:
            warnings.warn(
                f"rhs is integrated by scipy, which takes {SLOWER} as long as compiled code, "
                f"because it was not compiled: {error}",
                stacklevel=2,
            )
            return ScipyEngine(*given)
    if kind == "numba":
        if isinstance(system.rhs, str):
            raise SweepError("DiffSL text needs engine='diffsol'; numba takes a Python function.")
        try:
            return NumbaEngine(*given, threads)
        except NotCompiledError as error:
            raise SweepError(
                f"engine='numba' cannot compile rhs: {error}. Write it with arithmetic and "
                "functions of math or numpy, or take engine='scipy'."
            ) from error
    if kind == "torch":
        return TorchEngine(*given)
    if kind == "diffsol":
        return DiffsolEngine(*given, method or "bdf")
    return ScipyEngine(*given, method or "lsoda")
