"""A sweep that is left alone while everything happens to it: jobs too small, lost and cancelled."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import toolkit as tk
from tests.slurm.jobs import all_jobs, numbers, wait_until, wait_until_nothing_is_left
from tests.slurm.machine import Slurm
from toolkit.stores.zarr_store import ZarrStore

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

STUDY = """
import os, subprocess, sys, time
import toolkit as tk

def note(word, x):
    with open("notes", "a") as file:
        file.write(f"{word} {x} {os.environ['SLURM_JOB_ID']}\\n")

def fit(x):
    note("begins", x)
    if x in (3, 44):  # too big for small: seen by Dask's nanny
        held = b"x" * 700_000_000
        time.sleep(2)
    elif x == 27:  # the same, in a program of its own: seen by SLURM
        code = "import time; held = b'x' * 700_000_000; time.sleep(5)"
        subprocess.run([sys.executable, "-c", code], check=True)
    elif x in (30, 32):  # too long for a job of small; those of large have faster cores
        time.sleep(150 if os.environ["TOOLKIT_TIER"] == "small" else 10)
    elif x == 9:
        raise ValueError("no fit for 9")
    else:
        time.sleep(1.0)
    note("ends", x)
    return x * x

sweep = tk.Sweep(fit, tk.grid(x=range(60)), store="fit.zarr")
"""
TOO_BIG, TOO_LONG, WRONG = {3, 27, 44}, {30, 32}, 9
CLIMBERS = TOO_BIG | TOO_LONG

# SLURM counts minutes. A job of large waits some seconds, so that one can be cancelled meanwhile.
# Its workers go at once when their own work is done: idle ones would help those of small towards
# the end, and a run that is too big for these would never be met by them.
PROFILE = """
kind: slurm
interface: lo
shared_folder: {folder}/certificates
dashboard: "127.0.0.1:0"
driver: {{partition: long, memory: 600MB, walltime: 10min}}
tiers:
  small: {{partition: short, memory: 600MB, walltime: 1min, maximum: 3, idle: 2s}}
  large:
    {{partition: highmem, memory: 2GB, walltime: 5min, maximum: 2, idle: 0.1s,
      directives: [--begin=now+5]}}
"""


@pytest.fixture
def folder(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # How soon the workers of a driver that was killed end.
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__DEATH_TIMEOUT", "10")
    Path("study.py").write_text(STUDY)
    Path("site.yaml").write_text(PROFILE.format(folder=tmp_path))
    return tmp_path


def toolkit(*words: str) -> str:
    command = [sys.executable, "-m", "toolkit", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def notes() -> list[tuple[str, int, str]]:
    """Return what the runs have written: a word, the run, its job."""
    lines = [line.split() for line in Path("notes").read_text().splitlines()]
    return [(word, int(x), job) for word, x, job in lines]


def at_work(slurm: Slurm) -> set[str]:
    """Return the jobs of small that are in a run which small can serve."""
    latest = {job: (word, x) for word, x, job in notes()}
    those = {job for job, (word, x) in latest.items() if word == "begins" and x not in CLIMBERS}
    return those & numbers(slurm, "toolkit-small", "RUNNING")


def make_trouble(slurm: Slurm, end_driver: Callable[[], None]) -> None:
    """Cancel two workers and a job that waits, and end the driver in between."""
    wait_until(lambda: Path("notes").exists() and tk.status("fit.zarr").done.sum() >= 5)
    worker = max(wait_until(lambda: at_work(slurm)))
    slurm.run("scancel", worker)
    waiting = wait_until(lambda: numbers(slurm, "toolkit-large", "PENDING"))
    slurm.run("scancel", *waiting)
    wait_until(lambda: numbers(slurm, "toolkit-large", "PENDING") - waiting)
    earlier = {each.number for each in all_jobs(slurm)}
    end_driver()
    another = max(wait_until(lambda: at_work(slurm) - earlier))
    slurm.run("scancel", another)
    cancelled = {worker, *waiting, another}
    wait_until(
        lambda: all(
            "JobState=CANCELLED" in slurm.run("scontrol", "show", "job", job) for job in cancelled
        )
    )


def check_what_happened(slurm: Slurm, folder: Path) -> None:
    """See that the runs ended as they should have, and that nothing is left of the jobs."""
    data = tk.open("fit.zarr")
    failures = tk.failures("fit.zarr")
    assert failures.x.tolist() == [WRONG]
    assert failures.exception.tolist() == ["ValueError"]
    done = data.status.values == tk.Status.DONE
    assert data.x.values[~done].tolist() == [WRONG]
    assert data.fit.values[done].tolist() == [x * x for x in range(60) if x != WRONG]

    events = list(ZarrStore.read(folder / "fit.zarr").events.read())
    climbed = {(each["run"], each["reason"]) for each in events if each["event"] == "run_climbed"}
    assert climbed == {(x, "memory") for x in TOO_BIG} | {(x, "time limit") for x in TOO_LONG}
    most = max(each["tiers"]["large"]["runs"] for each in events if each["event"] == "tiers")
    assert most <= len(climbed)  # nobody else was ever meant for the larger tier

    begun, ended = Counter[int](), set[int]()
    for word, x, _ in notes():
        assert x not in ended, f"{x} had ended, and {word} again"
        if word == "ends":
            ended.add(x)
        else:
            begun[x] += 1
    attempts = dict(zip(data.x.values.tolist(), data.attempts.values.tolist(), strict=True))
    assert min(attempts[x] for x in CLIMBERS) == 2
    assert begun[WRONG] == attempts[WRONG] == 1
    innocents = set(range(60)) - CLIMBERS
    for times in (begun, attempts):  # two workers were cancelled, and a driver with three killed
        assert sum(times[x] - 1 for x in innocents) <= 2 + 3
    wait_until_nothing_is_left(slurm, folder / "certificates")


def test_a_sweep_whose_driver_is_killed_and_started_again_ends_as_it_should(
    folder: Path, slurm: Slurm
) -> None:
    command = [sys.executable, "-m", "toolkit", "run", "study.py", "--cluster", "site.yaml"]
    drivers = []

    def start() -> None:
        log = open(f"driver-{len(drivers)}.log", "wb")  # noqa: SIM115 - the driver's
        drivers.append(subprocess.Popen([*command, "--order", "given"], stdout=log, stderr=log))
        log.close()

    def end_driver() -> None:
        drivers[-1].kill()
        drivers[-1].wait()
        start()

    try:
        start()
        make_trouble(slurm, end_driver)
        assert drivers[-1].wait(timeout=200) == 1
    finally:
        for driver in drivers:
            driver.kill()
            driver.wait()
    check_what_happened(slurm, folder)


def test_a_sweep_whose_driver_is_a_job_that_is_killed_ends_as_it_should(
    folder: Path, slurm: Slurm
) -> None:
    said = toolkit("submit", "study.py", "--cluster", "site.yaml", "--order", "given")
    [job] = re.findall(r"its driver is job (\d+)", said)
    watch = [sys.executable, "-m", "toolkit", "status", "fit.zarr", "--watch", "--every", "2"]

    def end_driver() -> None:
        driver = json.loads(toolkit("status", "fit.zarr", "--json"))["driver"]
        os.kill(driver["pid"], signal.SIGKILL)
        assert f"not running, job {job} is to run it" in toolkit("status", "fit.zarr")

    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watching:
        try:
            make_trouble(slurm, end_driver)
            told, _ = watching.communicate(timeout=200)
        finally:
            watching.kill()
    assert watching.returncode == 1  # it went on while the driver was away
    assert told.endswith("59 done, 1 failed\n")
    check_what_happened(slurm, folder)
    assert "Restarts=1" in slurm.run("scontrol", "show", "job", job)
    assert "JobState=FAILED" in slurm.run("scontrol", "show", "job", job)  # some runs did
    [log] = Path("toolkit-logs").glob(f"*-{job}.log")
    assert "beginning again" in log.read_text()
