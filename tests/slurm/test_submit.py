"""``toolkit submit``: drivers as jobs of a real SLURM."""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import toolkit as tk
from tests.slurm.jobs import numbers, wait_until_nothing_is_left
from tests.slurm.machine import Slurm

pytestmark = pytest.mark.slurm

STUDY = """
import os, time
import toolkit as tk

def wait(x, model="lda"):
    with open("began", "a") as file:
        file.write(f"{{x}}\\n")
    for step in range({steps}):
        time.sleep(0.1)
    return x * 2

sweep = tk.Sweep(wait, tk.grid(x=range({runs}), model=["lda", "svm"]), store="it's mine.zarr")
"""
STORE = "it's mine.zarr"
# One process does the work: it is the driver that these tests are about.
PROFILE = """
kind: local
dashboard: null
driver: {{cores: 1, memory: 600MB, walltime: {walltime}}}
tiers: {{cpu: {{count: 1, memory: 500MB}}}}
"""
# The workers are jobs too.
QUEUE = """
kind: slurm
interface: lo
shared_folder: {folder}/certificates
dashboard: "127.0.0.1:0"
driver: {{partition: long, memory: 600MB, walltime: 10min}}
tiers:
  small: {{partition: short, memory: 600MB, walltime: 5min, maximum: 2, idle: 1s}}
"""

Toolkit = Callable[..., str]


@pytest.fixture
def toolkit(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolkit:
    """Return a function that runs a command line in a folder with a space in its name."""
    folder = tmp_path / "my $HOME"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(line: str, *, code: int = 0) -> str:
        command = [sys.executable, "-m", "toolkit", *shlex.split(line)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def describe(*, runs: int, steps: int = 1, walltime: str = "4min") -> None:
    Path("study.py").write_text(STUDY.format(runs=runs, steps=steps))
    Path("one.yaml").write_text(PROFILE.format(walltime=walltime))


def total(toolkit: Toolkit) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(toolkit(f"status {shlex.quote(STORE)} --json"))["total"]
    return found


def until(is_true: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def submitted(text: str) -> str:
    [job] = re.findall(r"its driver is job (\d+)", text)
    return str(job)


def test_a_part_of_a_sweep_is_run_by_a_job_and_watched_to_its_end(
    toolkit: Toolkit, slurm: Slurm
) -> None:
    describe(runs=20)
    line = "submit study.py:sweep --cluster one.yaml --sel model=svm --sel x=3:6 x=4,5"
    said = toolkit(line, code=2)
    assert "x is given twice" in said or "twice" in said
    said = toolkit("submit study.py:sweep --cluster one.yaml --sel model=svm --sel x=3:6")
    assert f"toolkit stop {shlex.quote(STORE)}" in said
    job = submitted(said)
    told = slurm.run("scontrol", "show", "job", job)
    assert "Requeue=1" in told
    assert "TimeLimit=00:04:00" in told
    assert "done" in toolkit(f"status {shlex.quote(STORE)} --watch --every 0.5")
    until(lambda: not slurm.run("squeue", "-h"))
    assert (total(toolkit)["done"], total(toolkit)["runs"]) == (4, 4)
    assert sorted(Path("began").read_text().split()) == ["3", "4", "5", "6"]
    [log] = Path("toolkit-logs").glob(f"*-{job}.log")
    assert "4 of 4 runs done" in log.read_text()
    said = toolkit("submit study.py:sweep --cluster one.yaml --sel model=svm --sel x=4,5")
    assert "nothing is left to run" in said
    assert slurm.run("squeue", "-h") == ""


def test_a_stopped_driver_is_submitted_again_and_finishes(toolkit: Toolkit, slurm: Slurm) -> None:
    describe(runs=20, steps=4)
    first = submitted(toolkit("submit study.py:sweep --cluster one.yaml"))
    until(lambda: total(toolkit)["done"])
    assert "is in use" in toolkit("submit study.py:sweep --cluster one.yaml", code=2)
    toolkit(f"stop {shlex.quote(STORE)} --wait 60")
    until(lambda: not slurm.run("squeue", "-h"))
    stopped = total(toolkit)
    assert 0 < stopped["done"] < 40
    assert "Restarts=0" in slurm.run("scontrol", "show", "job", first)

    toolkit("submit study.py:sweep --cluster one.yaml")
    toolkit(f"status {shlex.quote(STORE)} --watch --every 0.5")
    until(lambda: not slurm.run("squeue", "-h"))
    assert total(toolkit)["done"] == 40
    assert len(Path("began").read_text().split()) == 40  # nothing that was done ran again


def test_a_cancelled_driver_does_not_begin_again(toolkit: Toolkit, slurm: Slurm) -> None:
    describe(runs=20, steps=4)
    job = submitted(toolkit("submit study.py:sweep --cluster one.yaml"))
    until(lambda: total(toolkit)["done"])
    slurm.run("scancel", job)
    until(lambda: not slurm.run("squeue", "-h"))
    assert "JobState=CANCELLED" in slurm.run("scontrol", "show", "job", job)
    time.sleep(3)
    assert slurm.run("squeue", "-h") == ""
    assert 0 < total(toolkit)["pending"] < 40


def test_what_slurm_refuses_is_told_in_its_words(toolkit: Toolkit, slurm: Slurm) -> None:
    describe(runs=2)
    said = toolkit("submit study.py --cluster one.yaml --partition mars", code=2)
    assert "invalid partition specified: mars" in said
    assert "Next: toolkit cluster check one.yaml" in said
    assert slurm.run("squeue", "-h") == ""
    said = toolkit("submit study.py --cluster one.yaml --walltime 1h --partition short")
    assert "holds job" in said
    assert "PartitionTimeLimit" in said
    slurm.run("scancel", submitted(said))


def test_a_driver_whose_workers_are_jobs_is_steered_and_stopped_from_outside(
    toolkit: Toolkit, slurm: Slurm, tmp_path: Path
) -> None:
    store = shlex.quote(STORE)
    describe(runs=30, steps=10)
    Path("queue.yaml").write_text(QUEUE.format(folder=tmp_path))
    driver = submitted(toolkit("submit study.py:sweep --cluster queue.yaml"))

    def workers() -> set[str]:
        return numbers(slurm, "toolkit-small", "RUNNING")

    until(lambda: len(workers()) == 2 and tk.status(STORE).done.sum() >= 2)
    data = tk.open(STORE)
    is_done = data.status == tk.Status.DONE
    assert 2 <= int(is_done.sum()) < 60
    assert bool((data.wait.where(is_done) == data.x * 2).where(is_done, other=True).all())
    assert "http://127.0.0.1:" in toolkit(f"dash {store}")

    assert "is to have 1 job\n" in toolkit(f"scale {store} --tier small --jobs 1")
    until(lambda: len(workers()) == 1)
    [kept] = workers()
    said = toolkit(f"scale {store} --tier mars --jobs 1", code=2)
    assert "its cluster has no tier mars; it has small" in said
    toolkit(f"scale {store} --tier small --jobs 0")
    until(lambda: not workers())
    until(lambda: "waits for a worker" in toolkit(f"status {store}"))
    assert driver in numbers(slurm, job_name(slurm, driver), "RUNNING")
    toolkit(f"scale {store} --tier small --auto")
    until(lambda: len(workers() - {kept}) == 2)

    before = total(toolkit)["done"]
    until(lambda: total(toolkit)["done"] > before)
    toolkit(f"stop {store} --wait 60")
    wait_until_nothing_is_left(slurm, tmp_path / "certificates")
    stopped = total(toolkit)
    assert 0 < stopped["done"] < 60
    assert stopped["failed"] == 0
    assert "Restarts=0" in slurm.run("scontrol", "show", "job", driver)
    ran = Path("began").read_text().split()
    assert len(ran) == stopped["done"]  # those in progress were finished

    toolkit("submit study.py:sweep --cluster queue.yaml")
    assert "60 done" in toolkit(f"status {store} --watch --every 1")
    wait_until_nothing_is_left(slurm, tmp_path / "certificates")
    assert len(Path("began").read_text().split()) == 60


def job_name(slurm: Slurm, job: str) -> str:
    [name] = re.findall(r"JobName=(\S+)", slurm.run("scontrol", "show", "job", job))
    return str(name)


@pytest.mark.long
def test_a_driver_whose_time_is_over_begins_again_until_the_sweep_is_done(
    toolkit: Toolkit, slurm: Slurm
) -> None:
    describe(runs=16, steps=12, walltime="1min")
    job = submitted(toolkit("submit study.py:sweep --cluster one.yaml"))
    until(lambda: not total(toolkit)["pending"], seconds=250)
    until(lambda: not slurm.run("squeue", "-h"), seconds=20)
    told = slurm.run("scontrol", "show", "job", job)
    [restarts] = re.findall(r"Restarts=(\d+)", told)
    assert int(restarts) >= 1
    assert "JobState=COMPLETED" in told
    assert total(toolkit)["done"] == 32
