"""What is done against an epidemic."""

from dataclasses import dataclass

from toolkit.errors import SimulationError


@dataclass(frozen=True, kw_only=True)
class Vaccination:
    """Vaccinates agents in random order; who is not susceptible any more gains nothing.

    Parameters
    ----------
    start
        The first step.
    per_step
        Share of all agents that is vaccinated in a step, above 0 and at most 1.
    efficacy
        By what share the probability of infection falls, from 0 to 1.
    coverage
        Share of all agents that is vaccinated in the end, from 0 to 1.
    """

    start: int = 0
    per_step: float
    efficacy: float
    coverage: float = 1.0

    def __post_init__(self) -> None:
        _check_step("start", self.start)
        _check_share("per_step", self.per_step, above=0.0)
        _check_share("efficacy", self.efficacy)
        _check_share("coverage", self.coverage)


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """Finds infectious agents by tests and isolates them: they infect nobody from that step on.

    All are found with one probability. Where it depends on what an agent knows, pass an
    :class:`~toolkit.simulation.policies.IsolationPolicy` in its place.

    Parameters
    ----------
    detection
        Probability with which an infectious agent is found in a step, from 0 to 1.
    start
        The first step.
    """

    detection: float
    start: int = 0

    def __post_init__(self) -> None:
        _check_step("start", self.start)
        _check_share("detection", self.detection)


def _check_step(name: str, given: int) -> None:
    if given < 0:
        raise SimulationError(f"{name}={given}: give a step, from 0 on.")


def _check_share(name: str, given: float, above: float = -1.0) -> None:
    if not (above < given <= 1 and given >= 0):
        least = "above 0" if above == 0 else "from 0"
        raise SimulationError(f"{name}={given:g}: it must be {least} to 1.")
