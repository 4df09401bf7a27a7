import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from toolkit.commands import standing
from toolkit.commands.standing import Driver, Standing

Toolkit = Callable[..., Result]


@pytest.fixture
def store(toolkit: Toolkit) -> Path:
    """A store of 12 runs of which one failed."""
    toolkit("run study.py", code=1)
    return Path("sir.zarr")


def document(done: Result) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert found["version"] == 1
    return found


def test_status_counts_runs_and_says_what_to_do(toolkit: Toolkit, store: Path) -> None:
    lines = toolkit("status sir.zarr").stdout.splitlines()
    assert lines[1].split() == [
        "stage",
        "runs",
        "done",
        "failed",
        "pending",
        "stale",
        "blocked",
        "computing",
    ]
    assert lines[2].split()[:7] == ["sir", "12", "11", "1", "0", "0", "0"]
    assert lines[3] == "not running"
    assert lines[4].endswith("toolkit errors sir.zarr --group")


def test_status_has_stable_keys_as_json(toolkit: Toolkit, store: Path) -> None:
    found = document(toolkit("status sir.zarr --json"))
    assert list(found) == [
        "schema", "version", "store", "stages", "total", "is_running", "driver", "sweep",
        "created", "toolkit",
    ]  # fmt: skip
    assert found["schema"] == "toolkit.status"
    assert found["store"] == os.path.abspath("sir.zarr")
    counts = {
        "runs": 12, "done": 11, "failed": 1, "pending": 0, "stale": 0, "blocked": 0
    }  # fmt: skip
    assert found["total"] == counts | {"seconds": found["total"]["seconds"]}
    assert set(found["stages"][0]) == {"stage", *counts, "seconds"}


def test_watching_a_finished_store_ends_as_its_sweep_did(toolkit: Toolkit, store: Path) -> None:
    done = toolkit("status sir.zarr --watch --every 0.1", code=1)
    assert done.stdout == "sir.zarr: 11 done, 1 failed\n"


def test_watching_ends_when_the_sweep_does(
    toolkit: Toolkit, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = Driver(host="node", pid=7, since=0.0, is_alive=True)
    script = iter([(9, None), (9, alive), (4, alive), (4, None), (0, None)])

    def look(store: Path) -> Standing:
        pending, driver = next(script)
        counts = {"runs": 9, "pending": pending, "done": 9 - pending, "seconds": 0.0}
        counts |= {"failed": 0, "stale": 0, "blocked": 0}
        return Standing(store=store, stages={"sir": counts}, driver=driver, made_by={})

    monkeypatch.setattr(standing, "look", look)
    done = toolkit("status sir.zarr --watch --every 0.1 --json", code=3)
    pending = [json.loads(line)["total"]["pending"] for line in done.stdout.splitlines()]
    assert pending == [9, 9, 4, 4]


@pytest.mark.parametrize(
    ("is_alive", "says"),
    [(True, "running: process 7 on node"), (False, "has died"), (None, "as it seems")],
)
def test_status_says_who_runs_the_store(is_alive: bool | None, says: str) -> None:
    driver = Driver(host="node", pid=7, since=0.0, is_alive=is_alive)
    text = str(Standing(store=Path("a.zarr"), stages={}, driver=driver, made_by={}))
    assert says in text


def test_status_sees_a_driver_that_lives_and_one_that_is_gone(store: Path) -> None:
    from toolkit.stores.lock import Lock

    lock = Lock(str(store.absolute()))
    lock.acquire()
    try:
        found = standing.look(store)
        assert (found.is_running, found.driver.pid) == (True, os.getpid())
    finally:
        lock.release()
    assert standing.look(store).driver is None


def test_errors_lists_failed_runs_with_their_labels(toolkit: Toolkit, store: Path) -> None:
    lines = toolkit("errors sir.zarr").stdout.splitlines()
    assert lines[0].split() == ["run", "beta", "gamma", "infected", "error"]
    assert lines[1].split(maxsplit=4) == ["11", "0.4", "0.2", "1", "ValueError: no epidemic at 0.4"]
    assert "toolkit errors sir.zarr --id 11" in lines[3]


def test_errors_of_one_run_has_its_traceback(toolkit: Toolkit, store: Path) -> None:
    done = toolkit("errors sir.zarr --id 11")
    assert "beta=0.4, gamma=0.2" in done.stdout
    assert "Traceback (most recent call last)" in done.stdout
    assert "--run 11 --pdb" in done.stdout
    assert "not among the failed runs" in toolkit("errors sir.zarr --id 3", code=2).stderr


def test_errors_are_counted_by_kind_and_place(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import toolkit as tk\n"
        "def check(x):\n"
        "    if x % 10 == 3:\n"
        "        raise ValueError(f'no {x}')\n"
        "    return 1 / (x - 7)\n"
        "sweep = tk.Sweep(check, {'x': range(100)}, store='checks.zarr')\n"
    )
    toolkit("run study.py", code=1)
    groups = document(toolkit("errors checks.zarr --group --json"))["groups"]
    assert [(each["exception"], each["where"], each["count"]) for each in groups] == [
        ("ValueError", "study.py:4 in check", 10),
        ("ZeroDivisionError", "study.py:5 in check", 1),
    ]
    assert groups[1]["labels"] == {"x": 7}
    text = toolkit("errors checks.zarr --limit 3").stdout
    assert "8 more" in text


def test_errors_has_stable_keys_as_json(toolkit: Toolkit, store: Path) -> None:
    found = document(toolkit("errors sir.zarr --json"))
    assert (found["schema"], found["count"]) == ("toolkit.errors", 1)
    [error] = found["errors"]
    assert list(error) == [
        "run", "stage", "labels", "reason", "exception", "message", "traceback", "exit_code",
        "log", "attempts", "tier", "peak_memory", "host", "where",
    ]  # fmt: skip
    assert error["labels"] == {"beta": 0.4, "gamma": 0.2, "infected": 1.0}
    assert error["peak_memory"] is None


def test_a_store_without_failures_says_so(toolkit: Toolkit) -> None:
    toolkit("run study.py beta=.1")
    assert toolkit("errors sir.zarr").stdout == "sir.zarr: no failed runs\n"
    assert document(toolkit("errors sir.zarr --json"))["errors"] == []


def test_a_message_cannot_command_the_terminal(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import toolkit as tk\n"
        "def f(x):\n"
        "    if x:\n"
        "        raise ValueError('\\x1b]0;taken\\x07 \\x1b[2J')\n"
        "sweep = tk.Sweep(tk.stage(f, outputs='effects'), {'x': [0, 1]}, store='f.zarr')\n"
    )
    toolkit("run study.py", code=1)
    for line in ("errors f.zarr", "errors f.zarr --group", "errors f.zarr --id 1"):
        output = toolkit(line).stdout
        assert "taken" in output
        assert "\x1b" not in output
        assert "\x07" not in output


@pytest.mark.parametrize("command", ["status", "errors", "export"])
def test_what_is_no_store_is_an_error(toolkit: Toolkit, folder: Path, command: str) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "file").write_text("")
    out = " out.csv" if command == "export" else ""
    assert "There is no store" in toolkit(f"{command} nothing.zarr{out}", code=2).stderr
    assert "is no store" in toolkit(f"{command} other{out}", code=2).stderr
