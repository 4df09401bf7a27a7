"""Points to run next, chosen by what is known so far."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.optimizers.ode.problem import ODEProblem

__all__ = ["ODEProblem"]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name != "ODEProblem":
        raise AttributeError(f"module 'toolkit.optimizers' has no attribute {name!r}")
    from toolkit.optimizers.ode.problem import ODEProblem

    return ODEProblem
