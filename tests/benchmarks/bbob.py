"""CMA-ES beside pycma and cmaes on the 24 noiseless functions of BBOB.

Run as ``python tests/benchmarks/bbob.py --out results.jsonl``; the same call goes on where it was
interrupted, and ``--table results.jsonl`` prints the table. The functions come from ioh,
which is installed apart: it brings a package named tests, which hides that of this repository. Each
contender starts at the same point of [-4, 4]^n with the same step of 2 and the same population, is
not bounded, and has 1000 evaluations for each dim. Where it stops by itself before, it begins again
from a further point, again the same for all; ``--first`` counts what was reached before that. What
counts is when it first comes within a target of the minimum: 51 targets from 10^2 to 10^-8, evenly
in their logarithm. In 2 and 5 dims each instance is searched with three seeds.
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
SEEDS = {2: 3, 5: 3, 10: 1, 20: 1}  # by dim
INSTANCES, PER_DIM, STEP = range(1, 11), 1000, 2.0
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
        self._problem, self._left, self.n = problem, budget, 0
        self._least = float(problem.optimum.y)
        self.reached = np.full(len(TARGETS), np.inf)

    def __call__(self, points: Floats) -> Floats:
        """Return the values of some points, shape ``(n,)``."""
        values = np.asarray(self._problem(points[: self._left].tolist()))
        for above in values - self._least:
            self.n += 1
            self.reached[(above <= TARGETS) & np.isinf(self.reached)] = self.n
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


def run(name: str, function: int, dim: int, instance: int, number: int) -> list[float | None]:
    """Return the evaluations that a contender needed for each target, None where never.

    The last is the number of evaluations when it first stopped by itself.
    """
    import ioh

    problem = ioh.get_problem(function, instance, dim, ioh.ProblemClass.BBOB)
    rng = np.random.default_rng([function, dim, instance, number])
    watch, first = Watch(problem, PER_DIM * dim), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Spent):
            while True:
                start, seed = rng.uniform(-4, 4, dim), int(rng.integers(2**31 - 2))
                CONTENDERS[name](watch, start, seed)
                first = first or watch.n
    return [*(int(n) if math.isfinite(n) else None for n in watch.reached), first or watch.n]


def cases(names: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield what is to be run, all contenders of a case in turn."""
    for dim, seeds in SEEDS.items():
        for number in range(seeds):
            for instance in INSTANCES:
                for function in range(1, 25):
                    for name in names:
                        yield name, function, dim, instance, number


def measure(out: Path, names: list[str]) -> None:
    """Run what the file lacks, and append it."""
    held = read(out) if out.exists() else {}
    with out.open("a") as file:
        for case in cases(names):
            if case not in held:
                file.write(json.dumps([*case, run(*case)]) + "\n")
                file.flush()


def read(path: Path, *, is_first: bool = False) -> dict[tuple[Any, ...], Floats]:
    """Return the evaluations for each target by case, infinite where never reached.

    With ``is_first``, where not reached before a contender first stopped by itself.
    """
    held = {}
    for line in path.read_text().splitlines():
        *case, (*reached, first) = json.loads(line)
        found = np.array([math.inf if n is None else n for n in reached])
        held[tuple(case)] = np.where(found > first, np.inf, found) if is_first else found
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


def table(path: Path, *, is_first: bool) -> bool:
    """Print the comparison; return whether it is as asked for in each group and dim."""
    held = read(path, is_first=is_first)
    print("| functions | dims | ours % | pycma % | evaluations, of pycma | cmaes % | of cmaes |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    is_well = True
    for group, functions in GROUPS.items():
        for dim in SEEDS:
            mine, theirs, ratio = compared(held, functions, dim, "pycma")
            _, others, ratio_others = compared(held, functions, dim, "cmaes")
            is_behind = bool(mine < theirs - FEWER or ratio > RATIO)
            is_well &= not is_behind
            print(
                f"| {group} | {dim} | {mine:.1f} | {theirs:.1f} | {ratio:.2f} | {others:.1f} | "
                f"{ratio_others:.2f} |{' behind' if is_behind else ''}"
            )
    return is_well


def main() -> int:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where to keep what each run reached")
    parser.add_argument("--table", type=Path, help="print the table of such a file")
    parser.add_argument("--first", action="store_true", help="without what came after a stop")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    options = parser.parse_args()
    if options.out:
        measure(options.out, options.only)
    return int(options.table is not None and not table(options.table, is_first=options.first))


if __name__ == "__main__":
    sys.exit(main())
