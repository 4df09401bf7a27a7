"""Real processes, killed at random moments: what was acknowledged is there, and whole."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from toolkit.run_status import Status
from toolkit.spaces.grid import grid
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.runs.sink import close_sinks
from toolkit.stores.zarr_store import ZarrStore

pytestmark = pytest.mark.faults

N, CHUNK = 40_000, 512
SCHEMA = Schema(
    variables=(
        Variable(name="x", dtype="<f8"),
        Variable(name="v", dtype="<f8", dims=("k",), shape=(16,)),
    )
)

COMMON = """
import sys, random
import numpy as np
from dataclasses import dataclass, field
from toolkit.stages.schema import Schema, Variable
from toolkit.spaces.grid import grid

@dataclass
class Outcomes:
    status: object; seconds: object; peak_memory: object; columns: object; schema: object
    errors: list = field(default_factory=list)
    logs: list = field(default_factory=list)

def outcomes(ids, schema):
    n = len(ids)
    x = np.asarray(ids) * 2.0
    columns = [x, np.repeat(x[:, None], 16, axis=1)]
    ones = np.ones(n)
    return Outcomes(ones.astype("u1"), ones.astype("f4"), ones.astype("f4"), columns, schema)
"""

WORKER = (
    COMMON
    + """
import pickle
from toolkit.stores.runs.sink import open_sink
spec = pickle.loads(bytes.fromhex(sys.argv[1]))
sink = open_sink(spec)
kind, seed = sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(seed)
chunk, n = spec.chunk_length, spec.n_runs
for c in rng.permutation(-(-n // chunk)).tolist():
    lo, hi = c * chunk, min((c + 1) * chunk, n)
    sink.check()
    if kind == "chunk":
        sink.chunk(lo, hi, outcomes(np.arange(lo, hi), spec.schema), 1)
    else:
        ids = np.arange(lo, hi)
        sink.mark[0] = lo
        sink.block(ids, outcomes(ids, spec.schema), 1)
    print(c, flush=True)
sys.stdin.read()
"""
)

DRIVER = (
    COMMON
    + """
from toolkit.stores.runs.sink import open_sink
from toolkit.stores.zarr_store import ZarrStore
store = ZarrStore.create_or_open(sys.argv[1])
store.acquire()
runs = store.stage("f")
sink = open_sink(runs.sink_spec())
todo = np.flatnonzero(runs.state.status == 0)
np.random.default_rng(int(sys.argv[3])).shuffle(todo)
for i in range(0, len(todo), 300):
    ids = np.sort(todo[i:i + 300])
    sink.check()
    sink.block(ids, outcomes(ids, runs.schema), 1)
    print(*ids.tolist(), flush=True)
    runs.collect()
    runs.fold(force=i % 900 == 0)
sys.stdin.read()
"""
)


@pytest.fixture
def path(tmp_path):
    store = ZarrStore.create_or_open(tmp_path / "s.zarr")
    store.acquire()
    runs = store.stage("f", create=True)
    runs.register(grid(a=np.arange(N)))
    runs.set_schema(SCHEMA, CHUNK)
    runs.fold(force=True)
    store.release()
    yield tmp_path / "s.zarr"
    close_sinks()


def killed(code, arguments, seconds):
    """Run a process, kill it after a while, and return the whole lines that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    lines = (first + rest).split("\n")[:-1]
    return [[int(word) for word in line.split()] for line in lines if line]


def assert_sound(runs, acknowledged):
    status = runs.state.status
    assert (status[sorted(acknowledged)] == Status.DONE).all()
    done = np.flatnonzero(status == Status.DONE)
    assert runs.read("x", done).tolist() == (done * 2.0).tolist()
    np.testing.assert_array_equal(runs.read("v", done), np.repeat(done[:, None] * 2.0, 16, axis=1))


@pytest.mark.parametrize("kind", ["chunk", "inline"])
def test_workers_killed_while_they_write(path, kind):
    import pickle

    random.seed(1)
    acknowledged: set[int] = set()
    for seed in range(4):
        store = ZarrStore.create_or_open(path)
        store.acquire()
        runs = store.stage("f")
        assert_sound(runs, acknowledged)
        spec = pickle.dumps(runs.sink_spec()).hex()
        lines = killed(WORKER, [spec, kind, str(seed)], random.uniform(0.0, 0.08))
        for [chunk] in lines:
            acknowledged.update(range(chunk * CHUNK, min((chunk + 1) * CHUNK, N)))
        runs.collect()
        assert_sound(runs, acknowledged)
        store.release()
    assert acknowledged
    assert_sound(ZarrStore.read(path).stage("f"), acknowledged)
    files = sum(len(names) for _, _, names in os.walk(path))
    assert files < 2 * -(-N // CHUNK) + 50


def test_drivers_killed_while_they_fold(path):
    random.seed(2)
    acknowledged: set[int] = set()
    for seed in range(5):
        lines = killed(DRIVER, [str(path), "", str(seed)], random.uniform(0.0, 0.3))
        again = [run for line in lines for run in line]
        assert not acknowledged.intersection(again)
        acknowledged.update(again)
        assert_sound(ZarrStore.read(path).stage("f"), acknowledged)
    store = ZarrStore.create_or_open(path)
    store.acquire()
    assert_sound(store.stage("f"), acknowledged)
    store.release()
