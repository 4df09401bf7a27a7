"""Outputs that are stored as pickled objects, read where somebody asks for them."""

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stages.schema import RaggedColumn
from toolkit.stores.catalogues.box import Ints
from toolkit.stores.reading.cells import Runs, read_column, with_values


def read_objects(runs: Runs, name: str, mask: bool, ids: Ints | slice) -> npt.NDArray[np.object_]:
    """Return an output of some cells that is stored as objects, None where there is none.

    Unpickling runs code that the store's author chose: do so only with stores that you trust.
    """
    if isinstance(ids, slice):
        ids = np.arange(ids.start, ids.stop)
    there = with_values(runs, ids, mask=mask)
    out = np.full(len(ids), None, dtype=object)
    if there.any():
        # One by one: numpy would take a list of lists for an array of more dims.
        for at, value in zip(
            np.flatnonzero(there).tolist(), _unpickled(runs, name, ids[there]), strict=True
        ):
            out[at] = value
    return out


def _unpickled(runs: Runs, name: str, ids: Ints) -> list[Any]:
    """Return the objects of some runs; None for one without bytes."""
    column = read_column(runs, name, ids)
    if not isinstance(column, RaggedColumn):
        raise StoreError(f"Output {name!r} is not stored as bytes. Restore the store from a copy.")
    ends = column.offsets
    return [
        _loaded(name, run, column.values[first:last].tobytes()) if last > first else None
        for run, first, last in zip(
            ids.tolist(), ends[:-1].tolist(), ends[1:].tolist(), strict=True
        )
    ]


def _loaded(name: str, run: int, raw: bytes) -> Any:
    try:
        return pickle.loads(raw)
    except MemoryError:
        raise
    except Exception as error:  # whatever the code of others raises
        raise StoreError(
            f"Output {name!r} of run {run} cannot be unpickled here "
            f"({type(error).__name__}: {error}). What it is made of must be installed, and be "
            "importable under the names that it had."
        ) from error
