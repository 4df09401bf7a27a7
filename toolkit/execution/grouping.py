"""Which runs are made at about the same time: those of a chunk, or of a light point."""

from collections.abc import Sequence

import numpy as np

from toolkit.execution.run_queue import Group, Ids
from toolkit.execution.sizing import ChunkPlan, light_points, runs_together
from toolkit.stages.schema import Schema
from toolkit.stores.catalogues.catalogue import Catalogue


def groups_of(
    catalogue: Catalogue,
    schema: Schema,
    plan: ChunkPlan,
    *,
    n_runs: int,
    seconds_per_run: float,
    seconds: float,
) -> Group | None:
    """Return what gives the number of the group of each run; None: all are one group.

    Parameters
    ----------
    catalogue
        Knows where runs lie.
    schema, plan
        Of what they return, and of its chunks.
    n_runs
        To be made.
    seconds_per_run
        As measured.
    seconds
        How long a batch should take.
    """
    n = runs_together(plan, n_runs=n_runs, bytes_per_run=schema.nbytes_per_run)
    if n:
        return lambda ids: ids // n
    *outer, last = catalogue.shape or (1,)
    if not light_points(seconds_per_run, runs=last, seconds=seconds):
        return None
    return lambda ids: _cells(catalogue.positions(ids, range(len(outer))), outer, len(ids))


def _cells(positions: Sequence[Ids], sizes: Sequence[int], n: int) -> Ids:
    """Return the number of the cell of each of n runs, given its position along each dim."""
    cells = np.zeros(n, np.int64)
    for along, size in zip(positions, sizes, strict=True):
        cells = cells * (size + 1) + along + 1
    return np.unique(cells, return_inverse=True)[1]
