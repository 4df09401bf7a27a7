"""What the guide to clusters tells to do on a machine where no SLURM runs, from first to last."""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import toolkit as tk
from tests.slurm.jobs import wait_until_nothing_is_left
from tests.slurm.machine import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
PROFILES = HERE.parents[1] / "cluster_configs"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder for a SLURM that does not run yet."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    yield folder
    subprocess.run([HERE / "down", folder], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_slurm_is_started_checked_used_for_the_demo_and_stopped(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # certificates go there
    shutil.copytree(PROFILES, "cluster_configs")
    Path("sweep.py").write_text(
        "from toolkit.demo.influenza import study\n\nsweep = study().sel(infected=[1, 2])\n"
    )

    def bash(line: str, code: int = 0) -> str:
        line = line.replace("python ", f"{shlex.quote(sys.executable)} ")
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "1 problem" in bash("python -m toolkit cluster check slurm-tiers", code=2)
    said = bash(f"{HERE}/up {place}")
    assert said.strip().endswith(f". {place}/env")
    within = f". {place}/env; "
    said = bash(f"{within} python -m toolkit cluster check slurm-tiers")
    for tier in ("small", "large", "gpu"):
        assert f"{tier}: SLURM would take it" in said
    profile = "cluster_configs/slurm-tiers.yaml"
    said = bash(f"{within} python -m toolkit run sweep.py --cluster {profile} --no-progress")
    assert "9,882 of 9,882 runs done, 9,882 executed now" in said
    slurm = Slurm(folder=place)
    wait_until_nothing_is_left(slurm, Path(".toolkit/certificates"))

    said = bash(f"{within} python -m toolkit.demo --cluster {profile}")
    assert "1.80" in said
    assert Path("flu.png").stat().st_size > 10_000
    assert int(tk.status("flu.zarr").done.sum()) == 64_233
    wait_until_nothing_is_left(slurm, Path(".toolkit/certificates"))
    bash(f"{HERE}/down {place}")
    assert not place.exists()
