"""Chunks that are gone or not as they were written: `toolkit check` names them, `retry` mends."""

import json
import os
import re
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from ledgers import Ledger
from registry import fault
from rounds import Round

KINDS = ("fast", "ragged", "slow", "staged", "wide")
STATE = ("status", "attempts", "seconds")


@fault("chunk", kinds=KINDS)
def chunk_deleted(round_: Round) -> None:
    damage(round_, Path.unlink)


@fault("chunk", kinds=KINDS)
def chunk_truncated(round_: Round) -> None:
    def truncate(file: Path) -> None:
        os.truncate(file, int(round_.rng.integers(file.stat().st_size)))

    damage(round_, truncate)


@fault("chunk", kinds=KINDS)
def chunk_with_a_flipped_bit(round_: Round) -> None:
    def flip(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[int(round_.rng.integers(len(data)))] ^= 1 << int(round_.rng.integers(8))
        file.write_bytes(data)

    damage(round_, flip)


def damage(round_: Round, spoil: object) -> None:
    """Have something happen to chunks of a whole store, and see them found and mended."""
    (round_.folder / "study.py").write_text(
        f"import pathlib, sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport studies\n"
        f"sweep = studies.sweep({round_.kind!r}, pathlib.Path({str(round_.store)!r}), "
        f"pathlib.Path({str(round_.calls)!r}))\n"
    )
    round_.finish(None if round_.rng.random() < 0.5 else round_.lab.cluster())
    round_.look()
    _must_be_sound(round_)
    before = round_.call_counts()
    spoiled, chunks = _choose(round_)
    for file in chunks:
        spoil(file)  # type: ignore[operator]
    ended, report = round_.command("check", "--json", str(round_.store))
    places = {each["place"] for each in report["findings"] if each["is_damage"]}
    named = {file.relative_to(round_.store).as_posix() for file in chunks}
    missing = {place for place in named - places if not _is_moot(place, places)}
    if ended != 1 or missing:
        round_.complain(f"toolkit check ended with {ended}, and does not name {sorted(missing)}")
    for ledger, runs in zip(round_.ledgers, spoiled, strict=True):
        told = [each for each in report["damaged_runs"] if each["stage"] == ledger.part.stage]
        ids = {int(ledger.truth.ids(*(each[dim] for dim in ledger.part.dims))) for each in told}
        # Runs whose status is damaged read as pending: they are made anew, and not named.
        has_status = f"{ledger.part.group}/status/".removeprefix("/")
        if any(place.startswith(has_status) for place in places):
            continue
        if runs is not None and ids != set(runs.tolist()):
            round_.complain(f"toolkit check names {len(ids)} runs, and {len(runs)} are damaged")
    ended, _ = round_.command("retry", "--damaged", "study.py:sweep", "--no-progress")
    if ended != 0:
        round_.complain(f"toolkit retry --damaged ended with {ended}")
    _must_be_sound(round_)
    counts = zip(round_.ledgers, round_.call_counts(), before, spoiled, strict=True)
    for ledger, now, then, runs in counts:
        again = np.flatnonzero(now > then)
        ledger.called_then[again] = now[again]
        ledger.allowed += len(again)
        if runs is not None and set(again.tolist()) != set(runs.tolist()):
            stage = ledger.part.stage
            round_.complain(f"{len(runs)} runs of {stage} were damaged, {len(again)} ran again")


def _is_moot(place: str, places: set[str]) -> bool:
    """Whether nothing can be said of a chunk: what says whose values it has is damaged itself."""
    array, _, _ = place.rpartition("/")
    group, _, _ = array.rpartition("/")
    holders = (f"{group}/status/".removeprefix("/"), f"{array}.start/", f"{array}.length/")
    return any(other.startswith(holders) for other in places)


def _must_be_sound(round_: Round) -> None:
    ended, report = round_.command("check", "--json", str(round_.store))
    found = [each["place"] for each in report.get("findings", ()) if each["is_damage"]]
    if ended != 0 or found:
        round_.complain(f"toolkit check ended with {ended}: {found} of a sound store")


def _choose(round_: Round) -> tuple[list[np.ndarray | None], list[Path]]:
    """Return the runs of each stage that lose their values, None for those unknown; and chunks.

    Without their status runs are made again too; how many others of the state leave behind is
    the product's choice.
    """
    rng = round_.rng
    files = [file for ledger in round_.ledgers for file in _files(round_.store, ledger)]
    of_outputs = [file for file in files if not _is_about_runs(file)]
    pool = of_outputs if rng.random() < 0.7 else files
    count = min(len(pool), 1 + int(rng.integers(3)))
    chosen = [pool[at] for at in sorted(rng.choice(len(pool), count, replace=False).tolist())]
    lost: list[np.ndarray | None] = []
    for ledger in round_.ledgers:
        here = round_.store / ledger.part.group
        mine = [file for file in chosen if file.parent.parent == here]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = xr.open_zarr(round_.store, group=ledger.part.group or None)
            found = [_runs_in(file, plain) for file in mine]
        lost.append(np.unique(np.concatenate([np.zeros(0, int), *found])))
    return lost, chosen


def _files(store: Path, ledger: Ledger) -> list[Path]:
    here = store / ledger.part.group
    found = [file for file in here.glob("*/c.*") if file.parent.name not in ("axes", "peak_memory")]
    return sorted(found)


def _is_about_runs(file: Path) -> bool:
    return file.parent.name in (*STATE, "x", "trial", "over_trial")


def _runs_in(file: Path, plain: xr.Dataset) -> np.ndarray:
    """Return the runs whose outcome lies in a chunk: its own metadata says how long it is."""
    name = file.parent.name
    document = json.loads((file.parent / "zarr.json").read_text())
    length = document["chunk_grid"]["configuration"]["chunk_shape"][0]
    match = re.fullmatch(r"c\.(\d+)[.0]*", file.name)
    assert match is not None
    first, n_runs = int(match[1]) * length, plain.sizes["run"]
    if name in ("attempts", "seconds", "x", "trial", "over_trial"):
        return np.zeros(0, int)
    if f"{name}.start" not in plain:
        return np.arange(first, min(first + length, n_runs))
    starts, lengths = plain[f"{name}.start"].values, plain[f"{name}.length"].values
    is_inside = (lengths > 0) & (starts < first + length) & (starts + lengths > first)
    return np.flatnonzero(is_inside)
