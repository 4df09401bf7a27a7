"""Which runs of a state are valid: those made by one identity; the others are stale."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stages.identity import Identity
from toolkit.stores.catalogues.makers import NOBODY, Makers, Numbers, Statuses
from toolkit.stores.runs.state import State

Ids = npt.NDArray[np.int64]


def status_under(state: State, identity: Identity | None, ids: Ids | slice) -> Statuses:
    """Return the status of runs where one identity is the valid one; None: the present one."""
    status: Statuses = state.status[ids]
    if identity is None:
        return status
    numbers = None if state.made_by is None else state.made_by[ids]
    return state.makers.seen(status, numbers, state.makers.number_of(identity.token))


def changes(state: State, identity: Identity, ids: Ids | slice) -> tuple[str, ...]:
    """Return the names of what has changed since the stale ones of some runs were made."""
    stale = status_under(state, identity, ids) == Status.STALE
    if not stale.any():
        return ()
    made_by = state.made_by
    numbers = [0] if made_by is None else np.unique(made_by[ids][stale]).tolist()
    names = {name for n in numbers for name in identity.changes(state.makers.identity_of(n))}
    return tuple(sorted(names))


def settled(
    state: State, identity: Identity, epoch: int, before: Mapping[str, Any] | None
) -> Makers:
    """Return the makers of a stage from a driver's turn on, whose code has this identity.

    Parameters
    ----------
    state
        Of the stage.
    identity, epoch
        Of the driver.
    before
        The last code that the store notes elsewhere; for one that does not say who made its runs.
    """
    known = state.makers
    if not known.identities and state.n_runs:
        known = recovered(state, before)
    return known.took(identity, epoch, used_numbers(state))


def disown(state: State, ids: Ids, save: Callable[[Makers], None]) -> None:
    """Let no code count as having made some runs; ``save`` notes that runs have numbers now."""
    if not state.makers.identities:
        return
    if not state.makers.is_varied:
        makers = replace(state.makers, is_varied=True)
        save(makers)
        state.makers = makers
    assert state.made_by is not None
    state.made_by[ids] = NOBODY


def used_numbers(state: State) -> Numbers | None:
    """Return the numbers of the code that runs with values were made by; None: there are none."""
    if state.made_by is None:
        return None
    has_value = (state.status == Status.DONE) | (state.status == Status.STALE)
    used: Numbers = np.unique(state.made_by[has_value])
    return used


def restated(
    status: Statuses, makers: Makers, numbers: Callable[[], npt.NDArray[Any] | None]
) -> Statuses:
    """Return stored statuses as the makers say: what is valid has not been written everywhere yet.

    A driver may have died between noting a new identity and writing the statuses.
    """
    if not makers.is_varied:
        return status
    full = np.zeros(len(status), np.uint16)
    stored = numbers()
    if stored is not None:
        full[: len(stored)] = stored[: len(status)]
    return makers.seen(status, full)


def recovered(state: State, before: Mapping[str, Any] | None) -> Makers:
    """Return who made the runs of a store that does not say so: the last code noted, or unknown.

    Its stale runs get the number of nobody.
    """
    if before is None:
        return state.makers
    makers = Makers().took(Identity.from_json(before), 0, None)
    stale = np.flatnonzero(state.status == Status.STALE)
    if len(stale):
        makers = replace(makers, is_varied=True)
        state.makers = makers
        numbers = state.made_by
        assert numbers is not None
        numbers[stale] = NOBODY
        state.touch(stale)
    return makers
