"""A factorial study that fits networks and saves 30 arrays a run, beside its parts alone.

Run as ``python tests/benchmarks/factorial.py``. The same study is run as it is, without what it
saves, and without what it computes, one after the other on the same workers. Where saving runs
beside computing, the whole takes little more than the longer of the two. Beside it, what one would
write by hand: ``Pool.map`` over the networks, and one ``.npz`` a run.
"""

import argparse
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import folder_size, tree_cpu

import toolkit as tk

ARRAYS = 30
NAMES = [f"array_{number:02d}" for number in range(ARRAYS)]


def fit(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Fit a network of one hidden layer to a sum of sines by gradient descent."""
    x = rng.normal(size=(size, 4))
    y = np.sin(x).sum(1)
    first, second = rng.normal(size=(4, 16)) / 2, rng.normal(size=16) / 4
    for _ in range(200):
        hidden = np.tanh(x @ first)
        residual = hidden @ second - y
        back = np.outer(residual, second) * (1 - hidden**2)
        first, second = first - 0.05 * x.T @ back / size, second - 0.05 * hidden.T @ residual / size
    return {"first": first, "second": second}


def simulated(
    first: Any, second: Any, snr: int, rng: np.random.Generator, points: int, passes: int
) -> dict[str, np.ndarray]:
    """Return what the network makes of 30 noisy inputs, the mean of some passes each."""
    first, second = np.asarray(first), np.asarray(second)
    found = {}
    for name in NAMES:
        total = np.zeros(points)
        for _ in range(passes):
            x = rng.normal(size=(points, 4)) * 10 ** (-snr / 20)
            total += np.tanh(x @ first) @ second
        found[name] = total / passes
    return found


def ready(points: int) -> dict[str, np.ndarray]:
    """Return arrays of the same kind, made once in each process."""
    if points not in _ready:
        rng = np.random.default_rng(0)
        _ready[points] = {name: rng.normal(size=points) for name in NAMES}
    return _ready[points]


_ready: dict[int, dict[str, np.ndarray]] = {}


def both(
    first: Any,
    second: Any,
    distribution: str,
    snr: int,
    rng: np.random.Generator,
    points: int,
    passes: int,
) -> dict[str, np.ndarray]:
    """Compute and save."""
    return simulated(first, second, snr, rng, points, passes)


def computing(
    first: Any,
    second: Any,
    distribution: str,
    snr: int,
    rng: np.random.Generator,
    points: int,
    passes: int,
) -> float:
    """Compute all and save one number."""
    found = simulated(first, second, snr, rng, points, passes)
    return float(sum(array[0] for array in found.values()))


def saving(
    first: Any,
    second: Any,
    distribution: str,
    snr: int,
    rng: np.random.Generator,
    points: int,
    passes: int,
) -> dict[str, np.ndarray]:
    """Save arrays that are there already, all of them different."""
    shift = rng.random()
    return {name: array + shift for name, array in ready(points).items()}


WAYS: dict[str, Callable[..., Any]] = {"both": both, "computing": computing, "saving": saving}


DISTRIBUTIONS, SNRS, SIZES = ["normal", "t", "uniform"], [0, 6, 12], [50, 100, 200]


def by_hand(task: tuple[int, int, int, int, str]) -> None:
    """Fit one network, simulate it in all conditions, and save each of them."""
    size, replicate, points, passes, folder = task
    rng = np.random.default_rng((size, replicate))
    fitted = fit(size, rng)
    for distribution, snr in itertools.product(DISTRIBUTIONS, SNRS):
        found = simulated(fitted["first"], fitted["second"], snr, rng, points, passes)
        np.savez(Path(folder) / f"{size}-{replicate}-{distribution}-{snr}.npz", **found)


def main() -> None:
    """Measure the study with more and more computing, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=10)
    parser.add_argument("--points", type=int, default=2000, help="numbers in each array")
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    cluster = tk.cluster("local", workers=options.workers, threads=1, dashboard=None)
    # One thread a process, as the workers have.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pool = multiprocessing.get_context("spawn").Pool(options.workers)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, cluster, pool:
        for passes in options.passes:
            rows = _measured(cluster, pool, Path(folder), options, passes)
            print(f"\n{_table(rows, passes, options)}", flush=True)


def _measured(
    cluster: Any, pool: Any, folder: Path, options: argparse.Namespace, passes: int
) -> dict[str, dict[str, float]]:
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in [*WAYS, "by hand"]}
    for round_ in range(options.rounds + 1):
        for way, function in WAYS.items():
            found = _run(
                cluster, folder / f"{way}-{passes}-{round_}.zarr", options, passes, function
            )
            if round_:  # the first is for imports
                rounds[way].append(found)
        found = _run_by_hand(pool, folder / f"npz-{passes}-{round_}", options, passes)
        if round_:
            rounds["by hand"].append(found)
    return {
        way: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for way, found in rounds.items()
    }


def _run(
    cluster: Any,
    store: Path,
    options: argparse.Namespace,
    passes: int,
    function: Callable[..., Any],
) -> dict[str, float]:
    is_number = function is computing
    outputs = {"sum": float} if is_number else {name: tk.Output(float, "point") for name in NAMES}
    stages = [
        tk.stage(fit, outputs={"first": ("feature", "unit"), "second": ("unit",)}),
        tk.stage(function, name="simulate", outputs=outputs),
    ]
    space = tk.grid(
        size=SIZES,
        replicate=tk.replicates(options.replicates),
        distribution=DISTRIBUTIONS,
        snr=SNRS,
        points=options.points,
        passes=passes,
    )
    os.sync()
    cpu, started = tree_cpu(), time.perf_counter()
    tk.Sweep(stages, space, store=store).run(cluster, progress=False)
    wall = time.perf_counter() - started
    inodes, size = folder_size(store)
    return {"wall": wall, "cpu": tree_cpu() - cpu, "inodes": inodes, "MB": size / 1e6}


def _run_by_hand(
    pool: Any, folder: Path, options: argparse.Namespace, passes: int
) -> dict[str, float]:
    folder.mkdir()
    networks = itertools.product(SIZES, range(options.replicates))
    tasks = [(*network, options.points, passes, str(folder)) for network in networks]
    os.sync()
    cpu, started = tree_cpu(), time.perf_counter()
    pool.map(by_hand, tasks, chunksize=1)
    wall = time.perf_counter() - started
    inodes, size = folder_size(folder)
    return {"wall": wall, "cpu": tree_cpu() - cpu, "inodes": inodes, "MB": size / 1e6}


def _table(rows: dict[str, dict[str, float]], passes: int, options: argparse.Namespace) -> str:
    longer = max(rows["computing"]["wall"], rows["saving"]["wall"])
    together = rows["computing"]["wall"] + rows["saving"]["wall"]
    runs = 3 * options.replicates * 9
    lines = [
        f"{runs} runs of {ARRAYS} arrays of {options.points} numbers, {passes} passes, "
        f"{options.workers} workers",
        f"{'':12}{'wall s':>10}{'CPU s':>10}{'MB':>10}{'inodes':>10}",
    ]
    lines += [
        f"{way:12}{row['wall']:>10.2f}{row['cpu']:>10.2f}{row['MB']:>10.1f}{row['inodes']:>10.0f}"
        for way, row in rows.items()
    ]
    lines.append(
        f"both / longer of its parts {rows['both']['wall'] / longer:.2f}, "
        f"/ sum of its parts {rows['both']['wall'] / together:.2f}, "
        f"/ Pool with .npz files {rows['both']['wall'] / rows['by hand']['wall']:.2f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
