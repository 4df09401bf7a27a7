"""Stores that are made smaller: what they hold stays, whatever moment a kill comes at."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import toolkit as tk
from toolkit.commands import log
from toolkit.errors import StoreError
from toolkit.stores.zarr_store import ZarrStore

SCHEMA = json.loads((Path(log.__file__).parent / "schemas" / "event.json").read_text())

# Kills itself at the n-th change of the file system from the moment that compacting begins.
KILLED = """
import os, signal, sys
import toolkit as tk
from toolkit.stores.upkeep import compaction
left = int(sys.argv[2])
def counted(function):
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped
for name in ("replace", "rename", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
tk.compact(sys.argv[1])
print("whole", left)
"""


def simulate(a, b):
    if a == 2 and b == 1:
        raise ValueError("no")
    return {"x": a * b + 0.5, "note": {"a": a}, "walk": np.arange(a * 40_000 + b) * 1.0}


STAGE = tk.stage(
    simulate, outputs={"x": float, "note": object, "walk": tk.ragged("step")}, name="simulate"
)


def sweep_at(path):
    return tk.Sweep(STAGE, tk.grid(a=np.arange(4), b=np.arange(3)), store=path)


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A store of which much is superseded: all runs were made three times."""
    path = tmp_path_factory.mktemp("used") / "s.zarr"
    sweep = sweep_at(path)
    for _ in range(3):
        sweep.run(rerun="all", progress=False)
    (path / ".journal" / "0123.tmp").write_bytes(b"left")
    os.utime(path / ".journal" / "0123.tmp", (0, 0))
    os.makedirs(path / "gone")
    (path / "gone" / "c.0").write_bytes(b"left")
    return path, sweep.dataset().load()


def assert_same(data, wanted):
    for name in ("x", "walk"):
        np.testing.assert_array_equal(data[name].values, wanted[name].values)
    assert data.note.values.tolist() == wanted.note.values.tolist()
    for name in ("status", "attempts", "seconds", "peak_memory"):
        np.testing.assert_array_equal(data[name].values, wanted[name].values)


def test_a_store_gets_smaller_and_keeps_what_it_holds(used, tmp_path):
    path, wanted = used
    shutil.copytree(path, tmp_path / "s.zarr")
    done = tk.compact(tmp_path / "s.zarr")
    assert done.bytes_after < done.bytes_before / 2
    assert done.files_after < done.files_before
    assert not (tmp_path / "s.zarr" / "gone").exists()
    assert not list((tmp_path / "s.zarr" / ".journal").glob("*.tmp"))
    assert tk.check(tmp_path / "s.zarr").findings == ()
    sweep = sweep_at(tmp_path / "s.zarr")
    assert_same(sweep.dataset(), wanted)
    assert sweep.failures().message.tolist() == ["no"]
    again = tk.compact(tmp_path / "s.zarr")
    assert again.bytes_after == again.bytes_before


def test_a_compacted_store_takes_more_runs(used, tmp_path):
    path, wanted = used
    shutil.copytree(path, tmp_path / "s.zarr")
    tk.compact(tmp_path / "s.zarr")
    data = sweep_at(tmp_path / "s.zarr").extend(a=[4, 5]).run(progress=False)
    assert int(data.walk.sel(a=5, b=2).count()) == 200_002
    np.testing.assert_array_equal(data.walk.sel(a=3, b=2)[:120_002], np.arange(120_002.0))
    np.testing.assert_array_equal(data.x.sel(a=wanted.a), wanted.x)
    assert tk.check(tmp_path / "s.zarr").is_sound


@pytest.mark.faults
def test_a_kill_at_any_moment_loses_nothing(used, tmp_path):
    path, wanted = used
    environment = {**os.environ, "PYTHONWARNINGS": "error"}

    def compact_until(left, target):
        shutil.copytree(path, target)
        code = [sys.executable, "-c", KILLED, str(target), str(left)]
        return subprocess.run(code, capture_output=True, text=True, timeout=120, env=environment)

    whole = compact_until(10**9, tmp_path / "whole.zarr")
    assert whole.returncode == 0, whole.stderr
    n_changes = 10**9 - int(whole.stdout.split()[1])
    assert n_changes > 30
    moments = np.random.default_rng(5).choice(np.arange(1, n_changes + 1), 8, replace=False)
    for moment in sorted(moments.tolist()):
        target = tmp_path / f"{moment}.zarr"
        killed = compact_until(moment, target)
        assert killed.returncode == -9, killed.stderr
        assert_same(sweep_at(target).dataset(), wanted)  # read by whoever does not write
        tk.compact(target)
        assert_same(sweep_at(target).dataset(), wanted)
        assert tk.check(target).findings == ()
        shutil.rmtree(target)


def test_the_log_of_the_store_tells_of_it(used, tmp_path):
    path = tmp_path / "s.zarr"
    shutil.copytree(used[0], path)
    found = tk.compact(path)
    *_, last = ZarrStore.read(path).events.read()
    assert last["event"] == "compacted"
    jsonschema.validate(last, SCHEMA)
    sizes = {name: size for name, size in asdict(found).items() if name != "store"}
    assert {name: last[name] for name in sizes} == sizes
    assert found.bytes_after < found.bytes_before
    files = [each for each in path.rglob("*") if each.is_file()]
    assert len(files) == found.files_after


def test_a_store_in_use_is_refused(used, tmp_path):
    shutil.copytree(used[0], tmp_path / "s.zarr")
    store = ZarrStore.create_or_open(tmp_path / "s.zarr")
    store.acquire()
    try:
        with pytest.raises(StoreError, match=r"is in use by process \d+"):
            tk.compact(tmp_path / "s.zarr")
    finally:
        store.release()


def test_a_damaged_store_is_left_as_it_is(used, tmp_path):
    shutil.copytree(used[0], tmp_path / "s.zarr")
    os.unlink(tmp_path / "s.zarr" / "x" / "c.0")
    with pytest.raises(StoreError, match=r"x is gone.*toolkit check"):
        tk.compact(tmp_path / "s.zarr")
    assert (tmp_path / "s.zarr" / "gone").exists()


def test_arrays_in_many_pieces_become_one(tmp_path):
    path = tmp_path / "s.zarr"
    sweep = tk.Sweep(lambda a: {"x": a * 1.0}, tk.grid(a=np.arange(10)), store=path)
    sweep.run(progress=False)
    for n in (9_000, 18_000):
        sweep = sweep.extend(a=np.arange(n))
        sweep.run(progress=False)
    assert len(list((path / "a").glob("c.*"))) > 1
    tk.compact(path)
    assert len(list((path / "a").glob("c.*"))) == 1
    assert len(list((path / "status").glob("c.*"))) == 1
    assert tk.check(path).findings == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import xarray as xr

        plain = xr.open_zarr(path)
    np.testing.assert_array_equal(plain.a, np.arange(18_000))
    np.testing.assert_array_equal(sweep.dataset().x, np.arange(18_000.0))


def test_what_is_no_store_is_refused_and_left_alone(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        tk.compact(tmp_path / "none.zarr")
    assert not (tmp_path / "none.zarr").exists()
