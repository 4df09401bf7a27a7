"""Tiers of one machine: runs climb, workers come and go with the work, and end at their time."""

import os
import time

import numpy as np
import psutil
import pytest

import toolkit as tk
from toolkit.stores.zarr_store import ZarrStore


def write(folder, tiers):
    path = folder / "tiers.yaml"
    lines = [f"  {name}: {{{settings}}}" for name, settings in tiers.items()]
    path.write_text("\n".join(["kind: local", "dashboard: null", "tiers:", *lines, ""]))
    return path


def wait_until(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def tiers_of(cluster):
    """Return the tier of each worker that is there."""
    workers = cluster.client.scheduler_info(n_workers=-1)["workers"].values()
    return sorted(str(worker["name"]).rpartition("-")[0] for worker in workers)


def hold(mb):
    """Hold so much memory for long enough to be seen."""
    held = [bytearray(os.urandom(1_000_000)) for _ in range(mb)]
    time.sleep(0.3 if mb > 300 else 0.0)
    return len(held), os.environ["TOOLKIT_TIER"]


@pytest.mark.faults
def test_a_run_too_big_for_the_small_tier_is_done_on_the_large_one(tmp_path):
    def held(mb):
        n, tier = hold(mb)
        return {"n": n, "tier": tier}

    profile = write(
        tmp_path,
        {
            "small": "memory: 400MB, minimum: 0, maximum: 1, idle: 2s",
            "large": "memory: 2GB, minimum: 0, maximum: 1, idle: 2s",
        },
    )
    store = tmp_path / "t.zarr"
    with tk.cluster(profile) as cluster:
        assert tiers_of(cluster) == []
        sweep = tk.Sweep(tk.stage(held, outputs=("n", "tier")), {"mb": [1, 2, 3, 600]}, store=store)
        data = sweep.run(cluster, progress=False)
        wait_until(lambda: tiers_of(cluster) == [])
    assert data.n.values.tolist() == [1, 2, 3, 600]
    assert data.tier.values.tolist() == ["small"] * 3 + ["large"]
    attempts = data.attempts.values.tolist()
    assert attempts[:3] == [1, 1, 1]
    assert attempts[3] == 2
    assert not len(sweep.failures())


def test_workers_come_when_there_is_work_and_go_when_there_is_none(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    profile = write(tmp_path, {"only": "minimum: 0, maximum: 2, idle: 1s"})
    with tk.cluster(profile) as cluster:
        assert tiers_of(cluster) == []

        def slow(x):
            time.sleep(0.2)
            return x

        data = tk.Sweep(slow, {"x": np.arange(60)}).run(cluster, progress=False)
        assert data.slow.values.tolist() == list(range(60))
        wait_until(lambda: tiers_of(cluster) == [])
        assert "0 workers" in repr(cluster)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_number_asked_for_by_hand_stays_until_it_is_taken_back(tmp_path):
    profile = write(tmp_path, {"only": "minimum: 0, maximum: 2, idle: 0.1s"})
    with tk.cluster(profile) as cluster:
        cluster.scale(1)
        assert tiers_of(cluster) == ["only"]
        time.sleep(2.5)
        assert tiers_of(cluster) == ["only"]
        cluster.scale(None)
        wait_until(lambda: tiers_of(cluster) == [])


def test_tasks_that_no_sweep_has_sent_have_a_worker_started(tmp_path):
    profile = write(tmp_path, {"only": "minimum: 0, maximum: 1, idle: 1s"})
    with tk.cluster(profile) as cluster:
        assert cluster.client.submit(os.getpid).result(timeout=60) != os.getpid()


def test_a_worker_that_is_killed_with_its_nanny_is_replaced(tmp_path):
    profile = write(tmp_path, {"only": "count: 1"})
    with tk.cluster(profile) as cluster:
        [worker] = cluster.client.run(os.getpid).values()
        nanny = psutil.Process(worker).parent()
        for process in (nanny, psutil.Process(worker)):
            process.kill()
        pid = cluster.client.submit(os.getpid, pure=False).result(timeout=60)
        assert pid != worker


def test_taking_a_worker_away_by_hand_runs_nothing_twice(tmp_path):
    log = tmp_path / "runs"
    log.mkdir()

    def note(x):
        time.sleep(0.05)
        with open(log / str(x), "a") as file:
            file.write("x")
        return x

    profile = write(tmp_path, {"only": "count: 2"})
    with tk.cluster(profile) as cluster:
        sweep = tk.Sweep(note, {"x": np.arange(200)}, store=tmp_path / "t.zarr")
        job = sweep.start(cluster)
        wait_until(lambda: len(list(log.iterdir())) > 20)
        cluster.client.set_metadata(["toolkit", "scale", "only"], 1)
        wait_until(lambda: len(tiers_of(cluster)) == 1)
        data = job.result()
    assert data.note.values.tolist() == list(range(200))
    assert {path.read_text() for path in log.iterdir()} == {"x"}


@pytest.mark.faults
def test_a_run_longer_than_a_worker_lasts_climbs_to_one_that_lasts(tmp_path):
    def wait(pause):
        time.sleep(pause)
        return os.environ["TOOLKIT_TIER"]

    profile = write(
        tmp_path,
        {
            "short": "minimum: 0, maximum: 1, walltime: 12s, idle: 2s",
            "long": "minimum: 0, maximum: 1, walltime: 1h, idle: 2s",
        },
    )
    with tk.cluster(profile) as cluster:
        sweep = tk.Sweep(wait, {"pause": [0.1, 0.2, 14.0]}, store=tmp_path / "t.zarr")
        data = sweep.run(cluster, progress=False)
    assert data.wait.values.tolist() == ["short", "short", "long"]
    assert data.attempts.values.tolist() == [1, 1, 2]


@pytest.mark.faults
def test_what_waited_for_a_tier_that_is_gone_is_done_by_another(tmp_path):
    def slow(x):
        time.sleep(0.1)
        return x

    profile = write(
        tmp_path,
        {
            "small": "memory: 400MB, minimum: 0, maximum: 1, idle: 2s",
            "large": "memory: 2GB, minimum: 0, maximum: 1, idle: 2s",
        },
    )
    with tk.cluster(profile) as cluster:
        cluster.scale(1, "small")
        cluster.scale(1, "large")
        wait_until(lambda: tiers_of(cluster) == ["large", "small"])
        job = tk.Sweep(slow, {"x": np.arange(100)}).start(cluster)
        wait_until(lambda: job.progress.done > 10)
        workers = cluster.client.scheduler_info(n_workers=-1)["workers"]
        address = next(at for at, each in workers.items() if "small" in str(each["name"]))
        cluster.scale(0, "small")  # for good: what was sent to it would wait for ever
        wait_until(lambda: address not in cluster.client.scheduler_info(n_workers=-1)["workers"])
        data = job.result(timeout=60)
    assert data.slow.values.tolist() == list(range(100))
    assert data.attempts.values.tolist() == [1] * 100


@pytest.mark.faults
def test_a_run_that_will_outlast_its_workers_job_goes_on_at_once(tmp_path, monkeypatch, caplog):
    from toolkit.execution import outlasting

    monkeypatch.setattr(outlasting, "_SURE", 0.4)  # to be had with nothing known
    monkeypatch.setattr(outlasting, "_LEAST_SECONDS", 2.0)

    def wait(x):
        tier = os.environ["TOOLKIT_TIER"]
        time.sleep(60.0 if x == 3 and tier == "short" else 0.2)
        return tier

    profile = write(
        tmp_path,
        {
            "short": "minimum: 1, maximum: 1, walltime: 50s, idle: 2s",
            "long": "minimum: 0, maximum: 1, walltime: 1h, idle: 2s",
        },
    )
    store = tmp_path / "t.zarr"
    with tk.cluster(profile) as cluster:
        data = tk.Sweep(wait, {"x": range(8)}, store=store).run(cluster, progress=False)
    assert data.wait.sel(x=3).item() == "long"
    attempts = data.attempts.values.tolist()
    assert attempts[3] == 2
    assert sum(attempts) == 9, "no other run was tried twice"
    events = {event["event"]: event for event in ZarrStore.read(store).events.read()}
    assert events["run_handed_on"]["run"] == 3
    assert events["run_handed_on"]["seconds"] < 40, "its worker's job would have lasted longer"
    assert events["batch_lost"]["death"].startswith("the worker's job would have ended")
    assert events["run_climbed"]["reason"] == "time limit"
    assert not any("A worker died" in record.getMessage() for record in caplog.records)
