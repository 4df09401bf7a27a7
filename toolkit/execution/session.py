"""One start of a sweep: the store is taken, the engine runs, the store is given back."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.clusters.profile import load_profile
from toolkit.errors import InterruptedSweepError
from toolkit.execution.chain import Chain, Step
from toolkit.execution.checkpoints import drop_checkpoints
from toolkit.execution.choosing import is_anything_left
from toolkit.execution.clients import resolve_client
from toolkit.execution.engine import Engine
from toolkit.execution.executors import Executor
from toolkit.execution.interrupting import interruptible
from toolkit.execution.job import Job
from toolkit.execution.noting import note_end
from toolkit.execution.opening import note_opened, open_runs, take_store
from toolkit.execution.requests import Requests
from toolkit.execution.reuse import Reuse
from toolkit.execution.start import Start
from toolkit.execution.steering import Steering
from toolkit.execution.work import Work
from toolkit.execution.workforce import Workforce
from toolkit.run_status import Status
from toolkit.stages.identity import Identity
from toolkit.stages.pickling import dumps_function
from toolkit.stages.preparing import PreparedStage, identities
from toolkit.stages.stage import Stage
from toolkit.stores.runs.stage_runs import StageRuns

if TYPE_CHECKING:
    from distributed import Client


logger = logging.getLogger("toolkit")


def make_job(start: Start) -> Job:
    """Take the store and return the job that will run, not yet begun.

    Raises
    ------
    StoreError
        If another process runs this store, or it cannot be mapped to the sweep.
    """
    for each in start.prepared.stages:
        dumps_function(each.stage.function, each.name)
    known = identities(start.prepared, start.seed)
    reuse = {
        each.name: Reuse(
            each,
            known[each.name],
            start.results,
            start.reuse,
            start.prepared.before(each.name),
        )
        for each in start.prepared.stages
        if each.stage.keep
    }
    if "damaged" in start.rerun:
        start.results.repair()
    take_store(start, known)
    try:
        note_opened(start)
        steps = [
            _step(each, start, known[each.name], reuse.get(each.name))
            for each in start.prepared.stages
        ]
        client, close_client = resolve_client(_needed_client(start, steps))
        if client is None and _may_end_this_process(start, steps):
            client, close_client = resolve_client("local")
        start.closers.append(close_client)
        links: list[Client] = [client] if client is not None else []
        workforce = Workforce(links)

        def make_engine(step: Step, work: Work, requests: Requests) -> Engine:
            stage = step.prepared.stage

            def start_cluster() -> Executor:
                with workforce.starting("the workers of a cluster on this machine start"):
                    own, close = resolve_client("local")
                    start.closers.append(close)
                    assert own is not None
                    links.append(own)
                    return _dask_executor(own, stage, start)

            return Engine(
                work,
                start.policy,
                start_cluster=start_cluster,
                executor=_dask_executor(links[-1], stage, start) if links else None,
                requests=requests,
            )

        chain = Chain(
            steps,
            rerun=start.rerun,
            make_engine=make_engine,
            seed=start.seed,
            source=start.source,
        )
        folder = start.results.folder
        steering = Steering(
            None if folder is None else str(folder),
            chain.requests,
            client=lambda: links[-1] if links else None,
            note=start.results.note,
        )
    except BaseException:
        _close(start)
        raise

    def work() -> None:
        try:
            with note_end(start, chain), steering:
                chain.run()
            _drop_checkpoints(start, steps)
        finally:
            try:
                _close(start)
            finally:
                chain.recount()

    return Job(
        chain,
        work=work,
        dataset=start.dataset,
        failures=start.failures,
        select=start.select,
        client=lambda: links[-1] if links else None,
        is_here=lambda: not links,
        workforce=workforce,
        store=folder,
        again=start.again,
        display=start.display,
    )


def run_here(job: Job, *, how_to_resume: str) -> None:
    """Run a job in this thread; the first Ctrl-C or SIGTERM stops it kindly.

    Raises
    ------
    InterruptedSweepError
        If it was stopped before its last run.
    """
    with interruptible(job, how_to_resume):
        job.run_here()
    if job.was_asked_to_stop and job.progress.pending:
        raise InterruptedSweepError(
            f"Interrupted with {job.progress.pending:,} runs to go; the {job.progress.done:,} "
            f"that are done are stored. {how_to_resume}"
        )


def _step(prepared: PreparedStage, start: Start, identity: Identity, reuse: Reuse | None) -> Step:
    if not prepared.stage.keep:
        name = prepared.name
        return Step(
            prepared=prepared,
            runs=start.results.passing(name),
            let_go=lambda: start.results.let_go(name),
        )
    runs = open_runs(prepared, start, identity)
    return Step(prepared=prepared, runs=runs, reuse=None if "all" in start.rerun else reuse)


def _needed_client(start: Start, steps: Iterable[Step]) -> object:
    """Return the client as it was given, but no cluster to be started where nothing is to do."""
    if start.source is not None or not isinstance(start.client, str | Path):
        return start.client
    if _is_anything_left(start, steps):
        return start.client
    load_profile(start.client)  # a wrong name is an error all the same
    return None


def _may_end_this_process(start: Start, steps: Iterable[Step]) -> bool:
    """Whether the process before this one has died in a run of the sweep that it ran itself."""
    asked = {step.prepared.name for step in steps if step.is_kept}
    suspects = [run for stage, run in start.results.ended_in if stage in asked]
    is_left = start.source is not None or _is_anything_left(start, steps)
    if not suspects or not is_left:
        return False
    logger.warning(
        "the process that ran this sweep before has died in run %d; workers run the rest, so that "
        "the next to die is no more than a worker",
        suspects[0],
    )
    return True


def _is_anything_left(start: Start, steps: Iterable[Step]) -> bool:
    return any(
        is_anything_left(step.prepared, step.runs, start.rerun, step.reuse)
        for step in steps
        if step.is_kept
    )


def _dask_executor(client: "Client", stage: Stage, start: Start) -> Executor:
    from toolkit.execution.dask_executor import DaskExecutor

    resources = stage.fixed_resources
    tags = {"GPU": float(resources.gpus)} if resources is not None and resources.gpus else {}
    return DaskExecutor(
        client,
        stage=stage.name,
        resources=tags,
        profile=start.profile,
        note=start.results.note,
        cores=1 if resources is None else resources.threads,
    )


def _drop_checkpoints(start: Start, steps: Iterable[Step]) -> None:
    """Remove what runs kept between attempts and do not need any more."""
    for step in steps:
        if start.results.folder is not None and step.is_kept:
            drop_checkpoints(str(start.results.folder), step.name, _is_done(step.runs))


def _is_done(runs: StageRuns) -> Callable[[int], bool]:
    status = runs.state.status
    return lambda run: run < len(status) and bool(status[run] == Status.DONE)


def _close(start: Start) -> None:
    try:
        start.results.release()
    finally:
        for close in reversed(start.closers):
            close()
        start.closers.clear()
