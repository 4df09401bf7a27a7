"""Samplers that are killed with SIGKILL go on as if they had not been."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import toolkit as tk

pytest.importorskip("dynesty")

SCRIPT = """
import time
import toolkit as tk

def log_likelihood(x, y):
    time.sleep(0.003)
    with open("calls", "a") as file:
        file.write(".")
    if x < -4:
        raise ValueError("too far left")
    return -0.5 * ((x - 1) ** 2 + (y + 2) ** 2)

if __name__ == "__main__":
    found = tk.nested_sampling(
        log_likelihood, {"x": (-5, 5), "y": tk.normal(0, 3)}, live_points=30, batch_size=15,
        dynamic=False, budget=500, seed=7, store="runs.zarr", progress=False,
    )
    found.history.to_netcdf("history.nc", engine="scipy")
    found.samples.to_netcdf("samples.nc", engine="scipy")
"""


def started(folder):
    folder.mkdir(exist_ok=True)
    (folder / "sample.py").write_text(SCRIPT)
    return subprocess.Popen([sys.executable, "sample.py"], cwd=folder)


def finished(folder):
    process = started(folder)
    assert process.wait(timeout=240) == 0
    return tuple(
        xr.load_dataset(folder / f"{name}.nc", engine="scipy") for name in ("history", "samples")
    )


def killed_after(folder, n_calls):
    """Kill the process once it has made some calls in all; whether it was still running then."""
    process = started(folder)
    try:
        until = time.monotonic() + 120
        calls = folder / "calls"
        while not calls.exists() or calls.stat().st_size < n_calls:
            if process.poll() is not None:
                return False
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("whole"))


def check(folder, undisturbed, moments):
    n = undisturbed[0].sizes["evaluation"]
    assert all(killed_after(folder, moment) for moment in moments)
    before = tk.open(folder / "runs.zarr").sizes["evaluation"]
    assert 0 < before < n
    resumed = finished(folder)
    for one, other in zip(resumed, undisturbed, strict=True):
        assert one.identical(other)
    # What was stored is not run again: what was lost is at most what each kill interrupted.
    assert len((folder / "calls").read_text()) <= n + 20 * len(moments)


@pytest.mark.timeout(600)
def test_a_sampler_killed_twice_goes_on_as_if_it_had_not_been(tmp_path, undisturbed):
    assert (undisturbed[0].status == tk.Status.FAILED).any()
    check(tmp_path / "killed", undisturbed, [60, 250])


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_a_sampler_killed_at_any_moment_goes_on_as_if_it_had_not_been(seed, tmp_path, undisturbed):
    n = undisturbed[0].sizes["evaluation"]
    moment = int(np.random.default_rng(seed).integers(1, n - 10))
    check(tmp_path / "killed", undisturbed, [moment])
