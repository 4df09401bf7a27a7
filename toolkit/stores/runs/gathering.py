"""One output of many runs, put into an array by run id: for views that look again and again."""

from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stages.schema import Schema
from toolkit.stores.arrays.values import Values
from toolkit.stores.runs.pending import Pending

Mask = npt.NDArray[np.bool_]


def gather(
    name: str,
    wanted: Mask,
    into: npt.NDArray[Any],
    values: Values | None,
    widest: Schema | None,
    pending: Pending,
    stage: str,
) -> None:
    """Put one output of some runs into an array.

    What waits for its chunk is put there part by part, without the sorting that reading any runs
    in any order takes.

    Parameters
    ----------
    name
        Of the output: numbers, one for each run.
    wanted
        Which runs have a value that is asked for, shape ``(n_runs,)``.
    into
        Changed where a run is wanted, shape ``(n_runs,)``.
    values
        The arrays; None where nothing was folded yet.
    widest
        What runs returned by now; None before the first.
    pending
        What waits.
    stage
        Its name, for the error.

    Raises
    ------
    StoreError
        If there is no such output, or a chunk cannot be read.
    """
    schema = widest if values is None else values.schema
    if schema is None or name not in schema.names:
        raise StoreError(f"Stage {stage!r} has no output {name!r}.")
    left = wanted.copy()
    for part in pending.parts:
        column = part.columns[part.schema.names.index(name)]
        inside = wanted[part.ids]
        if inside.all():
            into[part.ids] = column
        elif inside.any():
            into[part.ids[inside]] = np.asarray(column)[inside]
        left[part.ids] = False
    ids = np.flatnonzero(left)
    if values is not None and len(ids):
        found = values.read(schema.variables[schema.names.index(name)], ids)
        into[ids] = np.asarray(found)
