"""Runs that a journal tells of before the metadata does, as a space."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolkit.spaces.axis import Dim
from toolkit.spaces.space import Space
from toolkit.stores.journals.records import Added


def space_of(added: Sequence[Added], n_runs: int) -> Space | None:
    """Return the runs that follow those there are, None where the metadata knows them all.

    Parameters
    ----------
    added
        Records of new runs in the order of their ids.
    n_runs
        Runs there are. A record that begins before was registered since; one that leaves a gap,
        and all after it, are of no use.
    """
    new = list[Added]()
    for record in added:
        if record.lo == n_runs and (not new or _are_alike(new[0].dims, record.dims)):
            new.append(record)
            n_runs += record.dims[0].size
    if not new:
        return None
    return Space((joined([record.dims[0] for record in new]), *new[0].dims[1:]))


def joined(rows: Sequence[Dim]) -> Dim:
    """Return rows of the same columns as one dim."""
    first = rows[0]
    if len(rows) == 1:
        return first
    columns = []
    for number, column in enumerate(first.columns):
        parts = [each.columns[number] for each in rows]
        objects = None
        if column.objects is not None:
            objects = tuple(one for part in parts for one in part.objects or ())
        labels = np.concatenate([part.labels for part in parts])
        columns.append(replace(column, labels=labels, objects=objects))
    size = sum(each.size for each in rows)
    return replace(first, size=size, columns=tuple(columns))


def _are_alike(one: tuple[Dim, ...], other: tuple[Dim, ...]) -> bool:
    names = [[column.name for column in dim.columns] for dim in one]
    return names == [[column.name for column in dim.columns] for dim in other]
