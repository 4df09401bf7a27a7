"""``reuse=``: results that other stores hold are read from there instead of being computed."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import StoreError, SweepError
from toolkit.spaces.space import Space
from toolkit.stages.identity import Identity
from toolkit.stages.preparing import PreparedStage
from toolkit.stores.memory_store import MemoryStore
from toolkit.stores.results import Results
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.transfer import Shelf, copy, fits, shelf_of
from toolkit.stores.zarr_store import ZarrStore

if TYPE_CHECKING:
    from toolkit.execution.run_queue import Ids


def check_reuse(given: Any) -> tuple[Results, ...]:
    """Return the stores that ``reuse=`` names, not yet opened.

    Raises
    ------
    SweepError
        If it is neither paths of stores nor sweeps.
    """
    is_one = isinstance(given, str | os.PathLike) or hasattr(given, "_results")
    several = [given] if is_one else given
    if not isinstance(several, Iterable):
        raise SweepError(_remedy(given))
    found = []
    for each in several:
        results = getattr(each, "_results", each)
        if isinstance(each, str | os.PathLike):
            results = Results(Path(each))
        if not isinstance(results, Results):
            raise SweepError(_remedy(each))
        found.append(results)
    return tuple(found)


def _remedy(given: object) -> str:
    return (
        f"reuse={given!r} names no store. Give paths of stores, such as reuse=['first.zarr'], or "
        "sweeps."
    )


class Reuse:
    """What other stores hold of a stage.

    Parameters
    ----------
    prepared, identity
        The stage.
    results
        Its own store, which is told what was taken.
    others
        The stores.
    before
        The stages that it needs. Where one of them may have gone on without failed parts in another
        store, nothing is taken from there.

    Raises
    ------
    StoreError
        If one of them is not there or is no store.
    """

    def __init__(
        self,
        prepared: PreparedStage,
        identity: Identity,
        results: Results,
        others: Iterable[Results],
        before: Sequence[PreparedStage] = (),
    ) -> None:
        self._prepared = prepared
        self._results = results
        self._shelves: list[Shelf] = []
        for other in others:
            if other.is_same(results):
                raise SweepError(
                    f"reuse= names the sweep's own store {results.path}: what that holds is read "
                    "anyway. Leave it out."
                )
            place = "memory" if other.path is None else str(other.path)
            try:
                store = other.open()
            except StoreError as error:
                raise StoreError(f"reuse= cannot read {place}. {error}") from error
            shelf = shelf_of(store, prepared.stage.name, identity, place)
            if shelf is not None and not _may_lack_parts(store, before):
                self._shelves.append(shelf)

    def held(self, space: Space, runs: StageRuns | None) -> NDArray[np.bool_]:
        """Return which runs of a space some other store holds, shape ``(n_runs,)``."""
        found = np.zeros(len(space), bool)
        for shelf in self._fitting(runs):
            found |= shelf.find(space, self._prepared.defaults) >= 0
        return found

    def take(self, runs: StageRuns, space: Space, ids: "Ids", todo: "Ids") -> "Ids":
        """Copy what other stores hold of the runs to do; return those that are left.

        Parameters
        ----------
        runs
            Of the stage.
        space
            What was asked for.
        ids
            Its runs, in its order.
        todo
            Those to run, which are pending.
        """
        for shelf in self._fitting(runs):
            if not len(todo):
                break
            found = shelf.find(space, self._prepared.defaults)
            if len(todo) != len(ids):
                is_wanted = np.zeros(runs.n_runs, bool)
                is_wanted[todo] = True
                found[~is_wanted[ids]] = -1
            rows = np.flatnonzero(found >= 0)
            if len(rows):
                copy(shelf, found[rows], runs, ids[rows])
                self._results.note_reused(shelf, len(rows))
                is_taken = np.zeros(runs.n_runs, bool)
                is_taken[ids[rows]] = True
                todo = todo[~is_taken[todo]]
        return todo

    def _fitting(self, runs: StageRuns | None) -> list[Shelf]:
        return [shelf for shelf in self._shelves if runs is None or fits(shelf, runs)]


def _may_lack_parts(store: ZarrStore | MemoryStore, stages: Sequence[PreparedStage]) -> bool:
    """Whether a reduction among some stages went on without failed parts, or nobody knows."""
    for each in stages:
        if each.stage.missing != "allow":
            continue
        if each.name not in store.stage_names or store.stage(each.name).incomplete:
            return True
    return False
