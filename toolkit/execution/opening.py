"""The store of a sweep, taken to be written into, and the runs of its stages."""

from collections.abc import Mapping

from toolkit.execution.noting import note_start
from toolkit.execution.staleness import warn_of_stale
from toolkit.execution.start import Start
from toolkit.stages.identity import Identity
from toolkit.stages.preparing import PreparedStage
from toolkit.stores.runs.stage_runs import StageRuns


def note_opened(start: Start) -> None:
    """Note in the store that was taken who begins, and what was frozen."""
    note_start(start)
    start.results.note_inputs(
        {
            name: {"token": each.identity, "nbytes": each.nbytes, "holds": each.summary}
            for name, each in start.prepared.frozen.items()
        }
    )


def take_store(start: Start, known: Mapping[str, Identity]) -> None:
    """Take the store of a sweep.

    Raises
    ------
    StoreError
        If another process runs this store.
    """
    start.results.acquire(code={name: identity.to_json() for name, identity in known.items()})


def open_runs(prepared: PreparedStage, start: Start, identity: Identity) -> StageRuns:
    """Return the runs of a stage that is kept, those of other code stale.

    Raises
    ------
    StoreError
        If they cannot be mapped to the sweep.
    """
    runs = start.results.stage(prepared.name)
    if start.source is not None:
        runs.know_axes(prepared.space)
    start.results.settle_identity(prepared.name, identity)
    warn_of_stale(runs, identity, start.rerun)
    return runs
