import json
import pickle
import time

import numpy as np
import pytest

from tests.stores.filled import closed, finish, on_disk, registered
from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.spaces.grid import grid
from toolkit.stages.batch import BatchResult
from toolkit.stages.schema import RaggedColumn, Schema, Variable
from toolkit.stores.reading.open import failures, status
from toolkit.stores.reading.open import open as open_store
from toolkit.stores.runs.sink import open_sink

PEAK = Schema(variables=(Variable(name="peak", dtype="<f8", attrs={"units": "people"}),))
SPACE = grid(beta=[0.1, 0.2, 0.3], gamma=[1, 2])


@pytest.fixture
def path(tmp_path):
    """A store of one stage, all six runs of it done but one that failed."""
    store = on_disk(tmp_path / "sir.zarr")
    finish(registered(store, SPACE), PEAK, range(6), [np.arange(6.0)], failed=[4])
    closed(store)
    return tmp_path / "sir.zarr"


def test_everything_stored_is_there_labelled(path):
    data = open_store(path)
    assert data.peak.sel(beta=0.2, gamma=2) == 3.0
    assert np.isnan(data.peak.sel(beta=0.3, gamma=1))
    assert data.peak.attrs["units"] == "people"
    assert data.attrs["store"] == str(path)
    assert data.attrs["stage"] == "sir"
    assert open_store(str(path), flat=True).peak.dims == ("run",)


def test_an_extension_is_there_too(path):
    store = on_disk(path)
    runs = store.stage("sir")
    ids = runs.register(SPACE.extend(beta=[0.15]))
    new = [int(n) for n in ids if n >= 6]
    finish(runs, PEAK, new, [np.array([60.0, 70.0])])
    closed(store)
    data = open_store(path)
    assert data.beta.values.tolist() == [0.1, 0.15, 0.2, 0.3]
    assert data.peak.sel(beta=0.15).values.tolist() == [60.0, 70.0]
    assert data.peak.sel(beta=0.2).values.tolist() == [2.0, 3.0]


def test_what_is_journalled_and_not_folded_is_there(tmp_path):
    store = on_disk(tmp_path / "sir.zarr")
    runs = registered(store, SPACE)
    finish(runs, PEAK, [0], [np.array([5.0])])
    finish(runs, PEAK, [3], [np.array([7.0])], fold=False)
    data = open_store(tmp_path / "sir.zarr")
    assert data.peak.sel(beta=0.2, gamma=2) == 7.0
    assert int((data.status == Status.DONE).sum()) == 2
    closed(store)


def test_nothing_is_written_by_looking(path):
    before = sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*"))
    open_store(path).load()
    status(path)
    failures(path)
    assert sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*")) == before


def test_objects_are_not_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    raw = pickle.dumps(Bomb())
    schema = Schema(variables=(Variable(name="model", kind="object"),))
    column = RaggedColumn(np.array([len(raw)]), np.frombuffer(raw, dtype=np.uint8))
    store = on_disk(tmp_path / "sir.zarr")
    finish(registered(store, grid(a=[1])), schema, [0], [column])
    closed(store)
    data = open_store(tmp_path / "sir.zarr").load()
    assert data.attrs["objects"] == ["model"]


def test_a_missing_path_and_something_else_are_errors(tmp_path):
    with pytest.raises(StoreError, match="There is no store at"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(StoreError, match="is no store"):
        open_store(tmp_path)


def test_a_newer_format_is_an_error(path):
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["toolkit"]["format_version"] = 99
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="newer version"):
        open_store(path)


def test_stages_are_listed_where_the_name_is_wrong_or_needed(path):
    with pytest.raises(StoreError, match=r"holds the stages 'sir'. There is no stage 'fit'"):
        open_store(path, stage="fit")
    store = on_disk(path)
    finish(registered(store, grid(a=[1]), "fit"), PEAK, [0], [np.array([9.0])])
    closed(store)
    with pytest.raises(StoreError, match=r"output 'peak': say which of 'sir', 'fit' to open"):
        open_store(path)
    assert open_store(path, stage="fit").peak.values.tolist() == [9.0]
    assert list(status(path).index) == ["sir", "fit"]


def test_status_counts_runs(path):
    table = status(path)
    assert table.loc["sir", ["runs", "done", "failed", "pending"]].tolist() == [6, 5, 1, 0]
    assert table.loc["sir", "seconds"] == 3.0


def test_failures_have_labels_and_the_error(path):
    table = failures(path)
    assert table[["beta", "gamma", "exception"]].to_numpy().tolist() == [[0.3, 1, "ValueError"]]
    assert len(failures(path, stage="sir")) == 1


def test_a_million_runs_open_in_20_ms_and_a_label_is_read_in_10(tmp_path):
    n = 1000
    store = on_disk(tmp_path / "big.zarr")
    runs = registered(store, grid(beta=np.linspace(0.1, 0.5, n), gamma=np.arange(n)))
    runs.set_schema(PEAK, 1 << 16)
    sink = open_sink(runs.sink_spec())
    for lo in range(0, n * n, 1 << 16):
        hi = min(lo + (1 << 16), n * n)
        result = BatchResult(
            status=np.ones(hi - lo, dtype=np.uint8),
            seconds=np.full(hi - lo, 1e-6, dtype=np.float32),
            peak_memory=np.full(hi - lo, np.nan, dtype=np.float32),
            columns=[np.arange(lo, hi, dtype=np.float64)],
            schema=PEAK,
            errors=[],
        )
        sink.chunk(lo, hi, result, 1)
    runs.collect([sink.receipt()])
    closed(store)

    def seconds(read) -> float:
        def once() -> float:
            began = time.perf_counter()
            read()
            return time.perf_counter() - began

        return min(once() for _ in range(5))

    assert seconds(lambda: open_store(tmp_path / "big.zarr")) < 0.02
    data = open_store(tmp_path / "big.zarr")
    assert seconds(lambda: data.peak.sel(beta=0.1).values) < 0.01
    assert data.peak.sel(beta=0.5, gamma=7) == 999_007.0
