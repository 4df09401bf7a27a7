"""A store on a file system of its own: nothing is renamed from one mount to another."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk

SCRIPT = """
import os, sys
import numpy as np
import toolkit as tk

FROZEN = os.environ["TOOLKIT_FROZEN_DIR"] + f"/toolkit-frozen-{os.getuid()}"

def study(x, y, table):
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{x} {y}\\n")
    tk.current_run().scratch.joinpath("mine").write_text("x")
    assert os.listdir(FROZEN), "the frozen input lies elsewhere"
    total = 0
    for _ in range(20_000):
        total += 1
    return {"peak": x * y + table[x], "curve": np.arange(5) * x, "walk": np.full(x % 4, y),
            "thing": {"x": x}}

stage = tk.stage(study, version="1", outputs={
    "peak": float, "curve": ("step",), "walk": tk.ragged("leg"), "thing": object})

def sweep(n):
    space = tk.grid(x=np.arange(n), y=np.arange(10))
    return tk.Sweep(stage, space, frozen={"table": np.arange(1000.0)}, store=sys.argv[1])

if __name__ == "__main__":
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as cluster:
        sweep(int(sys.argv[2])).run(cluster.client, progress=False)
"""


def mounts(tmp_path, kind):
    """Mount a small file system at a new folder; say why where it cannot be."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root of a Linux machine can mount a file system")
    place = tmp_path / "mount"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(place)]
    if kind == "ext4":
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(64 << 20)
        make = ["mkfs.ext4", "-q", "-F", "-N", "4096", str(image)]
        command = ["mount", "-o", "loop", str(image), str(place)]
        try:
            made = subprocess.run(make, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mkfs.ext4 here")
        assert made.returncode == 0, made.stderr
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{kind} cannot be mounted here: {done.stderr.strip()}")
    return place


@pytest.fixture(params=["tmpfs", "ext4"])
def mount(request, tmp_path):
    place = mounts(tmp_path, request.param)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.faults
def test_a_store_on_another_mount_than_everything_else(mount, tmp_path):
    store, calls, frozen = mount / "s.zarr", tmp_path / "calls", tmp_path / "frozen"
    frozen.mkdir()
    (tmp_path / "study.py").write_text(SCRIPT)
    assert os.stat(mount).st_dev != os.stat(frozen).st_dev

    def start(n):
        return subprocess.Popen(
            [sys.executable, "study.py", str(store), str(n)],
            cwd=tmp_path,
            env={**os.environ, "CALLS": str(calls), "TOOLKIT_FROZEN_DIR": str(frozen)},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(process):
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err

    first = start(100)
    try:
        deadline = time.monotonic() + 120
        while not (calls.exists() and len(calls.read_text().splitlines()) > 100):
            assert first.poll() is None, first.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    done = int(tk.status(store).done.sum())
    assert 0 < done < 1000
    finish(start(100))
    n_calls = len(calls.read_text().splitlines())
    assert n_calls <= 1000 + 100 + 200, "more was repeated than what was in progress"
    finish(start(110))
    for rerun in range(2):
        data = tk.open(store)
        x, y = data.x.values[:, None], data.y.values[None, :]
        assert (data.status == tk.Status.DONE).all()
        np.testing.assert_array_equal(data.peak, x * y + x)
        np.testing.assert_array_equal(data.curve[:, 0, :], x * np.arange(5))
        assert tk.load_objects(store, "thing", x=7, y=3).item() == {"x": 7}
        assert tk.check(store).findings == ()
        if not rerun:
            tk.compact(store)
    for path in store.rglob("*"):
        assert not path.is_symlink()
        assert path.stat().st_dev == os.stat(mount).st_dev
    merged = tk.merge(store, store, into=Path(tmp_path / "merged.zarr"))  # onto the first mount
    np.testing.assert_array_equal(tk.open(merged).peak, tk.open(store).peak)
