"""A study of fits whose times differ a thousandfold, on a SLURM of four nodes: ours beside others.

Run as ``python tests/benchmarks/replay.py``. 600 runs sleep and hold memory; 5 % need more than a
small job has, 3 % last longer. On the same SLURM, one after the other: one sweep with two tiers; a
job for each run, resubmitted by a loop; one Dask cluster sized for the worst; two passes by hand.
Makespan and core-hours are given as ratios to the ideal packing, which knows all beforehand and has
nothing to start. Then 1,000 runs are submitted in each way.
"""

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from measure import tree_cpu
from replay_contenders import CONTENDERS, MOST_JOBS, PARTITION, profile, submit
from replay_jobs import Spent, jobs_after, latest_job, spent, told, wait_for_end
from replay_study import CORES, NODE_MB, NODES, Study, ideal_seconds, study_of

import toolkit as tk

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.slurm.machine import Slurm

MOST_TIMES = 1.5  # the ideal makespan: ours should take no longer


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one contender took: seconds until all results were there, and its jobs."""

    contender: str
    what: str
    steps: int
    makespan: float
    spent: Spent


@contextmanager
def slurm_of_four_nodes() -> Iterator[Slurm]:
    """Start a SLURM whose nodes share the cores and the memory of this machine."""
    nodes = {f"node{at}": f"CPUs={CORES} RealMemory={NODE_MB}" for at in range(NODES)}
    partition = f"{PARTITION} Nodes={','.join(nodes)} Default=YES DefaultTime=1 MaxTime=60"
    slurm = Slurm(
        folder=Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")),
        nodes=nodes,
        partitions=[partition],
    )
    try:
        slurm.up()
        os.environ.update(slurm.environment)
        yield slurm
    finally:
        slurm.down()


def replayed(name: str, study: Study, folder: Path, most: int) -> Row:
    """Run the study in one way."""
    run, what, steps = CONTENDERS[name]
    folder.mkdir(parents=True)
    before, started = latest_job(), time.monotonic()
    makespan = run(study, folder, most) - started
    wait_for_end()
    found = spent(jobs_after(before), folder / "log")
    return Row(contender=name, what=what, steps=steps, makespan=makespan, spent=found)


def table(rows: list[Row], study: Study) -> str:
    """Return all as ratios to the ideal packing."""
    ideal, least = ideal_seconds(study), study.core_seconds
    lines = [
        f"{'':13}{'makespan':>10}{'core-h':>8}{'useful':>8}{'start':>8}{'killed':>8}{'idle':>8}"
        f"{'jobs':>6}{'steps':>7}",
        f"{'ideal':13}{1:>10.2f}{1:>8.2f}{1:>8.2f}{0:>8.2f}{0:>8.2f}{0:>8.2f}{'-':>6}{0:>7}"
        f"  {ideal:.0f} s, {least / 3600:.2f} core-hours",
    ]
    for row in rows:
        found = row.spent
        parts = (found.booked, found.useful, found.starting, found.killed, found.idle)
        lines.append(
            f"{row.contender:13}{row.makespan / ideal:>10.2f}"
            + "".join(f"{part / least:>8.2f}" for part in parts)
            + f"{found.jobs:>6}{row.steps:>7}  {row.what}"
        )
    return "\n".join(lines)


def verdicts(rows: list[Row], study: Study) -> Iterator[str]:
    """Yield what was to be reached: whether it was, and by how much."""
    by_name = {row.contender: row for row in rows}
    ours = by_name["toolkit"]
    yield _verdict("makespan / ideal", ours.makespan / ideal_seconds(study), MOST_TIMES)
    for other, measures in (("one cluster", ["core-hours"]), ("two passes", [*MEASURES])):
        if other in by_name:
            for name in measures:
                measure = MEASURES[name]
                yield _verdict(f"{name} / {other}", measure(ours) / measure(by_name[other]), 1.0)
    yield _verdict("manual steps", ours.steps, 0)


MEASURES: dict[str, Callable[[Row], float]] = {
    "makespan": lambda row: row.makespan,
    "core-hours": lambda row: row.spent.booked,
}


def _verdict(what: str, found: float, most: float) -> str:
    return f"  {'ok  ' if found <= most else 'MISS'} {what}: {found:.2f}, at most {most:g}"


def submitted(n: int, folder: Path) -> str:
    """Return what it costs to hand out runs: as jobs, as an array, as a sweep to workers."""
    folder.mkdir()
    lines = [f"{n:,} runs handed out: wall s, CPU s"]
    for name, each in (("sbatch for each", 1), ("one job array", n)):
        cpu, started = tree_cpu(), time.perf_counter()
        for first in range(0, n, each):
            submit(folder, *range(first, first + each), held=True)
        lines.append(_line(name, time.perf_counter() - started, tree_cpu() - cpu))
        told("scancel", "--user", str(os.getuid()))
        wait_for_end()
    with tk.cluster(profile(folder, 2)) as cluster:
        cluster.scale(2, "small")
        cluster.client.wait_for_workers(2, timeout=60)
        cpu, started = tree_cpu(), time.perf_counter()
        sweep = tk.Sweep(square, {"x": range(n)}, store=folder / "squares.zarr")
        sweep.run(cluster, progress=False)
        lines.append(
            _line("sweep", time.perf_counter() - started, tree_cpu() - cpu)
            + ", run and stored by two workers that are there"
        )
    wait_for_end()
    return "\n".join(lines)


def square(x: float) -> float:
    """Return the square."""
    return x * x


def _line(name: str, wall: float, cpu: float) -> str:
    return f"  {name:16}{wall:>8.1f}{cpu:>8.1f}"


def main() -> None:
    """Replay the study in each way, and submit runs in each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=600, help="runs, a multiple of 60")
    parser.add_argument("--speed", type=float, default=1.0, help="divides the times of all runs")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--submitted", type=int, default=1000, help="runs that are submitted")
    parser.add_argument("--jobs", type=int, default=MOST_JOBS, help="of a kind that a cluster has")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--keep", type=Path, help="a new folder where all is left to look at")
    options = parser.parse_args()
    # Ended kindly, it leaves no SLURM behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    study = study_of(options.points, speed=options.speed)
    print(
        f"{len(study)} runs of {study.seconds.min():.1f} to {study.seconds.max():.0f} s, "
        f"{np.count_nonzero(study.is_large)} of them too big or too long for a small job; "
        f"{NODES} nodes of {CORES} cores\nload {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    rows = []
    with slurm_of_four_nodes(), tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = options.keep or Path(name)
        for contender in options.only:
            rows.append(
                replayed(contender, study, folder / contender.replace(" ", "-"), options.jobs)
            )
            print(f"{contender}: {rows[-1].makespan:.0f} s", flush=True)
        print(table(rows, study))
        if "toolkit" in options.only:
            print("\n".join(verdicts(rows, study)), flush=True)
        if options.submitted:
            print(submitted(options.submitted, folder / "submitted"))
    _write(rows, study, options.json)


def _write(rows: list[Row], study: Study, path: Path | None) -> None:
    if path is None:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        path = Path(__file__).parent / "results" / f"replay-{date}.json"
        path.parent.mkdir(exist_ok=True)
    found = {
        "points": len(study),
        "ideal": {"makespan": ideal_seconds(study), "core_seconds": study.core_seconds},
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(found, indent=1))
    print(path)


if __name__ == "__main__":
    main()
