"""What the engine itself costs: against 1,000 slots that finish at once, and 100 real workers.

Run as ``python tests/benchmarks/engine.py``. Every batch holds one run, journalled as slow runs
are. CPU is that of the driver's process without what the stand-in needs; a sweep of a few runs is
taken off, which is what a sweep costs however small it is.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from slots import SlotsClient

import toolkit as tk

MOST_APART = 1.2  # CPU per batch, of the larger number of batches to the smaller
IDLE_SECONDS = 3.0
QUIET = {
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
}
"""What each worker does all the time. A hundred in one process look at that process a hundred
times over, with one event loop: on two cores little is left of them for the runs."""


def returned(x: float) -> float:
    """Return what it was given; the stand-in never calls it."""
    return x


def waited(x: float, delay: float) -> float:
    """Sleep, as a run that waits for a device does."""
    time.sleep(delay)
    return x


def stood_in(n_runs: int, slots: int, seconds: float, folder: Path) -> dict[str, float]:
    """Run a sweep of single-run batches against the stand-in."""
    client = SlotsClient(slots, seconds)
    sweep = tk.Sweep(
        returned, tk.grid(x=np.arange(float(n_runs))), store=folder / f"{time.monotonic_ns()}.zarr"
    )
    memory = psutil.Process().memory_info().rss
    started, cpu = time.perf_counter(), time.process_time()
    job = sweep.start(client)
    job.result()
    cpu = time.process_time() - cpu
    wall = time.perf_counter() - started
    client.close()
    grown = psutil.Process().memory_info().rss - memory
    done = int((sweep.dataset().returned.to_numpy() == np.arange(n_runs)).sum())
    if done != n_runs:
        raise ValueError(f"{done} of {n_runs} runs are stored")
    return {
        "batches": client.batches,
        "messages": client.messages,
        "cpu": cpu - client.cpu,
        "stand-in": client.cpu,
        "wall": wall,
        "grown": grown / 2**20,
    }


def on_workers(n_runs: int, delay: float, client: Any, folder: Path) -> dict[str, float]:
    """Run a sweep of sleeping runs on workers that are threads of this process."""
    space = tk.grid(x=np.arange(float(n_runs)), delay=delay)
    sweep = tk.Sweep(waited, space, store=folder / f"{time.monotonic_ns()}.zarr")
    started, cpu = time.perf_counter(), time.process_time()
    sweep.run(client, progress=False)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - started}


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--long", action="store_true", help="adds 100,000 batches")
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=100, help="real ones; 0: none")
    parser.add_argument("--runs", type=int, nargs="+", default=[500, 2000], help="on real workers")
    parser.add_argument("--delay", type=float, default=0.6, help="seconds that such a run sleeps")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        _print_stood_in(options, Path(folder))
        if options.workers:
            _print_on_workers(options, Path(folder))


def _print_stood_in(options: argparse.Namespace, folder: Path) -> None:
    seconds = 0.01 * options.slots  # twice what a batch takes at most: one run each
    numbers = [*options.batches, *([100_000] if options.long else [])]
    stood_in(8, options.slots, seconds, folder)  # imports
    rows: dict[int, list[dict[str, float]]] = {n: [] for n in numbers}
    costs: dict[int, list[float]] = {n: [] for n in numbers}
    bases = []
    for _ in range(options.rounds):  # all in turn: the machine is not always as fast
        bases.append(min(stood_in(8, options.slots, seconds, folder)["cpu"] for _ in range(3)))
        for n in numbers:
            row = stood_in(n, options.slots, seconds, folder)
            rows[n].append(row)
            costs[n].append(1e6 * (row["cpu"] - bases[-1]) / row["batches"])
    print(
        f"{options.slots} slots that finish at once; medians of {options.rounds}; a sweep of 8 "
        f"runs takes {1e3 * median(bases):.0f} ms\n"
        f"{'batches':>9}{'messages':>10}{'us a batch':>12}{'stand-in us':>13}{'grown MB':>10}"
    )
    for n in numbers:
        row = {name: median(each[name] for each in rows[n]) for name in rows[n][0]}
        print(
            f"{row['batches']:>9,.0f}{row['messages']:>10,.0f}{median(costs[n]):>12.1f}"
            f"{1e6 * row['stand-in'] / row['batches']:>13.1f}{row['grown']:>10.1f}"
        )
    fewest = min(numbers)
    ratios = ", ".join(
        f"{n:,} / {fewest:,} batches "
        f"{median(a / b for a, b in zip(costs[n], costs[fewest], strict=True)):.2f}"
        for n in numbers
        if n != fewest
    )
    print(
        f"CPU per batch, round by round: {ratios}; target {1 / MOST_APART:.2f} to {MOST_APART:.2f}",
        flush=True,
    )


def _print_on_workers(options: argparse.Namespace, folder: Path) -> None:
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set(QUIET),
        LocalCluster(
            processes=False,
            n_workers=options.workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,  # they share one process, each would count all of it
        ) as cluster,
        Client(cluster) as client,
    ):
        on_workers(2 * options.workers, 0.0, client, folder)  # imports
        cpu = time.process_time()
        time.sleep(IDLE_SECONDS)
        idle = (time.process_time() - cpu) / IDLE_SECONDS
        print(
            f"\n{options.workers} workers in this process, {options.delay:g} s a run; CPU of "
            f"driver, scheduler and workers, without {1e3 * idle:.0f} ms/s that they need to idle\n"
            f"{'runs':>9}{'ms a run':>12}{'wall / ideal':>14}",
            flush=True,
        )
        found = {}
        for n in options.runs:
            row = on_workers(n, options.delay, client, folder)
            found[n] = 1e3 * (row["cpu"] - idle * row["wall"]) / n
            ideal = -(-n // options.workers) * options.delay
            print(f"{n:>9,}{found[n]:>12.2f}{row['wall'] / ideal:>14.2f}", flush=True)
        print(f"CPU per run: {found[max(found)] / found[min(found)]:.2f} of that of fewer runs")


if __name__ == "__main__":
    main()
