"""What the tests of stores share: outcomes of made-up batches, and both kinds of store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from toolkit.run_status import Status
from toolkit.stages.failure import RunFailure
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.memory_store import MemoryStore
from toolkit.stores.runs.sink import close_sinks, open_sink
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.zarr_store import ZarrStore

Store = ZarrStore | MemoryStore
NUMBER = Schema(variables=(Variable(name="x", dtype="<f8"),))


@dataclass
class Outcomes:
    """A batch result."""

    status: Any
    seconds: Any
    peak_memory: Any
    columns: Any
    schema: Any
    errors: list[RunFailure] = field(default_factory=list)
    logs: list[object] = field(default_factory=list)


def outcomes(ids: Any, schema: Schema | None = NUMBER, columns: Any = None) -> Outcomes:
    """Return outcomes of runs that are done; by default ``x`` is twice the run id."""
    n = len(ids)
    if columns is None and schema is NUMBER:
        columns = [np.asarray(ids, float) * 2]
    seconds = np.linspace(0.1, 0.2, n, dtype="f4")
    return Outcomes(np.ones(n, "u1"), seconds, np.full(n, np.nan, "f4"), columns, schema)


def failures(ids: Any, message: str = "no") -> Outcomes:
    """Return outcomes of runs that all failed."""
    result = outcomes(ids, None)
    result.status[:] = Status.FAILED
    result.errors = [RunFailure(int(run), "ValueError", message, "line 1\nline 2") for run in ids]
    return result


class Driver:
    """A store with one stage and a worker's sink, in this process."""

    def __init__(self, store: Store, name: str = "f") -> None:
        self.store = store
        self.runs: StageRuns = store.stage(name, create=True)

    def register(self, space: Any) -> np.ndarray:
        return np.asarray(self.runs.register(space))

    def block(self, ids: Any, result: Any = None, attempt: int = 1) -> Any:
        ids = np.asarray(ids)
        sink = open_sink(self.runs.sink_spec())
        sink.check()
        sink.block(ids, outcomes(ids) if result is None else result, attempt)
        return self.runs.collect([sink.receipt()])

    def chunk(self, lo: int, hi: int, result: Any = None, attempt: int = 1) -> Any:
        sink = open_sink(self.runs.sink_spec())
        sink.check()
        sink.chunk(lo, hi, outcomes(np.arange(lo, hi)) if result is None else result, attempt)
        return self.runs.collect([sink.receipt()])


@pytest.fixture
def kit() -> Any:
    """Give the helpers of this file to tests, which cannot import it."""

    class Kit:
        number = NUMBER
        driver = Driver

    Kit.outcomes = staticmethod(outcomes)
    Kit.failures = staticmethod(failures)
    return Kit


@pytest.fixture(params=["zarr", "memory"])
def make_store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Callable[[], Store]]:
    """Yield a function that makes, or opens again, one store of either kind, acquired."""
    made: list[Store] = []

    def make() -> Store:
        if request.param == "memory":
            if not made:
                made.append(MemoryStore({"made": "by a test"}))
            return made[0]
        store = ZarrStore.create_or_open(tmp_path / "s.zarr", {"made": "by a test"})
        store.acquire()
        made.append(store)
        return store

    yield make
    for store in made:
        if isinstance(store, MemoryStore) or store._lock.is_held:
            store.release()
    close_sinks()
