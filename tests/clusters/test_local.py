import os
import platform
import resource
import subprocess
import sys
import time

import dask
import numpy as np
import psutil
import pytest

import toolkit as tk


def test_a_cluster_starts_scales_and_leaves_nothing_behind():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with tk.cluster("local", workers=1, dashboard="127.0.0.1:0") as cluster:
        assert cluster.dashboard_link.startswith("http://127.0.0.1:")
        assert cluster.client.submit(os.getpid).result() != os.getpid()
        cluster.scale(2)
        assert len(cluster.client.nthreads()) == 2
        cluster.scale(1)
        end = time.monotonic() + 20
        while len(cluster.client.nthreads()) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(cluster.client.nthreads()) == 1
        with pytest.raises(tk.ClusterError, match="'cpu'"):
            cluster.scale(1, "gpu")
        assert "1 workers" in repr(cluster)
    after = {child.pid for child in psutil.Process().children(recursive=True)}
    assert not after - before
    cluster.close()


def test_a_sweep_uses_the_client_that_is_there():
    with tk.cluster("local", workers=1, dashboard=None) as cluster:
        assert cluster.dashboard_link is None
        data = tk.Sweep(lambda x: os.getpid(), {"x": [1, 2]}).run(progress=False)
    assert os.getpid() not in data.result.values


@pytest.mark.faults
def test_a_worker_that_is_away_when_dask_looks_for_it_still_comes_back():
    timeout = {"distributed.deploy.lost-worker-timeout": "1ms"}
    with dask.config.set(timeout), tk.cluster("local", workers=1, dashboard=None) as cluster:
        for _ in range(2):
            pid = cluster.client.submit(os.getpid, pure=False).result(timeout=30)
            psutil.Process(pid).kill()
            cluster.client.submit(time.sleep, 0.2, pure=False).result(timeout=30)


@pytest.mark.faults
def test_workers_end_when_their_driver_is_killed(tmp_path):
    code = """
import time, toolkit as tk
with tk.cluster("local", workers=1, dashboard=None) as cluster:
    print(cluster.client.submit(__import__("os").getpid).result(), flush=True)
    time.sleep(60)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = psutil.Process(int(driver.stdout.readline()))
    driver.kill()
    driver.wait()
    driver.stdout.close()
    worker.wait(timeout=30)


def refetched(n: int) -> int:
    """Return how many pages are fetched from the system to make one array after the other."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(n):
            np.ones(32_000)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="sets what glibc reads")
def test_memory_that_runs_free_is_there_for_the_next():
    with tk.cluster("local", workers=1, dashboard=None) as cluster:
        assert cluster.client.submit(refetched, 100).result(timeout=30) < 100  # of 6,300 pages


def test_each_worker_with_a_gpu_sees_its_own_and_has_the_tag():
    tiers = {"cpu": {"count": 1}, "gpu": {"gpus": 2, "count": 1, "memory": "1GB"}}
    with tk.cluster("local-gpu", gpus=2, tiers=tiers, dashboard=None) as cluster:
        client = cluster.client
        name = "CUDA_VISIBLE_DEVICES"
        for tag, seen in {"tier-cpu": "", "GPU": "0,1"}.items():
            future = client.submit(os.getenv, name, resources={tag: 1}, pure=False)
            assert future.result(timeout=30) == seen
        workers = client.scheduler_info()["workers"].values()
    assert sorted(worker["resources"].get("GPU", 0) for worker in workers) == [0, 2.0]


def test_gpus_are_dealt_out_one_after_the_other():
    from toolkit.clusters.local import LocalMachine
    from toolkit.clusters.profile import load_profile

    tiers = {"small": {"gpus": 1, "count": 2}, "big": {"gpus": 2, "count": 1}, "cpu": {"count": 1}}
    machine = LocalMachine(load_profile("local-gpu", gpus=4, tiers=tiers))
    seen = {
        name: machine.spec(tier, name, slot)["options"]["environment"]["CUDA_VISIBLE_DEVICES"]
        for tier, name, slot in (
            ("small", "small-0", 0),
            ("small", "small-1", 1),
            ("big", "big-0", 0),
            ("cpu", "cpu-0", 0),
        )
    }
    assert seen == {"small-0": "0", "small-1": "1", "big-0": "2,3", "cpu-0": ""}


def test_no_gpu_is_pretended_unasked(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    tiers = {"gpu": {"gpus": 1}}
    with pytest.raises(tk.ClusterError, match="no GPU is found"):
        tk.cluster("local-gpu", tiers=tiers).__enter__()
