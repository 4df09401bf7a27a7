"""``tk.minimize``: the point at which a function is least, each evaluation a run of a sweep."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.searching import carry_out
from toolkit.spaces.space import Space
from toolkit.stages.stage import Stage
from toolkit.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.optimizers.minimum import Minimum


def minimize(
    objective: Callable[..., Any] | Stage,
    axes: Mapping[str, object],
    *,
    method: str = "cmaes",
    value: str | None = None,
    budget: int | None = None,
    population: int | None = None,
    step_size: float | None = None,
    constraints: Callable[..., Any] | None = None,
    start: Mapping[str, object] | None = None,
    starts: int = 1,
    seed: int = 0,
    frozen: Mapping[str, object] | None = None,
    store: str | Path | None = None,
    client: object = None,
    schedule: str = "generation",
    watch: "Callable[[xr.Dataset], object] | None" = None,
    progress: bool = True,
) -> "Minimum":
    """Find the point at which a function returns its least value.

    Evaluations run where they are soonest done: in this process, a generation at a time, as long
    as they are cheap, else as runs of a sweep on the workers that are there or on a cluster that is
    started. With a ``store`` each of them is kept as it happens, failures with their errors. The
    same call on the same store goes on where it was interrupted, over the same points as if it had
    not been, and with a larger ``budget`` it goes further.

    Parameters
    ----------
    objective
        A function, or a stage made with ``tk.stage``. Arguments are matched by name with the axes;
        ``tk.stage(f, vectorized=True)`` is called once for a generation, with arrays.
    axes
        By parameter ``(low, high)``, ``tk.log``, ``tk.logit``, ``tk.integers``, ``tk.choice``,
        ``tk.normal`` or a frozen distribution of scipy.stats; a scalar is a constant. What may
        differ by orders of magnitude is searched best with ``tk.log``.
    method
        ``"cmaes"``, ``"separable_cmaes"``, ``"ipop_cmaes"``, ``"bipop_cmaes"``,
        ``"differential_evolution"``, ``"nelder_mead"``, ``"tpe"``, ``"gp"``, ``"random"``,
        ``"sobol"``; with the gradients of an objective that computes with torch ``"lbfgs"`` and
        ``"adam"``. The guide "Choose an optimizer" says which when.
    value
        Name of the output to minimize, where there are several.
    budget
        Most evaluations of all starts together; None for 1,000 for each axis and start. Points
        that ``constraints`` does not allow are none.
    population
        Points in a generation, which may be evaluated at once.
    step_size
        Standard deviation of the first generation, as a share of each axis; where nothing is
        said 0.3, and by CMA-ES 0.05 around a ``start`` that is given.
    constraints
        Called with arrays, as ``Space.where`` calls it: points where it is false are not run, and
        count as failed. After 10,000 of them in a row the search ends.
    start
        Where to begin, by parameter; in the middle of axes that it does not name.
    starts
        How many searches to make side by side: the first from ``start``, the others from random
        points.
    seed
        The same seed gives the same search.
    frozen, store, client
        As for :class:`toolkit.Sweep` and its ``run``.
    schedule
        ``"generation"``: the next generation is drawn when all values of one are there.
        ``"steady-state"``: a population is under way at all times, and each value frees a place
        for a new point, so that no worker waits for the slowest. Which points are drawn then
        depends on the order of the values, which the store keeps.
    watch
        Called now and then with the history so far, such as
        ``lambda history: tk.plot.convergence(history)``.
    progress
        Show progress where evaluations are runs of a sweep.

    Returns
    -------
    Minimum
        With ``x`` (by parameter), ``value``, ``converged``, ``message``, ``evaluations`` and
        ``history``, a labelled Dataset.

    Raises
    ------
    ToolkitError
        If the description is wrong: an unknown method, bounds in the wrong order, a start outside
        of them, a budget below one generation, axes that the objective does not take.
    RunsFailedError
        If the objective fails wherever it is evaluated first.

    Examples
    --------
    >>> import toolkit as tk
    >>> def cost(x, y):
    ...     return (x - 1) ** 2 + 10 * (y + 2) ** 2
    >>> found = tk.minimize(cost, {"x": (-5, 5), "y": (-5, 5)})
    >>> round(found.x["x"], 4), round(found.x["y"], 4), found.converged
    (1.0, -2.0, True)
    """
    from toolkit.optimizers.gradients import with_gradients
    from toolkit.optimizers.methods import GRADIENT
    from toolkit.optimizers.minimizing import make_search, only_stage
    from toolkit.optimizers.minimum import minimum_of

    search = make_search(
        axes,
        method=method,
        budget=budget,
        population=population,
        step_size=step_size,
        constraints=constraints,
        start=start,
        starts=starts,
        seed=seed,
        schedule=schedule,
    )
    if method in GRADIENT:
        objective, value = with_gradients(objective, search.space.names, value, method)
    space = Space(dims=(search.first(), *search.space.constants))
    sweep = Sweep(objective, space, frozen=frozen, store=store, seed=int(seed))
    only_stage(sweep._prepared)
    carry_out(search, sweep, value, client, call="minimize()", progress=progress, watch=watch)
    return minimum_of(search)
