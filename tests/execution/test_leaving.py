"""Workers whose job ends: what fits, and when they leave."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from distributed.protocol.pickle import loads

import toolkit as tk
from toolkit.clusters.job_time import JOB_ENDS, JOB_SECONDS
from toolkit.clusters.retiring import let_go
from toolkit.execution import dask_executor, leaving
from toolkit.execution.batch_task import BatchTask, unbegun


@pytest.fixture
def job(monkeypatch):
    monkeypatch.setattr(leaving, "_job", leaving._Job())

    def lasts(left, total):
        monkeypatch.setenv(JOB_ENDS, str(time.time() + left))
        monkeypatch.setenv(JOB_SECONDS, str(total))

    return lasts


def wait(x):
    time.sleep(0.1)
    return x


def test_without_an_end_everything_fits(monkeypatch):
    monkeypatch.delenv(JOB_ENDS, raising=False)
    assert leaving.fits(1e9)


@pytest.mark.parametrize(
    ("left", "seconds", "fits"),
    [
        (3600, 60, True),
        (3600, 0, True),
        (100, 60, True),  # ten seconds are the worker's own
        (80, 60, False),
        (5, 0, False),
        (3600, 7200, True),  # longer than any job: a fresh one may begin it
        (1800, 7200, False),
    ],
)
def test_what_takes_longer_than_what_is_left_does_not_fit(job, left, seconds, fits):
    job(left, 3600)
    assert leaving.fits(seconds) is fits


@pytest.mark.parametrize("wrong", ["", "soon"])
def test_an_end_that_is_no_time_is_none(monkeypatch, wrong):
    monkeypatch.setenv(JOB_ENDS, wrong)
    assert leaving.seconds_left() == float("inf")


@pytest.mark.parametrize(
    ("left", "insists", "leaves"), [(60, False, False), (60, True, True), (5, False, True)]
)
def test_a_worker_with_time_for_shorter_runs_stays(job, monkeypatch, left, insists, leaves):
    job(left, 3600)
    task = BatchTask("token", 0, 1, None, False, 1, 0.25, 90.0, False, insists=insists)
    monkeypatch.setattr(dask_executor, "execute", lambda task, leave: unbegun(task))
    monkeypatch.setattr(dask_executor, "get_worker", lambda: SimpleNamespace(address="here"))
    assert bool(dask_executor.execute_here(task).leaves) is leaves


class Worker:
    address = "tcp://127.0.0.1:2"

    def __init__(self):
        self.loop = self.scheduler = self
        self.asyncio_loop = asyncio.get_running_loop()
        self.asked = []

    async def run_function(self, *, function, args):
        self.asked.append((loads(function), loads(args)))


def test_a_worker_asks_once_to_be_let_go_before_its_job_ends(job, monkeypatch):
    async def play():
        worker = Worker()
        job(leaving._LAST_SECONDS + 0.3, 1000)
        monkeypatch.setattr(leaving, "_STAGGER", 0.0)
        leaving.leave_in_time(worker)
        leaving.leave_in_time(worker)  # by another spec: once is enough
        await asyncio.sleep(0.1)
        assert worker.asked == []
        assert leaving.fits(0.0)
        await asyncio.sleep(0.4)
        assert worker.asked == [(let_go, ([worker.address],))]
        assert not leaving.fits(0.0)

    asyncio.run(play())


@pytest.mark.parametrize("total", [12, 30, 60, 86_400])
def test_whatever_a_job_lasts_a_new_worker_begins_any_run(job, total):
    job(total - min(4.0, 0.1 * total), total)  # a worker takes some seconds to start
    assert leaving.fits(1e9)


def test_a_worker_that_leaves_in_time_is_no_death_and_says_nothing(tmp_path, caplog, capfd):
    ends = (
        "import os, time\n"
        f"os.environ[{JOB_ENDS!r}] = str(time.time() + 4)\n"
        f"os.environ[{JOB_SECONDS!r}] = '10'"
    )
    tiers = {"only": {"count": 1}}
    with tk.cluster("local", tiers=tiers, dashboard=None) as cluster:
        cluster.client.wait_for_workers(1)
        tk.Sweep(wait, {"x": [0]}).run(cluster, progress=False)  # all is loaded before it matters
        cluster.client.run(exec, ends)
        first = set(cluster.client.scheduler_info()["workers"])
        data = tk.Sweep(wait, {"x": range(60)}, store=tmp_path / "s.zarr").run(
            cluster, progress=False
        )
        assert set(cluster.client.scheduler_info()["workers"]) != first
    assert (data.attempts == 1).all()
    assert "died" not in caplog.text
    assert capfd.readouterr().err == ""
