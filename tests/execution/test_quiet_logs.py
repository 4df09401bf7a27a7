"""However many runs fail, a terminal or a notebook gets a few lines, and the store all of it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.execution.death import Death
from toolkit.execution.obituaries import Obituaries

SCRIPT = """
import os, signal, sys
import toolkit as tk

def fails(x):
    if x % 4:
        raise ValueError(f"no {x}")
    return float(x)

def kills(x):
    if x % 4 == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(x)

with tk.cluster("local", workers=2, dashboard=None) as cluster:
    tk.Sweep(fails, {"x": range(400)}, store="fails.zarr").run(cluster, progress=False)
    once = tk.stage(kills, max_attempts=1)
    tk.Sweep(once, {"x": range(60)}, store="kills.zarr").run(cluster, progress=False)
    lazy = tk.Sweep(tk.stage(fails, name="y", outputs={"y": float}), {"x": range(400)}).lazy()
    refused = 0
    for x in range(60):
        try:
            lazy.y.isel(x=x).compute()
        except tk.RunsFailedError:
            refused += 1
    print(refused)
    try:
        cluster.client.submit(divmod, 1, 0).result()
    except ZeroDivisionError:
        print("divided")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a script has run three hundred failing runs and fifteen that kill their worker."""
    found = tmp_path_factory.mktemp("quiet")
    with open(found / "out", "w") as out, open(found / "err", "w") as err:
        subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=found, stdout=out, stderr=err, check=True
        )
    return found


def shown(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "toolkit", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_many_failures_and_deaths_take_a_few_lines(folder: Path) -> None:
    lines = (folder / "err").read_text().splitlines()
    of_the_user = [line for line in lines if "Compute Failed" in line]
    assert len(of_the_user) == 1, lines  # the user's own task is logged as Dask does
    start = lines.index(of_the_user[0])
    ours = lines[:start]
    assert [line for line in ours if "worker" in line.lower()] == ours
    assert len(ours) == 5
    assert re.fullmatch(r"\d\d workers died of stage 'kills'\.", ours[-1])
    assert "divmod" in "".join(lines[start:])


def test_nothing_is_lost(folder: Path) -> None:
    assert (folder / "out").read_text().split() == ["45", "divided"]
    failed = json.loads(shown(folder, "errors", "fails.zarr", "--json"))["errors"]
    assert len(failed) == 300
    assert all("ValueError: no" in each["traceback"] for each in failed)
    died = json.loads(shown(folder, "errors", "kills.zarr", "--json"))["errors"]
    assert sorted(each["labels"]["x"] for each in died) == list(range(1, 60, 4))
    assert {each["exit_code"] for each in died} <= {-9, None}
    log = shown(folder, "log", "kills.zarr", "--json", "--limit", "9999")
    events = [json.loads(line) for line in log.splitlines()]
    lost = [each for each in events if each["event"] == "batch_lost"]
    assert {run for each in lost for run in each["in_progress"]} == set(range(1, 60, 4))
    assert any("signal 9" in (each["death"] or "") for each in lost)


@pytest.mark.parametrize(("deaths", "lines"), [(0, 0), (3, 3), (4, 5), (5_000, 5)])
def test_the_lines_do_not_grow_with_the_deaths(
    deaths: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    told = Obituaries("fit")
    for _ in range(deaths):
        told.tell(Death(exit_code=-9))
    told.sum_up()
    own = [record for record in caplog.records if record.name == "toolkit"]
    assert len(own) == lines  # workers of other tests may be closing
