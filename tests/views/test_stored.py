"""How a sweep stands, from its store alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import StoreError
from toolkit.stores.files.lock import Lock
from toolkit.stores.journals.events import FileEvents
from toolkit.views.snapshot import Cost, Counts, Snapshot
from toolkit.views.stored import snapshot_of_store
from toolkit.views.told import told


def divide(x, y):
    if x % 7 == 3:
        raise ValueError(f"no {x}")
    if x == 5:
        raise KeyError(x)
    return x / (1 + y)


def double(divide):
    return 2 * divide


def counts_of_dataset(data, name: str) -> Counts:
    """Count what a dataset says of the runs of a stage."""
    status = np.asarray(data[name])
    return Counts(
        **{
            one.name.lower(): int((status == one).sum())
            for one in tk.Status
            if one != tk.Status.SKIPPED
        }
    )


def wait_for(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to be so"
        time.sleep(0.05)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two stages of 60 runs, of which some failed."""
    path = tmp_path / "s.zarr"
    stages = [divide, double]
    tk.Sweep(stages, tk.grid(x=range(20), y=range(3)), store=path).run(progress=False)
    return path


def test_counts_are_those_of_status_and_of_the_dataset(store: Path) -> None:
    found = snapshot_of_store(store)
    table, data = tk.status(store), tk.open(store)
    assert [each.name for each in found.stages] == ["divide", "double"]
    for stage in found.stages:
        assert stage.counts == counts_of_dataset(data, f"status_{stage.name}")
        for name in ("done", "failed", "blocked", "stale", "pending"):
            assert getattr(stage.counts, name) == table.loc[stage.name, name]
        assert stage.counts.total == table.loc[stage.name, "runs"] == 60
    assert found.counts == Counts(done=96, failed=12, blocked=12)
    assert (found.state, found.message, found.is_ended) == ("done", "", True)
    assert (found.elapsed, found.left, found.is_live) == (None, None, False)
    assert found.store == str(store)


def test_failures_are_grouped_by_type_and_place_with_the_first_of_each(store: Path) -> None:
    first, second = snapshot_of_store(store).failures
    assert (first.exception, first.count, first.message) == ("ValueError", 9, "no 3")
    assert (second.exception, second.count) == ("KeyError", 3)
    assert first.where.startswith("test_stored.py:")
    assert first.where.endswith(" in divide")
    assert first.traceback.endswith("ValueError: no 3\n")
    assert first.labels == {"x": 3, "y": 0}
    assert first.runs == tuple(tk.failures(store).query("x % 7 == 3").run)
    assert snapshot_of_store(store).n_failure_kinds == 2


def test_the_line_that_reproduces_a_failure_does(store: Path) -> None:
    sweep = tk.Sweep([divide, double], tk.grid(x=range(20), y=range(3)), store=store)
    line = snapshot_of_store(store).failures[0].reproduce
    assert line == "sweep.reproduce(stage='divide', run=9)"
    with pytest.raises(ValueError, match="no 3"):
        eval(line, {"sweep": sweep})


def test_the_slowest_runs_and_the_costs_are_what_the_store_says(tmp_path: Path) -> None:
    def wait(x):
        time.sleep(0.001 * x)
        return x

    path = tmp_path / "s.zarr"
    stage = tk.stage(wait, resources=tk.Resources(threads=2))
    tk.Sweep(stage, {"x": range(30)}, store=path).run(progress=False)
    found, seconds = snapshot_of_store(path), tk.open(path).seconds
    assert len(found.slowest) == 10
    in_order = seconds.sortby(seconds, ascending=False).x.values
    assert [each.labels["x"] for each in found.slowest] == in_order[:10].tolist()
    assert found.slowest[0].seconds == pytest.approx(float(seconds.max()))
    assert found.stages[0].seconds == pytest.approx(float(seconds.median()))
    hours = 2 * float(seconds.sum()) / 3600
    assert found.spent == Cost(core_hours=pytest.approx(hours), gpu_hours=0.0)


def test_runs_that_failed_without_a_record_are_a_group_too(store: Path) -> None:
    (store / ".journal" / "failures.jsonl").write_text("")
    [group] = snapshot_of_store(store).failures
    assert (group.count, group.exception, group.labels) == (12, "", {"x": 3, "y": 0})
    assert "not known" in group.message


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        snapshot_of_store(tmp_path / "nowhere.zarr")


def test_a_store_with_runs_to_go_is_idle_cancelled_or_ended_by_an_error(tmp_path: Path) -> None:
    def slow(x):
        time.sleep(0.05)
        return x

    path = tmp_path / "s.zarr"
    sweep = tk.Sweep(slow, {"x": range(100)}, store=path)
    with pytest.raises(tk.ToolkitError, match="first wave"):
        tk.Sweep(fails, {"x": range(100)}, store=tmp_path / "f.zarr").run(progress=False)
    broken = snapshot_of_store(tmp_path / "f.zarr")
    assert (broken.state, broken.is_ended) == ("error", True)
    assert "first wave" in broken.message
    sweep.run(progress=False, time_limit=0.2)
    limited = snapshot_of_store(path)
    assert limited.state == "idle"
    assert limited.message == "the time limit of 0.2 s was reached"
    job = sweep.start()
    wait_for(lambda: job.progress.done > limited.counts.done)
    job.cancel()
    cancelled = snapshot_of_store(path)
    assert 0 < cancelled.counts.pending < limited.counts.pending
    assert (cancelled.state, cancelled.message) == ("cancelled", "it was asked to stop")


def fails(x):
    raise ValueError("never")


# ---- while a driver has the store


@contextmanager
def held(store: Path) -> Iterator[FileEvents]:
    """Hold a store as its driver does; give its log."""
    lock = Lock(str(store))
    lock.acquire()
    try:
        yield FileEvents(str(store))
    finally:
        lock.release()


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A store with runs to go that nobody runs."""
    path = tmp_path / "b.zarr"
    tk.Sweep(divide, tk.grid(x=[0, 1], y=[0]), store=path).run(progress=False)
    from toolkit.stores.zarr_store import ZarrStore

    store = ZarrStore.create_or_open(path)
    store.acquire()
    store.stage("divide").register(tk.grid(x=range(10), y=range(3)))
    store.release()
    return path


def test_what_its_driver_says_is_believed_while_it_lives(begun: Path) -> None:
    assert snapshot_of_store(begun).state == "idle"
    with held(begun) as log:
        assert snapshot_of_store(begun).state == "starting"
        log.note("sweep_started", stages=[{"stage": "divide", "runs": 30}])
        log.note("cluster_used", dashboard="http://127.0.0.1:8787/status")
        assert snapshot_of_store(begun).state == "starting"
        log.note("stage_started", stage="divide", asked=30, todo=28, threads=4)
        log.note("outlook", low=100.0, high=160.0, core_hours=1.5, gpu_hours=None)
        found = snapshot_of_store(begun)
        assert (found.state, found.counts) == ("running", Counts(done=2, pending=28))
        assert found.dashboard_link == "http://127.0.0.1:8787/status"
        assert 0 <= found.elapsed < 60
        time.sleep(0.2)
        later = snapshot_of_store(begun)
        assert later.left.high - later.left.low == pytest.approx(60.0)
        assert 98 < later.left.low <= found.left.low - 0.2 < 100
        assert later.to_spend == Cost(core_hours=1.5)
        for event, state in [
            ("sweep_paused", "paused"),
            ("sweep_resumed", "running"),
            ("sweep_stopping", "stopping"),
        ]:
            log.note(event, stage="divide", because="so", asked=True)
            assert snapshot_of_store(begun).state == state
    after = snapshot_of_store(begun)
    assert (after.state, after.left, after.to_spend) == ("idle", None, None)


@pytest.mark.parametrize(
    "said",
    [
        {"low": None, "high": None, "core_hours": None, "gpu_hours": None},
        {"low": "soon", "high": True, "core_hours": [1]},
        {},
    ],
)
def test_an_outlook_without_numbers_is_none(begun: Path, said: dict[str, object]) -> None:
    with held(begun) as log:
        log.note("sweep_started", stages=7)
        log.note("stage_started", stage="divide")
        log.note("outlook", **said)
        found = snapshot_of_store(begun)
        assert (found.state, found.left, found.to_spend) == ("running", None, None)


def test_tiers_are_those_of_the_log_and_never_more_than_what_is_left(begun: Path) -> None:
    small = {"runs": 40, "at_once": 8, "core_hours_left": 1.25, "core_hours_spent": 0.5}
    large = {"runs": 2, "at_once": 0, "core_hours_left": 3.0, "core_hours_spent": 0.0}
    with held(begun) as log:
        log.note("sweep_started", stages=[])
        log.note("stage_started", stage="divide")
        log.note("tiers", stage="divide", tiers={"small": small, "large": large | {"waits": "?"}})
        found = snapshot_of_store(begun)
        cheap, dear = found.tiers
        assert (cheap.name, cheap.stage, cheap.pending, cheap.running) == ("small", "divide", 28, 8)
        assert (dear.pending, dear.running, dear.at_once, dear.waits) == (2, 0, 0, "?")
        assert (cheap.spent, cheap.left) == (Cost(core_hours=0.5), Cost(core_hours=1.25))
        assert found.spent == Cost(core_hours=0.5)
    cheap, _ = snapshot_of_store(begun).tiers
    assert (cheap.at_once, cheap.running, cheap.left) == (0, 0, None)


def test_the_rate_is_that_of_the_last_that_came_back() -> None:
    def event(kind: str, second: int, **fields: object) -> dict[str, object]:
        return {"event": kind, "time": f"2026-05-04T09:12:{second:02d}+00:00", **fields}

    lines = [
        event("sweep_started", 0, stages=[{"stage": "f", "runs": 900}]),
        event("stage_started", 1, stage="f"),
        event("batches", 11, stage="f", done=100, failed=0),
        event("batches", 21, stage="f", done=390, failed=10),
    ]
    assert told(lines).rates == {"f": 40.0}
    assert told([*lines, event("stage_ended", 30, stage="f")]).rates == {}
    assert told([*lines, event("sweep_started", 40)]).rates == {}


SCRIPT = """
import os
import time
import toolkit as tk

def slow(x):
    if x % 10 == 3:
        raise ValueError(f"no {x}")
    time.sleep(0.02)
    return x

if __name__ == "__main__":
    sweep = tk.Sweep(slow, {"x": range(5000)}, store="k.zarr")
    print("begin", flush=True)
    sweep.run(CLIENT, progress=False)
"""


@pytest.mark.parametrize("client", ["None", "'local'"], ids=["its own", "workers"])
def test_a_driver_that_is_killed_is_seen_at_once(tmp_path: Path, client: str) -> None:
    (tmp_path / "study.py").write_text(SCRIPT.replace("CLIENT", client))
    with subprocess.Popen(
        [sys.executable, "study.py"], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    ) as driver:
        path = tmp_path / "k.zarr"
        try:
            wait_for(lambda: _look(path) is not None and _look(path).counts.done > 50)
            running = snapshot_of_store(path)
            assert (running.state, running.is_ended) == ("running", False)
            assert running.counts.running >= 1
            assert running.counts.total == 5000
            os.kill(driver.pid, signal.SIGKILL)
            killed = time.monotonic()
            driver.wait()
            found = snapshot_of_store(path)
            assert time.monotonic() - killed < 2.0
            assert (found.state, found.is_ended, found.counts.running) == ("interrupted", True, 0)
            assert str(driver.pid) in found.message
            assert (found.elapsed, found.left) == (None, None)
            before = None
            while before != (found := snapshot_of_store(path)).counts:  # its workers may go on
                before = found.counts
                of_dataset = counts_of_dataset(tk.open(path), "status")
                time.sleep(0.5)
            assert found.counts == of_dataset
            assert found.counts.done >= running.counts.done
            assert sum(each.count for each in found.failures) == found.counts.failed > 0
        finally:
            os.killpg(driver.pid, signal.SIGKILL)


def _look(path: Path) -> Snapshot | None:
    try:
        return snapshot_of_store(path)
    except StoreError:
        return None


def test_a_document_is_json(store: Path) -> None:
    document = snapshot_of_store(store).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
