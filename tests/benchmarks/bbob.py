"""CMA-ES beside pycma and cmaes on the 24 noiseless functions of BBOB.

Run as ``python tests/benchmarks/bbob.py --out results.jsonl``; the same call goes on where it was
interrupted, and ``--table results.jsonl`` prints the table. The functions come from ioh. Each
contender starts at the same point of [-4, 4]^n with the same step of 2 and the same population, is
not bounded and not restarted, and has 1000 evaluations for each dim. What counts is when it first
comes within a target of the minimum: 51 targets from 10^2 to 10^-8, evenly in their logarithm.
"""

import argparse
import contextlib
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.optimizers.cmaes import CMAES

Floats = npt.NDArray[np.float64]
Evaluate = Callable[[Floats], Floats]

TARGETS = 10.0 ** np.linspace(2, -8, 51)
DIMS, INSTANCES, PER_DIM, STEP = (2, 5, 10, 20), range(1, 11), 1000, 2.0
GROUPS = {
    "separable (1-5)": range(1, 6),
    "moderate (6-9)": range(6, 10),
    "ill-conditioned (10-14)": range(10, 15),
    "multi-modal (15-19)": range(15, 20),
    "weakly structured (20-24)": range(20, 25),
}
FEWER, RATIO = 3.0, 1.15  # points of solved targets below pycma, times its evaluations: at most


class Spent(Exception):  # noqa: N818  (no error: the run is over)
    """The budget is spent, or the last target is reached."""


class Watch:
    """Counts evaluations of a function, and notes at which each target was first reached."""

    def __init__(self, problem: Any, budget: int) -> None:
        self._problem, self._left, self._n = problem, budget, 0
        self._least = float(problem.optimum.y)
        self.reached = np.full(len(TARGETS), np.inf)

    def __call__(self, points: Floats) -> Floats:
        """Return the values of some points, shape ``(n,)``."""
        values = np.asarray(self._problem(points[: self._left].tolist()))
        for above in values - self._least:
            self._n += 1
            self.reached[(above <= TARGETS) & np.isinf(self.reached)] = self._n
        self._left -= len(values)
        if self._left <= 0 or np.isfinite(self.reached[-1]):
            raise Spent
        return values


def ours(watch: Evaluate, start: Floats, seed: int) -> None:
    """Search by this package."""
    rule = CMAES(start, step_size=STEP, seed=seed, is_bounded=False)
    while not rule.stopped:
        points = rule.draw()
        rule.learn(points, watch(points))


def pycma(watch: Evaluate, start: Floats, seed: int) -> None:
    """Search by the package of the method's author."""
    import cma

    options = {"seed": seed + 1, "verbose": -9, "verb_log": 0}
    search = cma.CMAEvolutionStrategy(start, STEP, options)
    while not search.stop():
        points = search.ask()
        search.tell(points, watch(np.array(points)).tolist())


def cmaes(watch: Evaluate, start: Floats, seed: int) -> None:
    """Search by the package cmaes."""
    import cmaes as package

    search = package.CMA(mean=start, sigma=STEP, seed=seed)
    while not search.should_stop():
        points = np.array([search.ask() for _ in range(search.population_size)])
        search.tell(list(zip(points, watch(points).tolist(), strict=True)))


CONTENDERS = {each.__name__: each for each in (ours, pycma, cmaes)}


def run(name: str, function: int, dim: int, instance: int, repeat: int) -> list[float | None]:
    """Return the evaluations that a contender needed for each target, None where never."""
    import ioh

    problem = ioh.get_problem(function, instance, dim, ioh.ProblemClass.BBOB)
    rng = np.random.default_rng([function, dim, instance, repeat])
    start, seed = rng.uniform(-4, 4, dim), int(rng.integers(2**31 - 2))
    watch = Watch(problem, PER_DIM * dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Spent):
            CONTENDERS[name](watch, start, seed)
    return [int(n) if math.isfinite(n) else None for n in watch.reached]


def cases(names: list[str], repeats: int) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield what is to be run, all contenders of a case in turn."""
    for repeat in range(repeats):
        for dim in DIMS:
            for instance in INSTANCES:
                for function in range(1, 25):
                    for name in names:
                        yield name, function, dim, instance, repeat


def measure(out: Path, names: list[str], repeats: int) -> None:
    """Run what the file lacks, and append it."""
    held = read(out) if out.exists() else {}
    with out.open("a") as file:
        for case in cases(names, repeats):
            if case not in held:
                file.write(json.dumps([*case, run(*case)]) + "\n")
                file.flush()


def read(path: Path) -> dict[tuple[Any, ...], Floats]:
    """Return the evaluations for each target by case, infinite where never reached."""
    held = {}
    for line in path.read_text().splitlines():
        *case, reached = json.loads(line)
        held[tuple(case)] = np.array([math.inf if n is None else n for n in reached])
    return held


def compared(held: dict[tuple[Any, ...], Floats], group: range, dim: int, other: str) -> Floats:
    """Return the solved targets of ours and of another in percent, and the evaluation ratio.

    The ratio is the geometric mean over the targets that both have reached.
    """
    keys = [key[1:] for key in held if key[0] == "ours" and key[1] in group and key[2] == dim]
    keys = [key for key in keys if (other, *key) in held]
    if not keys:
        return np.full(3, np.nan)
    mine, theirs = (np.array([held[(name, *key)] for key in keys]) for name in ("ours", other))
    both = np.isfinite(mine) & np.isfinite(theirs)
    ratio = np.exp(np.mean(np.log(mine[both] / theirs[both]))) if both.any() else np.nan
    return np.array([100 * np.isfinite(mine).mean(), 100 * np.isfinite(theirs).mean(), ratio])


def table(path: Path) -> bool:
    """Print the comparison; return whether it is as asked for in each group and dim."""
    held = read(path)
    print("| functions | dims | ours % | pycma % | evaluations, of pycma | cmaes % | of cmaes |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    is_well = True
    for group, functions in GROUPS.items():
        for dim in DIMS:
            mine, theirs, ratio = compared(held, functions, dim, "pycma")
            _, others, ratio_others = compared(held, functions, dim, "cmaes")
            is_behind = mine < theirs - FEWER or ratio > RATIO
            is_well &= not is_behind
            print(
                f"| {group} | {dim} | {mine:.1f} | {theirs:.1f} | {ratio:.2f} | {others:.1f} | "
                f"{ratio_others:.2f} |{' behind' * is_behind}"
            )
    return is_well


def main() -> int:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where to keep what each run reached")
    parser.add_argument("--table", type=Path, help="print the table of such a file")
    parser.add_argument("--repeats", type=int, default=1, help="seeds for each instance")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    options = parser.parse_args()
    if options.out:
        measure(options.out, options.only, options.repeats)
    return 0 if not options.table or table(options.table) else 1


if __name__ == "__main__":
    sys.exit(main())
