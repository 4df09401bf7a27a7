"""Is ``tk.minimize`` ever worse than a plain loop? Wall time for 0.05, 1, 10 and 100 ms.

Run as ``python tests/benchmarks/automatic.py``. The loop asks the same optimizer and calls the same
function. ``tk.minimize`` chooses where to evaluate: without a client, with a store, and with the
client of a cluster of two workers that is there. Evaluations keep the processor busy, so on a
machine whose cores are taken workers gain nothing.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import toolkit as tk
from toolkit.optimizers.methods import make_optimizer

AT_MOST = 1.2
POPULATION = 16
AXES = {"x": (0.0, 1.0), "y": (0.0, 1.0)}


def busy(seconds):
    """Return an objective that takes so many seconds of the processor."""

    def cost(x, y):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        return (x - 0.3) ** 2 + (y - 0.6) ** 2

    return cost


def loop(function, evaluations):
    """Minimize without anything around it."""
    optimizer = make_optimizer("random", np.full(2, 0.5), population=POPULATION, seed=1)
    for _ in range(evaluations // POPULATION):
        asked = optimizer.ask(POPULATION)
        optimizer.tell(asked.ids, np.array([function(x, y) for x, y in asked.points]))


def whole(function, evaluations, **given):
    """Minimize by ``tk.minimize``."""
    tk.minimize(
        function,
        AXES,
        method="random",
        population=POPULATION,
        budget=evaluations,
        seed=1,
        progress=False,
        **given,
    )


def wall(call, *arguments, **given):
    """Return seconds."""
    began = time.perf_counter()
    call(*arguments, **given)
    return time.perf_counter() - began


def main(rounds: int, seconds: float) -> int:
    """Print a table of ratios to the loop; 1 where one is above what it may be, else 0."""
    is_worse = False
    print("seconds of a loop, and the ratio of tk.minimize to it")
    print(f"{'ms':>6} {'evaluations':>11} {'loop':>8} {'here':>6} {'store':>6} {'client':>7}")
    for each in (5e-5, 1e-3, 1e-2, 0.1):
        n = max(2, int(seconds / each / POPULATION)) * POPULATION
        function = busy(each)
        took: dict[str, list[float]] = {}
        for _ in range(rounds):
            took.setdefault("loop", []).append(wall(loop, function, n))
            took.setdefault("here", []).append(wall(whole, function, n))
            with tempfile.TemporaryDirectory() as folder:
                store = Path(folder) / "fit.zarr"
                took.setdefault("store", []).append(wall(whole, function, n, store=store))
        with tk.cluster("local", workers=2, dashboard=None) as cluster:
            for _ in range(rounds):
                seen = wall(whole, function, n, client=cluster.client)
                took.setdefault("client", []).append(seen)
        least = {name: min(times) for name, times in took.items()}
        ratios = [least[name] / least["loop"] for name in ("here", "store", "client")]
        is_worse |= ratios[0] > AT_MOST or ratios[2] > AT_MOST
        shown = f"{ratios[0]:>6.2f} {ratios[1]:>6.2f} {ratios[2]:>7.2f}"
        print(f"{each * 1e3:>6g} {n:>11} {least['loop']:>8.2f} {shown}", flush=True)
    return int(is_worse)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each loop, about")
    options = parser.parse_args()
    sys.exit(main(options.rounds, options.seconds))
