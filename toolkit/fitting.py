"""``tk.minimize``: the point at which a function is least, each evaluation a run of a sweep."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InterruptedSweepError
from toolkit.spaces.space import Space
from toolkit.stages.stage import Stage
from toolkit.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.execution.start import Start
    from toolkit.optimizers.minimum import Minimum
    from toolkit.optimizers.search import Search, SearchSource

_RESUME = "Call minimize() again with the same arguments to go on."
_NO_STORE = "Give it a store= to be able to go on."


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
        ``"cmaes"``, ``"differential_evolution"``, ``"random"`` or ``"sobol"``.
    value
        Name of the output to minimize, where there are several.
    budget
        Most evaluations of all starts together; None for 1,000 for each axis and start. Points
        that ``constraints`` does not allow are none.
    population
        Points in a generation, which may be evaluated at once.
    step_size
        Standard deviation of the first generation, as a share of each axis; 0.3 where nothing is
        said.
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
    space = Space(dims=(search.first(), *search.space.constants))
    sweep = Sweep(objective, space, frozen=frozen, store=store, seed=int(seed))
    only_stage(sweep._prepared)
    _go(search, sweep, value, client, progress=progress, watch=watch)
    return minimum_of(search)


def _go(
    search: "Search",
    sweep: Sweep,
    value: str | None,
    client: object,
    *,
    progress: bool,
    watch: "Callable[[xr.Dataset], object] | None",
) -> None:
    """Evaluate until a search has ended: here, by workers, or first here and then there."""
    from toolkit.execution.clients import resolve_client
    from toolkit.optimizers.evaluating import may_run_here
    from toolkit.optimizers.placing import cores, should_leave
    from toolkit.optimizers.watching import Watch
    from toolkit.stages.current import current_run

    (stage,) = sweep._prepared.stages
    is_inside_run = current_run().id >= 0
    after = Watch(search, watch)
    _replay(search, sweep, value)
    may_here = may_run_here(stage)
    workers, close = (None, _nothing) if search.left == 0 else resolve_client(client)
    try:
        if may_here:
            if workers is None:
                own = partial(should_leave, workers=cores(), together=search.together)
                where = (lambda *_: False) if is_inside_run else own
                if _here(search, sweep, value, where, after):
                    return
                is_enough = _never
            else:  # the first generation shows whether they pay
                n = sum(each["nthreads"] for each in workers.scheduler_info()["workers"].values())
                where = partial(
                    should_leave,
                    workers=n or search.together,
                    together=search.together,
                    start_up=0.0,
                )
                is_enough = partial(_not, where)
            source = _by_workers(search, sweep, value, workers, progress, after, is_enough)
            if not source.has_ended_early:
                return
            if source.was_slow:
                where = partial(should_leave, workers=1, together=1)
            if _here(search, sweep, value, where, after):
                return
        _by_workers(search, sweep, value, workers, progress, after)
    finally:
        close()
        after.finish()


def _replay(search: "Search", sweep: Sweep, value: str | None) -> None:
    """Tell a search what the store holds of it."""
    from toolkit.optimizers.stored_search import StoredSearch

    (stage,) = sweep._prepared.stages
    runs = sweep._results.look(stage.name)
    if runs is not None:
        StoredSearch(runs, stage.space, value, stage.defaults).replay(search)


def _here(
    search: "Search",
    sweep: Sweep,
    value: str | None,
    should_leave: Callable[[float, int], bool],
    after: Callable[[], None],
) -> bool:
    """Evaluate in this process; return whether the search has ended."""
    from toolkit.execution.ledger import Ledger
    from toolkit.optimizers.evaluating import evaluate_here

    (stage,) = sweep._prepared.stages
    go = partial(
        evaluate_here, search, stage, stage.space, value, should_leave=should_leave, after=after
    )
    if sweep.store is None:
        return go()
    try:
        with Ledger(_start(search, sweep, value), runs_to_come=search.left) as ledger:
            return go(keeper=ledger)
    except KeyboardInterrupt:
        raise InterruptedSweepError(
            f"Interrupted after {search.n_evaluated:,} evaluations, which are stored. {_RESUME}"
        ) from None


def _by_workers(
    search: "Search",
    sweep: Sweep,
    value: str | None,
    client: object,
    progress: bool,
    after: Callable[[], None],
    is_enough: Callable[[float, int], bool] | None = None,
) -> "SearchSource":
    """Evaluate as runs of a sweep; return what says whether the rest is better made here."""
    from toolkit.execution.session import run_here
    from toolkit.optimizers.search import SearchSource
    from toolkit.views.progress import shown

    (stage,) = sweep._prepared.stages
    source = SearchSource(search, stage.space, value, is_enough=is_enough, after=after)
    job = sweep._job_of(_start(search, sweep, value, client=client, source=source))
    with shown(job, enabled=progress):
        run_here(job, how_to_resume=_RESUME if sweep.store else _NO_STORE)
    return source


def _start(
    search: "Search",
    sweep: Sweep,
    value: str | None,
    *,
    client: object = None,
    source: "SearchSource | None" = None,
) -> "Start":
    from toolkit.execution.work import Policy
    from toolkit.optimizers.placing import cores, worth_a_cluster
    from toolkit.optimizers.search import SearchSource
    from toolkit.stages.current import current_run

    (stage,) = sweep._prepared.stages
    alone = current_run().id >= 0
    seconds = math.inf if alone else worth_a_cluster(cores(), search.together)
    policy = Policy(order="given", in_process_seconds=seconds)
    source = source or SearchSource(search, stage.space, value)
    return sweep._start(client, (), policy, source=source)


def _nothing() -> None:
    return None


def _never(_seconds: float, _left: int) -> bool:
    return False


def _not(where: Callable[[float, int], bool], seconds: float, left: int) -> bool:
    return not where(seconds, left)
