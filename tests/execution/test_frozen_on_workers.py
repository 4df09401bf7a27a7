import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import distributed
import numpy as np
import pytest

import toolkit as tk
from toolkit.execution.frozen_plugin import FrozenServer
from toolkit.inputs import folder, held

MB = 1e6


def row_sum(x, data):
    return float(data[x].sum())


def touch_all(x, data):
    return float(data.sum()) + x


def counts():
    from toolkit.inputs import held

    return {
        "loads": dict(held.loads),
        "downloads": dict(held.downloads),
        "held": len(held._entries),
    }


def proportional_memory(pid: int) -> float:
    """MB of a process, shared pages divided among those who share them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(line.split()[1]) * 1024 / MB


def pids(client):
    return list(client.run(os.getpid).values())


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A folder that these tests share with their workers and with nobody else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(folder.VARIABLE, str(tmp_path_factory.mktemp("frozen")))
        yield folder.folder()


@pytest.fixture(scope="module")
def four(home):
    with tk.cluster("local", workers=4, threads=1, dashboard=None) as started:
        yield started.client


def random(seed, megabytes):
    return np.random.default_rng(seed).random((1000, int(megabytes * 125)))


def test_all_workers_of_a_machine_share_one_copy_and_load_it_once(four, home):
    tk.Sweep(touch_all, {"x": range(200)}, frozen={"data": random(0, 1)}).run(four, progress=False)
    data = tk.freeze(random(1, 60))
    size = data.nbytes / MB
    before = sum(map(proportional_memory, pids(four)))
    grown = []

    def slow_touch(x, data):
        import time

        time.sleep(0.01)
        return float(data.sum()) + x

    sweep = tk.Sweep(slow_touch, {"x": range(120)}, frozen={"data": data})
    job = sweep.start(four)
    while not job.is_finished:
        grown.append(sum(map(proportional_memory, pids(four))) - before)
    job.result()
    workers = four.run(counts)
    # In the middle of the sweep: while workers load, one that is read early counts for two.
    steady = float(np.median(grown))
    assert 0.8 * size < steady <= 1.1 * size + 10  # and the journals and buffers of four processes
    assert [each["loads"].get(data.token) for each in workers.values()] == [1] * 4
    assert all(not each["downloads"] for each in workers.values())
    assert all(each["held"] == 0 for each in workers.values())


def test_what_is_sent_is_small(four, monkeypatch):
    from toolkit.execution import dask_executor

    sent = []

    def noting(plugin, *arguments, **keywords):
        sent.append(len(pickle.dumps(plugin)))
        return register(plugin, *arguments, **keywords)

    register = four.register_plugin
    monkeypatch.setattr(four, "register_plugin", noting)
    servers = []

    class Noted(FrozenServer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            servers.append(self)

    monkeypatch.setattr(dask_executor, "FrozenServer", Noted)
    tk.Sweep(row_sum, {"x": range(100)}, frozen={"data": random(2, 20)}).run(four, progress=False)
    assert len(sent) >= 3
    assert max(sent) < 10_000
    assert [server.served for server in servers] == [0]


def test_a_write_on_a_worker_names_the_input(four):
    def careless(x, data, other):
        if x == 3:
            data[0] = other[0]
        return x

    inputs = {"data": np.zeros(1000), "other": np.ones(1000)}
    sweep = tk.Sweep(careless, {"x": range(6)}, frozen=inputs)
    data = sweep.run(four, progress=False)
    assert data.careless.drop_sel(x=3).values.tolist() == [0, 1, 2, 4, 5]
    [message] = sweep.failures().message
    assert "read-only: 'data'" in message


def test_ten_sweeps_with_ten_inputs_leave_no_more_than_the_first(four, home):
    def used():
        return sum(map(proportional_memory, pids(four)))

    def files():
        return sum(path.stat().st_size for path in home.iterdir()) / MB

    found = []
    for seed in range(10):
        data = random(seed, 20)
        sweep = tk.Sweep(touch_all, {"x": range(40)}, frozen={"data": data})
        result = sweep.run(four, progress=False)
        assert result.touch_all.sel(x=0) == data.sum()
        found.append((used(), files()))
    del sweep
    assert found[9][0] - found[1][0] < 20
    assert max(size for _, size in found) < 21
    assert files() == 0
    assert all(each["held"] == 0 for each in four.run(counts).values())


@pytest.mark.faults
def test_killed_and_added_workers_have_the_input_too(home, tmp_path):
    data = random(3, 5)

    def slow_sum(x, data):
        import time

        time.sleep(0.02)
        return float(data[x].sum())

    with tk.cluster("local", workers=2, threads=1, dashboard=None) as cluster:
        client = cluster.client
        sweep = tk.Sweep(
            slow_sum, {"x": range(400)}, frozen={"data": data}, store=tmp_path / "s.zarr"
        )
        job = sweep.start(client)
        while job.progress.done < 50:
            time.sleep(0.02)
        killed = pids(client)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        job.pause()  # so that there is work left for the one that is added
        client.wait_for_workers(2, timeout=60)
        cluster.scale(3)
        job.resume()
        found = job.result(timeout=120)
        assert np.array_equal(found.slow_sum, data[:400].sum(axis=1))
        present = client.run(counts)
        assert len(present) == 3
        assert not set(killed) & set(pids(client))
        assert all(sum(each["loads"].values()) == 1 for each in present.values())
        assert client.submit(counts).result()["held"] == 0


@contextlib.contextmanager
def nodes(folders: list[Path], each: int = 1) -> Iterator[distributed.Client]:
    """Workers whose folders of frozen inputs differ, as on machines that share no disk."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(
            distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=40)
        )
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        for place in folders:
            for _ in range(each):
                options = {"nthreads": 1, "dashboard": False, "silence_logs": 40}
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "toolkit.clusters.worker_process"),
                        *(cluster.scheduler_address, json.dumps(options)),
                    ],
                    env={
                        **os.environ,
                        folder.VARIABLE: str(place),
                        "PYTHONPATH": str(Path(tk.__file__).parents[1]),
                    },
                )
                stack.callback(process.wait, 30)
                stack.callback(process.terminate)
        client.wait_for_workers(len(folders) * each, timeout=60)
        yield client


def where():
    from toolkit.inputs import folder

    return str(folder.folder())


@pytest.mark.faults
def test_machines_that_share_no_folder_download_once_each(tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    data = {"grid": random(4, 30), "names": ["a", "b"]}
    frozen = tk.freeze(data, name="data")

    def cell(x, data):
        import time

        time.sleep(0.005)
        return float(data["grid"][x].sum())

    def nested():
        with nodes(places, each=2) as client:
            sweep = tk.Sweep(cell, {"x": range(300)}, frozen={"data": frozen})
            job = sweep.start(client)
            # A machine's file is there while the sweep is, and its workers share it.
            while job.progress.done < 100:
                time.sleep(0.02)
            files = [sorted(place.glob("*/*.frozen")) for place in places]
            found = job.result(timeout=120)
            return found, files, client.run(counts), set(client.run(where).values())

    found, files, workers, folders = nested()
    assert len(folders) == 2
    assert np.array_equal(found.cell, data["grid"][:300].sum(axis=1))
    assert [[path.name for path in each] for each in files] == [[f"{frozen.token}.frozen"]] * 2
    downloads = [each["downloads"].get(frozen.token, 0) for each in workers.values()]
    loads = [each["loads"].get(frozen.token, 0) for each in workers.values()]
    assert sum(downloads) == 2
    assert loads == [1] * 4
    assert [list(place.glob("*/*")) for place in places] == [[], []]
    assert frozen.get()["names"] == ["a", "b"]


@pytest.mark.faults
def test_a_driver_that_lost_the_content_says_so(tmp_path):
    frozen = tk.freeze(random(5, 2), name="data")
    with nodes([tmp_path / "one"]) as client:
        claim, held._entries[frozen.token].claim = held._entries[frozen.token].claim, None
        try:
            with pytest.raises(tk.FrozenError, match=r"'data'.*not kept by this process"):
                tk.Sweep(row_sum, {"x": range(30)}, frozen={"data": frozen}).run(
                    client, progress=False
                )
        finally:
            held._entries[frozen.token].claim = claim
