import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk
from toolkit.execution.dask_executor import DaskExecutor
from toolkit.execution.engine import Engine
from toolkit.execution.executors import RefusingExecutor
from toolkit.execution.session import make_job
from toolkit.execution.start import Start
from toolkit.execution.work import Policy, Work
from toolkit.stages.preparing import prepare
from toolkit.stages.stage import as_stage
from toolkit.stores.results import Results


def slow_square(x):
    time.sleep(0.002)
    return x * x


def tiny(x, y):
    return x + 1000 * y


def where_am_i(x):
    time.sleep(0.001)
    return os.getpid()


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "results.zarr"


def test_runs_go_to_the_workers(client, store):
    data = tk.Sweep(where_am_i, {"x": range(200)}, store=store).run(client, progress=False)
    pids = set(data.where_am_i.values.tolist())
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_fast_runs_are_written_by_the_workers_and_every_value_is_right(client, tmp_path):
    space = tk.grid(x=range(500), y=range(400))
    sweep = tk.Sweep(tiny, space, store=tmp_path / "tiny.zarr")
    data = sweep.run(client, progress=False)
    assert (data.status == tk.Status.DONE).all()
    assert np.array_equal(data.tiny, data.x + 1000 * data.y)
    assert sum(1 for _ in Path(tmp_path).rglob("*")) < 200


def test_left_out_cells_are_skipped_in_whole_chunks(client, tmp_path):
    space = tk.grid(x=range(500), y=range(400)).where(lambda x, y: (x + y) % 3 > 0)
    data = tk.Sweep(tiny, space, store=tmp_path / "tiny.zarr").run(client, progress=False)
    kept = (data.x + data.y) % 3 > 0
    assert ((data.status == tk.Status.DONE) == kept).all()
    assert np.array_equal(
        data.tiny.where(kept), (data.x + 1000 * data.y).where(kept), equal_nan=True
    )


def test_an_extension_across_a_partly_filled_chunk_runs_new_cells_only(client, tmp_path):
    sweep = tk.Sweep(tiny, tk.grid(x=range(300), y=range(100)), store=tmp_path / "t.zarr")
    sweep.run(client, progress=False)
    once = sweep.extend(x=range(300, 450))
    once.run(client, progress=False)
    twice = once.extend(y=[-1, 200])
    data = twice.run(client, progress=False)
    assert np.array_equal(data.tiny, data.x + 1000 * data.y)
    assert (data.attempts == 1).all()
    assert data.y.values.tolist() == [-1, *range(100), 200]


def test_a_store_deleted_and_made_again_on_a_living_cluster(client, tmp_path):
    import shutil

    path = tmp_path / "again.zarr"
    for offset in (0, 5):
        sweep = tk.Sweep(tiny, tk.grid(x=range(offset, 300), y=range(100)), store=path)
        data = sweep.run(client, progress=False)
        assert np.array_equal(data.tiny, data.x + 1000 * data.y)
        shutil.rmtree(path)


def test_a_job_can_be_watched_cancelled_and_gone_on_with(client, store):
    sweep = tk.Sweep(slow_square, {"x": range(3000)}, store=store)
    job = sweep.start(client)
    while job.progress.done < 100:
        time.sleep(0.01)
    live = job.dataset()
    done = live.status == tk.Status.DONE
    assert done.any()
    assert (live.slow_square.where(done, drop=True) == live.x.where(done, drop=True) ** 2).all()
    job.cancel()
    assert job.is_finished
    assert 0 < job.progress.done < 3000
    with pytest.raises(tk.InterruptedSweepError, match="run it again"):
        job.result()
    data = sweep.run(client, progress=False)
    assert np.array_equal(data.slow_square, data.x**2)
    assert (data.attempts == 1).all()


def test_two_sweeps_share_the_workers_of_a_client(client, tmp_path, caplog):
    def allowed(dask_scheduler):
        return dask_scheduler.allowed_failures

    before = client.run_on_scheduler(allowed)
    sweeps = [
        tk.Sweep(slow_square, {"x": range(n)}, store=tmp_path / f"{n}.zarr") for n in (300, 400)
    ]
    jobs = [sweep.start(client) for sweep in sweeps]
    for job in jobs:
        data = job.result(timeout=60)
        assert np.array_equal(data.slow_square, data.x**2)
    assert client.run_on_scheduler(allowed) == before
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_cancel_now_ends_the_workers_of_long_runs(client, tmp_path):
    def sleeper(x):
        import time

        time.sleep(0.01 if x < 20 else 60)
        return x

    sweep = tk.Sweep(sleeper, {"x": range(40)}, store=tmp_path / "s.zarr")
    job = sweep.start(client, order="given")
    while job.progress.done < 20:
        time.sleep(0.02)
    started = time.monotonic()
    job.cancel(now=True)
    assert time.monotonic() - started < 30
    client.wait_for_workers(2, timeout=30)
    assert int((sweep.dataset().status == tk.Status.DONE).sum()) == 20


def test_a_job_can_be_awaited(client):
    async def sweep():
        return await tk.Sweep(tiny, tk.grid(x=range(3), y=[1])).start(client)

    assert asyncio.run(sweep()).tiny.values.tolist() == [[1000], [1001], [1002]]


def test_pause_hands_out_nothing_and_resume_goes_on(client):
    job = tk.Sweep(slow_square, {"x": range(2000)}).start(client)
    while job.progress.done < 50:
        time.sleep(0.01)
    job.pause()
    time.sleep(1.0)
    held = job.progress.done
    time.sleep(0.5)
    assert job.progress.done == held < 2000
    job.resume()
    assert job.result(timeout=60).slow_square.sel(x=1999) == 1999**2


def test_focus_runs_a_region_first(client):
    job = tk.Sweep(slow_square, {"x": range(20_000)}).start(client)
    job.focus(x=slice(1000, 1499))
    while job.progress.done < 1200:
        time.sleep(0.01)
    done = job.dataset().status == tk.Status.DONE
    job.cancel()
    assert done.sel(x=slice(1000, 1499)).mean() > 0.9
    assert done.mean() < 0.5


def test_a_time_limit_stops_handing_out(client, store):
    sweep = tk.Sweep(slow_square, {"x": range(20_000)}, store=store)
    data = sweep.run(client, time_limit=1.5, progress=False)
    done = int((data.status == tk.Status.DONE).sum())
    assert 0 < done < 20_000


@pytest.mark.faults
def test_a_run_that_kills_its_worker_is_named_and_the_others_go_on(client, tmp_path):
    def deadly(x):
        import os
        import signal
        import time

        time.sleep(0.005)
        if x == 77:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    sweep = tk.Sweep(tk.stage(deadly, max_attempts=2), {"x": range(300)}, store=tmp_path / "d")
    data = sweep.run(client, progress=False)
    assert (data.status == tk.Status.FAILED).values.nonzero()[0].tolist() == [77]
    table = sweep.failures()
    assert table.reason.tolist() == ["worker died"]
    assert np.array_equal(data.deadly.drop_sel(x=77), data.x.drop_sel(x=77))
    client.wait_for_workers(2, timeout=30)


@pytest.mark.faults
def test_a_run_that_kills_its_worker_is_named_though_the_results_are_in_memory(client):
    def deadly(x):
        import os
        import time

        time.sleep(0.005)
        if x == 77:
            os._exit(3)
        return x

    sweep = tk.Sweep(tk.stage(deadly, max_attempts=2), {"x": range(300)})
    data = sweep.run(client, progress=False)
    assert (data.status == tk.Status.FAILED).values.nonzero()[0].tolist() == [77]
    assert sweep.failures().attempts.tolist() == [2]
    assert np.array_equal(data.deadly.drop_sel(x=77), data.x.drop_sel(x=77))
    client.wait_for_workers(2, timeout=30)


def logs_its_calls(log):
    """Return a function of 4 ms that appends its argument to a file."""

    def logged(x):
        import time

        time.sleep(0.004)
        with open(log, "a") as file:
            file.write(f"{x}\n")
        return x

    return logged


@pytest.mark.faults
def test_killed_workers_are_replaced_and_no_finished_run_is_run_again(client, tmp_path):
    log = tmp_path / "calls"
    logged = logs_its_calls(log)
    job = tk.Sweep(logged, {"x": range(1500)}, store=tmp_path / "l.zarr").start(client)
    killed = 0
    while not job.is_finished:
        time.sleep(0.6)
        if killed < 3 and job.progress.done > 100:
            for pid in list(client.run(os.getpid).values())[:1]:
                os.kill(pid, 9)
                killed += 1
    data = job.result()
    calls = [int(line) for line in log.read_text().split()]
    assert killed > 0
    assert np.array_equal(data.logged, data.x)
    assert len(calls) - len(set(calls)) <= killed


@pytest.mark.faults
def test_a_batch_whose_summary_dies_with_its_worker_is_not_run_again(client, tmp_path, monkeypatch):
    log = tmp_path / "calls"
    logged = logs_its_calls(log)
    completed, killed = DaskExecutor.completed, []

    def kill_who_holds_summaries(self, timeout):
        pids = client.run(os.getpid)
        held = client.who_has([future for _, future in self._in_flight.values()])
        holders = {worker for workers in held.values() for worker in workers} & pids.keys()
        if holders and not killed and self._sequence > 8:
            killed.append(holders.pop())
            os.kill(pids[killed[0]], 9)
            while killed[0] in client.nthreads() or any(client.processing().values()):
                time.sleep(0.01)
        return completed(self, timeout)

    monkeypatch.setattr(DaskExecutor, "completed", kill_who_holds_summaries)
    data = tk.Sweep(logged, {"x": range(300)}, store=tmp_path / "l.zarr").run(
        client, progress=False
    )
    assert killed
    assert np.array_equal(data.logged, data.x)
    calls = log.read_text().split()
    assert len(calls) - len(set(calls)) <= 1
    client.wait_for_workers(2, timeout=30)


class Climber:
    """Steps toward the maximum of what it is told; its next points depend on outcomes."""

    def __init__(self):
        self.best, self.value, self.step, self.asked = 0.0, -np.inf, 4.0, 0
        self.waiting = 0
        self.failures = 0

    def ask(self, n):
        if self.waiting or self.step < 1e-3:
            return None
        self.asked += 1
        points = [self.best - self.step, self.best + self.step, self.best + self.step / 3]
        self.waiting = len(points)
        return tk.zipped("point", x=points)

    def tell(self, outcomes):
        self.waiting -= len(outcomes.status)
        before = self.value
        for x, status, value in zip(
            outcomes.points["x"], outcomes.status, outcomes.values["height"], strict=True
        ):
            if status == tk.Status.FAILED:
                self.failures += 1
            elif value > self.value:
                self.best, self.value = x, float(value)
        if not self.waiting and self.value == before:
            self.step /= 2


def height(x):
    if x > 50:
        raise ValueError("off the map")
    return -((x - 13.7) ** 2)


@pytest.mark.parametrize("where", ["here", "workers"])
def test_a_source_chooses_its_points_by_the_outcomes(client, store, where):
    source = Climber()
    results = Results(store)
    space = tk.grid(x=[0.0])
    job = make_job(
        Start(
            prepared=prepare([as_stage(height)], space),
            results=results,
            seed=0,
            policy=Policy(order="given"),
            client=client if where == "workers" else None,
            source=source,
            dataset=lambda: None,
            failures=lambda: None,
            select=space.sel,
        )
    )
    job.run_here()
    assert source.best == pytest.approx(13.7, abs=2e-3)
    assert source.asked > 10


def test_points_that_the_store_holds_are_told_at_once(tmp_path):
    space = tk.grid(x=[0.0])
    counts = []
    for _ in range(2):
        source = Climber()
        job = make_job(
            Start(
                prepared=prepare([as_stage(height)], space),
                results=Results(tmp_path / "h.zarr"),
                seed=0,
                policy=Policy(order="given"),
                source=source,
                dataset=lambda: None,
                failures=lambda: None,
                select=space.sel,
            )
        )
        job.run_here()
        counts.append(source.asked)
        n_runs = Results(tmp_path / "h.zarr").look("height").n_runs
    assert counts[0] == counts[1]
    assert n_runs <= 3 * counts[0]


class NoPoints:
    def ask(self, n):
        return None

    def tell(self, outcomes):
        raise AssertionError


def test_describing_a_sweep_runs_nothing(tmp_path):
    results = Results(tmp_path / "n.zarr")
    prepared = prepare([as_stage(tiny)], tk.grid(x=[1], y=[2]))
    sweep = tk.Sweep(tiny, tk.grid(x=[1], y=[2]), store=tmp_path / "n.zarr")
    sweep.explain()
    repr(sweep)
    sweep.dataset()
    assert not (tmp_path / "n.zarr").exists()
    results.acquire(code={})
    engine = Engine(
        Work(
            binding=prepared.stages[0].binding,
            runs=results.stage("tiny"),
            source=NoPoints(),
            seed=0,
            defaults={},
            choose=lambda space, ids: (ids, ids),
        ),
        Policy(),
        start_cluster=RefusingExecutor,
        executor=RefusingExecutor(),
    )
    engine.run()
    results.release()
    assert len(tk.open(tmp_path / "n.zarr", stage="tiny")) == 0


def test_a_gpu_stage_runs_on_tagged_workers_only():
    kinds = {
        "plain": {"count": 1},
        "gpu": {"count": 1, "resources": {"GPU": 1}},
    }
    stage = tk.stage(where_am_i, resources=tk.Resources(gpus=1))
    with tk.cluster("local", workers=kinds, dashboard=None) as cluster:
        tagged = {
            info["name"]
            for info in cluster.client.scheduler_info(n_workers=-1)["workers"].values()
            if info["resources"].get("GPU")
        }
        assert tagged == {"gpu-0"}
        data = tk.Sweep(stage, {"x": range(100)}).run(cluster, progress=False)
        assert len(set(data.where_am_i.values.tolist())) == 1


def test_a_gpu_stage_without_a_tagged_worker_is_refused(client):
    stage = tk.stage(tiny, resources=tk.Resources(gpus=1))
    with pytest.raises(tk.ClusterError, match="cpu: lacks 1 GPUs"):
        tk.Sweep(stage, tk.grid(x=[1], y=[1])).run(client, progress=False)
