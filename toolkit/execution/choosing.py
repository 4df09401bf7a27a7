"""Which of the runs that are asked for are to be run."""

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.preparing import Prepared
from toolkit.execution.reuse import Reuse
from toolkit.execution.run_queue import Ids
from toolkit.run_status import Status
from toolkit.stores.stage_runs import StageRuns


def take_up(runs: StageRuns, ids: Ids, rerun: frozenset[str]) -> Ids:
    """Return which of these runs are to be run; those with an outcome are set back."""
    status = runs.state.status[ids]
    again = _again(status, rerun)
    if again.any():
        runs.reset(ids[again])
    chosen = again | (status == Status.PENDING)
    return ids if chosen.all() else np.asarray(ids[chosen])


def is_anything_left(
    prepared: Prepared, runs: StageRuns, rerun: frozenset[str], reuse: Reuse
) -> bool:
    """Whether a sweep has anything to run, after what other stores hold."""
    ids = np.asarray(runs.catalogue.find(prepared.space, defaults=prepared.defaults))
    left = ids < 0
    status = runs.state.status[ids[~left]]
    left[~left] = _again(status, rerun) | (status == Status.PENDING)
    if left.any() and "all" not in rerun:
        left &= ~reuse.held(prepared.space, runs)
    return bool(left.any())


def _again(status: NDArray[np.uint8], rerun: frozenset[str]) -> NDArray[np.bool_]:
    """Return which runs that are not pending are to be run."""
    again: NDArray[np.bool_] = status == Status.SKIPPED
    if "all" in rerun:
        again |= status != Status.PENDING
    if "failed" in rerun:
        again |= (status == Status.FAILED) | (status == Status.BLOCKED)
    if "stale" in rerun:
        again |= status == Status.STALE
    return again
