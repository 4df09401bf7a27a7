"""The log of a sweep whose workers come, die, and whose driver is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from distributed import Client

import toolkit as tk
from toolkit.commands import log
from toolkit.stores.zarr_store import ZarrStore

SCHEMA = json.loads((Path(log.__file__).parent / "schemas" / "event.json").read_text())

DRIVER = """
import time
import toolkit as tk

def nap(x):
    time.sleep(0.02)
    return x

tk.Sweep(nap, {"x": range(2_000)}, store="s.zarr").run(progress=False)
"""


def die_once(x, folder):
    time.sleep(0.002)
    flag = Path(folder) / "died"
    if x == 30 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 50 and tk.current_run().attempt == 1:
        raise OSError("again")
    return x


def events_of(store):
    found = list(ZarrStore.read(store).events.read())
    for line in found:
        jsonschema.validate(line, SCHEMA)
    return found


@pytest.mark.faults
def test_a_worker_that_dies_and_a_run_that_is_retried_are_told(tmp_path):
    store = tmp_path / "s.zarr"
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as cluster:
        stage = tk.stage(die_once, retry_on=("OSError",))
        data = tk.Sweep(stage, {"x": range(80), "folder": str(tmp_path)}, store=store).run(
            cluster.client, progress=False
        )
    assert (data.status == tk.Status.DONE).all()
    found = events_of(store)
    kinds = [line["event"] for line in found]
    for kind in ("cluster_used", "batch_lost", "worker_left", "run_failed", "run_retried"):
        assert kind in kinds
    assert kinds[0] == "sweep_started"
    assert kinds[-1] == "sweep_ended"
    lost = [line for line in found if line["event"] == "batch_lost"]
    assert [run for line in lost for run in line["in_progress"]] == [30]
    retried = [line for line in found if line["event"] == "run_retried"]
    assert [50] in [line["runs"] for line in retried]


@pytest.fixture
def driver(tmp_path):
    """A sweep that another process runs, once its first runs are stored."""
    (tmp_path / "drive.py").write_text(DRIVER)
    process = subprocess.Popen([sys.executable, "drive.py"], cwd=tmp_path, start_new_session=True)
    store = tmp_path / "s.zarr"
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if (store / "zarr.json").exists():
            counts = tk.status(store)
            if len(counts) and counts.done.sum() > 20:
                break
        time.sleep(0.1)
    else:
        raise AssertionError("the driver stores nothing")
    yield process, store
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.faults
def test_the_next_driver_tells_of_the_takeover(driver):
    process, store = driver
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    def nap(x):
        return x

    tk.Sweep(nap, {"x": [0]}, store=store).run(progress=False, rerun="stale")
    found = events_of(store)
    taken = [line for line in found if line["event"] == "taken_over"]
    assert [(line["pid"], line["epoch"]) for line in taken] == [(os.getpid(), 2)]
    assert taken[0]["journals"] > 0
    assert {line["pid"] for line in found} == {process.pid, os.getpid()}


STATUS = """
import json, os, sys

touched = []
FORBIDDEN = ("socket.connect", "socket.bind", "socket.sendto", "os.kill", "os.rename", "os.remove")

def watch(event, details):
    if event in FORBIDDEN:
        touched.append((event, str(details)))
    if event == "open" and isinstance(details[0], (str, bytes)) and (details[2] or 0) & (
        os.O_WRONLY | os.O_RDWR | os.O_CREAT
    ):
        if "s.zarr" in os.fsdecode(details[0]):
            touched.append((event, str(details)))

from toolkit.commands.standing import look
from pathlib import Path

sys.addaudithook(watch)
document = look(Path(sys.argv[1])).document()
print(json.dumps({"document": document, "touched": touched}))
"""


@pytest.mark.faults
def test_status_asks_nothing_of_the_driver_and_writes_nothing(driver):
    process, store = driver
    os.killpg(process.pid, signal.SIGSTOP)  # it could not answer
    files = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", STATUS, str(store)], capture_output=True, timeout=100, check=True
    )
    found = json.loads(done.stdout)
    assert found["touched"] == []
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == files
    assert found["document"]["is_running"] is True
    assert found["document"]["driver"]["pid"] == process.pid
    assert found["document"]["total"]["runs"] == 2_000
    assert found["document"]["total"]["done"] > 20


def test_a_client_of_ones_own_keeps_its_handler(client, tmp_path):
    heard = []
    client.subscribe_topic("all", heard.append)
    try:
        tk.Sweep(abs_of, {"x": range(10)}, store=tmp_path / "s.zarr").run(client, progress=False)
        with Client(client.scheduler.address, set_as_default=False):
            deadline = time.monotonic() + 30
            while not any(each[1].get("action") == "add-client" for each in heard):
                assert time.monotonic() < deadline
                time.sleep(0.02)
    finally:
        client.unsubscribe_topic("all")


def abs_of(x):
    return abs(x)
