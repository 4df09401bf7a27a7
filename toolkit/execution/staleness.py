"""Stale runs in words: how many there are, and the names of what has changed."""

import warnings
from collections.abc import Sequence

import numpy as np

from toolkit.run_status import Status
from toolkit.stages.identity import Identity
from toolkit.stores.runs.stage_runs import StageRuns

_SHOWN = 3


def warn_of_stale(runs: StageRuns, identity: Identity, rerun: frozenset[str]) -> None:
    """Warn of stale runs of a stage, unless ``rerun=`` shows that the user has chosen."""
    stale = int(np.count_nonzero(runs.state.status == Status.STALE))
    if stale and not rerun:
        names = changed_names(runs.changes(identity))
        warnings.warn(
            f"{stale:,} stored runs of stage {runs.name!r} are stale: they were made before "
            f"{names or 'its code'} changed. They are kept and shown; rerun='stale' runs them "
            "again.",
            stacklevel=5,
        )


def changed_names(names: Sequence[str]) -> str:
    """Return names of what changed as text, the first few of many; "" where none is known.

    Examples
    --------
    >>> changed_names(["growth_rate"]), changed_names(["a", "b", "c", "d"])
    ('growth_rate', 'a, b, c and 1 more')
    """
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
