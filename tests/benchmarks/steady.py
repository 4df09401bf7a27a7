"""Workers that need not wait: the steady state beside generations, where durations are uneven.

Run as ``python tests/benchmarks/steady.py``. One evaluation in six takes six times as long, on
eight slots with a population of eight: how much sooner as many evaluations end, and how good the
best of ten seeds is. ``--efficiency`` also measures which share of the slots' time goes into
evaluations, for 1, 10 and 100 ms.
"""

import argparse
import heapq
import sys
import time
from collections.abc import Callable

import numpy as np
from distributed import Client, LocalCluster

import toolkit as tk
from toolkit.optimizers.methods import make_optimizer

SLOTS = 8
AT_LEAST, WITHIN = 1.5, 10.0
AXES = dict.fromkeys("abcd", (0.0, 1.0))


def duration(point: np.ndarray, seconds: float) -> float:
    """Return how long an evaluation takes, by its point: one in six takes six times as long."""
    return seconds * (6 if int(point.sum() * 1e6) % 6 == 0 else 1)


def bowl(point: np.ndarray) -> float:
    """Return a value with its least at a point that is no middle, scales a thousand apart."""
    at = point - np.array([0.3, 0.6, 0.2, 0.7])
    return float((at**2 * np.array([1.0, 10.0, 100.0, 1000.0])).sum())


def simulated(method: str, schedule: str, seed: int, evaluations: int) -> tuple[float, float]:
    """Return when as many evaluations have ended on ideal slots, and the best value."""
    optimizer = make_optimizer(
        method, np.full(4, 0.5), population=SLOTS, seed=seed, schedule=schedule
    )
    running: list[tuple[float, int, float]] = []
    now, best, given = 0.0, np.inf, 0
    while True:
        asked = optimizer.ask(min(SLOTS - len(running), evaluations - given))
        given += len(asked.ids)
        for number, point in zip(asked.ids.tolist(), asked.points, strict=True):
            heapq.heappush(running, (now + duration(point, 1.0), number, bowl(point)))
        if not running:
            return now, best
        now, number, value = heapq.heappop(running)
        best = min(best, value)
        optimizer.tell(np.array([number]), np.array([value]))


def objective(seconds: float) -> Callable[..., float]:
    """Return a function that sleeps as long as it should."""

    def uneven(a, b, c, d):
        point = np.array([a, b, c, d])
        time.sleep(duration(point, seconds))
        return bowl(point)

    return uneven


def measured(
    client: Client, schedule: str, seconds: float, evaluations: int
) -> tuple[float, float]:
    """Return seconds and the share of the slots' time that went into evaluations."""
    began = time.perf_counter()
    found = tk.minimize(
        tk.stage(objective(seconds), name="uneven", resources=tk.Resources(threads=1)),
        AXES,
        population=SLOTS,
        budget=evaluations,
        seed=1,
        client=client,
        schedule=schedule,
        progress=False,
    )
    wall = time.perf_counter() - began
    points = np.stack([found.history[name].values for name in AXES], axis=1)
    busy = sum(duration(point, seconds) for point in points)
    return wall, busy / wall / SLOTS


def main(evaluations: int, efficiency: bool) -> int:
    """Print tables; 1 where the steady state is less than it has to be, else 0."""
    is_behind = False
    print(f"{evaluations} evaluations on {SLOTS} ideal slots, ten seeds: medians")
    print(f"{'method':>24} {'generations':>12} {'steady':>8} {'quicker':>8} {'best':>19}")
    for method in ("cmaes", "differential_evolution"):
        ends = {
            schedule: np.median(
                [simulated(method, schedule, seed, evaluations) for seed in range(10)], axis=0
            )
            for schedule in ("generation", "steady-state")
        }
        (barrier, best), (steady, other) = ends["generation"], ends["steady-state"]
        is_behind |= barrier < AT_LEAST * steady or other > WITHIN * best
        print(
            f"{method:>24} {barrier:>12.0f} {steady:>8.0f} {barrier / steady:>8.2f} "
            f"{best:>9.1e} {other:>9.1e}"
        )
    with (
        LocalCluster(
            n_workers=SLOTS, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        measured(client, "generation", 0.001, 16)  # the workers load what they need
        costs = (0.001, 0.01, 0.1) if efficiency else (0.1,)
        print("\nworkers of this machine, one thread each")
        print(f"{'seconds':>8} {'schedule':>13} {'wall':>8} {'efficiency':>11}")
        for seconds in costs:
            n = 160 if seconds >= 0.05 else 400
            walls = []
            for schedule in ("generation", "steady-state"):
                wall, share = measured(client, schedule, seconds, n)
                walls.append(wall)
                print(f"{seconds:>8g} {schedule:>13} {wall:>8.2f} {share:>11.2f}")
            is_behind |= seconds >= 0.05 and walls[0] < AT_LEAST * walls[1]
    return int(is_behind)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=600)
    parser.add_argument("--efficiency", action="store_true")
    options = parser.parse_args()
    sys.exit(main(options.evaluations, options.efficiency))
