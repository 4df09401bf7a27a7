"""Workers that are let go, by a real scheduler."""

import time

import pytest
from distributed import Client, LocalCluster

from toolkit.clusters import retiring


@pytest.fixture
def client():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _wait_for(claim, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _workers(client):
    return set(client.scheduler_info()["workers"])


def test_what_runs_is_waited_for(client):
    [worker] = _workers(client)
    result = client.submit(_wait_and_say, 0.5, 7)
    _wait_for(lambda: any(client.processing().values()))
    client.run_on_scheduler(retiring.let_go, workers=[worker])
    assert result.result(timeout=20) == 7
    result.release()
    _wait_for(lambda: not _workers(client))


def test_a_worker_goes_though_nobody_takes_what_it_holds(client, monkeypatch):
    monkeypatch.setattr(retiring, "_PATIENCE", 0.3)
    [worker] = _workers(client)
    held = client.submit(_wait_and_say, 0.0, 7)
    assert held.result(timeout=20) == 7
    client.run_on_scheduler(retiring.let_go, workers=[worker])
    _wait_for(lambda: not _workers(client))


def _wait_and_say(seconds, value):
    time.sleep(seconds)
    return value
