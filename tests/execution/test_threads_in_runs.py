import multiprocessing
import os
import signal
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import psutil
import pytest

import toolkit as tk
from toolkit.execution import threads
from toolkit.execution.threads import held_cores, limit_threads, release_threads
from toolkit.resources import Resources
from toolkit.stages.stage import stage

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def sweep(function, axes, **options):
    return tk.Sweep(stage(function, **options), axes)


def what_is_allowed(x):
    from threadpoolctl import threadpool_info

    return {
        "told": tk.current_run().threads,
        "cpus": os.cpu_count(),
        "pools": max(pool["num_threads"] for pool in threadpool_info()),
        "variable": int(os.environ["OMP_NUM_THREADS"]),
    }


@pytest.mark.parametrize("n", [1, 2])
def test_a_run_is_told_its_threads_and_held_to_them(client, n):
    resources = Resources(threads=n)
    data = sweep(what_is_allowed, {"x": range(6)}, resources=resources).run(client, progress=False)
    for name in ("told", "cpus", "pools", "variable"):
        assert set(data[name].values.tolist()) == {n}


def test_runs_of_one_thread_have_one_after_runs_of_several(client):
    for n in (2, 1):
        resources = Resources(threads=n)
        again = sweep(what_is_allowed, {"x": range(6)}, resources=resources)
        data = again.run(client, progress=False)
        assert set(data.pools.values.tolist()) == {n}


def sweep_beside_a_child(found):
    """Run a sweep in this process, which has a child and cores of its own."""
    beside = subprocess.Popen(["sleep", "60"])
    cpus = os.cpu_count()
    try:
        data = sweep(lambda x: os.cpu_count(), {"x": range(6)}).run(progress=False)
        found.put((beside.poll(), set(data.result.values.tolist()) == {cpus}))
    finally:
        beside.kill()
        beside.wait()


def test_a_process_that_the_user_started_is_no_worker_of_ours():
    spawning = multiprocessing.get_context("spawn")
    found = spawning.Queue()
    process = spawning.Process(target=sweep_beside_a_child, args=(found,))
    process.start()
    assert found.get(timeout=120) == (None, True)
    process.join(60)
    assert process.exitcode == 0


def test_what_was_set_before_is_put_back(monkeypatch):
    from threadpoolctl import threadpool_info

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    seen = sweep(what_is_allowed, {"x": [1]}, resources=Resources(threads=1)).run(progress=False)
    assert seen.variable.item() == seen.pools.item() == 1
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert {path: after[path] for path in pools} == pools


def test_torch_is_held_to_the_threads_of_the_run():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        limit_threads(3)
        assert torch.get_num_threads() == 3
        limit_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        release_threads()
    assert torch.get_num_threads() == before


def interval(x):
    begun = time.time()
    with ThreadPoolExecutor(tk.current_run().threads) as pool:
        list(pool.map(time.sleep, [0.02, 0.02]))
    return np.array([begun, time.time(), os.getpid()])


def test_runs_that_take_all_cores_run_one_at_a_time(client):
    n = len(os.sched_getaffinity(0))
    resources = Resources(threads=max(n, 2))
    data = sweep(interval, {"x": range(12)}, resources=resources).run(client, progress=False)
    begun, ended, _ = data.interval.values[np.argsort(data.interval.values[:, 0])].T
    if n > 1:
        assert (begun[1:] >= ended[:-1]).all()


def test_cores_are_freed_by_a_process_that_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(threads.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    child = os.fork()
    if child == 0:
        with held_cores(3):
            (tmp_path / "held").touch()
            time.sleep(60)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    order = []

    def hold():
        with held_cores(2):
            order.append("held")

    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(hold)
        time.sleep(0.1)
        order.append("killed")
        os.kill(child, signal.SIGKILL)
        waits.result(timeout=20)
    os.waitpid(child, 0)
    assert order == ["killed", "held"]


def grid_search(x):
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    rng = np.random.default_rng(x)
    data = rng.normal(size=(60, 3))
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0, 10.0]}, n_jobs=2, cv=3)
    search.fit(data, data @ [1.0, 2.0, 3.0])
    return {"alpha": search.best_params_["alpha"], "pid": os.getpid()}


def test_a_grid_search_with_two_jobs_runs_within_a_run(client):
    resources = Resources(threads=2)
    data = sweep(grid_search, {"x": range(3)}, resources=resources).run(client, progress=False)
    assert (data.status == tk.Status.DONE).all()
    assert data.alpha.values.tolist() == [0.1] * 3
    assert _gone(_children(data.pid.values))


def square(x):
    return x * x


def with_a_pool(x):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(square, range(x)))


def with_an_executor(x):
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return sum(pool.map(square, range(x)))


@pytest.mark.parametrize("function", [with_a_pool, with_an_executor])
def test_pools_of_processes_work_within_a_run(client, function):
    data = sweep(function, {"x": [3, 4]}, name="total").run(client, progress=False)
    assert data.total.values.tolist() == [5, 14]


def leaves_processes(x):
    children = [
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)),
    ]
    for child in children:
        child.start()
    program = subprocess.Popen(["sh", "-c", "sleep 600 & wait"])
    children.append(program)
    time.sleep(0.05)
    pids = [p for c in children for p in [c.pid, *_descendants(c.pid)]]
    (tk.current_run().checkpoint / "pids").write_text(" ".join(map(str, pids)))
    with open(f"{x}/pids", "a") as file:
        file.write(" ".join(map(str, pids)) + " ")
    if "fails" in x:
        raise ValueError("and leaves them")
    if "dies" in x:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(pids)


def _descendants(pid):
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.parametrize(
    "end", ["succeeds", "fails", pytest.param("dies", marks=pytest.mark.faults)]
)
def test_processes_die_with_their_run(client, tmp_path, end):
    folder = tmp_path / end
    folder.mkdir()
    job = sweep(leaves_processes, {"x": [str(folder)]}, max_attempts=1).start(client)
    try:
        job.result(timeout=60)
    except tk.RunsFailedError:
        assert end != "succeeds"
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) >= 3
    assert _gone(pids)


def _children(workers):
    return [pid for worker in workers for pid in _descendants(int(worker))]


def _gone(pids, seconds=20.0):
    """Whether processes end; trackers of multiprocessing stay."""
    until = time.monotonic() + seconds
    while left := [pid for pid in pids if _is_running(pid)]:
        if time.monotonic() > until:
            raise AssertionError([psutil.Process(pid).cmdline() for pid in left])
        time.sleep(0.05)
    return True


def _is_running(pid):
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and not any(
            "tracker" in word for word in process.cmdline()
        )
    except psutil.NoSuchProcess:
        return False
