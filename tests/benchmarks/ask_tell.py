"""What the optimizer itself costs: ask and tell for each evaluation, beside the package cmaes.

Run as ``python tests/benchmarks/ask_tell.py``. Four dims, 100 generations, an objective that
costs nothing; the least of several CPU times, in turns. Then ``tk.minimize`` with an objective
of a few operations, called once for a generation, without a store and with one: what a further
evaluation costs, from searches of two lengths, and what a search costs once.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cmaes
import numpy as np

import toolkit as tk
from toolkit.optimizers.methods import make_optimizer

DIMS, GENERATIONS = 4, 100
POPULATIONS = (8, 64)
AT_MOST = 0.5  # of what cmaes takes
ASKED = {8: 0.015, 64: 0.003}  # ms that ask and tell may cost, by population
SHARE = 3  # and so many times that with a store


class Costs(NamedTuple):
    """CPU time in ms: of each evaluation in the long run, and of a search once."""

    each: float
    once: float


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


class Wandering:
    """A bowl that moves from call to call and sinks, so that no search of it ever ends."""

    __name__ = "wandering"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, a, b, c, d):
        """Return a value that costs a few operations."""
        self.calls += 1
        moved = max(0, self.calls - 10)  # the first batch is compared with its runs alone
        x, y = 0.5 + 0.3 * math.sin(moved / 10), 0.5 + 0.3 * math.cos(moved / 10)
        return (a - x) ** 2 + (b - y) ** 2 + (c - x) ** 2 + (d - 0.4) ** 2 - 1e-3 * moved


def whole(population: int, store: Path | None, generations: int) -> None:
    """Minimize by ``tk.minimize``."""
    found = tk.minimize(
        tk.stage(Wandering(), vectorized=True, version="1"),
        dict.fromkeys("abcd", (0.0, 1.0)),
        population=population,
        budget=population * generations,
        step_size=0.3,
        store=store,
        progress=False,
    )
    assert found.evaluations == population * generations, found.message


def costs(population: int, lengths: tuple[int, int], rounds: int, *, is_stored: bool) -> Costs:
    """Return what an evaluation of ``tk.minimize`` costs, from searches of two lengths."""
    least = dict.fromkeys(lengths, math.inf)
    for _ in range(rounds):
        for generations in lengths:
            with tempfile.TemporaryDirectory() as folder:
                store = Path(folder) / "fit.zarr" if is_stored else None
                spent = milliseconds(lambda: whole(population, store, generations), 1)  # noqa: B023
            least[generations] = min(least[generations], spent)
    short, long = lengths
    each = (least[long] - least[short]) / (long - short)
    return Costs(each / population, least[short] - short * each)


def milliseconds(function: Callable[[], None], evaluations: int) -> float:
    """Return the CPU time of one evaluation, in ms."""
    began = time.process_time()
    function()
    return (time.process_time() - began) / evaluations * 1e3


def main(rounds: int, lengths: tuple[int, int]) -> int:
    """Print a table; 1 where the optimizer costs more than half of cmaes, else 0."""
    is_dear, are_met = False, True
    with tempfile.TemporaryDirectory() as folder:
        whole(POPULATIONS[0], Path(folder) / "first.zarr", 5)  # loads what is loaded once
    print("ms of CPU for each evaluation; once: for each search")
    print(
        f"{'population':>10} {'ours':>8} {'cmaes':>8} {'ratio':>6} {'minimize':>9} {'once':>6} "
        f"{'store':>8} {'once':>6} {'at most':>8}"
    )
    for population in POPULATIONS:
        n = population * GENERATIONS
        pairs = [
            (milliseconds(lambda: ours(population), n), milliseconds(lambda: theirs(population), n))  # noqa: B023
            for _ in range(rounds)
        ]
        own, other = (min(each) for each in zip(*pairs, strict=True))
        free = costs(population, lengths, rounds, is_stored=False)
        stored = costs(population, lengths, rounds, is_stored=True)
        most = SHARE * ASKED[population]
        is_dear |= own > AT_MOST * other
        are_met &= stored.each <= most
        print(
            f"{population:>10} {own:>8.4f} {other:>8.4f} {own / other:>6.2f} "
            f"{free.each:>9.4f} {free.once:>6.1f} {stored.each:>8.4f} {stored.once:>6.1f} "
            f"{most:>8.4f}"
        )
    said = "met" if are_met else "not met"
    print(f"A store costs at most {SHARE} times what ask and tell may cost: {said}.")
    return int(is_dear)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--generations", type=int, nargs=2, default=(200, 1000), help="of searches of two lengths"
    )
    options = parser.parse_args()
    sys.exit(main(options.rounds, tuple(options.generations)))
