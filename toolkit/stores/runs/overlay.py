"""Columns as they are stored, with what still waits for its chunk put in."""

import numpy as np
import numpy.typing as npt

from toolkit.stages.columns import cast, concatenate, take
from toolkit.stages.schema import Column, RaggedColumn, Schema
from toolkit.stores.runs.pending import Part, Pending, merged

Ids = npt.NDArray[np.int64]


class Overlay:
    """Pending values by run id, sorted when they are first asked for."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._parts: list[Part] = []
        self._merged: tuple[Ids, list[Column]] = (np.zeros(0, np.int64), [])

    def apply(
        self, base: Column, stored: Schema, wide: Schema, name: str, ids: Ids | slice, n_runs: int
    ) -> Column:
        """Return a column with the rows that are pending put in.

        Parameters
        ----------
        base
            The column as stored, for the runs asked for.
        stored, wide
            Schemas of what is stored and of what is pending.
        name
            Of the output.
        ids, n_runs
            The runs asked for, and how many there are.
        """
        if not self._pending.parts:
            return base
        found, columns = self._sorted(wide)
        rows, at = _matches(found, ids, n_runs)
        if not len(at):
            return base
        variable = wide.variables[wide.names.index(name)]
        narrow = stored.variables[stored.names.index(name)]
        column = columns[wide.names.index(name)]
        [base] = cast([base], Schema(variables=(narrow,)), Schema(variables=(variable,)))
        if isinstance(base, RaggedColumn) or isinstance(column, RaggedColumn):
            index = np.arange(len(base))
            index[at] = len(base) + np.arange(len(rows))
            return take(concatenate([[base], take([column], rows)]), index)[0]
        values = np.array(base)
        values[at] = column[rows]
        return values

    def _sorted(self, schema: Schema) -> tuple[Ids, list[Column]]:
        parts = self._pending.parts
        if len(parts) != len(self._parts) or any(
            a is not b for a, b in zip(parts, self._parts, strict=True)
        ):
            self._parts, self._merged = list(parts), merged(parts, schema)
        return self._merged


def _matches(found: Ids, ids: Ids | slice, n_runs: int) -> tuple[Ids, Ids]:
    """Return which rows of ``found`` are asked for, and where they go."""
    if isinstance(ids, slice):
        first, last, _ = ids.indices(n_runs)
        low, high = np.searchsorted(found, [first, last])
        return np.arange(low, high), found[low:high] - first
    where = np.minimum(np.searchsorted(found, ids), len(found) - 1)
    at = np.flatnonzero(found[where] == ids)
    return where[at], at
