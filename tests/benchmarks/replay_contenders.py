"""The ways to run the study on SLURM: by this package, and as one would do it without."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import replay_run
from replay_jobs import told, wait_for_end
from replay_study import LARGE_MB, LARGE_MINUTES, SMALL_MB, SMALL_MINUTES, Study

import toolkit as tk

MOST_JOBS = 12  # that a cluster may have of a kind: as many large ones as there is room for
PARTITION = "all"
_LOOK_SECONDS = 1.0

_PROFILE = f"""
kind: slurm
interface: lo
shared_folder: {{folder}}/certificates
log_folder: {{folder}}/logs
dashboard: null
tiers:
  small: {{{{partition: {PARTITION}, memory: {SMALL_MB}MiB, walltime: {SMALL_MINUTES}min,
    maximum: {{most}}, idle: 10s}}}}
  large: {{{{partition: {PARTITION}, memory: {LARGE_MB}MiB, walltime: {LARGE_MINUTES}min,
    maximum: {{most}}, idle: 10s}}}}
"""


def toolkit(study: Study, folder: Path, most: int) -> float:
    """Run it as one sweep, with the tiers of a profile."""
    log = str(folder / "log")
    numbers = np.arange(len(study)).reshape(study.seconds.shape)
    seconds, megabytes = study.seconds, study.megabytes
    sizes = study.sizes

    def fit(n_parcels: int, target: int, model: str, fold: int) -> float:
        at = sizes.index(n_parcels), target, int(model.removeprefix("model")), fold
        return replay_run.hold(int(numbers[at]), float(seconds[at]), float(megabytes[at]), log)

    space = tk.grid(
        n_parcels=list(sizes),
        target=range(study.targets),
        model=[f"model{at}" for at in range(study.models)],
        fold=range(study.folds),
    )
    with tk.cluster(profile(folder, most)) as cluster:
        data = tk.Sweep(fit, space, store=folder / "fits.zarr").run(cluster, progress=False)
        check(study, data.fit.to_numpy().ravel())
        return time.monotonic()


def profile(folder: Path, most: int) -> Path:
    """Write the profile of the cluster."""
    path = folder / "site.yaml"
    path.write_text(_PROFILE.format(folder=folder, most=most))
    return path


def a_job_a_run(study: Study, folder: Path, most: int) -> float:
    """Submit a small job for each run, and a large one where no result came of it, in a loop."""
    write_costs(study, folder)
    small = {submit(folder, number): number for number in shuffled(study)}
    large: dict[str, int] = {}
    while small or large:
        time.sleep(_LOOK_SECONDS)
        alive = set(told("squeue", "-h", "-o", "%i").split())
        for job in [job for job in large if job not in alive]:
            if not has_result(folder, number := large.pop(job)):
                raise RuntimeError(f"run {number} failed twice")
        for job in [job for job in small if job not in alive]:
            if not has_result(folder, number := small.pop(job)):
                large[submit(folder, number, is_large=True)] = number
    check(study, results(study, folder))
    return time.monotonic()


def one_cluster(study: Study, folder: Path, most: int) -> float:
    """Have one Dask cluster of jobs that hold the largest run, as many as there is room for."""
    import cloudpickle
    from dask_jobqueue import SLURMCluster
    from distributed import Client, as_completed

    costs, log = costs_of(study), str(folder / "log")
    cloudpickle.register_pickle_by_value(replay_run)

    def fit(number: int) -> tuple[int, float]:
        return number, replay_run.hold(number, *costs[number], log)

    with (
        SLURMCluster(
            queue=PARTITION,
            cores=1,
            processes=1,
            memory=f"{LARGE_MB}MiB",
            walltime=f"00:{LARGE_MINUTES}:00",
            interface="lo",
            python=sys.executable,
            log_directory=str(folder / "logs"),
            local_directory=str(folder / "scratch"),
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
            worker_extra_args=["--no-dashboard"],
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=most)
        found = np.full(len(study), np.nan)
        for future in as_completed(client.map(fit, shuffled(study))):
            number, value = future.result()
            found[number] = value
        check(study, found)
        return time.monotonic()


def two_passes(study: Study, folder: Path, most: int) -> float:
    """Submit all as one array of small jobs, then as one of large jobs what has no result."""
    write_costs(study, folder)
    submit(folder, *shuffled(study))
    wait_for_end(3600.0)
    # Here somebody looks what is missing, and why; as if this took no time.
    failed = [number for number in shuffled(study) if not has_result(folder, number)]
    if failed:
        submit(folder, *failed, is_large=True)
        wait_for_end(3600.0)
    check(study, results(study, folder))
    return time.monotonic()


CONTENDERS: dict[str, tuple[Callable[[Study, Path, int], float], str, int]] = {
    "toolkit": (toolkit, "tiers small and large, one sweep.run(cluster)", 0),
    "a job a run": (a_job_a_run, "small, resubmitted as large by a loop", 0),
    "one cluster": (one_cluster, "dask-jobqueue, sized for the worst", 0),
    "two passes": (two_passes, "an array of small jobs, then of large ones", 3),
}
"""Each returns when it had all results. Beside it what it is, and how many steps somebody has to
take before the end comes: see what failed, write the list, submit again."""


def submit(folder: Path, *numbers: int, is_large: bool = False, held: bool = False) -> str:
    """Submit a job for a run, or an array of jobs; return what SLURM calls it."""
    (folder / "lists").mkdir(exist_ok=True)
    listed = folder / "lists" / f"{time.monotonic_ns()}"
    listed.write_text("\n".join(map(str, numbers)))
    which = f"$(sed -n $((${{SLURM_ARRAY_TASK_ID:-0}}+1))p {listed})"
    script = f"#!/bin/sh\nexec {sys.executable} {replay_run.__file__} {folder} {which}\n"
    command = [
        *("sbatch", "--parsable", "--output=/dev/null", "--partition", PARTITION),
        *("--mem", f"{LARGE_MB if is_large else SMALL_MB}M", "--cpus-per-task=1"),
        *("--time", str(LARGE_MINUTES if is_large else SMALL_MINUTES)),
        *(["--hold"] if held else []),
        *([f"--array=0-{len(numbers) - 1}"] if len(numbers) > 1 else []),
    ]
    done = subprocess.run(command, input=script, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_costs(study: Study, folder: Path) -> None:
    """Write what the programs of single runs read."""
    (folder / "results").mkdir()
    (folder / "costs.json").write_text(json.dumps(costs_of(study)))


def costs_of(study: Study) -> list[tuple[float, float]]:
    """Return seconds and megabytes of each run."""
    return list(zip(study.seconds.ravel().tolist(), study.megabytes.ravel().tolist(), strict=True))


def shuffled(study: Study) -> list[int]:
    """Return the numbers of all runs: in their order the longest would be the last."""
    return np.random.default_rng(0).permutation(len(study)).tolist()


def has_result(folder: Path, number: int) -> bool:
    """Whether a run wrote its result."""
    with contextlib.suppress(OSError):
        return bool((folder / "results" / str(number)).read_text())
    return False


def results(study: Study, folder: Path) -> Iterable[float]:
    """Return the results of all runs from their files."""
    return [
        json.loads((folder / "results" / str(number)).read_text()) for number in range(len(study))
    ]


def check(study: Study, found: Iterable[float]) -> None:
    """Compare what was found with what is to be found."""
    expected = (study.megabytes.ravel() * 1e6).astype(int)
    if not np.array_equal(np.fromiter(found, float), expected):
        raise ValueError("results are missing")
