"""Stores filled by hand, for tests of what reads them."""

import os

import numpy as np

from toolkit.run_status import Status
from toolkit.spaces.space import Space
from toolkit.stages.batch import BatchResult
from toolkit.stages.columns import take
from toolkit.stages.failure import RunFailure
from toolkit.stages.schema import Schema
from toolkit.stores.memory_store import MemoryStore
from toolkit.stores.runs.sink import close_sinks, open_sink
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.zarr_store import ZarrStore


def registered(store: MemoryStore | ZarrStore, space: Space, name: str = "sir") -> StageRuns:
    runs = store.stage(name, create=True)
    runs.register(space)
    return runs


def finish(runs: StageRuns, schema: Schema, ids, columns, *, failed=(), fold: bool = True) -> None:
    """Record runs as done with these columns (one row an id), but those that failed."""
    ids = np.asarray(ids, dtype=np.int64)
    order = np.argsort(ids)
    ids, columns = ids[order], take(columns, order)
    if runs.schema is None and fold:
        runs.set_schema(schema, 16)
    status = np.full(len(ids), Status.DONE, dtype=np.uint8)
    status[np.isin(ids, failed)] = Status.FAILED
    sink = open_sink(runs.sink_spec())
    result = BatchResult(
        status=status,
        seconds=np.full(len(ids), 0.5, dtype=np.float32),
        peak_memory=np.full(len(ids), np.nan, dtype=np.float32),
        columns=columns,
        schema=schema,
        errors=[
            RunFailure(run=int(run), exception="ValueError", message="no", traceback="")
            for run in failed
        ],
    )
    sink.block(ids, result, 1)
    receipt = sink.receipt()
    if fold:
        runs.collect([receipt])
        runs.fold(force=True)


def in_memory(space: Space, name: str = "sir") -> StageRuns:
    return registered(MemoryStore(), space, name)


def on_disk(path: str | os.PathLike[str]) -> ZarrStore:
    store = ZarrStore.create_or_open(path)
    store.acquire()
    return store


def closed(store: ZarrStore) -> None:
    store.release()
    close_sinks()
