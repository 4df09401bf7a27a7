"""One output of some runs: what its arrays hold, with what still waits for its chunk."""

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stages.columns import empty_columns
from toolkit.stages.schema import Column, Schema
from toolkit.stores.arrays.values import Values
from toolkit.stores.runs.overlay import Overlay

Ids = npt.NDArray[np.int64]


def read_output(
    name: str,
    ids: Ids | slice,
    values: Values | None,
    widest: Schema | None,
    overlay: Overlay,
    n_runs: int,
    stage: str,
) -> Column:
    """Return one output of some runs.

    Parameters
    ----------
    name
        Of the output.
    ids
        Run ids in any order, or a slice of step 1.
    values
        The arrays; None where nothing was folded yet.
    widest
        What runs returned by now; None before the first.
    overlay
        What waits.
    n_runs
        Runs of the stage.
    stage
        Its name, for the error.

    Raises
    ------
    StoreError
        If there is no such output.
    """
    stored = widest if values is None else values.schema
    if stored is None or name not in stored.names:
        names = ", ".join(stored.names) if stored is not None else "none yet"
        raise StoreError(f"Stage {stage!r} has no output {name!r}. Its outputs: {names}.")
    wanted = stored.variables[stored.names.index(name)]
    if values is None:
        first, last, _ = ids.indices(n_runs) if isinstance(ids, slice) else (0, len(ids), 1)
        only = Schema(variables=(wanted,), coords=stored.coords)
        base = empty_columns(only, max(last - first, 0))[0]
        return overlay.apply(base, stored, stored, name, ids, n_runs)
    return overlay.apply(values.read(wanted, ids), stored, widest or stored, name, ids, n_runs)
