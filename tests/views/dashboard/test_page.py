"""The page of a live scheduler in another process, over real HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from distributed import Client

import toolkit as tk

QUIET = {**os.environ, "PYTHONWARNINGS": "ignore"}
EVIL = "<img src=x onerror=alert(1)>"

# Bokeh's client, by which the tests look at the page, asks asyncio for a loop that there is not.
pytestmark = pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A scheduler with its workers."""

    address: str
    http: str
    pid: int


@contextmanager
def scheduler_elsewhere(folder, *, workers=2, cwd=None, **configuration) -> Iterator[Place]:
    file = folder / "scheduler.json"
    environment = {**QUIET, **configuration}
    command = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
    command += ["--dashboard-address", "127.0.0.1:0"]
    ours = [_start(command, environment, folder / "scheduler.log", cwd)]
    try:
        _wait(lambda: file.exists() and file.read_text().strip(), 60)
        _wait(lambda: "dashboard" in json.loads(file.read_text())["services"], 60)
        found = json.loads(file.read_text())
        for number in range(workers):
            command = ["worker", found["address"], "--nthreads", "1", "--no-dashboard"]
            command += ["--local-directory", str(folder)]
            ours.append(_start(command, environment, folder / f"worker{number}.log"))
        port = found["services"]["dashboard"]
        yield Place(address=found["address"], http=f"http://127.0.0.1:{port}", pid=ours[0].pid)
    finally:
        for each in reversed(ours):
            each.send_signal(signal.SIGKILL)
            each.wait()


def _start(command, environment, log, cwd=None):
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env=environment,
            cwd=cwd,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _wait(is_so, seconds=60.0):
    until = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with scheduler_elsewhere(tmp_path_factory.mktemp("dask")) as found:
        yield found


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def status(place, query=""):
    code, text = get(f"{place.http}/sweep/status.json{query}")
    return json.loads(text) if code == 200 else None


def shown(url, **arguments):
    """Return all that the page holds when it opens, as text, and whether there is a map."""
    from bokeh.client import pull_session

    session = pull_session(url=url, arguments=arguments)
    has_map = session.document.get_model_by_name("states").visible
    text = json.dumps(session.document.to_json(), default=repr)
    session.close()
    time.sleep(0.2)
    return text, has_map


def peak(beta, gamma, until):
    while beta > 0.55 and gamma > 0.095 and not os.path.exists(until):
        time.sleep(0.02)  # one run, so that the other worker goes on
    time.sleep(0.06)
    if beta < 0.15 and gamma > 0.08:
        raise ValueError(f"beta={beta} {EVIL}")
    return beta * gamma


def sweep_of(folder, **more):
    space = tk.grid(beta=np.linspace(0.1, 0.6, 11), gamma=np.linspace(0.01, 0.1, 10), **more)
    return tk.Sweep(peak, space * tk.grid(until=str(folder / "go")), store=folder / "peak.zarr")


def test_page_and_json_follow_a_sweep_and_stay_after_its_client(place, tmp_path):
    sweep = sweep_of(tmp_path)
    with Client(place.address) as client:
        job = sweep.start(client, order="given")
        first = _wait(lambda: (found := status(place)) and found["counts"]["done"] and found)
        assert (first["schema"], first["version"], first["state"]) == (
            "toolkit.snapshot",
            1,
            "running",
        )
        later = _wait(lambda: (found := status(place))["counts"]["done"] >= 70 and found)
        assert later["counts"]["done"] > first["counts"]["done"]
        assert later["counts"]["pending"] >= 1
        assert job.page_link == f"{place.http}/individual-sweep"

        code, page = get(job.page_link)
        assert code == 200
        assert "<title>Sweep</title>" in page
        assert "https://" not in page.replace(EVIL, "")
        plots = json.loads(get(f"{place.http}/individual-plots.json")[1])
        assert plots["Individual Sweep"] == "/individual-sweep"
        assert "individual-sweep" in get(f"{place.http}/status")[1]  # in the menu

        page = _wait(lambda: (found := shown(job.page_link))[1] and found[0])
        for words in ("peak.zarr", "running", "ValueError at test_page.py", "gamma", "beta"):
            assert words in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page

        (tmp_path / "go").touch()
        data = job.result()
    ended = status(place)
    states = {state.name.lower(): int((data.status == state).sum()) for state in tk.Status}
    assert ended["state"] == "done"
    for name in ("done", "failed", "blocked", "stale", "pending"):
        assert ended["counts"][name] == states[name]
    assert ended["counts"]["total"] == data.status.size
    assert ended["counts"]["failed"] == 2
    assert EVIL in ended["failures"][0]["message"]

    page, has_map = shown(f"{place.http}/individual-sweep")
    assert "110 of 110 runs have ended" in page
    assert has_map


def test_the_newest_of_several_sweeps_is_shown_and_the_others_can_be_chosen(place):
    with Client(place.address) as client:
        for name in ("first", "second"):
            stage = tk.stage(lambda a: a, name=name)
            tk.Sweep(stage, tk.grid(a=range(30))).run(client, progress=False)
    assert [stage["name"] for stage in status(place)["stages"]] == ["second"]
    page, _ = shown(f"{place.http}/individual-sweep")
    assert "The newest of" in page
    assert "first (done)" in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_sent_to_it(place, method):
    with Client(place.address) as client:
        tk.Sweep(lambda a: a, tk.grid(a=range(3))).run(client, progress=False)
    for path in ("/sweep/status.json", "/individual-sweep"):
        request = urllib.request.Request(f"{place.http}{path}", data=b"{}", method=method)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        caught.value.close()
        assert caught.value.code == 405


def test_a_sweep_whose_driver_was_killed_is_interrupted(place, tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import time\nfrom distributed import Client\nimport toolkit as tk\n"
        "def lasting(a):\n    time.sleep(0.2)\n    return a\n"
        f"client = Client({place.address!r})\n"
        "tk.Sweep(lasting, tk.grid(a=range(3000))).run(client)\n"
    )
    driver = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL, env=QUIET)
    try:
        _wait(
            lambda: (
                (found := status(place))
                and found["stages"][0]["name"] == "lasting"
                and found["counts"]["done"]
            )
        )
    finally:
        driver.kill()
        driver.wait()
    found = _wait(lambda: (found := status(place))["state"] == "interrupted" and found)
    assert found["counts"]["running"] == 0
    assert found["counts"]["pending"] > 0


def test_a_scheduler_without_this_package_is_told_of_in_one_sentence(tmp_path, caplog):
    from toolkit.views.dashboard.publisher import place_of

    (tmp_path / "toolkit").mkdir()
    (tmp_path / "toolkit" / "__init__.py").write_text("raise ImportError('there is none here')")
    bare = {"cwd": tmp_path, "PYTHONPATH": str(tmp_path)}
    with scheduler_elsewhere(tmp_path, workers=0, **bare) as place, Client(place.address) as client:
        assert place_of(client) is None
        assert place_of(client) is None
    [record] = [each for each in caplog.records if each.name == "toolkit"]
    assert "has no page on the Dask dashboard" in record.getMessage()
    assert "there is none here" in record.getMessage()


def test_the_json_is_there_where_the_dashboard_is_not(tmp_path):
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        scheduler = cluster.scheduler
        scheduler.http_application.applications.clear()  # as without bokeh
        job = tk.Sweep(lambda a: a, tk.grid(a=range(40))).start(client)
        job.result()
        assert job.page_link is None
        port = scheduler.http_server.port
        found = json.loads(get(f"http://127.0.0.1:{port}/sweep/status.json")[1])
    assert found["counts"]["done"] == 40


def test_where_bokeh_lets_no_page_join_the_page_is_served_beside(monkeypatch):
    from distributed import LocalCluster

    from toolkit.views.dashboard import plugin

    def changed(*_):
        raise AttributeError("_applications")

    monkeypatch.setattr(plugin, "_join", changed)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        job = tk.Sweep(lambda a: a, tk.grid(a=range(40))).start(client)
        job.result()
        port = cluster.scheduler.http_server.port
        assert job.page_link.endswith(f":{port}/individual-sweep")
        code, page = get(f"http://127.0.0.1:{port}/individual-sweep")
        assert (code, "<title>Sweep</title>" in page) == (200, True)
        assert get(f"http://127.0.0.1:{port}/status")[0] == 200


def test_the_dashboards_of_our_clusters_show_values_to_who_has_the_key_only():
    def fruit(name):
        if name == "quince":
            raise ValueError("quince is sour")
        return 1

    with tk.cluster("local", dashboard="127.0.0.1:0") as cluster:
        job = tk.Sweep(fruit, tk.grid(name=["kumquat", "quince"])).start(cluster.client)
        job.result()
        link = job.page_link
        bare, _, key = link.partition("?key=")
        assert len(key) > 20
        origin = bare.rpartition("/")[0]
        plots = json.loads(get(f"{origin}/individual-plots.json")[1])
        assert plots["Individual Sweep"] == "/individual-sweep"
        for query, is_told in (("", False), ("?key=wrong", False), (f"?key={key}", True)):
            assert ("quince" in get(f"{origin}/sweep/status.json{query}")[1]) == is_told
            page, has_map = shown(bare, **({"key": query.partition("=")[2]} if query else {}))
            assert has_map
            assert "ValueError at test_page.py" in page
            assert ("quince" in page) == ("kumquat" in page) == is_told
            assert ("job.page_link" in page) != is_told
