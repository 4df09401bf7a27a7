"""The contract of a stage's runs, for stores on disk and in memory alike."""

import shutil

import numpy as np
import pytest

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.spaces.grid import grid
from toolkit.stages.failure import type_name
from toolkit.stages.identity import Identity
from toolkit.stages.schema import Coord, RaggedColumn, Schema, SchemaMismatch, Variable
from toolkit.stores.files.storage import Folder
from toolkit.stores.runs.sink import close_sinks
from toolkit.stores.zarr_store import ZarrStore

EVERYTHING = Schema(
    variables=(
        Variable(name="flag", dtype="|b1"),
        Variable(name="count", dtype="<i4", attrs={"units": "1"}),
        Variable(name="z", dtype="<c16", dims=("k",), shape=(3,)),
        Variable(name="when", dtype="<M8[ns]"),
        Variable(name="lag", dtype="<m8[ns]"),
        Variable(name="word", kind="text"),
        Variable(name="words", kind="text", dims=("k",), shape=(3,)),
        Variable(name="spikes", kind="ragged", dtype="<f8", dims=("spike",)),
        Variable(name="thing", kind="object"),
        Variable(name="nothing", dtype="<f8", dims=("none",), shape=(0,)),
    ),
    coords={"k": Coord(dims=("k",), values=np.array([10.0, 20.0, 30.0]), attrs={"units": "m"})},
)


def columns_of(ids):
    n = len(ids)
    lengths = np.asarray(ids) % 4
    words = np.empty(n, object)
    words[:] = [f"é{i}" * (i % 3) for i in ids]
    grid_of_words = np.empty((n, 3), object)
    grid_of_words[:] = [[f"a{i}", "", "\n"] for i in ids]
    spikes = [np.arange(k) + 100.0 * i for i, k in zip(ids, lengths, strict=True)]
    pickles = [bytes([i % 250]) * (i % 5 + 1) for i in ids]
    return [
        np.asarray(ids) % 2 == 0,
        np.asarray(ids, "i4") - 3,
        np.asarray(ids)[:, None] * np.array([1, 1j, -1]),
        np.asarray(ids, "i8").view("M8[ns]"),
        np.asarray(ids, "i8").view("m8[ns]"),
        words,
        grid_of_words,
        RaggedColumn(lengths, np.concatenate(spikes)),
        RaggedColumn(np.array([len(p) for p in pickles]), np.frombuffer(b"".join(pickles), "u1")),
        np.zeros((n, 0)),
    ]  # fmt: skip


def assert_columns(runs, ids):
    for name, wanted in zip(EVERYTHING.names, columns_of(ids), strict=True):
        found = runs.read(name, np.asarray(ids))
        if isinstance(wanted, RaggedColumn):
            assert found.lengths.tolist() == wanted.lengths.tolist()
            assert found.values.tolist() == wanted.values.tolist()
        else:
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


def test_every_kind_of_output_comes_back_as_it_was(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(20)))
    ids = np.array([3, 17, 4, 0])
    seen = driver.block(ids, kit.outcomes(ids, EVERYTHING, columns_of(ids)))
    driver.runs.set_schema(seen.schema, 8)
    assert_columns(driver.runs, ids)
    driver.runs.fold(force=True)
    assert_columns(driver.runs, ids)
    more = np.array([5, 6, 18, 19])
    driver.block(more, kit.outcomes(more, EVERYTHING, columns_of(more)))
    assert_columns(driver.runs, [*ids, *more])
    driver.runs.fold(force=True)
    driver.store.release()
    again = kit.driver(make_store())
    assert_columns(again.runs, [*ids, *more])
    assert again.runs.schema == EVERYTHING
    assert again.runs.state.status.tolist() == [1, 0, 0, 1, 1, 1, 1, *[0] * 10, 1, 1, 1]


def test_values_are_read_before_the_schema_is_set(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(4)))
    driver.block([1, 2])
    np.testing.assert_array_equal(driver.runs.read("x", slice(None)), [np.nan, 2, 4, np.nan])


def test_state_follows_the_outcomes(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(6)))
    result = kit.outcomes([0, 1, 2])
    result.status[1] = Status.FAILED
    result.peak_memory[:] = [1e6, 2e6, np.nan]
    driver.block([0, 1, 2], result)
    state = driver.runs.state
    assert state.status.tolist() == [1, 2, 1, 0, 0, 0]
    assert state.attempts.tolist() == [1, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(state.seconds[:4], [0.1, 0.15, 0.2, np.nan])
    np.testing.assert_allclose(state.peak_memory[:3], [1e6, 2e6, np.nan])


def test_a_repeated_record_changes_nothing(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(6)))
    assert driver.block([0, 1]).ids.tolist() == [0, 1]
    assert driver.block([0, 1], kit.failures([0, 1])).ids.tolist() == []
    assert driver.runs.state.status[:2].tolist() == [1, 1]


def test_a_reset_run_takes_the_next_attempt(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(6)))
    driver.block([0, 1], kit.failures([0, 1], "first"))
    driver.block([0], kit.failures([0], "late"), attempt=1)
    driver.runs.reset(np.array([1]))
    driver.block([1], attempt=2)
    assert driver.runs.state.status[:2].tolist() == [Status.FAILED, Status.DONE]
    assert driver.runs.state.attempts[:2].tolist() == [1, 2]
    assert driver.runs.read("x", np.array([1])).tolist() == [2.0]


def test_attempts_stop_counting_at_255(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(2)))
    driver.block([0], kit.failures([0]), attempt=300)
    driver.runs.reset(np.array([0]))
    driver.block([0], attempt=301)
    assert driver.runs.state.status[0] == Status.DONE
    assert driver.runs.state.attempts[0] == 255


def test_failures_are_told_with_their_traceback(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(6)))
    seen = driver.block([4, 5], kit.failures([4, 5], "too \ud800 hot"))
    assert [item.failure.run for item in seen.failures] == [4, 5]
    driver.runs.set_schema(kit.number, 4)
    driver.runs.fold(force=True)
    driver.runs.reset(np.array([5]))
    driver.block([5], kit.failures([5], "again"), attempt=2)
    driver.runs.fold(force=True)
    found = driver.runs.failures()
    assert [(f["run"], f["attempt"], f["message"]) for f in found] == [
        (4, 1, "too \ud800 hot"),
        (5, 2, "again"),
    ]
    assert found[0]["exception"] == "ValueError"
    assert found[0]["traceback"] == "line 1\nline 2"
    driver.runs.reset(np.array([4]))
    driver.block([4], attempt=2)
    assert [f["run"] for f in driver.runs.failures()] == [5]


def test_a_growing_space_keeps_ids_across_a_partly_filled_chunk(make_store, kit):
    driver = kit.driver(make_store())
    first = driver.register(grid(a=np.arange(5)))
    driver.runs.set_schema(kit.number, 4)
    driver.block(first)
    driver.runs.fold(force=True)
    second = driver.register(grid(a=np.arange(7)))
    assert second.tolist() == list(range(7))
    driver.block([5, 6])
    driver.runs.fold(force=True)
    third = driver.register(grid(a=[0.5, 3, 11, 12, 13]))
    assert third.tolist() == [7, 3, 8, 9, 10]
    driver.chunk(8, 11)
    driver.block([7])
    driver.runs.fold(force=True)
    assert driver.runs.read("x", slice(None)).tolist() == [2.0 * i for i in range(11)]
    driver.store.release()
    again = kit.driver(make_store()).runs
    assert again.read("x", slice(None)).tolist() == [2.0 * i for i in range(11)]
    assert (again.state.status == Status.DONE).all()


def test_whole_chunks_and_single_runs_meet(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(30)))
    driver.runs.set_schema(kit.number, 8)
    driver.chunk(8, 16)
    driver.block(np.array([25, 3, 29]))
    driver.chunk(24, 30)  # its runs 25 and 29 have outcomes already
    driver.runs.fold(force=True)
    found = driver.runs.read("x", slice(None))
    done = [3, *range(8, 16), *range(24, 30)]
    assert np.flatnonzero(driver.runs.state.status == Status.DONE).tolist() == done
    assert found[done].tolist() == [2.0 * i for i in done]
    assert np.isnan(np.delete(found, done)).all()


def test_nothing_is_patched_into_a_held_chunk(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(16)))
    driver.runs.set_schema(kit.number, 8)
    driver.runs.hold([1])
    driver.block(np.array([2, 9]))
    driver.runs.fold(force=True)
    assert driver.runs.read("x", np.array([2, 9])).tolist() == [4.0, 18.0]
    stored = driver.store.hierarchy.read("x", 0, 16)
    assert stored[2] == 4.0
    assert np.isnan(stored[9])
    assert driver.store.hierarchy.read("status", 0, 16)[[2, 9]].tolist() == [1, 0]
    driver.runs.unhold([1])
    driver.runs.fold(force=True)
    assert driver.store.hierarchy.read("x", 0, 16)[9] == 18.0
    assert driver.store.hierarchy.read("status", 0, 16)[9] == 1


def test_a_wider_type_rewrites_the_variable(make_store, kit):
    ints = Schema(variables=(Variable(name="x", dtype="<i8"), Variable(name="y", dtype="<f8")))
    floats = Schema(variables=(Variable(name="x", dtype="<f8"), Variable(name="y", dtype="<f8")))
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(10)))
    driver.runs.set_schema(ints, 4)
    driver.block([0, 9], kit.outcomes([0, 9], ints, [np.array([7, 2**53]), np.zeros(2)]))
    driver.runs.fold(force=True)
    driver.block([1], kit.outcomes([1], ints, [np.array([-1]), np.zeros(1)]))
    seen = driver.block([2], kit.outcomes([2], floats, [np.array([0.5]), np.zeros(1)]))
    assert seen.schema == floats
    assert driver.runs.read("x", np.array([0, 1, 2])).tolist() == [7.0, -1.0, 0.5]
    driver.runs.set_schema(seen.schema)
    driver.runs.fold(force=True)
    driver.store.release()
    again = kit.driver(make_store()).runs
    assert again.schema == floats
    assert again.read("x", np.array([0, 9, 1, 2])).tolist() == [7.0, 2.0**53, -1.0, 0.5]


def test_a_run_that_would_cut_stored_values_fails_by_name(make_store, kit):
    ints = Schema(variables=(Variable(name="x", dtype="<i8"),))
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(10)))
    driver.runs.set_schema(ints, 4)
    driver.block([0], kit.outcomes([0], ints, [np.array([2**53 + 1])]))
    driver.runs.fold(force=True)
    seen = driver.block([1, 2], kit.outcomes([1, 2], kit.number, [np.array([0.5, 1.5])]))
    assert seen.schema == ints
    assert driver.runs.state.status[:3].tolist() == [1, 2, 2]
    assert [item.failure.exception for item in seen.failures] == [type_name(SchemaMismatch)] * 2
    assert str(2**53 + 1) in seen.failures[0].failure.message
    assert driver.runs.read("x", np.array([0])).tolist() == [2**53 + 1]


def test_a_run_of_another_shape_fails_and_both_shapes_are_named(make_store, kit):
    two = Schema(variables=(Variable(name="v", dtype="<f8", dims=("k",), shape=(2,)),))
    three = Schema(variables=(Variable(name="v", dtype="<f8", dims=("k",), shape=(3,)),))
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(10)))
    driver.block([0], kit.outcomes([0], two, [np.zeros((1, 2))]))
    seen = driver.block([1, 2], kit.outcomes([1, 2], three, [np.zeros((2, 3))]))
    assert driver.runs.state.status[:3].tolist() == [1, 2, 2]
    assert "(2,) then (3,)" in seen.failures[0].failure.message


def test_cells_that_are_left_out_are_skipped_until_they_are_asked_for(make_store, kit):
    driver = kit.driver(make_store())
    space = grid(a=np.arange(4), b=np.arange(4))
    ids = driver.register(space.where(lambda a, b: a + b > 0))
    status = driver.runs.state.status
    assert (status[ids] == Status.PENDING).all()
    if len(status) > len(ids):
        assert (np.delete(status, ids) == Status.SKIPPED).all()
    everything = driver.register(space)
    assert (driver.runs.state.status[everything] == Status.PENDING).all()


def test_wide_runs_take_a_chunk_each(make_store, kit):
    wide = Schema(variables=(Variable(name="v", dtype="<f4", dims=("t",), shape=(5000,)),))
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(3)))
    driver.runs.set_schema(wide, 1)
    rng = np.random.default_rng(0)
    values = rng.random((3, 5000), np.float32)
    driver.chunk(1, 2, kit.outcomes([1], wide, [values[1:2]]))
    driver.block([2, 0], kit.outcomes([2, 0], wide, [values[[2, 0]]]))
    driver.runs.fold(force=True)
    np.testing.assert_array_equal(driver.runs.read("v", slice(None)), values)


def test_values_of_a_space_come_from_inline_blocks(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(9)))
    seen = driver.block(np.array([7, 2]))
    ids, columns = seen.columns()
    assert ids.tolist() == [2, 7]
    assert columns[0].tolist() == [4.0, 14.0]


def test_two_stages_lie_side_by_side(make_store, kit):
    store = make_store()
    one, two = kit.driver(store, "one"), kit.driver(store, "two")
    one.register(grid(a=np.arange(3)))
    two.register(grid(a=np.arange(3), b=np.arange(2)))
    one.block([0, 1])
    two.block([5])
    for driver in (one, two):
        driver.runs.set_schema(kit.number, 4)
        driver.runs.fold(force=True)
    assert one.runs.state.status.tolist() == [1, 1, 0]
    assert two.runs.state.status.tolist() == [0, 0, 0, 0, 0, 1]
    assert store.stage_names == ("one", "two")
    store.release()
    again = make_store()
    assert again.stage("two").read("x", np.array([5])).tolist() == [10.0]
    with pytest.raises(StoreError, match=r"no stage 'three'.*one, two"):
        again.stage("three")


def test_records_of_runs_that_do_not_exist_are_left_alone(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(3)))
    assert driver.block([2, 3]).ids.tolist() == []
    assert driver.block([-1]).ids.tolist() == []
    assert driver.block([1]).ids.tolist() == [1]


def test_an_output_may_not_bear_the_name_of_what_the_store_uses(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(3)))
    schema = Schema(variables=(Variable(name="a", dtype="<f8"),))
    with pytest.raises(StoreError, match="Output 'a'"):
        driver.runs.set_schema(schema, 4)
    with pytest.raises(StoreError, match="power of two"):
        driver.runs.set_schema(kit.number, 3)


def test_an_unknown_output_is_an_error_that_lists_them(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(3)))
    with pytest.raises(StoreError, match="Its outputs: none yet"):
        driver.runs.read("y", slice(None))
    driver.runs.set_schema(kit.number, 4)
    with pytest.raises(StoreError, match="Its outputs: x"):
        driver.runs.read("y", slice(None))


def test_a_small_store_that_grows_large_keeps_its_state_in_few_chunks(make_store, kit):
    driver = kit.driver(make_store())
    driver.register(grid(a=np.arange(10)))
    driver.runs.set_schema(kit.number, 1 << 14)
    driver.block([3])
    driver.runs.fold(force=True)
    driver.runs.register(grid(a=np.arange(10), b=np.arange(10000.0)), defaults={"b": 0.0})
    driver.runs.fold(force=True)
    assert driver.store.hierarchy.array("status").chunk[0] >= 1 << 16
    assert driver.runs.state.status[3] == Status.DONE
    driver.store.release()
    again = kit.driver(make_store()).runs
    assert np.flatnonzero(again.state.status).tolist() == [3]
    assert again.state.attempts[3] == 1


def test_a_store_that_noted_no_makers_knows_its_last_code_and_its_stale_runs(tmp_path, kit):
    path = tmp_path / "old.zarr"
    store = ZarrStore.create_or_open(path, {"code": {"f": {"token": "b", "parts": {}}}})
    store.acquire()
    driver = kit.driver(store)
    driver.register(grid(a=np.arange(4)))
    driver.block(range(4))
    driver.runs.set_schema(kit.number, 4)
    driver.runs.state.set_status(np.array([0, 1]), Status.STALE)
    store.release()
    close_sinks()

    store = ZarrStore.create_or_open(path)
    store.acquire()
    runs = store.stage("f")
    runs.settle_identity(Identity(token="b"))
    assert runs.state.status.tolist() == [4, 4, 1, 1]
    runs.settle_identity(Identity(token="c"))
    assert runs.state.status.tolist() == [4, 4, 4, 4]
    store.release()

    store = ZarrStore.create_or_open(path)
    store.acquire()
    store.stage("f").settle_identity(Identity(token="b"))
    store.release()
    assert ZarrStore.read(path).stage("f").state.status.tolist() == [4, 4, 1, 1]


@pytest.mark.parametrize("settled", [False, True])
def test_no_write_leaves_an_old_value_under_a_new_number(tmp_path, kit, monkeypatch, settled):
    path = tmp_path / "s.zarr"
    store = ZarrStore.create_or_open(path)
    store.acquire()
    driver = kit.driver(store)
    driver.register(grid(a=np.arange(4)))
    driver.runs.settle_identity(Identity(token="old"))
    driver.runs.set_schema(kit.number, 4)
    driver.block(range(4))
    store.release()

    store = ZarrStore.create_or_open(path)
    store.acquire()
    driver = kit.driver(store)
    driver.runs.settle_identity(Identity(token="new"))
    if settled:  # its values wait in the journal while the state is written
        driver.runs.hold([0])
    driver.runs.reset(np.arange(2))
    driver.block([0, 1], kit.outcomes([0, 1], columns=[np.array([-1.0, -2.0])]), attempt=2)
    put, copies = Folder.put, []

    def spied(self, key, data):
        put(self, key, data)
        copies.append(tmp_path / f"copy{len(copies)}.zarr")
        shutil.copytree(path, copies[-1], ignore=shutil.ignore_patterns("lock.json"))

    monkeypatch.setattr(Folder, "put", spied)
    driver.runs.fold(force=True)
    monkeypatch.undo()
    assert copies
    for copy in copies:
        runs = ZarrStore.read(copy).stage("f")
        is_new = runs.read("x", np.arange(4)) < 0
        assert is_new.tolist() == [True, True, False, False]
        for token, makes in (("old", ~is_new), ("new", is_new)):
            status = runs.status_under(Identity(token=token), np.arange(4))
            assert (status == np.where(makes, 1, 4)).all(), (copy, token)
    driver.runs.unhold([0])
    store.release()
    close_sinks()
