"""Ten million trivial vectorized runs, end to end, and what a store of them costs afterwards.

Run as ``python tests/benchmarks/scale.py``. Beside the sweep on two workers: the same chunks
written by a plain loop with zarr in one process, and by a NumPy loop into a memory-mapped file.
Then, in a process that has not seen the store: describe, open, status, explain, select, reduce,
resume, extend; the status from another process while the sweep runs; and how long a driver takes
that finds a million journalled records of single runs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from measure import folder_size, tree_cpu

import toolkit as tk
from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult
from toolkit.stores.runs.sink import close_sinks, open_sink

TIMES_ZARR, SECONDS, GROWN_MB = 6.0, 3.0, 300.0
OPEN_MS, RESUME_S, RESUME_RECORDS_S = 50.0, 0.5, 5.0  # the last for a million records
CHUNK = 65_536
SIDE = 1000


def added(x: Any, y: Any) -> Any:
    """Return the sum."""
    return x + y


STAGE = tk.stage(added, vectorized=True)


def sweep_of(n: int, store: Path | None) -> tk.Sweep:
    """Describe ``n`` runs."""
    space = tk.grid(x=np.arange(n / SIDE), y=np.arange(float(SIDE)))
    return tk.Sweep(STAGE, space, store=store)


class Peak:
    """The highest resident memory of this process while it is entered, in bytes above before."""

    def __enter__(self) -> "Peak":
        self._process, self._ended = psutil.Process(), threading.Event()
        self._before = self.highest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.highest = max(self.highest, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.grown = self.highest - self._before


def with_zarr(n: int, folder: Path) -> None:
    """Write the same values by a loop over chunks."""
    array = zarr.create_array(
        folder / "plain.zarr", shape=(n,), chunks=(CHUNK,), dtype="f8", fill_value=np.nan
    )
    for lo in range(0, n, CHUNK):
        runs = np.arange(lo, min(lo + CHUNK, n))
        array[lo : lo + CHUNK] = added((runs // SIDE).astype(float), (runs % SIDE).astype(float))


def with_memmap(n: int, folder: Path) -> None:
    """Write the same values into a memory-mapped file: the limit."""
    kept = np.lib.format.open_memmap(folder / "plain.npy", "w+", "f8", (n,))
    for lo in range(0, n, CHUNK):
        runs = np.arange(lo, min(lo + CHUNK, n))
        kept[lo : lo + CHUNK] = added((runs // SIDE).astype(float), (runs % SIDE).astype(float))
    kept.flush()


def timed(function: Callable[..., Any], *arguments: Any) -> dict[str, float]:
    """Return wall and CPU seconds, those of children included."""
    cpu, started = tree_cpu(), time.perf_counter()
    function(*arguments)
    return {"wall": time.perf_counter() - started, "cpu": tree_cpu() - cpu}


def end_to_end(n: int, folder: Path, rounds: int, workers: int) -> Path:
    """Measure the sweep between the two loops, round after round; return its store."""
    rows: dict[str, list[dict[str, float]]] = {}
    store = folder / "sweep.zarr"
    grown = []
    with tk.cluster("local", workers=workers, threads=1, dashboard=None) as cluster:
        sweep_of(SIDE, folder / "first.zarr").run(cluster.client, progress=False)
        for _ in range(rounds):
            for name in ("plain.zarr", "sweep.zarr"):
                shutil.rmtree(folder / name, ignore_errors=True)
            rows.setdefault("zarr loop", []).append(timed(with_zarr, n, folder))
            rows.setdefault("memmap", []).append(timed(with_memmap, n, folder))
            with Peak() as peak:
                row = timed(lambda: sweep_of(n, store).run(cluster.client, progress=False))
            grown.append(peak.grown / 2**20)
            rows.setdefault("sweep", []).append(row)
    best = {name: {k: min(r[k] for r in found) for k in found[0]} for name, found in rows.items()}
    print(f"{n:,} runs, {workers} workers\n{'':12}{'wall s':>10}{'CPU s':>10}")
    for name, row in best.items():
        print(f"{name:12}{row['wall']:>10.2f}{row['cpu']:>10.2f}")
    inodes, size = folder_size(store)
    variables = len(
        json.loads((store / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    )
    print(
        f"sweep / zarr loop: wall {best['sweep']['wall'] / best['zarr loop']['wall']:.2f} "
        f"(target {TIMES_ZARR:g}), CPU {best['sweep']['cpu'] / best['zarr loop']['cpu']:.2f}; "
        f"wall {best['sweep']['wall']:.2f} s (target {SECONDS:g})\n"
        f"driver grew by {min(grown):.0f} MB (target {GROWN_MB:g}); {inodes} inodes, {variables} "
        f"arrays and groups, {size / 1e6:.1f} MB",
        flush=True,
    )
    return store


def afterwards(n: int, store: Path) -> None:
    """Measure in this process, the first time aside, what a finished store costs."""
    sweep_of(SIDE, store.with_name("first.zarr")).run(progress=False)  # imports
    tk.open(store.with_name("first.zarr")).added.mean()
    found: dict[str, float] = {}

    def note(name: str, function: Callable[[], Any], times: int = 3) -> Any:
        best, result = float("inf"), None
        for _ in range(times):
            started = time.perf_counter()
            result = function()
            best = min(best, time.perf_counter() - started)
        found[name] = best
        return result

    sweep = note("describe", lambda: sweep_of(n, store))
    data = note("open", lambda: tk.open(store))
    note("status", lambda: tk.status(store))
    note("select", lambda: float(tk.open(store).added.sel(x=3.0, y=7.0)))
    note("reduce", lambda: float(tk.open(store).added.mean()), times=1)
    note("explain", lambda: str(sweep_of(n, store).explain()))
    note("resume", lambda: sweep_of(n, store).run(progress=False))
    note("extend", lambda: sweep.extend(x=[-1.0]).run(progress=False), times=1)
    cells = (
        "".join(f"{name:>10}" for name in found),
        "".join(f"{1e3 * seconds:>10.1f}" for seconds in found.values()),
    )
    print(f"\nin another process, ms\n{cells[0]}\n{cells[1]}")
    print(
        f"open {1e3 * found['open']:.1f} ms (target {OPEN_MS:g}), "
        f"resume {found['resume']:.2f} s (target {RESUME_S:g}); {len(data.x):,} x {SIDE:,}",
        flush=True,
    )


def while_it_runs(n: int, folder: Path, workers: int) -> None:
    """Ask for the status from another process all the time: what does it cost the driver?"""
    toolkit = Path(sys.executable).with_name("toolkit")
    with tk.cluster("local", workers=workers, threads=1, dashboard=None) as cluster:
        sweep_of(SIDE, folder / "warm.zarr").run(cluster.client, progress=False)
        cpu = {}
        for polled in (False, True):
            store = folder / f"polled-{polled}.zarr"
            ended = threading.Event()
            asked: list[int] = []
            arguments = (toolkit, store, ended, asked)
            poller = threading.Thread(target=_poll, args=arguments) if polled else None
            if poller is not None:
                poller.start()
            started = time.thread_time()
            sweep_of(n, store).run(cluster.client, progress=False)
            cpu[polled] = time.thread_time() - started
            ended.set()
            if poller is not None:
                poller.join()
        if any(asked):
            raise ValueError(f"toolkit status ended with {asked}")
    print(
        f"\nthe driver's thread with `toolkit status` asked {len(asked)} times beside it: "
        f"{cpu[True] / cpu[False]:.2f} of its CPU without ({cpu[False]:.2f} s)",
        flush=True,
    )


def _poll(toolkit: Path, store: Path, ended: threading.Event, asked: list[int]) -> None:
    while not ended.is_set():
        if (store / "zarr.json").exists():
            command = [toolkit, "status", str(store)]
            asked.append(subprocess.run(command, capture_output=True).returncode)
        ended.wait(0.05)


def journalled(n: int, store: Path) -> None:
    """Write what workers leave of ``n`` runs of over 1 ms each when everything is killed."""
    sweep = tk.Sweep(added, tk.grid(x=np.arange(float(n)), y=1.0), store=store)
    sweep.isel(x=slice(0, 4)).run(progress=False)
    results = sweep._results
    results.acquire(code={})
    runs = results.stage("added")
    runs.register(sweep.space)
    sink = open_sink(runs.sink_spec())
    for run in range(4, n):
        outcome = BatchResult(
            status=np.array([Status.DONE], np.uint8),
            seconds=np.array([1.0], np.float32),
            peak_memory=np.array([np.nan], np.float32),
            columns=[np.array([run + 1.0])],
            schema=runs.schema,
            errors=[],
        )
        sink.block(np.array([run]), outcome, 1, begins=run + 1 if run + 1 < n else None)
    close_sinks()
    os._exit(0)  # as by kill -9: nothing is folded, nothing given back


def resumed(n: int, folder: Path) -> None:
    """Resume a sweep whose driver was killed with all its records unfolded."""
    store = folder / "records.zarr"
    command = [sys.executable, "-W", "ignore", __file__, "--journalled", str(n), str(store)]
    subprocess.run(command, check=True)
    sweep = tk.Sweep(added, tk.grid(x=np.arange(float(n)), y=1.0), store=store)
    wall, cpu = time.perf_counter(), time.process_time()
    opened = tk.open(store)
    wall = time.perf_counter() - wall
    if int((opened.status.to_numpy() == Status.DONE).sum()) != n:
        raise ValueError("records are lost")
    started = time.perf_counter()
    cpu = time.process_time()
    sweep.run(progress=False)
    again, cpu = time.perf_counter() - started, time.process_time() - cpu
    each = 1e6 / n
    print(
        f"\n{n:,} records of single runs, per million: opened unfolded in {wall * each:.2f} s, "
        f"resumed in {again * each:.2f} s (CPU {cpu * each:.2f}; target {RESUME_RECORDS_S:g})",
        flush=True,
    )


def main() -> None:
    """Measure everything at one size, or at several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--records", type=float, default=1e6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--afterwards", nargs=2, metavar=("RUNS", "STORE"), help=argparse.SUPPRESS)
    parser.add_argument("--journalled", nargs=2, metavar=("RUNS", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.afterwards:
        afterwards(int(options.afterwards[0]), Path(options.afterwards[1]))
        return
    if options.journalled:
        journalled(int(options.journalled[0]), Path(options.journalled[1]))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for n in map(int, options.runs):
            store = end_to_end(n, folder, options.rounds, options.workers)
            arguments = ["--afterwards", str(n), str(store)]
            subprocess.run([sys.executable, "-W", "ignore", __file__, *arguments], check=True)
            print()
        while_it_runs(int(max(options.runs)), folder, options.workers)
        resumed(int(options.records), folder)


if __name__ == "__main__":
    main()
