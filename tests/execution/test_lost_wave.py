"""A first wave that dies with its worker is played again: nothing waits for its slowest run."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

import toolkit as tk
from toolkit.errors import RunsFailedError


def model(x, folder):
    """Kill the worker in the first call; in the second wait until all others have ended."""
    folder = Path(folder)

    def is_first(name):
        try:
            (folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    if is_first("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if is_first("waited"):
        began = time.monotonic()
        while len(list(folder.glob("ended-*"))) < 399:
            if time.monotonic() - began > 30:
                raise TimeoutError("the others wait for this run")
            time.sleep(0.05)
    time.sleep(0.01)
    (folder / f"ended-{x}").touch()
    return x


def test_a_wave_that_was_lost_is_played_again(tmp_path):
    profile = tmp_path / "tiers.yaml"
    small = "{memory: 400MB, minimum: 0, maximum: 2, threads: 1}"
    large = "{memory: 800MB, minimum: 0, maximum: 1, threads: 1}"
    profile.write_text(
        f"kind: local\ndashboard: null\ntiers:\n  small: {small}\n  large: {large}\n"
    )
    with tk.cluster(profile) as cluster:
        cluster.scale(0, "small")
        space = tk.grid(x=range(400), folder=[str(tmp_path)])
        job = tk.Sweep(model, space, store=tmp_path / "runs.zarr").start(cluster)
        time.sleep(1)  # all of the wave waits, and the first worker with the right tag takes it
        cluster.scale(1, "small")
        while not (tmp_path / "killed").exists():
            time.sleep(0.01)
        cluster.scale(2, "small")
        data = job.result()
    assert (data.status == tk.Status.DONE).all()
    assert data.attempts.max() == 2  # of the run that killed its worker


def fit(x, folder):
    """Kill the worker in the first call; later note in which order runs begin."""
    folder = Path(folder)
    if not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (folder / "order").open("a") as file:
        file.write(f"{x}\n")
    time.sleep(0.02)
    return x


def test_what_a_lost_wave_had_not_begun_stays_in_random_order(tmp_path):
    with tk.cluster(workers=1, dashboard=None) as cluster:
        space = tk.grid(x=range(200), folder=[str(tmp_path)])
        data = tk.Sweep(fit, space, store=tmp_path / "runs.zarr").run(cluster)
    assert (data.status == tk.Status.DONE).all()
    began = [int(line) for line in (tmp_path / "order").read_text().split()]
    ascending = sum(later == sooner + 1 for sooner, later in pairwise(began))
    assert ascending < 40  # of 199: by chance one


def kill(x):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_sweep_whose_every_run_kills_its_worker_is_stopped(tmp_path):
    with tk.cluster(workers=1, dashboard=None) as cluster:
        sweep = tk.Sweep(
            tk.stage(kill, max_attempts=1), tk.grid(x=range(500)), store=tmp_path / "runs.zarr"
        )
        with pytest.raises(RunsFailedError, match="Every run of the first wave"):
            sweep.run(cluster, progress=False)
