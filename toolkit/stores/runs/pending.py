"""Values that are journalled and not yet in their chunks."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.stages.columns import cast, concatenate, take
from toolkit.stages.schema import Columns, RaggedColumn, Schema

Ids = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Columns of some runs, and where the journal holds them."""

    ids: Ids
    columns: Columns
    schema: Schema
    journal: str
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of ids and values, text counted by 64 bytes a string."""
        total = self.ids.nbytes
        for column in self.columns:
            is_text = not isinstance(column, RaggedColumn) and column.dtype == object
            total += 64 * len(column) if is_text else column.nbytes
        return total


class Pending:
    """Parts that wait to be patched into their chunks, in the order of their arrival."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.nbytes = 0

    def add(self, part: Part) -> None:
        """Keep the columns of some runs."""
        self.parts.append(part)
        self.nbytes += part.nbytes

    def first_offsets(self) -> dict[str, int]:
        """Return for each journal where its first record stands that still waits."""
        firsts: dict[str, int] = {}
        for part in self.parts:
            firsts[part.journal] = min(part.start, firsts.get(part.journal, part.start))
        return firsts

    def ids(self) -> Iterator[Ids]:
        """Yield the run ids of each part."""
        for part in self.parts:
            yield part.ids

    def n_runs(self) -> int:
        """Return how many rows wait."""
        return sum(len(part.ids) for part in self.parts)

    def keep(self, parts: list[Part]) -> None:
        """Let go of all but these parts."""
        self.parts = parts
        self.nbytes = sum(part.nbytes for part in parts)

    def schemas(self) -> Iterator[Schema]:
        """Yield the schemas of the parts."""
        for part in self.parts:
            yield part.schema


def merged(parts: list[Part], schema: Schema) -> tuple[Ids, Columns]:
    """Return the runs of several parts in ascending order, each once with its latest values."""
    ids = np.concatenate([part.ids for part in parts])
    columns = concatenate([cast(part.columns, part.schema, schema) for part in parts])
    if len(ids) < 2 or bool((ids[1:] > ids[:-1]).all()):
        return ids, columns
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    if not is_last.all():
        order, ordered = order[is_last], ordered[is_last]
    return ordered, take(columns, order)


def split(
    parts: list[Part], wanted: npt.NDArray[np.bool_], length: int
) -> tuple[list[Part], list[Part]]:
    """Return the rows whose chunk is wanted, and the others.

    Parameters
    ----------
    parts
        What waits.
    wanted
        Whether each chunk is wanted, shape ``(n_chunks,)``.
    length
        Runs in a chunk.
    """
    chosen: list[Part] = []
    others: list[Part] = []
    for part in parts:
        mask = wanted[part.ids // length]
        if mask.all():
            chosen.append(part)
        elif not mask.any():
            others.append(part)
        else:
            for rows, target in ((np.flatnonzero(mask), chosen), (np.flatnonzero(~mask), others)):
                target.append(part._replace(ids=part.ids[rows], columns=take(part.columns, rows)))
    return chosen, others
