"""Runs that share the memory of a worker of several threads."""

import time
from pathlib import Path

import numpy as np

import toolkit as tk
from toolkit.stores.zarr_store import ZarrStore

N = 20
IS_BIG = np.arange(N) % 5 == 4


def hold(x: int, folder: str, megabytes: int) -> int:
    """Hold memory; return how many of the large runs were in progress at once, 0 for others."""
    is_big = x % 5 == 4
    note = Path(folder, str(x))
    if is_big:
        note.touch()
    held = b"x" * ((megabytes if is_big else 10) * 10**6)
    time.sleep(0.3)
    beside = len(list(Path(folder).iterdir()))
    del held
    note.unlink(missing_ok=True)
    return beside if is_big else 0


def run(stage, tmp_path: Path, *, megabytes: int, memory: str) -> np.ndarray:
    """Run it on one worker of four threads; return for each large run how many there were."""
    profile, notes = tmp_path / "wide.yaml", tmp_path / "notes"
    profile.write_text(f"kind: local\ntiers:\n  wide: {{count: 1, threads: 4, memory: {memory}}}\n")
    notes.mkdir()
    space = tk.grid(x=range(N), folder=[str(notes)], megabytes=[megabytes])
    sweep = tk.Sweep(stage, space, store=tmp_path / "s.zarr")
    with tk.cluster(profile) as cluster:
        data = sweep.run(cluster, progress=False)
    assert (data.status == tk.Status.DONE).all()
    return data.hold.squeeze().to_numpy()[IS_BIG]


def n_deaths(tmp_path: Path) -> int:
    lines = list(ZarrStore.read(tmp_path / "s.zarr").events.read())
    assert lines
    return len({line["death"] for line in lines if line["event"] == "batch_lost"})


def test_runs_that_say_their_memory_are_no_more_than_their_worker_holds(tmp_path):
    needs = tk.stage(resources=lambda x: tk.Resources(memory="420MB" if x % 5 == 4 else "100MB"))
    beside = run(needs(hold), tmp_path, megabytes=250, memory="900MB")
    assert beside.max() == 2  # half of its memory each: two at once, and not four
    assert n_deaths(tmp_path) == 0


def test_runs_that_all_need_as_much_are_no_more_than_their_worker_holds(tmp_path):
    stage = tk.stage(hold, resources=tk.Resources(memory="800MB"))
    assert (run(stage, tmp_path, megabytes=250, memory="900MB") == 1).all()
    assert n_deaths(tmp_path) == 0


def test_runs_that_had_too_little_memory_together_all_get_done(tmp_path):
    run(hold, tmp_path, megabytes=450, memory="900MB")
    assert n_deaths(tmp_path) > 0
    assert (tk.open(tmp_path / "s.zarr").attempts == 1).all()  # none was blamed for another
