"""Results of a stage that another store holds: found by content, copied, never changed there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult
from toolkit.stages.columns import cast
from toolkit.stages.identity import Identity
from toolkit.stages.schema import Column, RaggedColumn, Schema, SchemaMismatch, Variable, widen
from toolkit.stores.catalogues.matching import SpaceLike
from toolkit.stores.memory_store import MemoryStore
from toolkit.stores.runs.sink import open_sink
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.runs.state import MOST_ATTEMPTS
from toolkit.stores.zarr_store import ZarrStore

Ids = npt.NDArray[np.int64]

_PIECE_BYTES, _PIECE_RUNS = 32 << 20, 1 << 17
_SMALLEST_CHUNK = 1 << 10


@dataclass(frozen=True)
class Shelf:
    """The runs of one stage in another store that one identity made."""

    runs: StageRuns
    identity: Identity
    place: str
    store: str

    def find(self, space: SpaceLike, defaults: Mapping[str, object]) -> Ids:
        """Return for each run of a space the run here that is done, -1 where there is none.

        A space whose parameters are not those of the store finds nothing.
        """
        try:
            found = np.array(self.runs.catalogue.find(space, defaults=defaults), np.int64)
        except StoreError:
            return np.full(len(space.points()), -1, np.int64)
        there = np.flatnonzero(found >= 0)
        status = self.runs.status_under(self.identity, found[there])
        is_whole = ~np.isin(found[there], list(self.runs.incomplete))
        found[there[(status != Status.DONE) | ~is_whole]] = -1
        return found


def shelf_of(
    store: ZarrStore | MemoryStore, name: str, identity: Identity, place: str
) -> Shelf | None:
    """Return the runs that an identity made in a store; the stage of this name comes first."""
    names = sorted(store.stage_names, key=lambda each: each != name)
    for each in names:
        runs = store.stage(each)
        if runs.state.makers.number_of(identity.token) >= 0 and runs.widest_schema is not None:
            return Shelf(runs, identity, place, store.identity)
    return None


def fits(shelf: Shelf, runs: StageRuns) -> bool:
    """Whether what the shelf holds can lie beside what a stage's runs returned."""
    ours, theirs = runs.widest_schema, shelf.runs.widest_schema
    if ours is None or theirs is None:
        return theirs is not None
    try:
        widen(ours, theirs)
    except SchemaMismatch:
        return False
    return True


def copy(shelf: Shelf, found: Ids, runs: StageRuns, ids: Ids) -> None:
    """Copy outcomes as if these runs had just ended: journalled first, then folded.

    Parameters
    ----------
    shelf
        Where they are.
    found
        Runs there, shape ``(n,)``.
    runs
        Where they go.
    ids
        Runs here, shape ``(n,)``, each once and pending.
    """
    order = np.argsort(ids)
    found, ids = found[order], ids[order]
    schema = shelf.runs.widest_schema
    assert schema is not None
    attempts = np.maximum(shelf.runs.state.attempts[found], runs.state.attempts[ids])
    attempts = np.clip(attempts, 1, MOST_ATTEMPTS)
    for attempt in np.unique(attempts).tolist():
        alike = np.flatnonzero(attempts == attempt)
        for rows in row_pieces(alike, schema):
            _copy_piece(shelf.runs, found[rows], schema, runs, ids[rows], attempt)
    if runs.schema is None and runs.widest_schema is not None:
        length = shelf.runs.chunk_length or _SMALLEST_CHUNK
        runs.set_schema(runs.widest_schema, length)
    runs.fold()


def _copy_piece(
    source: StageRuns, found: Ids, schema: Schema, runs: StageRuns, ids: Ids, attempt: int
) -> None:
    state = source.state
    result = BatchResult(
        status=np.full(len(ids), Status.DONE, np.uint8),
        seconds=state.seconds[found],
        peak_memory=state.peak_memory[found],
        columns=[typed(source.read(each.name, found), each) for each in schema.variables],
        schema=schema,
        errors=[],
    )
    sink = open_sink(runs.sink_spec())
    sink.check()
    sink.block(ids, result, attempt)
    runs.collect([sink.receipt()])


def typed(column: Column, variable: Variable) -> Column:
    """Return a column as the widest schema has it, which a stored array may not have yet."""
    if variable.kind != "fixed" or isinstance(column, RaggedColumn):
        return column
    if column.dtype == np.dtype(variable.dtype):
        return column
    narrow = Variable(
        name=variable.name, dtype=column.dtype.str, dims=variable.dims, shape=variable.shape
    )
    [wide] = cast([column], Schema(variables=(narrow,)), Schema(variables=(variable,)))
    return wide


def row_pieces(rows: Ids, schema: Schema) -> Iterator[Ids]:
    """Yield rows of which so many are copied at once as fit well in memory."""
    length = max(1, min(_PIECE_RUNS, _PIECE_BYTES // max(schema.nbytes_per_run, 1)))
    for first in range(0, len(rows), length):
        yield rows[first : first + length]


def note_of(shelf: Shelf, count: int, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a store's provenance says of reused runs, with these added."""
    key = {"store": shelf.place, "identity": shelf.store, "stage": shelf.runs.name}
    others, known = [], 0
    for each in before:
        if {name: each.get(name) for name in key} == key:
            known += int(each.get("runs", 0))
        else:
            others.append(each)
    return [*others, {**key, "runs": known + count}]
