"""Outputs that are stored as pickled objects, read where somebody asks for them."""

import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stages.schema import RaggedColumn, Variable
from toolkit.stores.box import Ints
from toolkit.stores.cells import Runs, read_column, schema_of, with_values


def load_object(runs: Runs, name: str, run: int) -> Any:
    """Unpickle and return an output of one run that is stored as an object.

    Unpickling runs code that the store's author chose: do so only with stores that you trust.

    Parameters
    ----------
    runs
        The runs of one stage in a store.
    name
        The output.
    run
        Run id.

    Raises
    ------
    StoreError
        If the output is no object, or the run has none.
    """
    return load_objects(runs, name, [run])[0]


def load_objects(runs: Runs, name: str, ids: Iterable[int]) -> list[Any]:
    """Unpickle and return an output of some runs that is stored as objects.

    Unpickling runs code that the store's author chose: do so only with stores that you trust.

    Raises
    ------
    StoreError
        If the output is no object, or a run has none.
    """
    variable = _variable(runs, name)
    if variable.kind != "object":
        raise StoreError(
            f"Output {name!r} is no object but {variable.label}: read it from the Dataset."
        )
    wanted = np.asarray(list(ids), dtype=np.int64)
    has_value = with_values(runs, wanted, mask=True)
    if not has_value.all():
        run = int(wanted[~has_value][0])
        word = Status(int(np.asarray(runs.read("status", wanted[~has_value][:1]))[0])).name.lower()
        raise StoreError(f"Run {run} has no object {name!r}: it is {word}. Look at status first.")
    return _unpickled(runs, name, wanted)


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
        pickle.loads(column.values[first:last].tobytes()) if last > first else None
        for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def _variable(runs: Runs, name: str) -> Variable:
    schema = schema_of(runs)
    for variable in schema.variables:
        if variable.name == name:
            return variable
    raise StoreError(
        f"Stage {runs.name!r} has no output {name!r}. Its outputs: "
        f"{', '.join(schema.names) or 'none yet'}."
    )
