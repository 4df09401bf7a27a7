"""A refinement on workers: one point for each that is free, none in generations."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import toolkit as tk
from toolkit.optimizers.refinement import Refinement
from toolkit.run_status import Status

pytest.importorskip("adaptive")


@pytest.fixture(scope="module")
def client():
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as cluster:
        yield cluster.client


def front(x, y):
    time.sleep(0.01)
    return {"peak": float(np.tanh(30 * (x * x + y * y - 0.5)))}


@pytest.fixture
def under_way(monkeypatch):
    """Return how many runs had no outcome after each ask."""
    counts = []
    ask, tell = Refinement.ask, Refinement.tell
    now = 0

    def asked(self, n):
        nonlocal now
        space = ask(self, n)
        now += 0 if space is None else len(space)
        counts.append(now)
        return space

    def told(self, outcomes):
        nonlocal now
        now -= len(outcomes.status)
        tell(self, outcomes)

    monkeypatch.setattr(Refinement, "ask", asked)
    monkeypatch.setattr(Refinement, "tell", told)
    return counts


def test_workers_are_given_what_they_need_and_no_more(client, tmp_path, under_way):
    axis = np.linspace(0, 1, 7)
    sweep = tk.Sweep(front, tk.grid(x=axis, y=axis), store=tmp_path / "s.zarr")
    sweep.run(client, progress=False)
    data = sweep.refine("peak", dims=("x", "y"), points=50, client=client, progress=False)
    assert data.sizes["run"] == 50
    assert (data.status == Status.DONE).all()
    assert len({*zip(data.x.values, data.y.values, strict=True)}) == 50
    assert (np.abs(data.x**2 + data.y**2 - 0.5) < 0.15).mean() > 0.5
    assert max(under_way) <= 3  # two workers, and one to go on with
    assert tk.status(tmp_path / "s.zarr").loc["front", "done"] == 99
    assert dict(tk.open(tmp_path / "s.zarr").sizes) == {"run": 99}


def test_a_refinement_on_workers_is_stopped_by_a_request_and_goes_on(client, tmp_path):
    from toolkit.stores.journals import control

    axis = np.linspace(0, 1, 5)
    store = tmp_path / "s.zarr"
    sweep = tk.Sweep(front, tk.grid(x=axis, y=axis), store=store)
    sweep.run(client, progress=False)

    def stop():
        while tk.status(store).loc["front", "done"] < 35:
            time.sleep(0.05)
        control.ask(str(store), control.Asked(stop=True))

    asking = threading.Thread(target=stop, daemon=True)
    asking.start()
    with pytest.raises(tk.InterruptedSweepError, match="runs to go"):
        sweep.refine("peak", dims=("x", "y"), points=5000, client=client, progress=False)
    asking.join()
    status = tk.status(store).loc["front"]
    assert status.pending == 0
    done = int(status.done)
    data = sweep.refine("peak", dims=("x", "y"), points=10, client=client, progress=False)
    assert data.sizes["run"] == 10
    assert tk.status(store).loc["front", "done"] == done + 10


SCRIPT = """
import os
import numpy as np
import toolkit as tk

def deadly(x):
    if 0.45 < x < 0.55:
        os._exit(3)
    return float(np.tanh(30 * (x - 0.5)))

sweep = tk.Sweep(deadly, {"x": [0.0, 0.25, 0.75, 1.0]}, store="s.zarr")
if sweep.explain().total.missing:
    sweep.run(progress=False)
data = sweep.refine("deadly", dims="x", points=3, progress=False)
print(data.sizes["run"], int((data.status == tk.Status.FAILED).sum()))
"""


@pytest.mark.faults
def test_a_refinement_whose_run_ended_this_process_goes_on_with_workers(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)

    def run():
        return subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert run().returncode == 3
    again = run()
    assert again.returncode == 0, again.stderr
    n_runs, n_failed = map(int, again.stdout.split())
    assert n_runs == 3
    assert n_failed >= 1
