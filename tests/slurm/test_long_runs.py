"""A run that lasts longer than any job of its cluster goes on from its own checkpoint."""

import os
import time
from pathlib import Path

import pytest

import toolkit as tk
from tests.slurm.jobs import wait_until_nothing_is_left
from tests.slurm.machine import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

PROFILE = """
kind: slurm
interface: lo
shared_folder: {folder}/certificates
dashboard: "127.0.0.1:0"
tiers:
  only: {{partition: short, memory: 600MB, walltime: {walltime}, maximum: 1, idle: 1s}}
"""


@pytest.mark.parametrize(
    ("seconds", "walltime"),
    [
        (100, "1min"),
        pytest.param(300, "2min", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_a_run_ends_though_no_job_lasts_so_long(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, walltime: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text(PROFILE.format(folder=tmp_path, walltime=walltime))

    def wait(steps: int) -> int:
        saved = tk.current_run().checkpoint / "waited"
        waited = int(saved.read_text()) if saved.exists() else 0
        with open("starts", "a") as starts:
            starts.write(f"{waited} {os.environ['SLURM_JOB_ID']}\n")
        while waited < steps:
            time.sleep(1.0)
            waited += 1
            saved.with_suffix(".new").write_text(str(waited))
            os.replace(saved.with_suffix(".new"), saved)
        return waited

    stage = tk.stage(wait, max_attempts=1)  # what goes on from a checkpoint costs none
    sweep = tk.Sweep(stage, tk.grid(steps=[seconds]), store="wait.zarr")
    data = sweep.run("site.yaml", progress=False)
    assert data.wait.item() == seconds
    starts = [line.split() for line in Path("starts").read_text().splitlines()]
    waited = [int(each) for each, _ in starts]
    assert waited == sorted(set(waited))  # it always goes on, and never begins anew
    assert waited[0] == 0
    assert len(starts) == len({job for _, job in starts}) == data.attempts.item() >= 2
    if walltime == "2min":
        assert len(starts) >= 3
    assert not list(Path("wait.zarr/.journal/checkpoints").glob("*"))
    wait_until_nothing_is_left(slurm, tmp_path / "certificates")
