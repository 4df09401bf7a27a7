"""Results that would be others now: made of stale runs, or without a part that failed."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.upstream import HAS_VALUE, Ids, Lookup, Mask

Before = Iterable[tuple[Lookup, StageRuns]]


def mark_made_of_stale(runs: StageRuns, ids: Ids, before: Before) -> None:
    """Make those of some runs stale that are done and were made of stale ones.

    Without it they would count as made by the present code of the stages before, and stay when
    these are run again.
    """
    ids = ids[runs.state.status[ids] == Status.DONE]
    made_of_stale = np.zeros(len(ids), bool)
    for lookup, others in before:
        is_stale = others.state.status == Status.STALE
        if is_stale.any():
            needed = lookup.ids(runs.catalogue.positions(ids))
            made_of_stale |= (is_stale[needed] & (needed >= 0)).any(axis=1)
    runs.outdate(ids[made_of_stale])


def failed_parts(runs: StageRuns, ids: Ids, before: Before) -> npt.NDArray[np.int64]:
    """Return how many failed or blocked parts each of some runs would go on without."""
    counts = np.zeros(len(ids), np.int64)
    for lookup, others in before:
        status = others.state.status
        is_gone = (status == Status.FAILED) | (status == Status.BLOCKED)
        if lookup.whole and is_gone.any():
            needed = lookup.ids(runs.catalogue.positions(ids))
            counts += (is_gone[needed] & (needed >= 0)).sum(axis=1)
    return counts


def lack_mended_parts(runs: StageRuns, ids: Ids, before: Before) -> Mask:
    """Return which runs went on without parts of which some have been mended since."""
    noted = np.array([runs.incomplete.get(run, 0) for run in ids.tolist()], np.int64)
    lacking = (noted > 0) & HAS_VALUE[runs.state.status[ids]]
    found: Mask = lacking & (failed_parts(runs, ids, before) != noted)
    return found


def mark_made_of(again: Ids, lookup: Lookup, runs: StageRuns, asked: Ids) -> Ids:
    """Make stale what was made of runs that are to be made again, with other values; return it.

    Parameters
    ----------
    again
        The runs of the stage before.
    lookup
        Which of them each run needs.
    runs
        Of the stage after.
    asked
        Its runs in this sweep. Where it takes no dim whole, all others are looked at, too.
    """
    ids = asked if lookup.whole else np.arange(runs.n_runs)
    ids = ids[HAS_VALUE[runs.state.status[ids]]]
    found: Ids = ids[np.isin(lookup.ids(runs.catalogue.positions(ids)), again).any(axis=1)]
    runs.outdate(found)
    return found
