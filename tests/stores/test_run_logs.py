# ruff: noqa: T201 - runs that print are what this is about

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from toolkit.errors import SpaceError, StoreError, SweepError
from toolkit.stages.said import RunLog
from toolkit.stores.files.lines import Lines
from toolkit.stores.journals import run_logs
from toolkit.stores.journals.run_logs import LEFT_OUT, FileRunLogs, MemoryRunLogs


def said(x, y):
    print(f"{x} and {y}")
    return x * y


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".journal").mkdir()
    return str(tmp_path)


@pytest.fixture(params=["memory", "file"])
def logs(request, folder):
    return MemoryRunLogs() if request.param == "memory" else FileRunLogs(folder)


def test_the_last_attempt_counts_whatever_the_order(logs):
    logs.add("f", 2, [RunLog(((3, 5),), "second")])
    logs.flush()
    logs.add("f", 1, [RunLog(((0, 9),), "first")])
    logs.add("g", 3, [RunLog(((4, 5),), "of another stage")])
    logs.flush()
    assert [logs.text("f", run) for run in (2, 3, 4, 5, 9)] == [
        "first", "second", "second", "first", "",
    ]  # fmt: skip


def test_what_was_left_out_is_said(logs):
    logs.add("f", 1, [RunLog(((0, 2),), None)])
    assert logs.text("f", 1) == LEFT_OUT


def test_the_oldest_give_way(logs, folder, monkeypatch):
    monkeypatch.setattr(run_logs, "MOST_BYTES", 80_000)
    if isinstance(logs, FileRunLogs):
        logs = FileRunLogs(folder)
    for run in range(1000):
        logs.add("f", 1, [RunLog(((run, run + 1),), "x" * 900)])
        logs.flush()
    assert logs.text("f", 999) == "x" * 900
    assert logs.text("f", 0) == ""
    files = os.scandir(f"{folder}/.journal")
    assert sum(each.stat().st_size for each in files) < 82_000


@given(torn=st.integers(0, 60))
def test_a_torn_line_is_skipped_and_ended_by_the_next_writer(torn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    lines = Lines(str(folder), "a.jsonl", most_bytes=10_000)
    lines.append([{"n": 1}, {"n": 2, "text": "é\ud800" * 4}])
    path = folder / "a.jsonl"
    path.write_bytes(path.read_bytes()[: -torn or None])
    left = list(lines.read())
    lines.append([{"n": 3}])
    assert list(lines.read()) in ([*left, {"n": 3}],)
    assert all(line["n"] in (1, 2) for line in left)


def test_lines_from_strangers_do_no_harm(folder):
    logs = FileRunLogs(folder)
    path = f"{folder}/.journal/run_logs.jsonl"
    odd = [
        [], {"runs": 3}, {"stage": "f", "attempt": "x", "runs": [[0, 1]], "text": "a"},
        {"stage": "f", "attempt": 1, "runs": [[0]], "text": "a"},
        {"stage": "f", "attempt": 9, "runs": [[0, 1]], "text": 5},
        {"stage": "f", "attempt": 1, "runs": [["a", "b"]], "text": "a"},
    ]  # fmt: skip
    with open(path, "w") as file:
        file.write("\n".join(map(json.dumps, odd)) + "\n" + "[" * 100_000 + "\n\xff\n")
    assert logs.text("f", 0) == ""


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_a_run_said_is_read_by_its_labels(tmp_path, on_disk):
    store = tmp_path / "s.zarr" if on_disk else None
    sweep = tk.Sweep(said, {"x": [1, 2], "y": [0.1, 0.2, 0.3]}, store=store)
    assert sweep.log_of(x=1, y=0.2) == ""
    sweep.run(progress=False)
    assert sweep.log_of(x=1, y=0.2) == "1 and 0.2\n"
    assert sweep.sel(x=2).log_of(y=0.1 + 0.2) == "2 and 0.3\n"
    assert sweep.log_of(run=0) == "1 and 0.1\n"
    with pytest.raises(SweepError, match=r"needs one run, and this names 2\. Add a label for: x"):
        sweep.log_of(y=0.1)
    with pytest.raises(SweepError, match="not both"):
        sweep.log_of(run=1, x=1)
    with pytest.raises(StoreError, match="run=6 is not a run"):
        sweep.log_of(run=6)


def test_the_store_alone_tells_too(tmp_path):
    store = tmp_path / "s.zarr"
    sweep = tk.Sweep(said, {"x": [1, 2], "y": [0.1, 0.2, 0.3]}, store=store)
    sweep.run(progress=False)
    assert tk.log_of(store, x=2, y=0.3) == "2 and 0.3\n"
    assert tk.log_of(store, {"x": 2}, y=0.1) == "2 and 0.1\n"
    assert tk.log_of(store, run=5) == "2 and 0.3\n"
    with pytest.raises(StoreError, match=r"this names 3\. Add a label for y"):
        tk.log_of(store, x=2)
    with pytest.raises(SpaceError, match="'z'"):
        tk.log_of(store, z=2)
    with pytest.raises(SpaceError, match="no label 7"):
        tk.log_of(store, x=7)


def test_a_run_made_again_tells_of_the_last_time(tmp_path):
    word = ["first"]

    def f(x):
        print(word[0])
        return x

    sweep = tk.Sweep(f, {"x": [1, 2]}, store=tmp_path / "s.zarr")
    sweep.run(progress=False)
    word[0] = "second"
    sweep.sel(x=2).run(rerun="all", progress=False)
    assert (sweep.log_of(x=1), sweep.log_of(x=2)) == ("first\n", "second\n")


def test_the_level_of_logging_is_chosen_where_the_sweep_is_run(tmp_path):
    def f(x):
        import logging

        logging.getLogger("model").debug("at %s", x)
        return x

    sweep = tk.Sweep(f, {"x": [1, 2]}, store=tmp_path / "s.zarr")
    sweep.run(progress=False, log_level="debug")
    assert sweep.log_of(x=1) == "DEBUG model: at 1\n"
    with pytest.raises(SweepError, match="log_level='loud'"):
        sweep.run(log_level="loud")
