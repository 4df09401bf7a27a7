"""How often the truth lies in the range that ``job.outlook()`` shows, and how wide that is.

Run as ``python tests/benchmarks/outlook.py``. Sweeps are played on a clock of their own, with the
real queues and no workers: four to a hundred places, times over three orders of magnitude that two
parameters explain well or badly, runs that kill their workers and climb a tier, and the study of
``replay.py``. Looks count by the time until the next one, from a tenth of the work on.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from replay_study import SMALL_MB, study_of

import toolkit as tk

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.execution.play import Play, Scenario, alike, own_clock, uneven
from toolkit.execution.outlook import Forecaster

SHARE = 0.8  # of the time, in which the truth should lie in the range
TUNING = 12  # seeds below this one were looked at when constants were chosen


def scenarios(seed: int) -> Iterator[Scenario]:
    """Yield the sweeps."""
    for places, n_sizes in ((4, 20), (24, 20), (100, 60)):
        for noise in (0.05, 0.25, 0.7):
            name = f"{places} places, noise {noise:g}"
            yield uneven(name, places=(places,), noise=noise, n_sizes=n_sizes, seed=seed)
    yield uneven("24 places, coarse", places=(24,), order="coarse", seed=seed)
    for rooms, noise in (((4, 2), 0.25), ((18, 6), 0.25), ((18, 6), 0.7)):
        name = f"{rooms[0]} + {rooms[1]} places, noise {noise:g}, killed"
        yield uneven(name, places=rooms, noise=noise, kills=True, seed=seed)
    yield alike("4 places, alike", places=(4,), seed=seed)
    yield alike("24 places, alike", places=(24,), seed=seed)
    yield replay()


def replay() -> Scenario:
    """Return the study of ``replay.py``: it is the same with each seed, its order is not."""
    study = study_of(600)
    space = tk.grid(
        n_parcels=list(study.sizes),
        target=range(study.targets),
        model=[f"model{at}" for at in range(study.models)],
        fold=range(study.folds),
    )
    return Scenario(
        name="replay",
        space=space,
        seconds=study.seconds.ravel(),
        is_big=study.megabytes.ravel() > SMALL_MB,
        places=(12, 6),
        walltimes=(60.0, None),
    )


def judged(scenario: Scenario, seed: int) -> tuple[float, float, float]:
    """Return the share of the time in which the range held the truth, and its greatest widths.

    The first is from a tenth of the work on, the second until the half and after it.
    """
    total = float(scenario.seconds.sum())
    looks: list[tuple[float, float, float, float]] = []
    with own_clock() as clock:
        play, forecaster = Play(scenario, seed, clock), Forecaster()

        def look(now: Play) -> None:
            found = forecaster.look(now.known())
            share = float(np.nansum(now.state.seconds)) / total
            low, high = (np.nan, np.nan) if found is None else (found.low, found.high)
            looks.append((now.now, share, low, high))

        end = play.play(look)
    at, share, low, high = np.array(looks).T
    lasts, counts = np.diff(at, append=end), share >= 0.1
    is_in = (low <= end - at) & (end - at <= high)
    early, late = counts & (share < 0.5), share >= 0.5
    return (
        float(np.average(is_in[counts], weights=lasts[counts])),
        float(np.nanmax((high / low)[early], initial=1.0)),
        float(np.nanmax((high / low)[late], initial=1.0)),
    )


def main() -> None:
    """Play all, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="of each sweep")
    parser.add_argument("--first", type=int, default=TUNING, help="of these seeds")
    parser.add_argument("--only", default="", help="sweeps whose names contain this")
    options = parser.parse_args()
    print(f"{'':36}{'held':>6}{'least':>7}{'width':>7}{'late':>6}")
    by_name: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(options.first, options.first + options.seeds):
        for scenario in scenarios(seed):
            if options.only in scenario.name:
                by_name.setdefault(scenario.name, []).append(judged(scenario, seed))
    for name, found in by_name.items():
        print(_line(name, found))


def _line(name: str, found: list[tuple[float, float, float]]) -> str:
    held, early, late = (list(each) for each in zip(*found, strict=True))
    verdict = "ok  " if np.mean(held) >= SHARE else "MISS"
    return (
        f"{verdict} {name:31}{np.mean(held):>6.2f}{min(held):>7.2f}"
        f"{max(early):>7.2f}{max(late):>6.2f}"
    )


if __name__ == "__main__":
    main()
