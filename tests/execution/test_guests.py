"""A scheduler that lives on is as it was, however its drivers end."""

import os
import signal
import subprocess
import sys
import time

import pytest
from distributed import Client

import toolkit as tk

ALLOWED = 7  # nobody's default
PAGE = "toolkit-sweeps"  # tells of sweeps until the scheduler ends, and changes nothing

SCHEDULER = f"""
import sys
import dask
from distributed import LocalCluster
from toolkit.execution import guests

if __name__ == "__main__":
    guests.PATIENCE = float(sys.argv[1])
    with dask.config.set({{"distributed.scheduler.allowed-failures": {ALLOWED}}}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
    cluster.close()
"""

DRIVER = """
import sys, time
import toolkit as tk
from distributed import Client

def nap(x):
    time.sleep(0.02)
    return x

with Client(sys.argv[1]) as client:
    tk.Sweep(nap, {"x": range(100_000)}, store=sys.argv[2]).run(client, progress=False)
"""


def traces(dask_scheduler):
    """What sweeps change: how often tasks are repeated, and the plugins."""
    names = [*dask_scheduler.plugins, *dask_scheduler.worker_plugins]
    left = [name for name in names if "toolkit" in name and name != PAGE]
    return dask_scheduler.allowed_failures, left


def quiet(dask_worker):
    return not dask_worker.periodic_callbacks["tick"].is_running()


def sweeps(client):
    """Whose the plugins of the workers are."""
    _, names = client.run_on_scheduler(traces)
    return {name.rpartition(".")[2] for name in names if "." in name}


def wait_until(claim):
    end = time.monotonic() + 60
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def begin(tmp_path):
    """Start a scheduler with one worker, in a process of its own; returns a client of it."""
    begun = []

    def start(patience):
        (tmp_path / "scheduler.py").write_text(SCHEDULER)
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "scheduler.py"), str(patience)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        client = Client(process.stdout.readline().strip(), set_as_default=False)
        begun.insert(0, client)
        client.wait_for_workers(1, timeout=60)
        return client

    yield start
    for each in begun:
        if isinstance(each, Client):
            each.close()
        else:
            each.communicate(timeout=60)


def kill_a_driver(client, folder):
    """Have a driver begin a sweep, and kill it."""
    (folder / "drive.py").write_text(DRIVER)
    store = folder / "killed.zarr"
    driver = subprocess.Popen(
        [sys.executable, str(folder / "drive.py"), client.scheduler.address, str(store)]
    )
    try:
        wait_until(lambda: (store / "zarr.json").exists() and tk.status(store).done.sum() > 20)
        assert client.run_on_scheduler(traces)[0] == 0
        assert all(client.run(quiet).values())
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()


@pytest.mark.faults
def test_a_killed_driver_leaves_nothing_on_the_scheduler(begin, tmp_path):
    client = begin(patience=0.5)
    assert client.run_on_scheduler(traces) == (ALLOWED, [])
    kill_a_driver(client, tmp_path)
    wait_until(lambda: client.run_on_scheduler(traces) == (ALLOWED, []))
    wait_until(lambda: not any(client.run(quiet).values()))


@pytest.mark.faults
def test_what_a_killed_driver_left_is_not_taken_for_how_the_scheduler_was(begin, tmp_path):
    client = begin(patience=5.0)
    kill_a_driver(client, tmp_path)
    before = client.run_on_scheduler(traces)
    assert before[0] == 0
    data = tk.Sweep(abs, {"x": range(-3, 3)}, store=tmp_path / "n.zarr").run(client, progress=False)
    assert (data.status == tk.Status.DONE).all()
    wait_until(lambda: client.run_on_scheduler(traces) == (ALLOWED, []))


@pytest.mark.faults
def test_what_a_living_driver_needs_stays(begin, tmp_path):
    def nap(x):
        time.sleep(0.01)
        return x

    client = begin(patience=0.1)
    job = tk.Sweep(nap, {"x": range(100_000)}, store=tmp_path / "l.zarr").start(client)
    wait_until(lambda: job.progress.done > 20)
    [mine] = sweeps(client)
    with Client(client.scheduler.address, set_as_default=False):
        pass  # somebody else comes and goes
    kill_a_driver(client, tmp_path)
    wait_until(lambda: sweeps(client) == {mine})
    assert client.run_on_scheduler(traces)[0] == 0
    done = job.progress.done
    wait_until(lambda: job.progress.done > done + 20)
    job.cancel()
    wait_until(lambda: client.run_on_scheduler(traces) == (ALLOWED, []))
