"""Describing a sweep as a graph: ``sweep.lazy()`` beside map_blocks, apply_ufunc and delayed.

Run as ``python tests/benchmarks/graphs.py``. For each number of blocks, of two outputs each: CPU
seconds to build the labelled Dataset, bytes that are sent to a scheduler, CPU seconds until the
scheduler has all tasks, and bytes of one of the tasks. The function refers to 0.9 MB of data, as
functions of notebooks do. Ratios are to ``sweep.lazy()``, measured turn about.
"""

import argparse
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import xarray as xr

import toolkit as tk

DATA = os.urandom(900_000)
LARGEST = {"apply_ufunc": 10_000, "delayed": 1_000}
"""More blocks than these take minutes."""


def function(x: float, y: float) -> dict[str, float]:
    return {"a": x + y + len(DATA), "b": x * y}


def outputs(x: Any, y: Any) -> tuple[Any, Any]:
    return x + y + len(DATA), x * y


def axes(blocks: int) -> tuple[Any, Any]:
    return np.arange(float(blocks)), np.arange(4.0)


def lazily(blocks: int) -> xr.Dataset:
    x, y = axes(blocks)
    stage = tk.stage(function, outputs={"a": float, "b": float})
    sweep = tk.Sweep(stage, tk.grid(x=x, y=y))
    from toolkit.graphs import dataset

    # One block for each x, whatever the toolkit would choose.
    before, dataset.block_lengths = dataset.block_lengths, lambda *_, **__: {"x": 1, "y": 4}
    try:
        return sweep.lazy()
    finally:
        dataset.block_lengths = before


def map_blocks(blocks: int) -> xr.Dataset:
    x, y = axes(blocks)
    both = [("a", "f8"), ("b", "f8")]

    def block(xs: Any, ys: Any) -> Any:
        out = np.empty((len(xs), ys.shape[1]), both)
        out["a"], out["b"] = outputs(xs, ys)
        return out

    dx, dy = da.from_array(x, chunks=1)[:, None], da.from_array(y, chunks=4)[None, :]
    meta = np.empty((0, 0), both)
    found = da.map_blocks(block, dx, dy, dtype=both, meta=meta, chunks=(dx.chunks[0], (4,)))
    return labelled(found["a"], found["b"], x, y)


def apply_ufunc(blocks: int) -> xr.Dataset:
    x, y = axes(blocks)
    a, b = xr.apply_ufunc(
        lambda xs, ys: outputs(xs[:, None] if xs.ndim == 1 else xs, ys),
        xr.Variable("x", da.from_array(x, chunks=1)),
        xr.Variable("y", da.from_array(y, chunks=4)),
        dask="parallelized",
        output_core_dims=[[], []],
        output_dtypes=["f8", "f8"],
    )
    return labelled(a.data, b.data, x, y)


def delayed(blocks: int) -> xr.Dataset:
    x, y = axes(blocks)
    call = dask.delayed(lambda one: outputs(np.full(4, one), y), pure=False)
    rows: tuple[list[Any], list[Any]] = ([], [])
    for one in x:
        made = call(one)
        for at, row in enumerate(rows):
            row.append(da.from_delayed(made[at], (4,), dtype="f8")[None])
    a, b = (da.concatenate(row) for row in rows)
    return labelled(a, b, x, y)


def labelled(a: Any, b: Any, x: Any, y: Any) -> xr.Dataset:
    return xr.Dataset({"a": (("x", "y"), a), "b": (("x", "y"), b)}, {"x": x, "y": y})


WAYS: dict[str, Callable[[int], xr.Dataset]] = {
    "sweep.lazy()": lazily,
    "map_blocks": map_blocks,
    "apply_ufunc": apply_ufunc,
    "delayed": delayed,
}


def measured(way: Callable[[int], xr.Dataset], blocks: int) -> dict[str, float]:
    """Return what one way costs: CPU seconds and bytes."""
    from dask.base import collections_to_expr
    from distributed.scheduler import _materialize_graph

    started = time.process_time()
    data = way(blocks)
    built = time.process_time()
    expression = collections_to_expr([data]).optimize()
    sent = cloudpickle.dumps(expression, protocol=5)
    begun = time.process_time()
    tasks, _ = _materialize_graph(expr=pickle.loads(sent), validate=False)
    ready = time.process_time()
    some = [len(cloudpickle.dumps(task, protocol=5)) for task in list(tasks.values())[:40]]
    return {
        "build_s": built - started,
        "sent_bytes": len(sent),
        "ready_s": ready - begun,
        "largest_task_bytes": max(some),
        "tasks": len(tasks),
    }


def main(arguments: list[str]) -> int:
    """Print a row for each way and number of blocks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args(arguments)
    for way in WAYS.values():
        way(4)  # what is imported now does not count
    print(
        f"{'blocks':>7} {'way':<13} {'build s':>8} {'x':>6} {'sent kB':>9} {'ready s':>8}", end=""
    )
    print(f" {'x':>6} {'task bytes':>10} {'tasks':>8}")
    for blocks in options.blocks:
        ways = {n: way for n, way in WAYS.items() if blocks <= LARGEST.get(n, 10**6)}
        turns = [
            {name: measured(way, blocks) for name, way in ways.items()}
            for _ in range(options.turns if blocks < 100_000 else 1)
        ]
        for name in ways:
            one, first = (
                {key: statistics.median(turn[who][key] for turn in turns) for key in turn_keys}
                for who, turn_keys in ((name, turns[0][name]), ("sweep.lazy()", turns[0][name]))
            )
            print(
                f"{blocks:>7} {name:<13} {one['build_s']:>8.3f} "
                f"{one['build_s'] / first['build_s']:>6.1f} {one['sent_bytes'] / 1e3:>9.0f} "
                f"{one['ready_s']:>8.2f} {one['ready_s'] / first['ready_s']:>6.1f} "
                f"{one['largest_task_bytes']:>10.0f} {one['tasks']:>8.0f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
