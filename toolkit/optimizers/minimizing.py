"""``tk.minimize``: its arguments checked, its search made."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.gradients import check_real
from toolkit.optimizers.methods import (
    ENDLESS,
    GRADIENT,
    LEAST_POPULATION,
    POINTWISE,
    check_method,
    check_schedule,
    make_optimizer,
)
from toolkit.optimizers.search import Search
from toolkit.optimizers.search_space import SearchSpace
from toolkit.stages.preparing import Prepared, PreparedStage

_BUDGET_PER_AXIS = 1000
_STEP = 0.3  # of the range of each axis
_STEP_AROUND = 0.05  # a start that is given: steps grow soon, and large ones leave it for good


def make_search(
    axes: object,
    *,
    method: str,
    budget: int | None,
    population: int | None,
    step_size: float | None,
    constraints: Callable[..., Any] | None,
    start: Mapping[str, object] | None,
    starts: int,
    seed: int,
    schedule: str = "generation",
) -> Search:
    """Return a search that has not begun; see :func:`toolkit.minimize` for what is taken.

    Raises
    ------
    SpaceError, SweepError
        If the description is wrong.
    """
    check_method(method)
    check_schedule(method, schedule)
    space = SearchSpace.of(axes, constraints)
    if method in GRADIENT:
        check_real(space, f"method={method!r}")
    n_starts = _count("starts", starts, 1)
    size = None if population is None else _count("population", population, LEAST_POPULATION)
    if size is not None and method in POINTWISE:
        raise SweepError(
            f"population= says nothing to method={method!r}, which goes from point to point. "
            f"Let several searches go side by side: starts={size}."
        )
    if step_size is not None and (
        isinstance(step_size, bool) or not isinstance(step_size, int | float) or not step_size > 0
    ):
        raise SweepError(
            f"step_size={step_size!r} must be a number above 0: the standard deviation of the "
            f"first generation as a share of each axis, {_STEP} where you do not say, "
            f"{_STEP_AROUND} around a start= by CMA-ES."
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SweepError(f"seed={seed!r} must be a whole number of at least 0.")
    if start is not None and not isinstance(start, Mapping):
        raise SweepError(f"start={start!r} must be a mapping of parameters to values.")
    if budget is None and method in ENDLESS:
        raise SweepError(f"method={method!r} never ends by itself. Say how far it goes: budget=….")
    first = space.position(start or {})
    rng = np.random.default_rng([int(seed), 1])
    places = [first, *rng.random((n_starts - 1, len(first)))]
    optimizers = [
        make_optimizer(
            method,
            place,
            population=size,
            step_size=_around(method, step_size, is_given=bool(start) and number == 0),
            seed=_seed(int(seed), number),
            is_start_given=bool(start) and number == 0,
            schedule=schedule,
            counts=space.counts,
            is_ordered=space.is_ordered,
        )
        for number, place in enumerate(places)
    ]
    per_start = optimizers[0].population
    given = n_starts * _BUDGET_PER_AXIS * len(first) if budget is None else budget
    total = _count("budget", given, 1)
    if total < n_starts * per_start:
        raise SweepError(
            f"budget={total} is less than one generation of {per_start} points for "
            f"{n_starts} start{'s' * (n_starts > 1)}. Give at least {n_starts * per_start}, or a "
            "smaller population=."
        )
    return Search(space, optimizers, total)


def only_stage(prepared: Prepared) -> PreparedStage:
    """Return the stage of an objective.

    Raises
    ------
    SweepError
        If there are several, or it takes a dim whole.
    """
    if len(prepared.stages) > 1:
        names = ", ".join(repr(each.name) for each in prepared.stages)
        raise SweepError(
            f"minimize takes one function, and was given {names}. Give one that calls the others."
        )
    return prepared.stages[0]


def _around(method: str, step_size: float | None, *, is_given: bool) -> float | None:
    """Return the step of one start, None for the method's own."""
    adapts = "cmaes" in method
    return _STEP_AROUND if step_size is None and is_given and adapts else step_size


def _seed(seed: int, number: int) -> int:
    """Return the seed of one start; that of the first is the seed itself."""
    if number == 0:
        return seed
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def _count(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SweepError(f"{name}={value!r} must be a whole number of at least {least}.")
    return int(value)
