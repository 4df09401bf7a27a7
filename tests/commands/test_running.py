import json
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import toolkit as tk

Toolkit = Callable[..., Result]


def edit(old: str, new: str) -> None:
    study = Path("study.py")
    assert old in study.read_text()
    study.write_text(study.read_text().replace(old, new))


def document(done: Result) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert found["version"] == 1
    return found


def test_explain_says_what_would_run_and_runs_nothing(toolkit: Toolkit, folder: Path) -> None:
    done = toolkit("explain study.py:sweep")
    assert "12 runs, 0 stored, 12 missing" in done.stdout
    assert "0.05 0.1 0.2" in done.stdout
    assert not (folder / "sir.zarr").exists()


def test_explain_has_the_plan_as_json(toolkit: Toolkit) -> None:
    found = document(toolkit("explain study.py --json"))
    assert found["schema"] == "toolkit.explain"
    assert found["sweep"] == "study.py:sweep"
    assert found["sizes"] == {"beta": 4, "gamma": 3}
    assert found["total"]["missing"] == 12
    assert found["stages"][0]["seconds"] is None


def test_run_runs_what_is_missing_and_says_what_failed(toolkit: Toolkit) -> None:
    done = toolkit("run study.py:sweep", code=1)
    assert "sir.zarr: 11 of 12 runs done, 1 failed, 12 executed now" in done.stdout
    assert "toolkit errors sir.zarr --group" in done.stdout
    assert "toolkit retry study.py:sweep" in done.stdout
    assert "0 executed now" in toolkit("run study.py", code=1).stdout
    assert int((tk.open("sir.zarr").status == tk.Status.DONE).sum()) == 11


def test_run_of_a_part_says_how_that_part_went(toolkit: Toolkit) -> None:
    found = document(toolkit("run study.py beta=.1:.3 --sel gamma=.1,.2 --json"))
    assert found == {
        "schema": "toolkit.run",
        "version": 1,
        "sweep": "study.py:sweep",
        "store": os.path.abspath("sir.zarr"),
        "runs": 6,
        "executed": 6,
        "done": 6,
        "stale": 0,
        "failed": 0,
        "blocked": 0,
        "pending": 0,
    }


def test_runs_that_wait_for_a_failed_one_are_blocked_and_nothing_is_left_to_go_on_with(
    toolkit: Toolkit, folder: Path
) -> None:
    (folder / "two.py").write_text(
        "import toolkit as tk\n"
        "@tk.stage(outputs=['base'])\n"
        "def base(beta):\n"
        "    if beta > 2:\n        raise ValueError('too much')\n"
        "    return beta * 2.0\n"
        "@tk.stage(outputs=['error'])\n"
        "def fit(base, gamma):\n    return base - gamma\n"
        "space = tk.grid(beta=[1.0, 2.0, 3.0], gamma=[1.0, 2.0])\n"
        "sweep = tk.Sweep([base, fit], space, store='two.zarr')\n"
    )
    done = toolkit("run two.py", code=1)
    assert "6 of 9 runs done, 1 failed, 2 blocked, 7 executed now" in done.stdout
    assert "Go on:" not in done.stdout
    again = document(toolkit("run two.py --json", code=1))
    assert (again["blocked"], again["pending"], again["executed"]) == (2, 0, 0)


def test_set_adds_runs_to_the_same_store(toolkit: Toolkit) -> None:
    toolkit("run study.py beta=.1")
    found = document(toolkit("run study.py --set beta=.1,.15 --set gamma=0.1:0.2:2 --json"))
    assert (found["runs"], found["executed"]) == (4, 2)
    assert tk.open("sir.zarr").beta.values.tolist() == [0.1, 0.15]


def test_retry_of_a_mended_function_runs_what_failed(toolkit: Toolkit) -> None:
    toolkit("run study.py", code=1)
    edit("if beta", "if False and beta")
    found = document(toolkit("retry study.py --json"))
    assert (found["executed"], found["failed"], found["done"]) == (1, 0, 12)


def test_rerun_runs_again_what_has_an_outcome(toolkit: Toolkit) -> None:
    toolkit("run study.py", code=1)
    assert document(toolkit("run study.py --rerun failed --json", code=1))["executed"] == 1
    assert document(toolkit("run study.py --rerun all --json", code=1))["executed"] == 12


def test_a_function_that_always_fails_ends_with_its_error(toolkit: Toolkit, folder: Path) -> None:
    edit("if beta > 0.35 and gamma > 0.15", "if True")
    done = toolkit("run study.py", code=1)
    assert "no epidemic at" in done.stderr
    assert "Next: toolkit errors sir.zarr --group" in done.stderr


def test_max_failures_stops_with_the_error(toolkit: Toolkit) -> None:
    done = toolkit("run study.py --max-failures 0", code=1)
    assert "max_failures=0" in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_when_typed_again(
    toolkit: Toolkit, folder: Path, sent: signal.Signals
) -> None:
    (folder / "study.py").write_text(
        "import os, signal, time\nimport toolkit as tk\n"
        "def wait(x):\n"
        "    if x == 5 and not os.path.exists('sent'):\n"
        "        open('sent', 'w').close()\n"
        f"        os.kill(os.getpid(), {int(sent)})\n"
        "    time.sleep(0.01)\n"
        "    return x\n"
        "sweep = tk.Sweep(wait, {'x': range(40)}, store='waits.zarr')\n"
    )
    done = toolkit("run study.py --order given", code=3)
    assert "Next: toolkit" in done.stderr
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    stored = int((tk.open("waits.zarr").status == tk.Status.DONE).sum())
    assert 5 <= stored < 40
    assert document(toolkit("run study.py --json"))["executed"] == 40 - stored


def test_a_time_limit_leaves_the_rest_for_later(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import time\nimport toolkit as tk\n"
        "def wait(x):\n    time.sleep(0.02)\n    return x\n"
        "sweep = tk.Sweep(wait, {'x': range(60)}, store='waits.zarr')\n"
    )
    done = toolkit("run study.py --time-limit 0.2", code=3)
    assert "pending" in done.stdout
    assert "Go on:" in done.stdout


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("run study.py --time-limit soon", "not a length of time"),
        ("run study.py betta=.1", "betta"),
        ("run study.py beta=.15", "no label 0.15"),
        ("run study.py beta", "is not NAME=VALUE"),
        ("run study.py --set beta=red", "numbers"),
        ("run study.py --cluster nowhere", "nowhere"),
        ("run stdy.py", "Found there: study.py"),
        ("explain study.py:swep", "The sweeps of study.py are sweep"),
    ],
)
def test_a_wrong_description_starts_nothing(
    toolkit: Toolkit, folder: Path, line: str, says: str
) -> None:
    done = toolkit(line, code=2)
    assert says in done.stderr
    assert "Next: toolkit " in done.stderr
    assert "cluster" in line or not (folder / "sir.zarr").exists()


def test_results_that_would_be_lost_are_not_computed(toolkit: Toolkit, folder: Path) -> None:
    edit(', store="sir.zarr"', "")
    done = toolkit("run study.py", code=2)
    assert "Next: toolkit run study.py:sweep --store sweep.zarr" in done.stderr
    toolkit("explain study.py")
    toolkit("run study.py beta=.1 --store sweep.zarr")
    assert tk.status("sweep.zarr").done.sum() == 3


def test_another_store_has_the_same_frozen_inputs_and_stores_to_reuse(
    toolkit: Toolkit, folder: Path
) -> None:
    (folder / "study.py").write_text(
        "from pathlib import Path\n"
        "import toolkit as tk\n\n"
        "def area(x, data):\n"
        "    with Path('ran').open('a') as file:\n"
        "        file.write(f'{x} ')\n"
        "    return x * len(data)\n\n"
        "first = tk.Sweep(area, {'x': [1, 2]}, frozen={'data': [5, 6, 7]}, store='first.zarr')\n"
        "sweep = tk.Sweep(area, {'x': [1, 2, 3]}, frozen={'data': [5, 6, 7]}, "
        "reuse=[first], store='second.zarr')\n"
    )
    toolkit("run study.py:first")
    toolkit("run study.py:sweep --store third.zarr")
    assert tk.open(folder / "third.zarr").area.values.tolist() == [3, 6, 9]
    assert sorted((folder / "ran").read_text().split()) == ["1", "2", "3"]
    assert not (folder / "second.zarr").exists()


def test_a_warning_is_one_line(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import random\nimport toolkit as tk\n"
        "def draw(x):\n    return random.random()\n"
        "sweep = tk.Sweep(draw, {'x': range(3)}, store='draws.zarr')\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = toolkit("run study.py")
    assert "Warning: The function of stage 'draw' draws from" in done.stderr
    assert "warnings.warn" not in done.stderr


def test_a_store_that_is_in_use_is_left_alone(toolkit: Toolkit) -> None:
    from toolkit.stores.files.lock import Lock

    toolkit("run study.py beta=.1")
    lock = Lock(str(Path("sir.zarr").absolute()))
    lock.acquire()
    try:
        done = toolkit("run study.py", code=2)
    finally:
        lock.release()
    assert "in use by process" in done.stderr
    assert done.stderr.splitlines()[-1] == "Next: toolkit status sir.zarr"
