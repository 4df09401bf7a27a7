"""The runs of a stage as one identity sees them: what another made is stale."""

from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.identity import Identity
from toolkit.stages.schema import RaggedColumn, Schema
from toolkit.stores.runs.stage_runs import StageRuns

Array = npt.NDArray[Any]


class Seen:
    """What a view needs of the runs of a stage; see ``toolkit.stores.reading.cells.Runs``.

    Parameters
    ----------
    runs
        The runs.
    identity
        The valid one; None for the one that ran last.
    """

    def __init__(self, runs: StageRuns, identity: Identity | None) -> None:
        self._runs = runs
        self._identity = identity
        self.name = runs.name
        self.catalogue = runs.catalogue

    @property
    def schema(self) -> Schema | None:
        """What is stored of every run, None where nothing is yet."""
        return self._runs.schema

    @property
    def widest_schema(self) -> Schema | None:
        """What runs returned by now, journalled ones included."""
        return self._runs.widest_schema

    @property
    def n_runs(self) -> int:
        """Number of run ids."""
        return self._runs.n_runs

    def read(self, variable: str, ids: npt.NDArray[np.int64] | slice) -> Array | RaggedColumn:
        """Return an output, or a part of the state, of some runs."""
        if variable == "status":
            return self._runs.status_under(self._identity, ids)
        return self._runs.read(variable, ids)
