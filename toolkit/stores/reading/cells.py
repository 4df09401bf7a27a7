"""Variables of a labelled Dataset that are read from a store when somebody looks at them."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stages.schema import RaggedColumn, Schema, Variable
from toolkit.stores.catalogues.box import Ints, compact
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.files.checking import readable
from toolkit.stores.files.limits import require_room
from toolkit.stores.reading.frame import LEFT_OUT, Frame

LARGEST_EXACT = 2**53

HAS_VALUE = np.isin(np.arange(256), [Status.DONE, Status.STALE])

STATE_DTYPES: dict[str, np.dtype[Any]] = {
    "status": np.dtype("u1"),
    "attempts": np.dtype("u1"),
    "seconds": np.dtype("<f4"),
    "peak_memory": np.dtype("<f4"),
}

Array = npt.NDArray[Any]


class Runs(Protocol):
    """What a view needs of the runs of a stage in a store."""

    name: str
    catalogue: Catalogue

    @property
    def schema(self) -> Schema | None:
        """What is stored of every run, None where nothing is yet."""

    @property
    def widest_schema(self) -> Schema | None:
        """What runs returned by now, journalled ones included."""

    @property
    def n_runs(self) -> int:
        """Number of run ids."""

    def read(self, variable: str, ids: Ints | slice) -> Array | RaggedColumn:
        """Return an output, or a part of the state, of some runs."""


class NoRuns:
    """Stands for the runs of a stage of which nothing is stored yet."""

    catalogue = Catalogue.empty()
    schema: Schema | None = None
    widest_schema: Schema | None = None
    n_runs = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, variable: str, ids: Ints | slice) -> Array | RaggedColumn:
        """Return a part of the state of no runs."""
        _ = ids
        return np.empty(0, dtype=STATE_DTYPES[variable])


class Cells(BackendArray):
    """One array over the cells of a frame, and maybe inner dims, read where it is indexed.

    Parameters
    ----------
    frame
        The outer dims.
    inner
        Shape of the inner dims.
    dtype
        What is read.
    read
        Returns the values of some cells, shape ``(n, *inner)``, from their ids: a slice of step
        1, or an array with ``NEVER`` and ``LEFT_OUT`` in it.
    """

    def __init__(
        self,
        frame: Frame,
        inner: tuple[int, ...],
        dtype: np.dtype[Any],
        read: Callable[[Ints | slice], Array],
    ) -> None:
        self.frame = frame
        self.shape = (*frame.shape, *inner)
        self.dtype = dtype
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> Array:
        with readable("that this is read from"):
            return self._values(key)

    def variable(self, dims: Sequence[str], attrs: dict[str, Any], *, cached: bool) -> xr.Variable:
        """Return the array as a variable; ``cached``: what was once read whole is kept."""
        lazy: Any = indexing.LazilyIndexedArray(self)
        data: Any = indexing.CopyOnWriteArray(lazy)
        if cached:
            data = indexing.MemoryCachedArray(data)  # type: ignore[no-untyped-call]
        return xr.Variable(tuple(dims), data, attrs)

    def _values(self, key: tuple[Any, ...]) -> Array:
        n_outer = len(self.frame.shape)
        outer, inner = key[:n_outer], key[n_outer:]
        is_all = all(
            isinstance(part, slice) and part.indices(size) == (0, size, 1)
            for part, size in zip(outer, self.frame.shape, strict=True)
        )
        whole = self.frame.whole if is_all else None
        if whole is not None:
            values = self._read(slice(whole.start, whole.stop))
            shape = self.frame.shape
        else:
            indices = [
                np.atleast_1d(np.arange(size)[part])
                for part, size in zip(outer, self.frame.shape, strict=True)
            ]
            n_cells = math.prod(map(len, indices))
            require_room(16 * n_cells, f"A variable of {n_cells:,} cells")
            ids = self.frame.ids(indices)
            shape = ids.shape
            values = self._read(ids.ravel())
        values = values.reshape(shape + values.shape[1:])
        squeezed = tuple(
            0 if isinstance(part, (int, np.integer)) else slice(None) for part in outer
        )
        values = values[squeezed]
        kept = sum(not isinstance(part, (int, np.integer)) for part in outer)
        for part in inner:
            values = values[(slice(None),) * kept + (part,)]
            kept += not isinstance(part, (int, np.integer))
        return values


def schema_of(runs: Runs) -> Schema:
    """Return what the runs returned, those included that are journalled and not folded yet.

    Such a run may have widened an output, or be the first one at all.
    """
    return runs.widest_schema or Schema()


def read_state(runs: Runs, field: str, asked: bool, ids: Ints | slice) -> Array:
    """Return the status, attempts, seconds or peak memory of some cells.

    Cells that were never registered are pending; those that the space leaves out are skipped.
    Where a space asks for its cells (``asked``), those that earlier ones left out are pending.
    """
    if isinstance(ids, slice):
        return _as_asked(np.array(runs.read(field, ids)), field, asked=asked)
    there = ids >= 0
    if there.all():
        return _as_asked(np.array(runs.read(field, ids)), field, asked=asked)
    found = np.asarray(runs.read(field, np.where(there, ids, 0))) if runs.n_runs else None
    dtype = STATE_DTYPES[field]
    out = np.zeros(len(ids), dtype=dtype) if found is None else found.astype(dtype)
    out[~there] = np.nan if dtype.kind == "f" else 0
    out = _as_asked(out, field, asked=asked)
    if field == "status":
        out[ids == LEFT_OUT] = Status.SKIPPED
    return out


def _as_asked(values: Array, field: str, *, asked: bool) -> Array:
    if asked and field == "status":
        values[values == Status.SKIPPED] = Status.PENDING
    return values


def with_values(runs: Runs, ids: Ints | slice, *, mask: bool) -> npt.NDArray[np.bool_]:
    """Return which cells have values; without ``mask`` all those that are registered."""
    if isinstance(ids, slice):
        status = np.asarray(runs.read("status", ids))
        return HAS_VALUE[status] if mask else np.ones(len(status), dtype=bool)
    there = ids >= 0
    if mask and runs.n_runs:
        there &= HAS_VALUE[np.asarray(runs.read("status", np.where(there, ids, 0)))]
    return there


def anything_missing(runs: Runs, frame: Frame, *, mask: bool) -> bool:
    """Return whether any cell of the frame has no value."""
    whole = frame.whole
    if whole is not None:
        return not with_values(runs, slice(whole.start, whole.stop), mask=mask).all()
    ids = frame.ids([np.arange(size) for size in frame.shape]).ravel()
    return not with_values(runs, ids, mask=mask).all()


def read_column(runs: Runs, name: str, ids: Ints) -> Array | RaggedColumn:
    """Return an output of runs whose ids may come in any order and more than once."""
    counted = compact(ids)
    if isinstance(counted, range):
        return runs.read(name, slice(counted.start, counted.stop))
    lowest, highest = int(ids.min()), int(ids.max())
    if highest - lowest + 1 <= 2 * len(ids):
        column = runs.read(name, slice(lowest, highest + 1))
        if isinstance(column, RaggedColumn):
            return taken(column, ids - lowest)
        return column[ids - lowest]
    if bool((np.diff(ids) > 0).all()):
        return runs.read(name, ids)
    unique, back = np.unique(ids, return_inverse=True)
    column = runs.read(name, unique)
    return taken(column, back) if isinstance(column, RaggedColumn) else column[back]


def taken(column: RaggedColumn, rows: Ints) -> RaggedColumn:
    """Return some rows of a ragged column."""
    starts = column.offsets[:-1][rows]
    lengths = column.lengths[rows]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    within = np.arange(total) - np.repeat(ends - lengths, lengths)
    return RaggedColumn(lengths, column.values[np.repeat(starts, lengths) + within])


def read_dtype(variable: Variable, *, missing: bool, mask: bool) -> np.dtype[Any]:
    """Return the type of an output as it is read: whole numbers and bools with gaps are floats."""
    if variable.kind == "text":
        return np.dtype(object)
    dtype = np.dtype(variable.dtype)
    if mask and missing and dtype.kind in "biu":
        return np.dtype(np.float64)
    return dtype


def fill_of(dtype: np.dtype[Any]) -> Any:
    """Return what stands where there is no value."""
    if dtype.kind == "O":
        return ""
    if dtype.kind in "mM":
        return np.array("NaT", dtype=dtype)[()]
    return dtype.type(np.nan) if dtype.kind in "fc" else dtype.type(0)


def exact_floats(name: str, values: Array) -> Array:
    """Return whole numbers or bools as floats; raise StoreError where floats cannot hold them."""
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and values.size:
        largest = max(int(values.max()), -int(values.min()))
        if largest > LARGEST_EXACT:
            raise StoreError(
                f"Output {name!r} has integers beyond 2**53 ({largest}), and some of its runs are "
                "missing: as floats with NaN these integers would not be exact. Read them as "
                "stored with mask=False, and look at status for what is missing."
            )
    return values.astype(np.float64)


def read_output(
    runs: Runs, variable: Variable, dtype: np.dtype[Any], ids: Ints | slice, *, mask: bool
) -> Array:
    """Return an output of some cells, missing values in place, shape ``(n, *inner)``."""
    there = with_values(runs, ids, mask=mask)
    if isinstance(ids, slice):
        if there.all() or dtype == np.dtype(variable.dtype or object):
            found = np.asarray(runs.read(variable.name, ids))
            found = _as_type(variable.name, found, dtype)
            if not there.all():
                found = np.array(found)
                found[~there] = fill_of(dtype)
            return found
        ids = np.arange(ids.start, ids.stop)
    size = math.prod((len(ids), *variable.shape))
    require_room(size * dtype.itemsize, f"Output {variable.name!r} of {len(ids):,} cells")
    out = np.full((len(ids), *variable.shape), fill_of(dtype), dtype=dtype)
    if there.any():
        found = np.asarray(read_column(runs, variable.name, ids[there]))
        out[there] = _as_type(variable.name, found, dtype)
    return out


def _as_type(name: str, values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values in the type in which the variable is read; never cut one."""
    if values.dtype == dtype:
        return values
    if dtype.kind == "f" and values.dtype.kind in "biu":
        return exact_floats(name, values).astype(dtype, copy=False)
    if not np.can_cast(values.dtype, dtype):
        raise StoreError(
            f"Output {name!r} has changed from {dtype} to {values.dtype} since this Dataset was "
            "made, because a later run returned what the old type cannot hold. Open it again."
        )
    return values.astype(dtype)
