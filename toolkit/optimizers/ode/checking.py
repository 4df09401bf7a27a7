"""Engines compared at a point: how exact, how fast, is it stiff, and how were the data made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.methods import make_optimizer
from toolkit.optimizers.ode.experiment import Experiment
from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.solutions import Floats, Tolerances

if TYPE_CHECKING:
    import pandas as pd

_CANDIDATES = ("numba", "diffsol:bdf", "diffsol:tsit45", "scipy:lsoda")
_SUSPECT = 0.8  # of the sum of squares: less, by a solver that is less exact, is no chance
_STIFF = 4.0  # times as many steps by an explicit method as by an implicit one
_LEAST_ROUNDS, _SECONDS = 2, 0.1
_LOOSE = Tolerances(rtol=1e-3, atol=1e-6)  # what solve_ivp takes where nothing is said
_NEAR, _GENERATIONS = 0.25, 80  # how far around a point, as a share, and how long a fit is sought
_EXACT = Tolerances(rtol=1e-10, atol=1e-12, max_steps=1_000_000)


@dataclass(frozen=True, kw_only=True)
class EngineCheck:
    """What was found at a point.

    Attributes
    ----------
    table
        A row for each engine: seconds of an evaluation, error relative to the largest value of a
        state, error of the sum of squares, and what went wrong.
    stiffness
        Steps of an explicit method for each step of an implicit one; inf where the explicit one
        gave up. Some thousandths to 1 for problems that are not stiff.
    is_stiff
        Whether an implicit method should be taken.
    recommended
        The engine to take: the fastest whose error is small.
    squares
        The least sum of squares near the point, ``"own"`` by the problem's tolerances, and
        ``"loose"`` by those that ``solve_ivp`` has where nothing is said; empty without numba.
    messages
        What to do, in words.
    """

    table: "pd.DataFrame" = field(repr=False)
    stiffness: float
    is_stiff: bool
    recommended: str
    squares: Mapping[str, float]
    messages: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join([self.table.to_string(), *self.messages])


def check_engines(experiments: Sequence[Experiment], named: Mapping[str, Floats]) -> EngineCheck:
    """Compare engines at a point, over all data sets.

    Raises
    ------
    SweepError
        If the equations are DiffSL text, or have no solution there.
    """
    import pandas as pd

    if any(isinstance(each.system.rhs, str) for each in experiments):
        raise SweepError("check() compares engines for a Python rhs; DiffSL text has one only.")
    exact = [_reference(each, named, _EXACT, "scipy:lsoda") for each in experiments]
    explicit = [_steps(each, named, "scipy:rk45") for each in experiments]
    implicit = [_steps(each, named, "scipy:bdf") for each in experiments]
    stiffness = float(sum(explicit) / max(sum(implicit), 1.0))
    rows = {}
    for name in _CANDIDATES:
        rows[name] = _row(experiments, named, name, exact)
    table = pd.DataFrame.from_dict(rows, orient="index")
    is_stiff = stiffness > _STIFF
    fit = table[table.problem == ""]
    allowed = [
        name
        for name in fit.index
        if fit.error[name] < 1000 * max(experiments[0].tolerances.rtol, 1e-8)
        and not (is_stiff and name in ("numba", "diffsol:tsit45"))
    ]
    fastest = sorted(allowed or list(fit.index), key=lambda name: float(fit.seconds[name]))
    recommended = fastest[0] if fastest else "scipy:lsoda"
    squares = {}
    if table.problem["numba"] == "":
        squares = {
            "own": _refitted(experiments, named, experiments[0].tolerances),
            "loose": _refitted(experiments, named, _LOOSE),
        }
    return EngineCheck(
        table=table,
        stiffness=stiffness,
        is_stiff=is_stiff,
        recommended=recommended,
        squares=squares,
        messages=tuple(_said(stiffness, is_stiff, recommended, squares, table)),
    )


def _reference(
    experiment: Experiment, named: Mapping[str, Floats], tolerances: Tolerances, engine: str
) -> Floats:
    own = replace(experiment, engine_name=engine, tolerances=tolerances)
    found = own.solve(named, keep=True)
    if (error := found.error(0)) is not None:
        raise SweepError(f"The equations have no solution at this point: {error}") from error
    assert found.values is not None
    return np.asarray(found.values[0])


def _steps(experiment: Experiment, named: Mapping[str, Floats], engine: str) -> float:
    most = Tolerances(
        rtol=experiment.tolerances.rtol, atol=experiment.tolerances.atol, max_steps=5_000
    )
    found = replace(experiment, engine_name=engine, tolerances=most).solve(named, keep=False)
    return np.inf if found.is_failed[0] else float(found.steps[0])


def _squares(experiment: Experiment, values: Floats) -> float:
    seen: Observations = experiment.observations
    weights = seen.weights
    if experiment.noise is not None:
        weights = weights / experiment.noise.deviations**2
    return float((weights * (seen.filled - values) ** 2).sum())


def _refitted(
    experiments: Sequence[Experiment], named: Mapping[str, Floats], tolerances: Tolerances
) -> float:
    """Return the least sum of squares near a point by a solver with other tolerances."""
    own = [replace(each, engine_name="numba", tolerances=tolerances) for each in experiments]
    middle = np.array([each[0] for each in named.values()])
    reach = np.where(middle == 0, 0.1, np.abs(middle)) * _NEAR
    search = make_optimizer("cmaes", np.full(len(middle), 0.5), population=16, step_size=0.1)
    best = np.inf
    for _ in range(_GENERATIONS):
        asked = search.ask(search.population)
        if not len(asked.ids):
            break
        points = middle + (2 * asked.points - 1) * reach
        many = dict(zip(named, points.T, strict=True))
        values = np.zeros(len(points))
        for each in own:
            values += each.solve(many, keep=False).squares.sum(axis=1)
        search.tell(asked.ids, values)
        best = min(best, float(np.nanmin(np.append(values, np.inf))))
    return best


def _row(
    experiments: Sequence[Experiment],
    named: Mapping[str, Floats],
    name: str,
    exact: Sequence[Floats],
) -> dict[str, object]:
    seconds, error, off, total, problem = 0.0, 0.0, 0.0, 0.0, ""
    for each, reference in zip(experiments, exact, strict=True):
        own = replace(each, engine_name=name)
        if name == each.engine.name:
            own = each
        try:
            found = own.solve(named, keep=True)
            problem = problem or str(found.error(0) or "")
        except SweepError as raised:
            problem = problem or str(raised).partition(":")[0]
            break
        if problem:
            break
        assert found.values is not None
        scale = np.abs(reference).max(axis=1, keepdims=True)
        gap = np.abs(found.values[0] - reference) / np.where(scale > 0, scale, 1.0)
        error = max(error, float(gap.max()))
        off += abs(_squares(each, found.values[0]) - _squares(each, reference))
        total += _squares(each, reference)
        seconds += _timed(own, named)
    return {
        "seconds": seconds if not problem else np.nan,
        "error": error if not problem else np.nan,
        "cost_error": off / total if total and not problem else np.nan,
        "problem": problem,
    }


def _timed(experiment: Experiment, named: Mapping[str, Floats]) -> float:
    """Return the least CPU seconds of one evaluation, many points at once."""
    began, rounds, best = time.process_time(), 0, np.inf
    n = 8
    many = {name: np.repeat(each[:1], n) for name, each in named.items()}
    while rounds < _LEAST_ROUNDS or time.process_time() - began < _SECONDS:
        if rounds and time.process_time() - began > 20 * _SECONDS:
            break
        start = time.process_time()
        experiment.solve(many, keep=False)
        best = min(best, (time.process_time() - start) / n)
        rounds += 1
    return float(best)


def _said(
    stiffness: float,
    is_stiff: bool,
    recommended: str,
    squares: Mapping[str, float],
    table: "pd.DataFrame",
) -> list[str]:
    how = "gave up" if np.isinf(stiffness) else f"takes {stiffness:.2g} times the steps"
    said = [
        f"{'Stiff' if is_stiff else 'Not stiff'}: an explicit method {how} of an implicit one.",
        f"Take engine={recommended!r}.",
    ]
    own, loose = squares.get("own", 0.0), squares.get("loose", 0.0)
    if loose < _SUSPECT * own:
        said.append(
            f"Near here the least sum of squares is {own:.4g}, and {loose:.4g} with a solver at "
            "rtol=1e-3, which is what scipy's solve_ivp takes where nothing is said: the data look "
            "as if they were made so. A fit then finds parameters that make up for errors of that "
            "solver. Make the data again at rtol=1e-8."
        )
    if is_stiff and "diffsol:bdf" in table.index and table.problem["diffsol:bdf"]:
        said.append(
            "For stiff systems install pydiffsol: "
            "uv pip install 'parallel-analysis-toolkit[diffsol]'."
        )
    return said
