"""``tk.minimize``: the point at which a function is least, each evaluation a run of a sweep."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.spaces.space import Space
from toolkit.stages.stage import Stage
from toolkit.sweep import Sweep

if TYPE_CHECKING:
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
    progress: bool = True,
) -> "Minimum":
    """Find the point at which a function returns its least value.

    With a ``store``, and where one evaluation takes longer than about a millisecond, evaluations
    are runs of a sweep: on any cluster, with errors recorded and every result kept. The same call
    on the same store goes on where it was interrupted, over the same points as if it had not been,
    and with a larger ``budget`` it goes further. Without a store, cheap evaluations run in this
    process, a generation at a time.

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
        Most evaluations of all starts together; None for 1,000 for each axis and start.
    population
        Points in a generation, which may be evaluated at once.
    step_size
        Standard deviation of the first generation, as a share of each axis; 0.3 where nothing is
        said.
    constraints
        Called with arrays, as ``Space.where`` calls it: points where it is false are not run, and
        count as failed. They count toward the budget.
    start
        Where to begin, by parameter; in the middle of axes that it does not name.
    starts
        How many searches to make side by side: the first from ``start``, the others from random
        points.
    seed
        The same seed gives the same search.
    frozen, store, client
        As for :class:`toolkit.Sweep` and its ``run``.
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
    from toolkit.execution.clients import resolve_client
    from toolkit.execution.session import run_here
    from toolkit.optimizers.evaluating import evaluate_here, may_run_here
    from toolkit.optimizers.gradients import with_gradients
    from toolkit.optimizers.methods import GRADIENT
    from toolkit.optimizers.minimizing import make_search, only_stage
    from toolkit.optimizers.minimum import minimum_of
    from toolkit.optimizers.search import SearchSource
    from toolkit.views.progress import shown

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
    )
    if method in GRADIENT:
        objective, value = with_gradients(objective, search.space.names, value, method)
    space = Space(dims=(search.first(), *search.space.constants))
    sweep = Sweep(objective, space, frozen=frozen, store=store, seed=int(seed))
    stage = only_stage(sweep._prepared)
    is_alone = store is None and client is None and resolve_client(None)[0] is None
    if is_alone and may_run_here(stage) and evaluate_here(search, stage, stage.space, value):
        return minimum_of(search)
    source = SearchSource(search, stage.space, value)
    job = sweep._job(client, (), "given", None, None, False, "WARNING", source=source)
    resume = "Call minimize() again with the same arguments to go on."
    with shown(job, enabled=progress):
        run_here(job, how_to_resume=resume if store else "Give it a store= to be able to go on.")
    return minimum_of(search)
