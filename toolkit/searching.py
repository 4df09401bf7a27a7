"""Carries a search out: in this process, on workers, or first here and then there."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from toolkit.errors import InterruptedSweepError
from toolkit.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.execution.start import Start
    from toolkit.optimizers.search import Search
    from toolkit.optimizers.search_source import SearchSource
    from toolkit.optimizers.search_values import Reading

_NO_STORE = "Give it a store= to be able to go on."


def carry_out(
    search: "Search",
    sweep: Sweep,
    output: "str | Reading | None",
    client: object,
    *,
    call: str,
    progress: bool,
    watch: "Callable[[xr.Dataset], object] | None" = None,
) -> None:
    """Evaluate until a search has ended: here, by workers, or first here and then there.

    Parameters
    ----------
    search
        It has not begun.
    sweep
        Its stage is the function, its space has the constants and the first point.
    output
        The output to search by, None for the only one; or what reads the value of each run.
    client
        As for :meth:`toolkit.Sweep.run`.
    call
        What is to be called again to go on, for messages.
    progress
        Show progress where evaluations are runs of a sweep.
    watch
        Called with the history now and then.

    Raises
    ------
    InterruptedSweepError
        Where somebody interrupts it.
    """
    from toolkit.execution.clients import resolve_client
    from toolkit.optimizers.evaluating import may_run_here
    from toolkit.optimizers.placing import cores, should_leave
    from toolkit.optimizers.watching import Watch
    from toolkit.stages.current import current_run

    (stage,) = sweep._prepared.stages
    is_inside_run = current_run().id >= 0
    after = Watch(search, watch)
    _replay(search, sweep, output)
    may_here = may_run_here(stage)
    workers, close = (None, _nothing) if search.left == 0 else resolve_client(client)
    try:
        if may_here:
            if workers is None:
                own = partial(should_leave, workers=cores(), together=search.together)
                where = _never if is_inside_run else own
                if _here(search, sweep, output, call, where, after):
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
            source = _by_workers(search, sweep, output, workers, call, progress, after, is_enough)
            if not source.has_ended_early:
                return
            if source.was_slow:
                where = partial(should_leave, workers=1, together=1)
            if _here(search, sweep, output, call, where, after):
                return
        _by_workers(search, sweep, output, workers, call, progress, after)
    finally:
        close()
        after.finish()


def _replay(search: "Search", sweep: Sweep, output: "str | Reading | None") -> None:
    """Tell a search what the store holds of it."""
    from toolkit.optimizers.stored_search import StoredSearch

    (stage,) = sweep._prepared.stages
    runs = sweep._results.look(stage.name)
    if runs is not None:
        StoredSearch(runs, stage.space, output, stage.defaults).replay(search)


def _here(
    search: "Search",
    sweep: Sweep,
    output: "str | Reading | None",
    call: str,
    should_leave: Callable[[float, int], bool],
    after: Callable[[], None],
) -> bool:
    """Evaluate in this process; return whether the search has ended."""
    from toolkit.execution.ledger import Ledger
    from toolkit.optimizers.evaluating import evaluate_here

    (stage,) = sweep._prepared.stages
    go = partial(
        evaluate_here, search, stage, stage.space, output, should_leave=should_leave, after=after
    )
    if sweep.store is None:
        return go()
    try:
        with Ledger(_start(search, sweep, output), runs_to_come=search.left) as ledger:
            return go(keeper=ledger)
    except KeyboardInterrupt:
        raise InterruptedSweepError(
            f"Interrupted after {search.n_evaluated:,} evaluations, which are stored. "
            f"{_how_to_resume(call)}"
        ) from None


def _by_workers(
    search: "Search",
    sweep: Sweep,
    output: "str | Reading | None",
    client: object,
    call: str,
    progress: bool,
    after: Callable[[], None],
    is_enough: Callable[[float, int], bool] | None = None,
) -> "SearchSource":
    """Evaluate as runs of a sweep; return what says whether the rest is better made here."""
    from toolkit.execution.session import run_here
    from toolkit.optimizers.search_source import SearchSource
    from toolkit.views.progress import shown

    (stage,) = sweep._prepared.stages
    source = SearchSource(search, stage.space, output, is_enough=is_enough, after=after)
    job = sweep._job_of(_start(search, sweep, output, client=client, source=source))
    with shown(job, enabled=progress):
        run_here(job, how_to_resume=_how_to_resume(call) if sweep.store else _NO_STORE)
    return source


def _start(
    search: "Search",
    sweep: Sweep,
    output: "str | Reading | None",
    *,
    client: object = None,
    source: "SearchSource | None" = None,
) -> "Start":
    from toolkit.execution.work import Policy
    from toolkit.optimizers.placing import cores, worth_a_cluster
    from toolkit.optimizers.search_source import SearchSource
    from toolkit.stages.current import current_run

    (stage,) = sweep._prepared.stages
    alone = current_run().id >= 0
    seconds = math.inf if alone else worth_a_cluster(cores(), search.together)
    policy = Policy(order="given", in_process_seconds=seconds)
    source = source or SearchSource(search, stage.space, output)
    return sweep._start(client, (), policy, source=source)


def _never(seconds: float, left: int) -> bool:
    del seconds, left
    return False


def _nothing() -> None:
    return None


def _how_to_resume(call: str) -> str:
    return f"Call {call} again with the same arguments to go on."


def _not(where: Callable[[float, int], bool], seconds: float, left: int) -> bool:
    return not where(seconds, left)
