"""What a run saves in its checkpoint folder is there for its next attempt, of any driver."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import toolkit as tk

FOLDERS = Path(".journal/checkpoints")

LONG = """
import os, time
import toolkit as tk

def long(x):
    if x != 2:
        return 0
    saved = tk.current_run().checkpoint / "steps"
    steps = int(saved.read_text()) if saved.exists() else 0
    while steps < 6:
        steps += 1
        (saved.parent / "pid").write_text(str(os.getpid()))
        (saved.parent / "new").write_text(str(steps))
        os.replace(saved.parent / "new", saved)
        open("steps", "a").write("s")
        while steps % 2 == 0 and not os.path.exists(f"go-{steps}"):
            time.sleep(0.02)
    return steps

sweep = tk.Sweep(long, {"x": range(4)}, store="long.zarr")
if __name__ == "__main__":
    with tk.cluster("local", workers=1, dashboard=None) as cluster:
        sweep.run(cluster, progress=False)
"""


def test_a_run_goes_on_after_its_driver_was_killed_and_leaves_no_folder(tmp_path):
    (tmp_path / "study.py").write_text(LONG)
    steps = tmp_path / "steps"
    saved = tmp_path / "long.zarr" / FOLDERS / "long-2-checkpoint"
    for reached in (2, 4):
        driver = subprocess.Popen([sys.executable, "study.py"], cwd=tmp_path)
        deadline = time.monotonic() + 120
        while not steps.exists() or len(steps.read_text()) < reached:
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert saved.stat().st_mode & 0o777 == 0o700
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        with contextlib.suppress(ProcessLookupError):  # it may outlive its driver for a while
            os.kill(int((saved / "pid").read_text()), signal.SIGKILL)
        (tmp_path / f"go-{reached}").touch()
        assert (saved / "steps").read_text() == str(reached)
    (tmp_path / "go-6").touch()
    subprocess.run([sys.executable, "study.py"], cwd=tmp_path, check=True)
    assert tk.open(tmp_path / "long.zarr").long.values.tolist() == [0, 0, 6, 0]
    assert steps.read_text() == "s" * 6
    assert not saved.exists()


def test_a_folder_that_nobody_removed_goes_when_its_run_is_done_or_forgotten(tmp_path):
    def model(x):
        if not tk.current_run().checkpoint.exists() or x == 1:
            raise ValueError("not yet")
        return x

    sweep = tk.Sweep(model, {"x": range(3)}, store=tmp_path / "s.zarr")
    sweep.run(progress=False)
    folders = tmp_path / "s.zarr" / FOLDERS
    assert os.listdir(folders) == ["model-1-checkpoint"]
    for left in ("model-0-checkpoint", "other-0-checkpoint", "model-x-checkpoint"):
        (folders / left).mkdir()
        (folders / left / "state").touch()
    sweep.run(progress=False, rerun="failed")
    known = {"model-1-checkpoint", "other-0-checkpoint", "model-x-checkpoint"}
    assert set(os.listdir(folders)) == known
    sweep.sel(x=1).forget()
    assert set(os.listdir(folders)) == known - {"model-1-checkpoint"}
