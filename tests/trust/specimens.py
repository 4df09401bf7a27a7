"""Real stores of every kind, small, for damaging: made by real sweeps and by hand."""

import shutil
from pathlib import Path

import numpy as np

import toolkit as tk
from tests.stores.filled import finish, on_disk, registered
from toolkit.spaces.grid import grid, zipped
from toolkit.stages.schema import Coord, RaggedColumn, Schema, Variable
from toolkit.stores.runs.sink import close_sinks

SCHEMA = Schema(
    variables=(
        Variable(name="peak", dtype="<f8", attrs={"units": "m"}),
        Variable(name="count", dtype="<i4"),
        Variable(name="track", dtype="<f4", dims=("time",), shape=(3,)),
        Variable(name="when", dtype="<M8[ns]"),
        Variable(name="word", kind="text"),
        Variable(name="spikes", kind="ragged", dtype="<i8", dims=("spike",)),
        Variable(name="model", kind="object"),
    ),
    coords={"time": Coord(dims=("time",), values=np.array([0.0, 0.5, 1.0]))},
)


def columns(n: int, pickled: bytes = b"\x80\x04K\x01.") -> list:
    """Return columns of ``n`` runs in ``SCHEMA``."""
    words = np.empty(n, object)
    words[:] = [f"é{i}" * i for i in range(n)]
    lengths = np.arange(n) % 3
    raw = np.frombuffer(pickled * n, np.uint8)
    return [
        np.arange(n, dtype="f8"),
        np.arange(n, dtype="<i4"),
        np.ones((n, 3), "<f4"),
        np.arange(n).astype("<M8[ns]"),
        words,
        RaggedColumn(lengths, np.arange(lengths.sum())),
        RaggedColumn(np.full(n, len(pickled)), raw),
    ]


def make_folded(path: Path) -> None:
    """Make a store of all kinds of outputs and labels, half of it folded, half journalled."""
    words = ["", "a/b", "é\n\u202e", "1"]
    dates = np.array(["2024-01-01", "2024-01-02"], "M8[ns]")
    space = grid({"word in": words, "when in": dates, "beta": [0.1, 0.2, 0.3], "c": 5})
    store = on_disk(path)
    runs = registered(store, space)
    n = runs.n_runs
    finish(runs, SCHEMA, np.arange(n // 2), columns(n // 2), failed=(1, 2))
    finish(
        runs, SCHEMA, np.arange(n // 2, n - 2), columns(n - 2 - n // 2), failed=(20,), fold=False
    )
    _abandon(store)


def make_journalled(path: Path) -> None:
    """Make a store of which nothing is folded, of runs in a table and of blocks left out."""
    space = (
        grid(a=range(20), b=[1.0, 2.0]) * zipped("site", rate=[1, 2, 2], size=[1, 1, 3])
    ).where(lambda a, b, rate: a + b + rate > 5)
    store = on_disk(path)
    runs = registered(store, space)
    finish(runs, SCHEMA, np.arange(9), columns(9), failed=(4,), fold=False)
    for run in range(10, 16):
        finish(runs, SCHEMA, [run], columns(1), fold=False)
    runs.register(grid(a=[99], b=[1.0]) * zipped("site", rate=[7], size=[7]))
    _abandon(store)


def make_staged(path: Path) -> None:
    """Make the store of a sweep with two stages, conditions, replicates and a changed function."""

    def fit(kernel, width=3):
        return {"score": width * 2.0, "obj": {kernel}}

    def use(score, obj, rate, trial):
        if rate == 2 and trial == 1:
            raise ValueError("no\x1b[31m")
        return score * rate

    space = tk.grid(kernel=["rbf", "lin"], width=[1, 2], rate=[1, 2], trial=tk.replicates(2))
    stages = [tk.stage(fit, outputs=["score", "obj"]), use]
    sweep = tk.Sweep(stages, space.when(width=lambda kernel: kernel == "rbf"), store=path)
    sweep.run(progress=False)
    changed = tk.stage(use, version="2")
    sweep.replace(stages=[stages[0], changed]).sel(rate=1).run(progress=False, rerun="stale")


KINDS = {"folded": make_folded, "journalled": make_journalled, "staged": make_staged}


def made(folder: Path) -> dict[str, Path]:
    """Make every kind of store in a folder; return where each is."""
    found = {}
    for name, make in KINDS.items():
        path = folder / f"{name}.zarr"
        shutil.rmtree(path, ignore_errors=True)
        make(path)
        (path / ".journal/lock.json").write_text(
            '{"host": "h", "pid": 1, "process_start": "5", "token": "t", "since": 1e9, "beat": 3}'
        )
        found[name] = path
    return found


def _abandon(store: object) -> None:
    """Leave a store as a killed driver does."""
    store._lock.release()
    close_sinks()
