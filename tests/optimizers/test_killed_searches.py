"""kill -9 at random moments: the resumed history is the undisturbed one, bit for bit."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import toolkit as tk
from toolkit.stores.journals.added_runs import dims_payload, read_dims

SCRIPT = """
import sys
import time
import toolkit as tk

method, pause = sys.argv[1], float(sys.argv[2])

def cost(x, y):
    time.sleep(pause)
    if x < -3:
        raise ValueError("too far left")
    return (x - 1) ** 2 + 10 * (y + 2) ** 2

axes = {"x": (-5, 5), "y": tk.log(0.1, 5), "kind": tk.choice(["a", "b"]), "n": 3}
def objective(x, y, kind, n):
    return cost(x, y) + (kind == "b") + n
found = tk.minimize(
    objective, axes, method=method, population=8, budget=400, seed=7, store="fit.zarr",
    progress=False, constraints=lambda x, y: x + y > -4,
)
found.history.to_netcdf("history.nc", engine="scipy")
"""

PREAMBLE = """
import itertools, os, sys
import toolkit.execution.ledger as ledger

ledger._APART = 1e9
count = itertools.count()

def seen():
    if next(count) == 150:
        os._exit(9)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    found = {}

    def get(method, pause):
        if method not in found:
            folder = tmp_path_factory.mktemp(method)
            finish(folder, method, 0.0)
            found[method] = xr.load_dataset(folder / "history.nc", engine="scipy")
        return found[method]

    return get


def finish(folder, method, pause):
    (folder / "fit.py").write_text(SCRIPT)
    command = [sys.executable, "fit.py", method, str(pause)]
    subprocess.run(command, cwd=folder, check=True, timeout=300)


def kill_after(folder, method, pause, seconds):
    """Begin, and kill so many seconds after the store is there."""
    (folder / "fit.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, "fit.py", method, str(pause)], cwd=folder)
    try:
        until = time.monotonic() + 100
        while not (folder / "fit.zarr" / "zarr.json").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(seconds)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def killed_at(moments, method, folder, undisturbed):
    pause = 0.002
    for seconds in moments:
        kill_after(folder, method, pause, seconds)
        tk.status(folder / "fit.zarr")
        if (folder / "history.nc").exists():
            break
    finish(folder, method, pause)
    resumed = xr.load_dataset(folder / "history.nc", engine="scipy")
    assert resumed.identical(undisturbed(method, pause))
    data = tk.open(folder / "fit.zarr", flat=True)
    assert data.sizes["run"] == int((resumed.status != tk.Status.SKIPPED).sum()) == 400
    assert tk.check(folder / "fit.zarr").is_sound


@pytest.mark.parametrize("method", ["cmaes", "differential_evolution"])
def test_killed_twice_a_search_ends_as_if_it_had_not_been(method, tmp_path, undisturbed):
    killed_at([0.15, 0.4], method, tmp_path, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("method", ["cmaes", "differential_evolution"])
def test_killed_at_ten_random_moments_a_search_ends_the_same(method, tmp_path, undisturbed):
    moments = np.random.default_rng([ord(each) for each in method]).uniform(0.0, 0.35, 10)
    killed_at(moments.tolist(), method, tmp_path, undisturbed)


def test_what_only_the_journal_knows_is_read_by_others_and_taken_over(tmp_path):
    """A driver dies between two looks at its journal."""
    script = SCRIPT.replace("import sys", PREAMBLE, 1)
    (tmp_path / "fit.py").write_text(script.replace("return cost(", "return seen() or cost("))
    command = [sys.executable, "fit.py", "cmaes", "0"]
    assert subprocess.run(command, cwd=tmp_path, timeout=300).returncode == 9
    store = tmp_path / "fit.zarr"
    data = tk.open(store, flat=True)
    known = int((data.status >= tk.Status.DONE).sum())
    assert known > 100
    assert np.isfinite(data.objective.values[data.status.values == tk.Status.DONE]).all()
    assert set(np.unique(data.kind)) == {"a", "b"}
    xr.open_zarr(store)  # its metadata is behind, and whole
    (tmp_path / "again").mkdir()
    finish(tmp_path, "cmaes", 0.0)
    finish(tmp_path / "again", "cmaes", 0.0)
    one, other = (
        xr.load_dataset(folder / "history.nc", engine="scipy")
        for folder in (tmp_path, tmp_path / "again")
    )
    assert one.identical(other)


def test_labels_of_new_runs_are_read_back_and_hostile_bytes_refused():
    space = tk.grid(x=[0.5, 1.5, 2.5])
    column = space.dims[0]
    payload = b"".join(bytes(part) for part in dims_payload((column, *tk.grid(kind="a").dims)))
    dims = read_dims(payload, 3)
    assert dims[0] == column
    assert dims[1].labels.tolist() == ["a"]
    for wrong in (payload[:-1], payload + b"0", payload[:30], b"", payload.replace(b"<f8", b"|O8")):
        with pytest.raises((ValueError, TypeError, KeyError)):
            read_dims(wrong, 3)
    with pytest.raises(ValueError, match="cut"):
        read_dims(payload, 4)
