"""What a process needs and does not get: room on the disk, open files, permission, the time."""

import contextlib
import os
import subprocess

from kills import kill_a_driver, point, wait_for_calls
from registry import fault
from rounds import Round


@fault("place", kinds=("fast", "slow", "staged", "ragged"), needs=lambda: os.geteuid() == 0)
def disk_full(round_: Round) -> None:
    place = round_.folder / "disk"
    place.mkdir()
    fewest, most = (16, 26) if round_.kind == "slow" else (20, 45)
    size = int(round_.rng.integers(fewest, most)) * 4096
    _mount(f"size={size}", place)
    try:
        round_.store = place / "s.zarr"
        on_workers = round_.rng.random() < 0.5
        cluster = round_.lab.cluster() if on_workers else None
        with round_.read_all_the_while():
            driver = round_.driver(cluster, is_hasty=True)
            driver.finish()
        _must_have_been_refused(round_, driver, "the disk is full")
        round_.victims += 2 if on_workers else 1
        round_.look()
        _mount("remount,size=64m", place)
        round_.finish(cluster)
        round_.judge_early()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@fault("place", kinds=("slow", "fast", "staged", "ragged"))
def file_descriptors_exhausted(round_: Round) -> None:
    with round_.read_all_the_while():
        driver = round_.driver(None, open_files=int(round_.rng.integers(1, 4)), is_hasty=True)
        driver.finish()
        outcome = driver.outcome or {}
        round_.verdict.has_hit = outcome.get("error") is not None
        round_.victims += 1
        round_.look()
        # A run that could not open its own file has failed: that is its user's to repeat.
        round_.finish(None, run={"rerun": "failed"})


@fault("place", kinds=("slow", "fast", "staged", "ragged"))
def permission_lost_in_the_middle(round_: Round) -> None:
    folders = [round_.store / ".journal", round_.store]
    with round_.read_all_the_while():
        driver = round_.driver(None, obeys_modes=True, is_hasty=True)
        wait_for_calls(round_, driver, round_.rng.uniform(0.05, 0.8))
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                folder.chmod(0o555)
        driver.finish()
        _must_have_been_refused(round_, driver, "it may not be written to")
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                folder.chmod(0o755)
        round_.victims += 1
        round_.look()
        round_.finish(None, obeys_modes=True)


@fault("place", kinds=("slow", "fast", "staged", "ragged"))
def clock_jumping_back(round_: Round) -> None:
    after = float(round_.rng.uniform(0.0, 0.4))
    where = point(round_, ("journal", "fold", "state"), entries=6, changes=6)
    kill_a_driver(round_, where, None, clock={"after": after, "back": 86_400.0}, is_hasty=True)


def _mount(options: str, place: object) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    subprocess.run(command, check=True)


def _must_have_been_refused(round_: Round, driver: object, words: str) -> None:
    """Note if a driver that met the fault did not say so in the words of its user."""
    outcome = driver.outcome  # type: ignore[attr-defined]
    if outcome is None:
        round_.complain("the driver died")
    elif outcome["error"] is None:
        round_.verdict.has_hit = False
    elif not outcome["error"].startswith("StoreError") or words not in outcome["error"]:
        round_.complain(f"the driver said: {outcome['error']}")
