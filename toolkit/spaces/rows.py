"""Dims along which several parameters vary together: zips, samples and tables."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.build import require_unique
from toolkit.spaces.labels import Array


def rows_dim(name: str, columns: Sequence[Column], numbers: Array | None = None) -> Dim:
    """Return a dim of rows.

    Parameters
    ----------
    name
        The dim. A column of this name labels the rows and need not be used by any stage.
    columns
        The parameters, of one length.
    numbers
        Labels of the rows where no column gives them, shape ``(size,)``; None for 0 … size-1.
    """
    sizes = {column.name: len(column) for column in columns}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{key}: {size}" for key, size in sizes.items())
        raise SpaceError(
            f"the parameters along {name!r} have different lengths ({found}).\n"
            "Make them equally long, or use tk.grid for all combinations."
        )
    made = tuple(
        replace(column, required=False) if column.name == name else column for column in columns
    )
    for column in made:
        if column.name == name:
            require_unique(name, column.labels)
    size = next(iter(sizes.values()))
    return Dim(
        name=name,
        size=size,
        columns=made,
        kind="rows",
        numbers=numbers,
        copies=copies(row_digests(made)),
    )


def row_digests(columns: Sequence[Column]) -> npt.NDArray[np.uint64]:
    """Return digests of whole rows, shape ``(size, 2)``."""
    total = np.zeros((len(columns[0]), 2), dtype=np.uint64)
    for column in columns:
        total += column.digests()
    return total


def copies(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64] | None:
    """Return the number of each row among its equals, shape ``(size,)``; None where all differ."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    if new.all():
        return None
    start = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
    out = np.empty(len(new), dtype=np.int64)
    out[order] = np.arange(len(new)) - start
    return out


def row_keys(dim: Dim) -> list[bytes]:
    """Return what each row is known by: its labels, and its number among equal rows."""
    digests = dim.digests()
    return [row.tobytes() for row in digests]
