"""The compiled loops, where numba is installed."""

from functools import cache
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """Return :mod:`toolkit.simulation.kernels`, None where it cannot be had.

    Numba keeps what it has compiled beside the package, or in the user's cache; where it can write
    to neither, nothing is compiled.
    """
    try:
        from toolkit.simulation import kernels as found
    except (ImportError, RuntimeError):
        return None
    return found
