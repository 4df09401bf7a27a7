import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from toolkit.commands import standing
from toolkit.commands.failed import Failed, one_text, table_text
from toolkit.commands.standing import Driver, Standing
from toolkit.commands.submission import note_submission

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
        "created", "toolkit", "tiers", "job", "state", "message", "left",
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
    from toolkit.stores.files.lock import Lock

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


@pytest.mark.parametrize(
    ("pending", "is_alive", "code"), [(4, False, 3), (0, None, 0)], ids=["left", "ended"]
)
def test_watching_a_store_whose_driver_has_died_ends_at_once(
    toolkit: Toolkit,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    pending: int,
    is_alive: bool | None,
    code: int,
) -> None:
    driver = Driver(host="node", pid=7, since=0.0, is_alive=is_alive)
    counts = {"runs": 9, "pending": pending, "done": 9 - pending, "seconds": 0.0}
    counts |= {"failed": 0, "stale": 0, "blocked": 0}
    stages = {"sir": counts}
    looks: list[Path] = []

    def look(store: Path) -> Standing:
        looks.append(store)
        return Standing(store=store, stages=stages, driver=driver, made_by={})

    monkeypatch.setattr(standing, "look", look)
    done = toolkit("status sir.zarr --watch --every 0.1", code=code)
    assert len(looks) == 1
    assert ("not running" in done.stdout) == bool(pending)
    assert ("or its script or notebook again" in done.output) == bool(pending)


def test_watching_goes_on_while_a_job_is_to_run_the_store_again(
    toolkit: Toolkit, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = tmp_path / "squeue"  # SLURM knows the job twice, and then no more
    squeue.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" >> asked\nhead -n -2 left; rm left\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    counts = {"runs": 9, "pending": 4, "done": 5, "seconds": 0.0}
    counts |= {"failed": 0, "stale": 0, "blocked": 0}
    driver = Driver(host="node", pid=7, since=0.0, is_alive=False)
    looks: list[Path] = []

    def look(store: Path) -> Standing:
        looks.append(store)
        (tmp_path / "left").write_text("4711\n" * (5 - len(looks)))
        return Standing(store=store, stages={"sir": counts}, driver=driver, made_by={})

    monkeypatch.setattr(standing, "look", look)
    toolkit("status sir.zarr --json", code=0)
    assert not (tmp_path / "asked").exists()  # a driver that was never submitted
    looks.clear()
    note_submission(store)
    done = toolkit("status sir.zarr --watch --every 0.1", code=3)
    assert len(looks) == 3
    assert done.stdout.count("not running, job 4711 is to run it") == 2
    assert "or its script or notebook again" in done.output
    assert "--name=toolkit-sir-" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("command", ["status", "errors", "log", "check", "compact"])
def test_what_is_no_store_is_said_in_one_message(
    toolkit: Toolkit, folder: Path, command: str
) -> None:
    (folder / "results.csv").write_text("a,b\n")
    (folder / "begun" / ".journal").mkdir(parents=True)
    (folder / "robbed" / ".journal").mkdir(parents=True)
    (folder / "robbed" / "peak").mkdir()
    for name, says in {
        "results.csv": "is a file, and a store is a folder",
        "nowhere": "There is no store",
        "begun": "has just been begun",
        "robbed": "has lost its zarr.json",
        ".": "is no store",
    }.items():
        done = toolkit(f"{command} {name}", code=2)
        assert says in done.output, name
        assert "Traceback" not in done.output
        assert f"Next: toolkit {command} {name}" not in done.output


def test_commands_to_type_are_quoted(toolkit: Toolkit, folder: Path) -> None:
    study = folder / "study.py"
    study.write_text(study.read_text().replace("sir.zarr", "my runs/s i r.zarr"))
    (folder / "my runs").mkdir()
    assert "toolkit errors 'my runs/s i r.zarr' --group" in toolkit("run study.py", code=1).stdout
    (folder / "my runs/s i r.zarr/zarr.json").write_text("{")
    for command in ("status", "errors", "log", "compact", "export"):
        out = " out.csv" if command == "export" else ""
        last = toolkit(f"{command} 'my runs/s i r.zarr'{out}", code=2).stderr.splitlines()[-1]
        assert last.startswith("Next: ")
        assert last.endswith("'my runs/s i r.zarr'")


def failed(**other: object) -> Failed:
    known = {
        "run": 3, "stage": "sim", "labels": {"x": 1}, "reason": "worker died", "attempts": 3,
        "exception": "toolkit.errors.CommandError", "message": "it ended with exit code 7",
        "traceback": "", "exit_code": 7, "log": "", "tier": "", "peak_memory": None, "host": "a",
    }  # fmt: skip
    return Failed(**{**known, **other})


def test_the_place_of_an_error_is_in_the_code_of_the_user() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "/home/me/model.py", line 7, in step',
        '  File "/opt/env/site-packages/toolkit/execution/alarm.py", line 126, in _tick',
        "toolkit.stages.failure.RunTooLong: too long",
    ]
    assert failed(traceback="\n".join(lines)).where == "model.py:7 in step"
    assert failed(traceback="\n".join(lines[::2])).where == ""


def test_one_failure_is_shown_with_its_error_and_the_end_of_its_log() -> None:
    text = one_text(failed(log="".join(f"step {n}\n" for n in range(5000))))
    assert text.splitlines()[2] == "CommandError: it ended with exit code 7"
    assert text.endswith("step 4998\nstep 4999")
    assert len(text) < 2500
    said = one_text(
        failed(log="no room", message="it failed: no room", traceback="x: it failed: no room")
    )
    assert said.count("no room") == 1
    table = table_text([failed(message="a" * 10_000)], 20, 10_000)
    assert len(table) < 800
