"""``toolkit stop``, ``scale`` and ``dash`` on sweeps that run in other processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result

import toolkit as tk
from toolkit.commands import log
from toolkit.stores.journals.control import FOLDER
from toolkit.stores.journals.events import FileEvents

Toolkit = Callable[..., Result]
Driver = subprocess.Popen[str]

WAITS = """
import os, time
import toolkit as tk

def wait(x):
    end = time.monotonic() + {seconds}
    while time.monotonic() < end:
        time.sleep(0.02)
    return x

sweep = tk.Sweep(wait, {{"x": range({runs})}}, store="waits.zarr")
"""
IN_PROCESS = """
import toolkit.execution.engine as engine
from toolkit.cli import main
engine._IN_PROCESS_SECONDS = 1e9
main(["run", "waits.py", "--no-progress"], prog_name="toolkit")
"""
# A cluster whose tiers a test makes up: it shows what it was asked for in a file.
SCRIPT = """
import json, threading, time
from toolkit.clusters.demand import SCALE_KEY, TIERS_KEY
from waits import sweep

def look(client):
    while True:
        found = client.get_metadata(list(SCALE_KEY), default={})
        open("new", "w").write(json.dumps(found))
        import os; os.replace("new", "asked.json")
        time.sleep(0.1)

if __name__ == "__main__":
    with tk.cluster("local", workers=1, dashboard="127.0.0.1:0") as cluster:
        client = cluster.client
        client.set_metadata(list(TIERS_KEY), [{"name": "cpu", "threads": 1}])
        threading.Thread(target=look, args=(client,), daemon=True).start()
        try:
            sweep.run(cluster, progress=False)
        except tk.InterruptedSweepError:
            pass
        print(client.get_metadata(list(SCALE_KEY)), file=open("after", "w"))
"""


def until(is_true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(store: str = "waits.zarr") -> list[dict[str, object]]:
    return list(FileEvents(store).read())


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Driver]]:
    """Return a function that starts a driver, and waits until it has done a run."""
    started: list[Driver] = []

    def begin(*command: str, seconds: float = 0.1, runs: int = 2000) -> Driver:
        (folder / "waits.py").write_text(WAITS.format(seconds=seconds, runs=runs))
        driver = subprocess.Popen(
            [sys.executable, *(command or ("-c", IN_PROCESS))],
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(driver)
        until(lambda: any(each["event"] == "stage_started" for each in events()))
        return driver

    yield begin
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


def test_stop_ends_the_sweep_so_that_it_can_go_on(
    toolkit: Toolkit, start: Callable[..., Driver]
) -> None:
    driver = start()
    done = toolkit("stop waits.zarr")
    assert "toolkit status waits.zarr --watch" in done.stdout
    assert driver.wait(60) == 3
    assert list(Path("waits.zarr", FOLDER).iterdir()) == []
    [obeyed] = [each for each in events() if each["event"] == "request_obeyed"]
    assert obeyed["asked"] == {"stop": {"now": False}}
    schema = json.loads((Path(log.__file__).parent / "schemas/event.json").read_text())
    for event in events():
        jsonschema.validate(event, schema)
    counts = json.loads(toolkit("status waits.zarr --json").stdout)
    assert 0 < counts["total"]["pending"] < 2000
    assert not counts["is_running"]


def test_stop_now_ends_what_runs(toolkit: Toolkit, start: Callable[..., Driver]) -> None:
    driver = start("-m", "toolkit", "run", "waits.py", "--cluster", "local", seconds=1000, runs=4)
    until(lambda: any(each["event"] == "cluster_used" for each in events()))
    answer = json.loads(toolkit("stop waits.zarr --now --json").stdout)
    assert (answer["schema"], answer["now"], answer["is_obeyed"]) == ("toolkit.stop", True, True)
    assert driver.wait(60) == 3
    assert json.loads(toolkit("status waits.zarr --json").stdout)["total"]["pending"] == 4


def test_a_request_for_an_earlier_driver_is_not_obeyed_by_the_next(toolkit: Toolkit) -> None:
    toolkit("run study.py", code=1)
    old = Path("sir.zarr", FOLDER, "old.json")
    old.parent.mkdir()
    old.write_text('{"stop": {"now": true}}')
    toolkit("retry study.py", code=1)
    assert not old.exists()
    ends = [each["because"] for each in events("sir.zarr") if each["event"] == "sweep_ended"]
    assert ends == ["nothing is left", "nothing is left"]


def test_what_is_not_understood_is_ignored_with_one_warning(
    toolkit: Toolkit, start: Callable[..., Driver]
) -> None:
    driver = start()
    Path("waits.zarr", FOLDER).mkdir(exist_ok=True)
    for name in ("a", "b"):
        Path("waits.zarr", FOLDER, f"{name}.json").write_text('{"stop": 1}')
    time.sleep(2.5)
    toolkit("stop waits.zarr")
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 3
    assert said.count("not understood") == 1


def test_scale_reaches_the_cluster_and_is_taken_back_at_the_end(
    toolkit: Toolkit, start: Callable[..., Driver], folder: Path
) -> None:
    (folder / "script.py").write_text("import toolkit as tk\n" + SCRIPT)
    driver = start("script.py")
    asked = Path("asked.json")
    toolkit("scale waits.zarr --tier cpu --jobs 3")
    until(lambda: json.loads(asked.read_text()) == {"cpu": 3})
    toolkit("scale waits.zarr --tier cpu --jobs 0")
    until(lambda: json.loads(asked.read_text()) == {"cpu": 0})
    toolkit("scale waits.zarr --tier cpu --auto")
    until(lambda: json.loads(asked.read_text()) == {"cpu": None})
    done = toolkit("scale waits.zarr --tier gpu --jobs 1", code=2)
    assert "no tier gpu; it has cpu" in done.stderr
    toolkit("scale waits.zarr --tier cpu --jobs 2")

    found = json.loads(toolkit("dash waits.zarr --json").stdout)
    assert found["link"].startswith("http://127.0.0.1:")
    port = found["link"].split(":")[2].split("/")[0]
    assert f"-L {port}:127.0.0.1:{port} " in found["ssh"]
    assert found["ssh"] in toolkit("dash waits.zarr").stdout

    until(lambda: json.loads(asked.read_text()) == {"cpu": 2})
    os.kill(driver.pid, signal.SIGINT)
    assert driver.wait(60) == 0
    assert Path("after").read_text() == "{'cpu': None}\n"


def test_without_a_cluster_there_is_nothing_to_scale(
    toolkit: Toolkit, start: Callable[..., Driver]
) -> None:
    start()
    done = toolkit("scale waits.zarr --tier cpu --jobs 3", code=2)
    assert "uses no cluster" in done.stderr
    assert "run without a cluster" in toolkit("dash waits.zarr", code=2).stderr


def test_where_nobody_runs_the_store_each_says_so(toolkit: Toolkit) -> None:
    toolkit("run study.py", code=1)
    for line in ("stop sir.zarr", "scale sir.zarr --tier a --auto", "dash sir.zarr"):
        done = toolkit(line, code=2)
        assert "Nobody runs sir.zarr" in done.stderr
        assert "Next: toolkit status sir.zarr" in done.stderr
    assert not Path("sir.zarr", FOLDER).exists()
    assert "no store" in toolkit("stop elsewhere", code=2).stderr
    assert "either" in toolkit("scale sir.zarr --tier a", code=2).stderr
    assert "either" in toolkit("scale sir.zarr --tier a --jobs 1 --auto", code=2).stderr


def test_a_driver_that_does_not_answer_is_waited_for_no_longer_than_said(
    toolkit: Toolkit, start: Callable[..., Driver]
) -> None:
    driver = start()
    os.kill(driver.pid, signal.SIGSTOP)
    done = toolkit("stop waits.zarr --wait 0.5", code=3)
    assert "has not answered" in done.stderr
    os.kill(driver.pid, signal.SIGCONT)
    assert driver.wait(60) == 3
    assert int((tk.open("waits.zarr").status == tk.Status.DONE).sum()) < 2000
