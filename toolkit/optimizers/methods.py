"""Optimizers by the name of their method."""

from toolkit.errors import SweepError
from toolkit.optimizers.cmaes import CMAES
from toolkit.optimizers.differential_evolution import DifferentialEvolution
from toolkit.optimizers.generational import Floats, Generational, Optimizer, Rule
from toolkit.optimizers.random_search import RandomSearch
from toolkit.optimizers.sobol_search import SobolSearch
from toolkit.optimizers.steady import SteadyState
from toolkit.spaces.build import unknown

METHODS = ("cmaes", "differential_evolution", "random", "sobol")
ENDLESS = ("random", "sobol")  # end by their budget only
LEAST_POPULATION = 4
SCHEDULES = ("generation", "steady-state")
STEADY = ("cmaes", "differential_evolution")  # can do without generations


def make_optimizer(
    method: str,
    start: Floats,
    *,
    population: int | None = None,
    step_size: float | None = None,
    seed: int = 0,
    is_start_given: bool = True,
    schedule: str = "generation",
) -> Optimizer:
    """Return an optimizer over the unit cube.

    Parameters
    ----------
    method
        One of ``METHODS``.
    start
        Where the search begins, shape ``(n_dims,)``, from 0 to 1.
    population
        Points in a generation, None for the method's own number.
    step_size
        Standard deviation of the first generation, in unit coordinates; None for the method's own.
    seed
        Of its draws.
    is_start_given
        Whether the start is more than a place to begin at: differential evolution then draws its
        first generation around it.
    schedule
        One of ``SCHEDULES``.

    Raises
    ------
    SweepError
        If the method is not known, or has not this schedule.
    """
    check_method(method)
    check_schedule(method, schedule)
    rule: Rule
    if method == "cmaes":
        step = 0.3 if step_size is None else step_size
        rule = CMAES(start, step_size=step, population=population, seed=seed)
    elif method == "differential_evolution":
        if step_size is None and is_start_given:
            step_size = 0.3
        rule = DifferentialEvolution(start, step_size=step_size, population=population, seed=seed)
    elif method == "random":
        rule = RandomSearch(len(start), population=population or 16, seed=seed)
    else:
        rule = SobolSearch(len(start), population=population or 16, seed=seed)
    if schedule == "steady-state":
        assert isinstance(rule, CMAES | DifferentialEvolution), "checked above"
        return SteadyState(rule)
    return Generational(rule)


def check_schedule(method: str, schedule: str) -> None:
    """Raise a SweepError where a schedule is not known, or a method has it not."""
    if schedule not in SCHEDULES:
        raise SweepError(str(unknown("minimize: the schedule", schedule, SCHEDULES)))
    if schedule == "steady-state" and method not in STEADY:
        raise SweepError(
            f"schedule='steady-state' is there for {' and '.join(map(repr, STEADY))}, and not for "
            f"{method!r}. Choose one of these, or leave schedule= away."
        )


def check_method(method: str) -> None:
    """Raise a SweepError where a method is not known."""
    if method not in METHODS:
        raise SweepError(str(unknown("minimize: the method", method, METHODS)))
