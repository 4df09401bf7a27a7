"""Damage is found, named by its runs, and mended by making these runs again."""

import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from toolkit.errors import StoreError
from toolkit.stores.arrays.chunks import Stored, decode, encode
from toolkit.stores.journals.journal import PAGE
from toolkit.stores.runs.sink import close_sinks
from toolkit.stores.zarr_store import ZarrStore

CALLS: list[tuple[int, int]] = []


def simulate(a, b):
    CALLS.append((a, b))
    return {
        "x": a + b / 10,
        "v": np.arange(3) + a,
        "word": f"{a}-{b}",
        "note": {"a": a},
        "walk": np.arange(a * 1000) + b,
    }


STAGE = tk.stage(
    simulate,
    outputs={"x": float, "v": ("k",), "word": str, "note": object, "walk": tk.ragged("step")},
)
N_B = 2


def sweep_at(path):
    return tk.Sweep(STAGE, tk.grid(a=np.arange(5), b=np.arange(N_B)), store=path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "s.zarr"
    return path, sweep_at(path).run(progress=False).load()


@pytest.fixture
def path(made, tmp_path):
    CALLS.clear()
    return shutil.copytree(made[0], tmp_path / "s.zarr")


def assert_mended(path, made, n_calls):
    """Run what is damaged again; all values are as they were, and nothing else was run."""
    CALLS.clear()
    data = sweep_at(path).retry(damaged=True, progress=False)
    assert len(CALLS) == n_calls
    for name in ("x", "v", "word", "walk"):
        np.testing.assert_array_equal(data[name].values, made[1][name].values)
    assert data.note.values.tolist() == made[1].note.values.tolist()
    assert tk.check(path).findings == ()


def flip(file, at=-6):
    raw = bytearray(file.read_bytes())
    raw[at] ^= 4
    file.write_bytes(raw)


def delete(file):
    file.unlink()


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def empty(file):
    os.truncate(file, 0)


def test_a_sound_store_has_no_findings(path):
    report = tk.check(path)
    assert report.is_sound
    assert report.findings == ()
    assert report.n_chunks > 10
    assert len(report.runs()) == 0
    assert "sound" in str(report)


@pytest.mark.parametrize("harm", [flip, delete, truncate, empty])
@pytest.mark.parametrize(
    "place", ["x/c.0", "v/c.0.0", "word/c.0", "note/c.0", "note.start/c.0", "walk/c.0"]
)
def test_a_damaged_chunk_is_found_with_its_runs_and_mended(path, made, harm, place):
    harm(path / place)
    report = tk.check(path)
    assert not report.is_sound
    assert [finding.place for finding in report.findings] == [place]
    hurt = report.runs()
    expected = range(1, 5) if place == "walk/c.0" else range(5)  # a=0 walks nowhere
    assert sorted(set(hurt.a)) == list(expected)
    assert len(hurt) == N_B * len(expected)
    assert f"{place} {'is gone' if harm is delete else 'cannot be decoded'}" in str(report)
    assert_mended(path, made, len(hurt))


def test_only_the_runs_of_a_damaged_chunk_are_made_again(tmp_path):
    sweep = tk.Sweep(
        lambda a: {"v": np.random.default_rng(a).normal(size=20_000)},
        tk.grid(a=np.arange(40)),
        store=tmp_path / "s.zarr",
    )
    whole = sweep.run(progress=False)
    chunks = sorted((tmp_path / "s.zarr" / "v").glob("c.*"))
    assert len(chunks) > 1
    flip(chunks[1])
    hurt = tk.check(tmp_path / "s.zarr").damaged(sweep.stages[0].name)
    assert 0 < len(hurt) < 40
    data = sweep.run(rerun="damaged", progress=False)
    again = data.attempts.values > 1
    assert np.flatnonzero(again).tolist() == hurt.tolist()
    np.testing.assert_array_equal(data.v, whole.v)


@pytest.mark.parametrize("harm", [flip, delete, truncate])
@pytest.mark.parametrize("name", ["status", "attempts", "seconds", "a"])
def test_damage_beside_the_values_is_found_and_mended(made, tmp_path, harm, name):
    CALLS.clear()
    path = shutil.copytree(made[0], tmp_path / "s.zarr")
    harm(path / name / "c.0")
    report = tk.check(path)
    assert [finding.place for finding in report.findings] == [f"{name}/c.0"]
    assert_mended(path, made, 10 if name == "status" else 0)


def test_damaged_labels_are_refused_and_need_a_copy(path, made):
    axes = sorted((path / "axes").glob("*/c.0"))
    if not axes:
        pytest.skip("the labels of this store are in its attributes")
    for harm in (flip, delete):
        kept = axes[0].read_bytes()
        harm(axes[0])
        [finding] = tk.check(path).findings
        assert "restore the store from a copy" in str(finding)
        with pytest.raises(StoreError):
            tk.open(path)
        axes[0].write_bytes(kept)
    assert tk.check(path).is_sound


def test_chunks_of_runs_that_never_were_done_are_not_missed(tmp_path):
    def fails(a):
        if a > 99:
            raise ValueError("no")
        return {"v": np.zeros(20_000)}  # nothing but what a missing chunk would read as, too

    sweep = tk.Sweep(fails, tk.grid(a=np.arange(200)), store=tmp_path / "s.zarr")
    sweep.run(progress=False)
    there = list((tmp_path / "s.zarr" / "v").glob("c.*"))
    assert 0 < len(there) < 12
    assert tk.check(tmp_path / "s.zarr").findings == ()


def test_metadata_that_does_not_fit_is_found_and_mended(path, made):
    (path / "x" / "zarr.json").write_text("{}")
    (path / "walk" / "zarr.json").unlink()
    report = tk.check(path)
    assert sorted(f.place for f in report.findings) == ["walk/zarr.json", "x/zarr.json"]
    assert_mended(path, made, 0)
    (path / "zarr.json").write_bytes((path / "zarr.json").read_bytes()[:-40])
    [finding] = tk.check(path).findings
    assert finding.place == "zarr.json"
    assert "copy" in finding.remedy


def test_left_overs_are_named_and_are_no_damage(path):
    (path / ".journal" / "0123.tmp").write_bytes(b"half")
    shutil.copytree(path / "x", path / "x~2")
    shutil.copy(path / "x" / "c.0", path / "x" / "c.7")
    report = tk.check(path)
    assert report.is_sound
    assert {finding.place for finding in report.findings} == {".journal/0123.tmp", "x~2", "x/c.7"}


@pytest.fixture
def journalled(tmp_path, kit):
    """A store whose driver has died: outcomes of 20 runs are in a journal only."""
    path = tmp_path / "j.zarr"
    store = ZarrStore.create_or_open(path)
    store.acquire()
    driver = kit.driver(store)
    driver.register(tk.grid(a=np.arange(40)))
    driver.runs.set_schema(kit.number, 16)
    for first in range(0, 20, 5):
        driver.block(np.arange(first, first + 5))
    close_sinks()
    store._lock.release()
    [journal] = (path / ".journal").glob("*.journal")
    yield path, journal
    close_sinks()


def test_what_is_journalled_only_is_not_missed(journalled):
    assert tk.check(journalled[0]).findings == ()


def test_a_torn_tail_is_no_damage(journalled):
    path, journal = journalled
    os.truncate(journal, journal.stat().st_size - 7)
    report = tk.check(path)
    assert report.is_sound
    assert "torn tail" in str(report)


def test_a_flipped_bit_in_a_journal_is_damage(journalled):
    path, journal = journalled
    flip(journal, PAGE + 300)
    report = tk.check(path)
    assert not report.is_sound
    assert "whole records behind it" in str(report)
    assert "outcomes of" in str(report)


def test_foreign_bytes_are_damage(journalled):
    path, journal = journalled
    with journal.open("ab") as file:
        file.write(b"not a record" * 9)
    (path / ".journal" / "foreign.journal").write_bytes(os.urandom(2 * PAGE))
    report = tk.check(path)
    assert [finding.is_damage for finding in report.findings] == [True, True]
    assert "does not begin as a journal" in str(report)


def test_a_chunk_that_is_gone_when_others_are_patched_in_is_not_blank_in_silence(tmp_path, kit):
    store = ZarrStore.create_or_open(tmp_path / "s.zarr")
    store.acquire()
    driver = kit.driver(store)
    driver.register(tk.grid(a=np.arange(32)))
    driver.runs.set_schema(kit.number, 16)
    driver.block(np.arange(10))
    driver.runs.fold(force=True)
    (tmp_path / "s.zarr" / "x" / "c.0").write_bytes(b"broken")
    driver.block(np.arange(10, 13))
    with pytest.warns(UserWarning, match="10 runs are lost"):
        driver.runs.fold(force=True)
    assert driver.runs.state.status[:16].tolist() == [0] * 10 + [1] * 3 + [0] * 3
    assert driver.runs.read("x", np.arange(10, 13)).tolist() == [20, 22, 24]
    store.release()
    close_sinks()
    assert tk.check(tmp_path / "s.zarr").is_sound


def test_a_store_that_moved_or_was_copied_while_idle_works(path, made, tmp_path):
    path.rename(tmp_path / "elsewhere.zarr")
    shutil.copytree(tmp_path / "elsewhere.zarr", tmp_path / "copy.zarr")
    for name in ("elsewhere.zarr", "copy.zarr"):
        CALLS.clear()
        assert tk.check(tmp_path / name).findings == ()
        more = sweep_at(tmp_path / name).extend(a=[5]).run(progress=False)
        assert sorted(CALLS) == [(5, 0), (5, 1)]
        np.testing.assert_array_equal(more.x.sel(a=made[1].a), made[1].x)
    assert tk.status(tmp_path / "copy.zarr")["done"].item() == 12


def test_a_store_in_use_can_be_checked_and_is_not_repaired(path):
    store = ZarrStore.create_or_open(path)
    store.acquire()
    try:
        assert tk.check(path).is_in_use
        with pytest.raises(StoreError, match="in use"):
            sweep_at(path).run(rerun="damaged", progress=False)
    finally:
        store.release()


def test_no_store_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        tk.check(tmp_path / "none.zarr")


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=16), st.data())
def test_no_flipped_bit_of_a_chunk_is_taken_for_a_value(values, data):
    array = Stored(key="x", dtype=np.dtype("<f8"), chunk=(16,))
    given_values = np.resize(np.array(values), 16)
    raw = bytearray(encode(array, given_values))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        found = decode(array, bytes(raw))
    except ValueError:
        return
    np.testing.assert_array_equal(found, given_values)  # a bit that means nothing
