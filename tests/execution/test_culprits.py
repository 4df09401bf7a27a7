"""Runs that hang, crash, leak or return nonsense cost themselves only, and are told apart."""

import contextlib
import os
import time

import numpy as np
import pytest

import toolkit as tk


def failed(data):
    return data.x.values[(data.status == tk.Status.FAILED).values].tolist()


def by_x(sweep):
    table = sweep.failures()
    return {row["x"]: row for row in table.to_dict("records")}


class UnpicklableError(Exception):
    def __init__(self):
        super().__init__("holds a lock")
        self.lock = open(os.devnull)  # noqa: SIM115

    def __reduce__(self):
        raise TypeError("not me")


def wild(x):
    import ctypes
    import os
    import sys
    import time

    class Trap:
        def __array__(self, *args, **kwargs):
            raise SystemExit("a trap")

        def __len__(self):
            raise SystemExit("a trap")

    time.sleep(0.002)
    if x == 10:
        ctypes.string_at(0)
    if x == 20:
        sys.stderr.write("out of coolant\n")
        sys.stderr.flush()
        os._exit(3)
    if x == 30:
        ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock
    if x == 40:
        raise SystemExit("enough")
    if x == 50:
        raise KeyboardInterrupt
    if x == 60:
        raise UnpicklableError
    if x == 70:
        return Trap()
    if x == 80:
        sys.stderr.write("x" * 5_000_000)
    return float(x)


@pytest.mark.faults
def test_each_fails_alone_and_says_why(client, tmp_path):
    stage = tk.stage(wild, max_attempts=1, resources=tk.Resources(walltime=3))
    sweep = tk.Sweep(stage, {"x": range(120)}, store=tmp_path / "wild.zarr")
    data = sweep.run(client, progress=False)
    assert failed(data) == [10, 20, 30, 40, 50, 60, 70]
    assert np.array_equal(data.wild.dropna("x"), data.x.values[(data.status == 1).values])
    found = by_x(sweep)
    assert {x: row["reason"] for x, row in found.items()} == {
        **dict.fromkeys((10, 20), "worker died"),
        30: "walltime",
        **dict.fromkeys((40, 50, 60, 70), "exception"),
    }
    assert {x: row["exit_code"] for x, row in found.items() if x < 40} == {10: -11, 20: 3, 30: -14}
    assert "SIGSEGV" in found[10]["message"]
    assert "Segmentation fault" in found[10]["traceback"]
    assert "in wild" in found[10]["traceback"]
    assert "out of coolant" in found[20]["log"]
    assert "walltime of 3 s" in found[30]["message"]
    assert "in wild" in found[30]["traceback"]
    assert found[30]["exception"] == "TimeoutError"
    assert found[50]["exception"] == "KeyboardInterrupt"
    assert all(found[x]["peak_memory"] > 1e7 for x in (10, 20, 30))
    assert all(found[x]["host"] for x in found)
    assert (data.attempts == 1).all()


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["plain", "vectorized"])
def test_a_fast_batch_that_kills_its_worker_blames_one_run(client, tmp_path, kind):
    def fast(x):
        import os

        if np.any(x == 12_345):
            os._exit(9)
        return x * 2.0

    stage = tk.stage(fast, max_attempts=2, vectorized=kind == "vectorized")
    sweep = tk.Sweep(stage, {"x": range(30_000)}, store=tmp_path / "fast.zarr")
    data = sweep.run(client, progress=False)
    assert failed(data) == [12_345]
    assert data.attempts.values[(data.attempts != 1).values].tolist() == [2]
    assert np.array_equal(data.fast.drop_sel(x=12_345), data.x.drop_sel(x=12_345) * 2.0)
    assert by_x(sweep)[12_345]["exit_code"] == 9


@pytest.mark.faults
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_run_that_hangs_among_fast_ones_is_ended(client, tmp_path, where):
    def hang(x):
        import time

        if x == 777:
            time.sleep(100)
        return x * 2.0

    stage = tk.stage(hang, resources=tk.Resources(walltime=1))
    store = tmp_path / "hang.zarr" if where == "disk" else None
    sweep = tk.Sweep(stage, {"x": range(2000)}, store=store)
    data = sweep.run(client, progress=False)
    assert failed(data) == [777]
    assert (data.attempts == 1).all()  # it would hang again
    assert by_x(sweep)[777]["reason"] == "walltime"


@pytest.mark.faults
def test_memory_that_one_run_eats_is_its_own_fault_and_leaks_are_nobodys(tmp_path):
    kept = []

    def eat(x, leak):
        import time

        if x == 5 and not leak:
            held = []
            for _ in range(200):
                held.append(bytearray(b"x" * 5_000_000))
                time.sleep(0.02)
        if leak:
            kept.append(bytearray(b"x" * 1_000_000))
            time.sleep(0.004)
        return os.getpid()

    with tk.cluster("local", workers=1, memory="400MB", dashboard=None) as cluster:
        stage = tk.stage(eat, max_attempts=1)
        sweep = tk.Sweep(stage, {"x": range(10), "leak": 0}, store=tmp_path / "eat.zarr")
        data = sweep.run(cluster, progress=False)
        assert failed(data) == [5]
        row = by_x(sweep)[5]
        assert row["reason"] == "memory"
        assert "400 MB" in row["message"]
        assert row["peak_memory"] > 2e8
        cluster.client.wait_for_workers(1, timeout=60)

        sweep = tk.Sweep(stage, {"x": range(800), "leak": 1}, store=tmp_path / "leak.zarr")
        data = sweep.run(cluster, progress=False)
        assert (data.status == tk.Status.DONE).all()
        assert (data.attempts == 1).all()
        assert len(set(data.eat.values.tolist())) > 1


def stuck(x):
    if x == 3:
        time.sleep(60)
    if x == 5:
        while True:
            with contextlib.suppress(Exception):
                sum(range(1000))
    return float(x)


def test_a_run_in_this_process_is_interrupted_at_the_walltime_of_its_parameters():
    stage = tk.stage(stuck, resources=lambda x: tk.Resources(walltime=0.2 + x / 10))
    sweep = tk.Sweep(stage, {"x": range(8)})
    data = sweep.run(progress=False)
    assert failed(data) == [3, 5]
    found = by_x(sweep)
    assert {row["reason"] for row in found.values()} == {"walltime"}
    assert "0.5 s" in found[3]["message"]
    assert "in stuck" in found[5]["traceback"]
    assert (data.attempts == 1).all()


def test_a_walltime_is_repeated_where_retry_on_says_so_or_a_checkpoint_was_left(tmp_path):
    def stepwise(x):
        done = tk.current_run().checkpoint / "steps"
        steps = int(done.read_text()) if done.exists() else 0
        while x == 2 and steps < 3:
            steps += 1
            done.write_text(str(steps))
            time.sleep(0.3)
        return steps

    limits = tk.Resources(walltime=0.5)
    stage = tk.stage(stepwise, resources=limits, max_attempts=4)
    data = tk.Sweep(stage, {"x": range(4)}, store=tmp_path / "s.zarr").run(progress=False)
    assert data.stepwise.values.tolist() == [0, 0, 3, 0]
    assert data.attempts.sel(x=2) > 1

    again = tk.stage(stuck, resources=limits, retry_on=TimeoutError, max_attempts=2)
    data = tk.Sweep(again, {"x": range(5)}).run(progress=False)
    assert data.attempts.values.tolist() == [1, 1, 1, 2, 1]


def test_a_function_of_parameters_that_gives_no_resources_is_an_error():
    stage = tk.stage(stuck, resources=lambda x: 3)
    with pytest.raises(tk.StageError, match=r"returns 3; it must return tk\.Resources"):
        tk.Sweep(stage, {"x": range(2)}).run(progress=False)


@pytest.mark.faults
def test_a_sweep_started_in_a_thread_gets_workers_that_can_be_ended(tmp_path):
    stage = tk.stage(stuck, resources=tk.Resources(walltime=1))
    sweep = tk.Sweep(stage, {"x": range(5)}, store=tmp_path / "thread.zarr")
    data = sweep.start().result(timeout=120)
    assert failed(data) == [3]
    assert by_x(sweep)[3]["exit_code"] == -14


@pytest.mark.faults
def test_workers_of_any_dask_cluster_are_ended_and_explained(tmp_path):
    from distributed import Client, LocalCluster

    stage = tk.stage(wild, max_attempts=1, resources=tk.Resources(walltime=2))
    sweep = tk.Sweep(stage, {"x": [1, 10, 30]}, store=tmp_path / "dask.zarr")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        sweep.run(client, progress=False)
    found = by_x(sweep)
    assert {x: (row["reason"], row["exit_code"]) for x, row in found.items()} == {
        10: ("worker died", -11),
        30: ("walltime", -14),
    }
    assert "in wild" in found[10]["traceback"]
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
        pytest.warns(UserWarning, match="have no nanny"),
    ):
        assert sweep.sel(x=[1]).run(client, rerun="all", progress=False).wild == 1.0
