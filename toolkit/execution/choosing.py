"""Which of the runs that are asked for are to be run."""

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.reuse import Reuse
from toolkit.run_status import Status
from toolkit.stages.preparing import PreparedStage
from toolkit.stores.runs.stage_runs import StageRuns


def is_due(status: NDArray[np.uint8], rerun: frozenset[str]) -> NDArray[np.bool_]:
    """Return which runs of these states are to be run, if what they need is there."""
    due: NDArray[np.bool_] = (status == Status.PENDING) | (status == Status.SKIPPED)
    if "all" in rerun:
        due[:] = True
    if "failed" in rerun:
        due |= (status == Status.FAILED) | (status == Status.BLOCKED)
    if "stale" in rerun:
        due |= status == Status.STALE
    return due


def is_anything_left(
    prepared: PreparedStage, runs: StageRuns, rerun: frozenset[str], reuse: Reuse | None
) -> bool:
    """Whether a stage has anything to run, after what other stores hold."""
    found = runs.catalogue.find(prepared.space, defaults=prepared.defaults)
    if isinstance(found, range):
        left = is_due(runs.state.status[found.start : found.stop], rerun)
    else:
        left = found < 0
        left[~left] = is_due(runs.state.status[found[~left]], rerun)
    if left.any() and reuse is not None:
        left &= ~reuse.held(prepared.space, runs)
    return bool(left.any())
