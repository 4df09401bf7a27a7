"""Counts that do not depend on the machine: files, batches, runs that are made twice."""

import collections
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk

SCRIPT = """
import os, sys, time
import numpy as np
import toolkit as tk

def slow(x, log):
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d\\n" % int(x))
    os.close(fd)
    time.sleep(0.01)
    return x

def sweep(n, folder):
    space = tk.grid(x=np.arange(float(n)), log=os.path.join(folder, "begun"))
    return tk.Sweep(slow, space, store=os.path.join(folder, "slow.zarr"))

if __name__ == "__main__":
    n, folder, workers = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with tk.cluster("local", workers=workers, threads=1, dashboard=None) as cluster:
        sweep(n, folder).run(cluster.client, progress=False)
"""


def begun(folder):
    path = folder / "begun"
    return path.read_text().split() if path.exists() else []


def inodes(store):
    return sum(len(folders) + len(files) for _, folders, files in os.walk(store))


def killed(script, n, folder, after, workers):
    """Run the script, and kill all its processes once so many runs have begun."""
    command = [sys.executable, script, str(n), str(folder), str(workers)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(begun(folder)) < after and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_killed_sweep(tmp_path, n, moments, workers=2):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for moment in moments:
        killed(script, n, tmp_path, moment, workers)
    command = [sys.executable, str(script), str(n), str(tmp_path), str(workers)]
    subprocess.run(command, check=True, timeout=600, stderr=subprocess.DEVNULL)
    counts = collections.Counter(begun(tmp_path))
    assert len(counts) == n
    repeated = sum(counts.values()) - n
    assert repeated <= workers * len(moments)
    store = tmp_path / "slow.zarr"
    np.testing.assert_array_equal(tk.open(store).slow.to_numpy().ravel(), np.arange(float(n)))
    chunks = -(-n // 65_536)
    variables = 6  # the output, its label, status, attempts, seconds, peak memory
    assert inodes(store) <= workers + variables * chunks + 50


@pytest.mark.faults
def test_a_kill_repeats_at_most_one_slow_run_a_worker(tmp_path: Path):
    check_killed_sweep(tmp_path, 300, moments=[120])


@pytest.mark.long
def test_of_5000_slow_runs_each_kill_repeats_at_most_one_a_worker(tmp_path: Path):
    check_killed_sweep(tmp_path, 5000, moments=[3, 700, 2600, 4990])
