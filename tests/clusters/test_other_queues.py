"""Queues that are not installed here, stood in for by scripts that start and end a job at once."""

import os
import time
from pathlib import Path

import pytest

import toolkit as tk

SUBMIT = """#!/bin/sh
for given; do script=$given; done
cat "${{script:-/dev/stdin}}" > {folder}/job-$$.sh
setsid sh {folder}/job-$$.sh > {folder}/job-$$.log 2>&1 &
echo "Job <$!> is submitted"
"""
CANCEL = """#!/bin/sh
for given; do echo $given >> {folder}/cancelled; kill -TERM -- -$given; done
"""


@pytest.mark.parametrize(
    ("kind", "submit", "cancel"),
    [
        ("pbs", "qsub", "qdel"),
        pytest.param("moab", "msub", "canceljob", marks=pytest.mark.long),
        pytest.param("sge", "qsub", "qdel", marks=pytest.mark.long),
        pytest.param("lsf", "bsub", "bkill", marks=pytest.mark.long),
    ],
)
def test_a_job_of_another_queue_serves_and_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, submit: str, cancel: str
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in ((submit, SUBMIT), (cancel, CANCEL)):
        (commands / name).write_text(text.format(folder=tmp_path))
        (commands / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.yaml").write_text(
        f"kind: {kind}\ninterface: lo\nshared_folder: {tmp_path}/certificates\n"
        "dashboard: null\nlog_folder: null\n"
        "tiers: {only: {memory: 600MB, walltime: 5min, maximum: 1}}\n"
    )
    with tk.cluster("site.yaml") as cluster:
        data = tk.Sweep(tier, {"x": [1, 2]}, store="t.zarr").run(cluster, progress=False)
        assert data.tier.values.tolist() == ["only", "only"]
        assert not (tmp_path / "cancelled").exists()
    [pid] = (tmp_path / "cancelled").read_text().split()
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.1)


def tier(x: int) -> str:
    assert x
    return os.environ["TOOLKIT_TIER"]
