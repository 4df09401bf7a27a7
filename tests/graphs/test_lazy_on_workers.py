"""Counts of calls, written to files by real worker processes, and where the runs were."""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from typing import ClassVar

import dask
import numpy as np
import pytest
from distributed import Client, SchedulerPlugin

import toolkit as tk
from toolkit.graphs.shelf import Shelf

GPU = tk.Resources(gpus=1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _start(kind: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class Separate:
    """A scheduler and workers that are processes of their own, with Dask's own configuration."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{_free_port()}"
        host, port = self.address.split(":")
        self.processes = [_start("scheduler", "--host", host, "--port", port)]
        self.client = Client(self.address, timeout=120, set_as_default=False)

    def add_worker(self, *arguments: str) -> None:
        n_workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
        options = ("--nthreads", "1", "--no-nanny", *arguments)
        self.processes.append(_start("worker", self.address, *options))
        self.client.wait_for_workers(n_workers + 1, timeout=120)

    def close(self) -> None:
        self.client.close()
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def separate():
    cluster = Separate()
    try:
        cluster.add_worker("--resources", "GPU=1")
        cluster.add_worker()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def gpu_process(separate):
    def about(dask_worker):
        return os.getpid(), dict(dask_worker.state.total_resources)

    found = separate.client.run(about)
    return next(pid for pid, resources in found.values() if resources.get("GPU"))


def stages(calls, *, resources=None):
    """Return A(x) and B(x, y), which note their calls; defined here, they travel by value."""

    def fit(x):
        calls.note("fit")
        return {"fitted": 10.0 * x}

    def score(fitted, y):
        calls.note("score")
        return {"good": fitted + y, "bad": fitted - y}

    return [
        tk.stage(fit, outputs={"fitted": float}),
        tk.stage(score, outputs={"good": float, "bad": float}, resources=resources),
    ]


def lazily(calls, nx=6, ny=8, **options):
    return tk.Sweep(stages(calls, **options), tk.grid(x=range(nx), y=range(ny))).lazy()


def test_each_run_is_made_once_by_processes_that_were_never_told_of_it(separate, calls):
    lazy = lazily(calls)
    data = separate.client.compute(lazy[["good", "bad"]], sync=True)
    assert np.array_equal(data.good - data.bad, 2 * data.y.broadcast_like(data.good))
    assert calls.taken("score") == 48
    assert calls.taken("fit") == 6


def test_a_labelled_point_is_one_run(separate, calls):
    lazy = lazily(calls)
    assert separate.client.compute(lazy.good.sel(x=3, y=5), sync=True).item() == 35
    assert (calls.taken("fit"), calls.taken("score")) == (1, 1)
    both = separate.client.compute(lazy[["good", "bad"]].sel(x=[1, 4], y=2), sync=True)
    assert both.good.values.tolist() == [12, 42]
    assert (calls.taken("fit"), calls.taken("score")) == (2, 2)


def test_blocks_are_made_whole_behind_arithmetic_and_slices(separate, calls):
    lazy = lazily(calls, nx=64, ny=256)
    n_block = lazy.good.data.chunksize
    assert n_block[0] * n_block[1] > 1
    separate.client.compute((lazy.good * 2).isel(x=3, y=5), sync=True)
    assert calls.taken("score") == n_block[0] * n_block[1]
    block = lazy.isel(x=slice(0, n_block[0]), y=slice(n_block[1], 2 * n_block[1]))
    separate.client.compute(block, sync=True)
    assert calls.taken("score") == n_block[0] * n_block[1]
    separate.client.compute(lazy.good.isel(x=0).diff("y"), sync=True)
    assert calls.taken("score") == 256


def test_a_stage_that_others_share_runs_once_lazily_and_in_a_run(client, calls):
    lazy = lazily(calls, nx=4, ny=2000)
    assert lazy.good.data.numblocks[1] >= 10
    client.compute(lazy.good, sync=True)
    assert calls.taken("fit") == 4
    assert calls.taken("score") == 8000
    tk.Sweep(stages(calls), tk.grid(x=range(4), y=range(20))).run(client, progress=False)
    assert calls.taken("fit") == 4


@pytest.mark.parametrize("how", ["compute", "persist", "mean", "slice"])
def test_runs_that_need_a_gpu_are_where_one_is(separate, calls, gpu_process, how):
    client = separate.client
    lazy = lazily(calls, resources=GPU)
    if how == "compute":
        client.compute(lazy, sync=True)
    elif how == "persist":
        client.compute(client.persist(lazy).good.sum(), sync=True)
    elif how == "mean":
        client.compute(lazy.good.mean(), sync=True)
    else:
        client.compute(lazy.good.isel(x=slice(1, 5)).sum("y"), sync=True)
    assert set(calls.by_process("score")) == {gpu_process}


def test_reductions_are_not_forced_to_the_gpu_worker(separate, calls):
    client = separate.client

    class Watcher(SchedulerPlugin):
        def __init__(self):
            self.seen = {}

        def update_graph(self, scheduler, *, tasks, **kwargs):
            for key in tasks:
                self.seen[str(key)] = scheduler.tasks[key].resource_restrictions

    def seen(dask_scheduler):
        return dask_scheduler.plugins["watcher"].seen

    lazy = lazily(calls, resources=GPU)
    client.compute(lazy.good.isel(x=0, y=0), sync=True)  # the shelf is there from here on
    client.register_plugin(Watcher(), name="watcher")
    client.compute(lazy.good.mean("y"), sync=True)
    found = client.run_on_scheduler(seen)
    client.unregister_scheduler_plugin("watcher")
    bound = {key for key, resources in found.items() if resources}
    assert len(bound) == 48
    assert {key.split("-")[0].strip("('") for key in bound} == {"score"}
    assert len(found) > len(bound)


def test_a_worker_that_comes_late_asks_for_what_it_lacks(separate, calls):
    client = separate.client
    lazy = lazily(calls, resources=GPU)
    later = client.persist(lazy.good)
    separate.add_worker("--resources", "LATE=1")
    late = next(
        address
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
        if worker["resources"].get("LATE")
    )
    client.compute(later, sync=True)
    point = client.compute(lazily(calls).good.sel(x=2, y=1), workers=[late], sync=True)
    assert point.item() == 21
    client.retire_workers([late])


def test_tasks_carry_names_and_numbers_only(calls):
    weights = os.urandom(900_000)

    def f(x, y):
        return x + y + len(weights)

    lazy = tk.Sweep(tk.stage(f, outputs={"f": float}), tk.grid(x=range(3000), y=range(3000))).lazy()
    graph = lazy.f.data.dask
    for layer in graph.layers.values():
        task = layer[next(iter(layer))]
        assert len(pickle.dumps(task, protocol=5)) < 400
    assert len(pickle.dumps(graph, protocol=5)) < 900_000 + 100_000
    assert not any(layer.is_materialized() for layer in graph.layers.values())


def test_the_scheduler_drops_old_entries_that_no_task_needs():
    class Scheduler:
        tasks: ClassVar[dict[object, object]] = {}

    scheduler = Scheduler()
    shelf = Shelf(scheduler)
    stage = tk.stage(lambda x, y: x + y, name="f", outputs={"f": float}, resources=GPU)
    lazy = tk.Sweep(stage, tk.grid(x=range(200), y=range(200))).lazy()
    layers = [
        next(iter(lazy.f.isel(x=x, y=y).data.dask.layers.values())).shown.layer
        for x in range(40)
        for y in range(40)
    ]
    scheduler.tasks[(layers[0].name, 0, 0)] = None
    for layer in layers:
        shelf.add(layer)
    assert asyncio.run(shelf.get(layers[0].name)) is not None
    assert asyncio.run(shelf.get(layers[1].name)) is None
    assert asyncio.run(shelf.get(layers[-1].name)) is not None
    assert len(shelf._entries) <= 1000 < len(layers)
    assert set(shelf._resources) <= set(shelf._entries)


def test_a_restarted_worker_asks_again(client, calls):
    lazy = lazily(calls)
    client.compute(lazy.good.isel(x=0), sync=True)
    client.restart()
    client.compute(lazy.good.isel(x=0), sync=True)
    assert calls.taken("score") == 16


def test_frozen_inputs_arrive_as_objects(separate):
    weights = np.arange(200_000.0)

    def f(x, weights):
        return float(weights.sum()) * x

    sweep = tk.Sweep(
        tk.stage(f, outputs={"f": float}), {"x": range(6)}, frozen={"weights": weights}
    )
    lazy = sweep.lazy()
    assert len(pickle.dumps(lazy.f.data.dask)) < 100_000
    with dask.config.set(scheduler="synchronous"):
        here = lazy.f.compute()
    assert here.values.tolist() == [weights.sum() * x for x in range(6)]
    assert np.array_equal(separate.client.compute(lazy.f, sync=True), here)
