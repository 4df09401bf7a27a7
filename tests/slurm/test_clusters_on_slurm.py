"""Sweeps on a real SLURM: jobs come, die, are replaced and go."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from distributed.security import Security

import toolkit as tk
from tests.slurm.jobs import (
    all_jobs,
    numbers,
    processes,
    wait_until,
    wait_until_nothing_is_left,
)
from tests.slurm.machine import Slurm

pytestmark = pytest.mark.slurm

QUICK = "walltime: 5min, idle: 1s"
SMALL = f"small: {{partition: short, memory: 600MB, maximum: 2, {QUICK}}}"
LARGE = f"large: {{partition: highmem, memory: 2GB, maximum: 2, {QUICK}}}"
GPU = f"gpu: {{partition: gpu, memory: 600MB, gpus: 1, maximum: 2, {QUICK}}}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def profile(folder: Path, *tiers: str, interface: str = "lo") -> Path:
    path = folder / "site.yaml"
    lines = [
        "kind: slurm",
        f"interface: {interface}",
        f"shared_folder: {folder}/certificates",
        'dashboard: "127.0.0.1:0"',
        "tiers:",
        *(f"  {tier}" for tier in tiers),
        "",
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def start(folder: Path, slurm: Slurm) -> Iterator[Callable[..., Any]]:
    """Start a cluster; at the end nothing of it is left."""
    clusters = []

    def begin(*tiers: str) -> Any:
        clusters.append(tk.cluster(profile(folder, *tiers)))
        return clusters[-1].__enter__()

    yield begin
    for cluster in clusters:
        cluster.close()
    wait_until_nothing_is_left(slurm, folder / "certificates")


def jobs(slurm: Slurm) -> dict[str, str]:
    """Return the name of each job that waits or runs."""
    return {each.number: each.name for each in all_jobs(slurm)}


def place(x: float) -> dict[str, Any]:
    time.sleep(0.05)
    return {
        "tier": os.environ["TOOLKIT_TIER"],
        "job": int(os.environ["SLURM_JOB_ID"]),
        "node": os.environ["SLURMD_NODENAME"],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "none"),
        "given": os.environ.get("SLURM_JOB_GPUS", "none"),
    }


def test_jobs_come_with_the_work_and_go_without_it(
    start: Callable[..., Any], folder: Path, slurm: Slurm
) -> None:
    cluster = start(SMALL, LARGE, GPU)
    assert jobs(slurm) == {}
    own = next((folder / "certificates").iterdir())
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in own.iterdir()} == {0o600}
    assert cluster.client.scheduler.address.startswith("tls://")
    assert cluster.dashboard_link.startswith("http://127.0.0.1:")

    def hold(kind: str, part: int) -> dict[str, Any]:
        time.sleep(2.0)
        return place(part)

    kinds = {
        "small": tk.Resources(memory="100MB"),
        "large": tk.Resources(memory="1GB"),
        "gpu": tk.Resources(gpus=1),
    }
    sweep = tk.Sweep(
        tk.stage(hold, resources=lambda kind: kinds[kind]),
        tk.grid(kind=list(kinds), part=range(12)),
        store=folder / "t.zarr",
    )
    job = sweep.start(cluster)
    wait_until(
        lambda: all(len(numbers(slurm, f"toolkit-{kind}", "RUNNING")) == 2 for kind in kinds)
    )
    assert len(processes(slurm)) >= 6
    data = job.result()
    found = {kind: set(data.tier.sel(kind=kind).values.tolist()) for kind in kinds}
    assert (found["large"], found["gpu"]) == ({"large"}, {"gpu"})
    assert "small" in found["small"] <= {"small", "large"}  # a large one that is there may help
    assert set(data.node.sel(kind="large").values.tolist()) == {"large1"}
    wait_until(lambda: jobs(slurm) == {} and not cluster.client.nthreads())


def test_a_cancelled_worker_and_a_cancelled_pending_job_are_replaced(
    start: Callable[..., Any], folder: Path, slurm: Slurm
) -> None:
    late = (
        "late: {partition: short, memory: 600MB, walltime: 5min, directives: [--begin=now+1hour]}"
    )
    cluster = start(SMALL, late)
    cluster.scale(1, "late")
    wait_until(lambda: "toolkit-late" in jobs(slurm).values())
    [waiting] = jobs(slurm)

    def slow(x: float) -> int:
        time.sleep(0.3)
        return int(os.environ["SLURM_JOB_ID"])

    sweep = tk.Sweep(slow, {"x": range(40)}, store=folder / "t.zarr")
    job = sweep.start(cluster)
    wait_until(lambda: cluster.client.nthreads() and job.progress.done > 3)
    running = next(each for each, name in jobs(slurm).items() if name == "toolkit-small")
    slurm.run("scancel", waiting, running)
    data = job.result()
    assert data.status.values.tolist() == ["done"] * 40 or not len(sweep.failures())
    assert len(set(data.slow.values.tolist())) > 1
    assert set(data.attempts.values.tolist()) <= {1, 2}
    wait_until(lambda: "toolkit-late" in jobs(slurm).values())
    assert waiting not in jobs(slurm)
    cluster.scale(0, "late")
    wait_until(lambda: jobs(slurm) == {})


def test_a_run_that_slurm_ends_for_its_memory_climbs_and_innocents_stay(
    start: Callable[..., Any], folder: Path
) -> None:
    def hold(x: float) -> str:
        if x == 2:  # another process: Dask's nanny does not see what it holds
            code = "import time; held = b'x' * 900_000_000; time.sleep(5)"
            subprocess.run([sys.executable, "-c", code], check=True)
        time.sleep(0.2)
        return os.environ["TOOLKIT_TIER"]

    cluster = start(SMALL, LARGE)
    sweep = tk.Sweep(hold, {"x": range(6)}, store=folder / "t.zarr")
    data = sweep.run(cluster, progress=False)
    assert data.hold.values.tolist() == ["small", "small", "large", "small", "small", "small"]
    assert data.attempts.values.tolist() == [1, 1, 2, 1, 1, 1]


def test_a_gpu_stage_has_the_gpus_and_other_work_leaves_them_alone(
    start: Callable[..., Any], folder: Path, slurm: Slurm
) -> None:
    def prepare(x: float) -> tuple[str, str, str]:
        before = place(x)
        return before["tier"], before["node"], before["gpus"]

    def train(x: float, tier_before: str) -> dict[str, Any]:
        time.sleep(0.5)
        return place(x)

    cluster = start(SMALL, GPU)
    cluster.scale(2, "gpu")  # they wait from the beginning, and nobody else takes them
    cluster.client.wait_for_workers(2, timeout=60)
    before = ["tier_before", "node_before", "gpus_before"]
    stages = [tk.stage(prepare, outputs=before), tk.stage(train, resources=tk.Resources(gpus=1))]
    sweep = tk.Sweep(stages, {"x": range(16)}, store=folder / "t.zarr")
    data = sweep.run(cluster, progress=False)
    assert set(data.tier_before.values.tolist()) == {"small"}
    assert set(data.node_before.values.tolist()) <= {"small1", "small2"}
    assert set(data.tier.values.tolist()) == {"gpu"}
    assert set(data.node.values.tolist()) == {"gpu1"}
    if (slurm.folder / "dev" / "gpu0").is_char_device():
        assert data.gpus.values.tolist() == data.given.values.tolist()  # as SLURM gave it
        both = {*zip(data.job.values.tolist(), data.gpus.values.tolist(), strict=True)}
        assert {gpus for _, gpus in both} == {"0", "1"}
        assert len(both) == 2
        assert set(data.gpus_before.values.tolist()) == {"none"}
    cluster.scale(None, "gpu")
    wait_until(lambda: jobs(slurm) == {} and not cluster.client.nthreads())


def test_what_slurm_says_of_a_job_it_refuses_is_the_error(
    start: Callable[..., Any], folder: Path
) -> None:
    cluster = start("small: {partition: mars, memory: 600MB, walltime: 5min}")
    with pytest.raises(tk.ClusterError, match=r"(?s)'small' is needed.*invalid partition"):
        tk.Sweep(place, {"x": range(3)}, store=folder / "t.zarr").run(cluster, progress=False)


def test_run_takes_the_profile(folder: Path, slurm: Slurm) -> None:
    (folder / "study.py").write_text(
        textwrap.dedent(
            """
            import os
            import toolkit as tk

            def job(x):
                return int(os.environ["SLURM_JOB_ID"]) + 0 * x

            sweep = tk.Sweep(job, {"x": [1, 2, 3]}, store="t.zarr")
            """
        )
    )
    site = profile(folder, SMALL)
    command = [sys.executable, "-m", "toolkit", "run", "study.py:sweep", "--cluster", str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tk.open("t.zarr").job.values > 0).all()
    wait_until(lambda: jobs(slurm) == {})
    assert list((folder / "certificates").iterdir()) == []


WAITING = """
import signal, time, toolkit as tk
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind a shell
cluster = tk.cluster("site.yaml")
cluster.scale(1, "small")
cluster.client.wait_for_workers(1, timeout=60)
print("here", flush=True)
time.sleep(200)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_no_job(
    folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__DEATH_TIMEOUT", "5")
    profile(folder, SMALL)
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"here\n"
        driver.send_signal(number)
        driver.communicate(timeout=60)
    wait_until(lambda: jobs(slurm) == {})
    left = list((folder / "certificates").iterdir())
    assert bool(left) == (number == signal.SIGKILL)
    with tk.cluster(profile(folder, SMALL)):  # clears up after one that could not
        assert not set(left) & set((folder / "certificates").iterdir())


@pytest.mark.long
def test_a_run_longer_than_its_job_climbs_to_one_that_lasts(
    start: Callable[..., Any], folder: Path
) -> None:
    def wait(pause: float) -> str:
        time.sleep(pause)
        return os.environ["TOOLKIT_TIER"]

    short = "short: {partition: short, memory: 600MB, maximum: 1, walltime: 1min, idle: 1s}"
    cluster = start(short, LARGE)
    # SLURM looks at times now and then: a job of a minute may last 80 s.
    sweep = tk.Sweep(wait, {"pause": [0.1, 0.2, 100.0]}, store=folder / "t.zarr")
    data = sweep.run(cluster, progress=False)
    assert data.wait.values.tolist() == ["short", "short", "large"]
    assert data.attempts.values.tolist() == [1, 1, 2]


def test_a_job_may_have_several_workers(start: Callable[..., Any], slurm: Slurm) -> None:
    cluster = start(f"pair: {{partition: short, memory: 600MB, cores: 2, processes: 2, {QUICK}}}")
    cluster.scale(1)
    cluster.client.wait_for_workers(2, timeout=60)
    assert len(jobs(slurm)) == 1
    assert "2 workers, 2 threads" in repr(cluster)
    cluster.scale(None)
    wait_until(lambda: jobs(slurm) == {} and not cluster.client.nthreads())


def test_a_cluster_that_is_up_serves_those_with_its_certificates(
    folder: Path, slurm: Slurm
) -> None:
    site = profile(folder, SMALL)
    command = [sys.executable, "-m", "toolkit", "cluster", "up", str(site), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        files = Path(told["certificates"])
        security = Security(
            tls_ca_file=str(files / "ca.pem"),
            tls_client_cert=str(files / "cert.pem"),
            tls_client_key=str(files / "key.pem"),
            require_encryption=True,
        )
        with Client(told["address"], security=security) as client:
            assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    wait_until(lambda: jobs(slurm) == {})
    assert not files.exists()


def test_why_a_tier_waits_is_said(
    start: Callable[..., Any], folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.execution.chronicle._EVERY_SECONDS", 0.5)
    held = "partition: short, memory: 600MB, walltime: 5min, maximum: 1, idle: 1h"
    cluster = start(f"held: {{{held}, directives: [--begin=now+1hour]}}")
    sweep = tk.Sweep(place, {"x": range(3)}, store=folder / "t.zarr")
    job = sweep.start(cluster)
    why = "1 job waits until a set time (BeginTime)"
    wait_until(lambda: why in repr(cluster))
    assert "tier held" in repr(cluster)
    command = [sys.executable, "-m", "toolkit", "status", "t.zarr"]

    def status() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    wait_until(lambda: f"waits for a worker ({why})" in status())
    scale = ["scale", "t.zarr", "--tier", "held", "--jobs", "1"]
    done = subprocess.run([*command[:3], *scale], capture_output=True, text=True, check=False)
    assert f"Now:   {why}" in done.stdout
    for number in jobs(slurm):
        slurm.run("scontrol", "update", f"JobId={number}", "StartTime=now")
    assert job.result().tier.values.tolist() == ["held"] * 3
    wait_until(lambda: "waits" not in repr(cluster))
