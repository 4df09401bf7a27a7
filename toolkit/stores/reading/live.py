"""The runs of a stage looked at again and again while they are made: no look reads all anew.

Neither xarray nor pandas is loaded: the first look is not to wait for them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.catalogues.box import Ints
from toolkit.stores.catalogues.matching import SpaceLike
from toolkit.stores.reading.frame import NEVER, FlatFrame, Frame, SpaceFrame, StoreFrame, is_dense
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.runs.state import HAS_VALUE

BEYOND = 2
"""Values after those of the runs: what ``LEFT_OUT`` and ``NEVER``, -2 and -1, lead to."""

_KEPT = 2

Array = npt.NDArray[Any]


class LiveStage:
    """The values of one stage by run id, brought up to date by each look.

    Parameters
    ----------
    runs
        Of the stage, in the store that is being written, or opened for reading.
    space
        What is asked for; None for everything stored.
    defaults
        What older runs had, by the name of an argument that was added later.
    flat
        Whether the runs lie along one ``run`` dim, as those of a source that chooses points.
    """

    def __init__(
        self,
        runs: StageRuns,
        space: SpaceLike | None = None,
        *,
        defaults: Mapping[str, object] | None = None,
        flat: bool | None = None,
    ) -> None:
        self.runs = runs
        self.name = runs.name
        self._space, self._defaults, self._flat = space, defaults or {}, flat
        self._catalogue: object = None
        self._frame: Frame | None = None
        self._ids: dict[tuple[object, ...], Ints] = {}
        self._columns: dict[str, _Column] = {}

    @property
    def schema(self) -> Schema:
        """What runs returned by now."""
        return self.runs.widest_schema or Schema()

    @property
    def frame(self) -> Frame:
        """The cells, as of the runs that are registered by now."""
        catalogue = self.runs.catalogue
        if self._frame is None or catalogue is not self._catalogue:
            self._ids.clear()
            self._frame, self._catalogue = self._framed(), catalogue
        return self._frame

    def status(self) -> npt.NDArray[np.uint8]:
        """Return the status by run id, then that of cells left out and of cells without a run."""
        status = np.asarray(self.runs.read("status", slice(0, self.runs.n_runs)))
        found = np.concatenate([status, [np.uint8(Status.SKIPPED), np.uint8(Status.PENDING)]])
        if isinstance(self.frame, SpaceFrame):  # what this space asks for will be run
            found[:-BEYOND][found[:-BEYOND] == Status.SKIPPED] = Status.PENDING
        return found.astype(np.uint8, copy=False)

    def state(self, name: str) -> npt.NDArray[np.float64]:
        """Return ``seconds`` or ``peak_memory`` by run id and twice NaN."""
        found = np.asarray(self.runs.read(name, slice(0, self.runs.n_runs)), np.float64)
        return np.concatenate([found, np.full(BEYOND, np.nan)])

    def values(self, variable: Variable) -> Array:
        """Return an output of one number a run by run id and twice NaN; NaN where it is missing.

        Only the values of runs that have ended since the last look are read.
        """
        column = self._columns.get(variable.name)
        if column is None or column.dtype != variable.dtype:
            column = self._columns[variable.name] = _Column(variable)
        column.look(self.runs)
        return column.values

    def cells(self, values: Array, indices: Sequence[Ints | None]) -> Array:
        """Return values by run id as they lie in the cells of some indices of each dim.

        Parameters
        ----------
        values
            Shape ``(n_runs + 2,)``.
        indices
            For each dim; None for all, which costs no copy where ids count up.
        """
        frame = self.frame
        whole = frame.whole
        if whole is not None and whole.stop <= len(values) - BEYOND:
            block = values[whole.start : whole.stop].reshape(frame.shape)
            for axis, index in enumerate(indices):
                if index is not None:
                    block = _taken(block, index, axis)
            return block
        ids = self.ids(indices)
        if ids.size and int(ids.max()) >= len(values) - BEYOND:  # registered since it was read
            ids = np.where(ids < len(values) - BEYOND, ids, NEVER)
        found: Array = values[ids]
        return found

    def ids(self, indices: Sequence[Ints | None]) -> Ints:
        """Return the run ids of the product of these indices, -1 and -2 where there is no run."""
        frame = self.frame
        key = tuple(None if index is None else index.tobytes() for index in indices)
        found = self._ids.get(key)
        if found is None:
            every = [
                np.arange(size) if index is None else index
                for size, index in zip(frame.shape, indices, strict=True)
            ]
            ids = frame.ids(every)
            found = ids.astype(np.int32) if self.runs.n_runs < 2**31 else ids
            if len(self._ids) >= _KEPT:
                self._ids.pop(next(iter(self._ids)))
            self._ids[key] = found
        return found

    def inner(self, variable: Variable, indices: Sequence[Ints | None]) -> Array:
        """Return an output with inner dims in some cells, NaN where it is missing."""
        ids = self.ids(indices)
        flat = np.asarray(ids, np.int64).ravel()
        found = np.full((len(flat), *variable.shape), np.nan)
        rows = np.flatnonzero(HAS_VALUE[self.status()[flat]] & (flat >= 0))
        if len(rows):
            unique, back = np.unique(flat[rows], return_inverse=True)
            found[rows] = np.asarray(self.runs.read(variable.name, unique), np.float64)[back]
        return found.reshape(*ids.shape, *variable.shape)

    def labels(self) -> dict[str, Array]:
        """Return the labels of flat runs by parameter, shape ``(n_runs,)``."""
        frame = self.frame
        assert isinstance(frame, FlatFrame)
        found = self.runs.catalogue.labels(frame.runs)
        return {name: labels for name, (labels, _) in found.items()}

    def _framed(self) -> Frame:
        catalogue = self.runs.catalogue
        if self._space is not None and not self._flat:
            return SpaceFrame.of(catalogue, self._space, self._defaults)
        status = np.asarray(self.runs.read("status", slice(0, catalogue.n_runs)))
        if self._flat or (self._flat is None and not is_dense(catalogue, status)):
            return FlatFrame(runs=np.flatnonzero(status != Status.SKIPPED))
        return StoreFrame(catalogue=catalogue)


class _Column:
    """One output by run id, and the state of the runs when it was looked at."""

    def __init__(self, variable: Variable) -> None:
        self.name, self.dtype = variable.name, variable.dtype
        is_short = np.dtype(variable.dtype).itemsize <= 4 and np.dtype(variable.dtype).kind in "bf"
        self.values: Array = np.full(BEYOND, np.nan, np.float32 if is_short else np.float64)
        self._status = np.zeros(0, np.uint8)
        self._attempts = np.zeros(0, np.uint8)

    def look(self, runs: StageRuns) -> None:
        n = runs.n_runs
        self._grow(n)
        status = np.array(runs.read("status", slice(0, n)))
        attempts = np.array(runs.read("attempts", slice(0, n)))
        is_new = (status != self._status) | (attempts != self._attempts)
        has_value = HAS_VALUE[status]
        self.values[:n][is_new & ~has_value] = np.nan
        wanted = is_new & has_value
        if wanted.any():
            runs.gather(self.name, wanted, self.values[:n])
        self._status, self._attempts = status, attempts

    def _grow(self, n: int) -> None:
        more = n - len(self._status)
        if more > 0:
            blank = np.full(more, np.nan, self.values.dtype)
            self.values = np.concatenate([self.values[:-BEYOND], blank, self.values[-BEYOND:]])
            none = np.zeros(more, np.uint8)
            self._status = np.concatenate([self._status, none])
            self._attempts = np.concatenate([self._attempts, none])


def is_drawn(variable: Variable) -> bool:
    """Whether an output is numbers or bools of one shape."""
    return variable.kind == "fixed" and np.dtype(variable.dtype).kind in "biuf"


def n_cells(frame: Frame, indices: Sequence[Ints | None]) -> int:
    """Return how many cells these indices of each dim give."""
    sizes = zip(frame.shape, indices, strict=True)
    return math.prod(size if index is None else len(index) for size, index in sizes)


def dims_of(frame: Frame) -> Mapping[str, Any]:
    """Return the dims of a frame by name; none where runs lie along one."""
    if isinstance(frame, FlatFrame):
        return {}
    axes: Any = frame
    return {axis.dim.name: axis for axis in axes.axes}


def _taken(block: Array, index: Ints, axis: int) -> Array:
    if len(index) == 1:
        at: list[Any] = [slice(None)] * block.ndim
        at[axis] = slice(int(index[0]), int(index[0]) + 1)
        found: Array = block[tuple(at)]
    else:
        found = np.take(block, index, axis=axis)
    return found
