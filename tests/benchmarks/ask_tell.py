"""What the optimizer itself costs: ask and tell for each evaluation, beside the package cmaes.

Run as ``python tests/benchmarks/ask_tell.py``. Four dims, 100 generations, an objective that
costs nothing; the least of several CPU times, in turns. Then ``tk.minimize`` with an objective
of a few operations, called once for a generation, without a store and with one.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cmaes
import numpy as np

import toolkit as tk
from toolkit.optimizers.methods import make_optimizer

DIMS, GENERATIONS = 4, 100
POPULATIONS = (8, 64)
AT_MOST = 0.5  # of what cmaes takes


def ours(population: int) -> None:
    """Ask and tell arrays."""
    optimizer = make_optimizer("cmaes", np.full(DIMS, 0.5), population=population, seed=1)
    values = np.random.default_rng(0)
    for _ in range(GENERATIONS):
        asked = optimizer.ask(population)
        optimizer.tell(asked.ids, values.random(population))


def theirs(population: int) -> None:
    """Ask for one point after the other."""
    bounds = np.array([[0.0, 1.0]] * DIMS)
    optimizer = cmaes.CMA(
        mean=np.full(DIMS, 0.5), sigma=0.3, bounds=bounds, seed=1, population_size=population
    )
    values = np.random.default_rng(0)
    for _ in range(GENERATIONS):
        asked = [optimizer.ask() for _ in range(population)]
        told = values.random(population).tolist()
        optimizer.tell(list(zip(asked, told, strict=True)))


def bowl(a, b, c, d):
    """Return a value that costs a few operations."""
    return (a - 0.3) ** 2 + (b - 0.6) ** 2 + (c - 0.2) ** 2 + (d - 0.7) ** 2 + 0.1 * a * b


def whole(population: int, store: Path | None, generations: int) -> None:
    """Minimize by ``tk.minimize``."""
    tk.minimize(
        tk.stage(bowl, vectorized=True),
        dict.fromkeys("abcd", (0.0, 1.0)),
        population=population,
        budget=population * generations,
        step_size=0.3,
        store=store,
        progress=False,
    )


def milliseconds(function: Callable[[], None], evaluations: int) -> float:
    """Return the CPU time of one evaluation, in ms."""
    began = time.process_time()
    function()
    return (time.process_time() - began) / evaluations * 1e3


def main(rounds: int, generations: int) -> int:
    """Print a table; 1 where the optimizer costs more than half of cmaes, else 0."""
    is_dear = False
    print("ms of CPU for each evaluation")
    print(f"{'population':>10} {'ours':>8} {'cmaes':>8} {'ratio':>6} {'minimize':>9} {'store':>8}")
    for population in POPULATIONS:
        n = population * GENERATIONS
        pairs = [
            (milliseconds(lambda: ours(population), n), milliseconds(lambda: theirs(population), n))  # noqa: B023
            for _ in range(rounds)
        ]
        own, other = (min(each) for each in zip(*pairs, strict=True))
        n = population * generations
        free = min(
            milliseconds(lambda: whole(population, None, generations), n)  # noqa: B023
            for _ in range(rounds)
        )
        with tempfile.TemporaryDirectory() as folder:
            stored = milliseconds(
                lambda: whole(population, Path(folder) / "fit.zarr", generations),  # noqa: B023
                n,
            )
        is_dear |= own > AT_MOST * other
        print(
            f"{population:>10} {own:>8.4f} {other:>8.4f} {own / other:>6.2f} "
            f"{free:>9.4f} {stored:>8.4f}"
        )
    return int(is_dear)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--generations", type=int, default=60, help="of tk.minimize")
    options = parser.parse_args()
    sys.exit(main(options.rounds, options.generations))
