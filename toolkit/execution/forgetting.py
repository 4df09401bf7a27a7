"""``sweep.forget()``: runs of a part of the space are dropped from the store."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.execution.checkpoints import drop_checkpoints
from toolkit.stages.identity import Identity
from toolkit.stages.preparing import Prepared, PreparedStage
from toolkit.stores.results import Results
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.upstream import HAS_VALUE, Ids, Lookup


def forget(prepared: Prepared, results: Results, identities: Mapping[str, Identity]) -> int:
    """Make the runs of a sweep as if they had never been run; return how many had been.

    A run of an earlier stage stays if a stored run outside of the sweep was made of it alone. A
    run outside of the sweep that takes a dim whole, and with it what is forgotten, is stale.

    Parameters
    ----------
    prepared
        The sweep.
    results
        Where its runs are stored.
    identities
        Of its stages.
    """
    if not results.is_there:
        return 0
    results.acquire(code={name: each.to_json() for name, each in identities.items()})
    try:
        kept = [each for each in prepared.stages if each.stage.keep]
        stored = {each.name: results.stage(each.name) for each in kept if results.holds(each.name)}
        asked = {each.name: _asked(each, stored[each.name]) for each in kept if each.name in stored}
        count = 0
        # The last first: what it forgets, it does not need any more.
        for each in reversed(kept):
            if each.name not in stored:
                continue
            runs, ids = stored[each.name], asked[each.name]
            for later in kept:
                if each.name in later.node.upstream and later.name in stored:
                    ids = _settled(each, later, stored, asked, ids)
            runs.forget_runs(ids)
            if results.folder is not None:
                drop_checkpoints(str(results.folder), each.name, set(ids.tolist()).__contains__)
            asked[each.name] = ids
            count += len(ids)
        return count
    finally:
        results.release()


def _asked(each: PreparedStage, runs: StageRuns) -> Ids:
    found = np.asarray(runs.catalogue.find(each.space, defaults=each.defaults), np.int64)
    found = np.unique(found[found >= 0])
    ids: Ids = found[runs.was_run(found)]
    return ids


def _settled(
    before: PreparedStage,
    later: PreparedStage,
    stored: Mapping[str, StageRuns],
    asked: Mapping[str, Ids],
    ids: Ids,
) -> Ids:
    """Return the runs of a stage that may be forgotten; outdate what stays and took them whole."""
    runs = stored[later.name]
    others = np.setdiff1d(np.flatnonzero(HAS_VALUE[runs.state.status]), asked[later.name])
    if not len(others) or not len(ids):
        return ids
    catalogue: Any = stored[before.name].catalogue
    lookup = Lookup.of(catalogue, runs.catalogue, before.space, later.whole)
    needed = lookup.ids(runs.catalogue.positions(others))
    if lookup.whole:
        runs.outdate(others[np.isin(needed, ids).any(axis=1)])
        return ids
    return np.setdiff1d(ids, needed)
