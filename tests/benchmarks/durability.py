"""What ``durability="power"`` costs, beside ``"process"``, on the disk that holds the folder.

Run as ``python tests/benchmarks/durability.py``. With "process" finished runs outlive any process,
with "power" the machine too: each record is synchronized before the next run begins. Three kinds
of sweeps: runs of 2 ms with a record each, vectorized runs in whole chunks, and arrays of 1 MB.
Beside them the file system alone: appending as much to one file, synchronized or not.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import toolkit as tk

RECORD = 109  # bytes that a run of one float leaves in its journal


def waited(x: float) -> float:
    """Take 2 ms."""
    time.sleep(0.002)
    return x


def added(x: Any, y: Any) -> Any:
    """Return the sum."""
    return x + y


def large(x: float) -> dict[str, Any]:
    """Return an array of 1 MB."""
    return {"value": np.full(131_072, x)}


def sweeps(scale: float) -> dict[str, tuple[Any, Any]]:
    """Return stage and space of each kind."""
    n = max(10, round(400 * scale))
    side = max(10, round(1000 * scale**0.5))
    return {
        f"{n} runs of 2 ms": (waited, tk.grid(x=np.arange(float(n)))),
        f"{side**2:,} vectorized": (
            tk.stage(added, vectorized=True),
            tk.grid(x=np.arange(float(side)), y=np.arange(float(side))),
        ),
        f"{n // 8} arrays of 1 MB": (
            tk.stage(large, outputs=["value"]),
            tk.grid(x=np.arange(float(n // 8))),
        ),
    }


def appended(n: int, folder: Path, *, synchronized: bool) -> float:
    """Return the seconds that one record takes the file system alone."""
    fd = os.open(folder / f"{time.monotonic_ns()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    data = os.urandom(RECORD)
    started = time.perf_counter()
    for _ in range(n):
        os.write(fd, data)
        if synchronized:
            os.fsync(fd)
    seconds = (time.perf_counter() - started) / n
    os.close(fd)
    return seconds


def main() -> None:
    """Measure in alternating rounds and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="on the disk to test")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as name,
        tk.cluster("local", workers=options.workers, threads=1, dashboard=None) as cluster,
    ):
        folder = Path(name)
        plain, synced = (
            _median(lambda s=s: appended(200, folder, synchronized=s), 3) for s in (0, 1)
        )
        print(f"the file system: {1e6 * plain:.0f} us an append, {1e3 * synced:.2f} ms with fsync")
        print(f"{'':24}{'process s':>12}{'power s':>12}{'ratio':>8}{'ms a run':>10}")
        for kind, (stage, space) in sweeps(options.scale).items():
            found: dict[str, list[float]] = {"process": [], "power": []}
            for durability in ["process", *["process", "power"] * options.rounds]:
                store = folder / f"{time.monotonic_ns()}.zarr"
                sweep = tk.Sweep(stage, space, store=store, durability=durability)
                started = time.perf_counter()
                sweep.run(cluster.client, progress=False)
                found[durability].append(time.perf_counter() - started)
            process, power = (statistics.median(found[name][-options.rounds :]) for name in found)
            each = 1e3 * (power - process) * options.workers / len(space)
            print(
                f"{kind:24}{process:>12.2f}{power:>12.2f}{power / process:>8.2f}{each:>10.3f}",
                flush=True,
            )


def _median(function: Callable[[], float], times: int) -> float:
    return statistics.median(function() for _ in range(times))


if __name__ == "__main__":
    main()
