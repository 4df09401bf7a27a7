"""Several stages on real worker processes."""

import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk


def counts(folder: Path) -> Counter:
    lines = [line for path in folder.iterdir() for line in path.read_text().splitlines()]
    return Counter(lines)


def note(folder: str, word: str) -> None:
    with open(os.path.join(folder, str(os.getpid())), "a") as file:
        file.write(f"{word}\n")


@pytest.fixture
def calls(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", ["memory", "disk", "not kept"])
def test_a_stage_runs_once_for_each_of_its_points_on_workers(client, tmp_path, calls, kind) -> None:
    folder = str(calls)

    @tk.stage(outputs={"path": ("step",), "model": object}, keep=kind != "not kept")
    def a(x):
        note(folder, f"a {x}")
        return {"path": np.arange(4) * float(x), "model": {"x": x}}

    def b(path, model, y):
        note(folder, f"b {model['x']} {y}")
        return float(path.values.sum()) + y

    store = None if kind == "memory" else tmp_path / "s.zarr"
    space = tk.grid(x=list(range(6)), y=list(range(10)))
    sweep = tk.Sweep([b, a], space, store=store)
    data = sweep.run(client, progress=False)
    expected = np.arange(6)[:, None] * 6.0 + np.arange(10)
    np.testing.assert_array_equal(data.b, expected)
    found = counts(calls)
    assert set(found.values()) == {1}
    assert len(found) == 6 + 60
    sweep.extend(y=[10]).run(client, progress=False)
    more = counts(calls) - found
    assert sum(more.values()) == (12 if kind == "not kept" else 6)


@pytest.mark.faults
def test_a_killed_worker_in_a_later_stage_costs_its_runs_in_progress_only(
    client, tmp_path, calls
) -> None:
    folder = str(calls)

    def a(x):
        note(folder, f"a {x}")
        return float(x)

    def b(a, y):
        note(folder, f"b {a} {y}")
        flag = os.path.join(os.path.dirname(folder), "killed")
        if (a, y) == (3.0, 1) and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return a + y

    sweep = tk.Sweep([a, b], tk.grid(x=[1, 2, 3, 4], y=[0, 1, 2]), store=tmp_path / "s.zarr")
    data = sweep.run(client, progress=False)
    expected = np.array([1.0, 2, 3, 4])[:, None] + np.arange(3)
    np.testing.assert_array_equal(data.b, expected)
    found = counts(calls)
    assert all(found[f"a {x}"] == 1 for x in (1, 2, 3, 4))
    assert found["b 3.0 1"] == 2


def test_large_results_in_memory_reach_the_workers_as_frozen_inputs(client, calls) -> None:
    def a(x):
        return np.full(100_000, float(x))

    def b(a, y):
        return float(a.sum()) + y

    def loads():
        from toolkit.inputs import held

        return sum(held.loads.values())

    before = sum(client.run(loads).values())
    sweep = tk.Sweep([a, b], tk.grid(x=[1, 2, 3], y=[0, 1]))
    data = sweep.run(client, progress=False)
    assert 1 <= sum(client.run(loads).values()) - before <= len(client.scheduler_info()["workers"])
    expected = 1e5 * np.array([1.0, 2, 3])[:, None] + np.arange(2)
    np.testing.assert_array_equal(data.b, expected)
