"""Optimizers by the name of their method."""

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.optimizers.adam import Adam
from toolkit.optimizers.by_optuna import ByOptuna
from toolkit.optimizers.cmaes import CMAES
from toolkit.optimizers.differential_evolution import DifferentialEvolution
from toolkit.optimizers.generational import (
    Floats,
    Generational,
    GradientRule,
    Optimizer,
    Rule,
)
from toolkit.optimizers.lbfgs import LBFGS
from toolkit.optimizers.nelder_mead import NelderMead
from toolkit.optimizers.random_search import RandomSearch
from toolkit.optimizers.restarts import Restarted, cmaes_with
from toolkit.optimizers.sobol_search import SobolSearch
from toolkit.optimizers.steady import SteadyState
from toolkit.spaces.build import unknown

METHODS = (
    "cmaes",
    "separable_cmaes",
    "ipop_cmaes",
    "bipop_cmaes",
    "differential_evolution",
    "nelder_mead",
    "lbfgs",
    "adam",
    "tpe",
    "gp",
    "random",
    "sobol",
)
ENDLESS = ("tpe", "gp", "random", "sobol")  # end by their budget only
GRADIENT = ("lbfgs", "adam")
POINTWISE = ("nelder_mead", *GRADIENT)  # have no population
LEAST_POPULATION = 4
SCHEDULES = ("generation", "steady-state")
STEADY = ("cmaes", "separable_cmaes", "differential_evolution")  # can do without generations


def make_optimizer(
    method: str,
    start: Floats,
    *,
    population: int | None = None,
    step_size: float | None = None,
    seed: int = 0,
    is_start_given: bool = True,
    schedule: str = "generation",
    counts: npt.NDArray[np.int64] | None = None,
    is_ordered: npt.NDArray[np.bool_] | None = None,
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
    counts
        How many values each coordinate takes, shape ``(n_dims,)``, 0 where it is continuous; None
        for continuous ones only.
    is_ordered
        Which coordinates are of numbers rather than of choices, shape ``(n_dims,)``.

    Raises
    ------
    SweepError
        If the method is not known, has not this schedule, or needs a library that is not
        installed.
    """
    check_method(method)
    check_schedule(method, schedule)
    n_dims = len(start)
    step = 0.3 if step_size is None else step_size
    rule: Rule | GradientRule
    if method in ("cmaes", "separable_cmaes"):
        is_separable = method == "separable_cmaes"
        rule = CMAES(
            start,
            step_size=step,
            population=population,
            seed=seed,
            is_separable=is_separable,
            counts=counts,
        )
    elif method in ("ipop_cmaes", "bipop_cmaes"):
        rule = Restarted(
            cmaes_with(counts=counts),
            start,
            step_size=step,
            population=population,
            seed=seed,
            is_alternating=method == "bipop_cmaes",
        )
    elif method == "differential_evolution":
        if step_size is None and is_start_given:
            step_size = 0.3
        rule = DifferentialEvolution(start, step_size=step_size, population=population, seed=seed)
    elif method == "nelder_mead":
        rule = NelderMead(start, **_own(step_size))
    elif method == "lbfgs":
        rule = LBFGS(start, **_own(step_size))
    elif method == "adam":
        rule = Adam(start, **_own(step_size))
    elif method in ("tpe", "gp"):
        rule = ByOptuna(
            method,
            start,
            population=population or 4,
            seed=seed,
            counts=counts,
            is_ordered=is_ordered,
        )
    elif method == "random":
        rule = RandomSearch(n_dims, population=population or 16, seed=seed)
    else:
        rule = SobolSearch(n_dims, population=population or 16, seed=seed)
    if schedule == "steady-state":
        assert isinstance(rule, CMAES | DifferentialEvolution), "checked above"
        return SteadyState(rule)
    return Generational(rule)


def check_schedule(method: str, schedule: str) -> None:
    """Raise a SweepError where a schedule is not known, or a method has it not."""
    if schedule not in SCHEDULES:
        raise SweepError(str(unknown("minimize: the schedule", schedule, SCHEDULES)))
    if schedule == "steady-state" and method not in STEADY:
        *others, last = STEADY
        listed = ", ".join(map(repr, others))
        raise SweepError(
            f"schedule='steady-state' is there for {listed} and {last!r}, and not for "
            f"{method!r}. Choose one of these, or leave schedule= away."
        )


def check_method(method: str) -> None:
    """Raise a SweepError where a method is not known."""
    if method not in METHODS:
        raise SweepError(str(unknown("minimize: the method", method, METHODS)))


def _own(step_size: float | None) -> dict[str, float]:
    """Return the step as an option, none where the method's own is to be taken."""
    return {} if step_size is None else {"step_size": step_size}
