"""Stores on disk: takeover, resume, plain reading, and all that may be wrong with a folder."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.spaces.grid import grid
from toolkit.stages.schema import Coord, RaggedColumn, Schema, Variable
from toolkit.stores.files.epoch import StaleWorker, StoreGone, Turn, read_turn, write_turn
from toolkit.stores.reading import open as stores_open
from toolkit.stores.runs.roster import Roster
from toolkit.stores.runs.sink import close_sinks, open_sink
from toolkit.stores.zarr_store import ZarrStore


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "s.zarr"
    close_sinks()


def opened(path):
    store = ZarrStore.create_or_open(path, {"made": "by a test"})
    store.acquire()
    return store


def abandoned(store):
    """Leave a store as a killed driver does: nothing folded, the lock stale."""
    store._lock._stop.set()
    os.unlink(os.path.join(store.path, ".journal", "lock.json"))


def journals(path):
    return [name for name in os.listdir(path / ".journal") if name.endswith(".journal")]


def test_a_killed_driver_loses_nothing(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(20)))
    driver.runs.set_schema(kit.number, 8)
    driver.chunk(8, 16)
    driver.block(np.array([1, 17]))
    driver.block([2], kit.failures([2]))
    abandoned(driver.store)
    again = kit.driver(opened(path))
    assert again.store.epoch == driver.store.epoch + 1
    assert again.runs.state.status.tolist() == [0, 1, 2, 0, 0, 0, 0, 0, *[1] * 8, 0, 1, 0, 0]
    assert again.runs.read("x", np.array([1, 9, 17])).tolist() == [2.0, 18.0, 34.0]
    assert [f["run"] for f in again.runs.failures()] == [2]
    assert journals(path) == []
    again.store.release()


def test_a_reader_sees_every_run_though_its_journal_goes_after_the_arrays_were_read(
    path, kit, monkeypatch
):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(20)))
    driver.runs.set_schema(kit.number, 8)
    driver.runs.fold(force=True)
    driver.block(np.arange(5))
    open_all = Roster.open_all

    def then_the_driver_ends(self):
        open_all(self)
        if driver.store._lock.is_held:
            assert self.open_runs[0].state.status[0] == Status.PENDING
            driver.store.release()

    monkeypatch.setattr(Roster, "open_all", then_the_driver_ends)
    seen = ZarrStore.read(path).stage("f")
    assert journals(path) == []
    assert seen.state.status[:5].tolist() == [Status.DONE] * 5
    assert seen.read("x", np.arange(5)).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_reader_looks_again_where_an_array_was_replaced_between_its_looks(path, kit, monkeypatch):
    driver = kit.driver(opened(path))
    driver.register(grid(a=[1.0, 3.0]))
    driver.runs.set_schema(kit.number, 8)
    driver.block([0, 1])
    open_all = Roster.open_all
    looks = []

    def after_the_driver_has_replaced_an_array(self):
        looks.append(self)
        if len(looks) == 1:
            before = set(os.listdir(path / "axes"))
            driver.register(grid(a=[1.0, 2.0, 3.0]))
            assert not before <= set(os.listdir(path / "axes"))
        open_all(self)

    monkeypatch.setattr(Roster, "open_all", after_the_driver_has_replaced_an_array)
    seen = ZarrStore.read(path).stage("f")
    assert len(looks) == 2
    assert seen.n_runs == 3
    driver.store.release()


def test_a_reader_says_at_once_what_is_damaged_in_a_store_at_rest(path, kit, monkeypatch):
    driver = kit.driver(opened(path))
    driver.register(grid(a=[1.0, 3.0]))
    driver.store.release()
    [axis] = [each for each in (path / "axes").iterdir() if each.is_dir()]
    next(each for each in axis.iterdir() if each.name != "zarr.json").unlink()
    looks = []
    monkeypatch.setattr(Roster, "open_all", _counted(Roster.open_all, looks))
    with pytest.raises(StoreError, match="is gone"):
        ZarrStore.read(path)
    assert len(looks) == 1


def _counted(method, calls):
    def counted(self):
        calls.append(self)
        return method(self)

    return counted


def test_a_lock_that_cannot_be_given_back_is_told_as_the_stores(path, monkeypatch):
    store = opened(path)

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(StoreError, match="Change the permissions"):
            store._lock.release()


@pytest.mark.parametrize("moment", ["patched", "state", "marker"])
def test_a_fold_that_was_cut_short_is_done_again(path, kit, monkeypatch, moment):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(20)))
    driver.runs.set_schema(kit.number, 8)
    driver.block(np.array([1, 17]))
    driver.block([2], kit.failures([2]))

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if moment == "patched":
            patched.setattr("toolkit.stores.runs.fold.Fold.write_state", die)
        elif moment == "state":
            patched.setattr("toolkit.stores.arrays.parameters.Parameters.write_piece", die)
        else:
            patched.setattr("toolkit.stores.zarr_store.ZarrStore.write_marker", die)
        with pytest.raises(KeyboardInterrupt):
            driver.runs.fold(force=True)
    abandoned(driver.store)
    again = kit.driver(opened(path))
    assert np.flatnonzero(again.runs.state.status).tolist() == [1, 2, 17]
    assert again.runs.state.attempts[[1, 2, 17]].tolist() == [1, 1, 1]
    assert again.runs.read("x", np.array([1, 17])).tolist() == [2.0, 34.0]
    assert len(again.runs.failures()) == 1
    again.store.release()


def test_values_that_wait_are_not_said_to_be_there(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(20)))
    driver.runs.set_schema(kit.number, 8)
    driver.runs.hold([0])
    driver.block([1, 9])
    driver.runs.fold(force=True)
    abandoned(driver.store)
    again = kit.driver(opened(path))
    assert again.runs.read("x", np.array([1, 9])).tolist() == [2.0, 18.0]
    assert np.flatnonzero(again.runs.state.status).tolist() == [1, 9]
    again.store.release()


def test_a_reader_sees_what_is_journalled(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(20)))
    driver.runs.set_schema(kit.number, 8)
    driver.block([1, 9])
    driver.runs.fold(force=True)
    driver.block([2, 11])
    runs = ZarrStore.read(path).stage("f")
    assert np.flatnonzero(runs.state.status).tolist() == [1, 2, 9, 11]
    assert runs.read("x", np.array([11, 1])).tolist() == [22.0, 2.0]
    with pytest.raises(StoreError, match="reading only"):
        runs.fold()
    driver.store.release()


def test_the_run_in_progress_is_known(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(20)))
    sink = open_sink(driver.runs.sink_spec())
    sink.check()
    sink.mark[0] = 7
    assert list(driver.runs.collect().started.values()) == [(7,)]
    sink.started(9, 1)
    # Run 9 has ended and waits to be written: the page says that 7 is in progress.
    assert list(driver.runs.collect().started.values()) == [(7,)]
    sink.mark[0] = -1
    assert list(driver.runs.collect().started.values()) == [(9,)]
    sink.block(np.array([7, 9]), kit.outcomes([7, 9]), 1)
    assert driver.runs.collect().started == {}
    driver.store.release()


def test_a_worker_of_an_older_driver_stops_and_its_last_result_counts(path, kit):
    first = kit.driver(opened(path))
    first.register(grid(a=np.arange(20)))
    first.runs.set_schema(kit.number, 8)
    sink = open_sink(first.runs.sink_spec())
    sink.check()
    abandoned(first.store)
    second = kit.driver(opened(path))
    second.runs.collect()
    with pytest.raises(StaleWorker, match="Another driver"):
        sink.block(np.array([3]), kit.outcomes([3]), 1)
    with pytest.raises(StaleWorker):
        sink.chunk(8, 16, kit.outcomes(np.arange(8, 16)), 1)
    with pytest.raises(StaleWorker):
        sink.check()
    second.runs.collect()
    assert np.flatnonzero(second.runs.state.status).tolist() == [3, *range(8, 16)]
    second.store.release()


def test_a_late_result_of_a_run_that_has_begun_again_is_dropped(path, kit):
    first = kit.driver(opened(path))
    first.register(grid(a=np.arange(20)))
    sink = open_sink(first.runs.sink_spec())
    abandoned(first.store)
    second = kit.driver(opened(path))
    with pytest.raises(StaleWorker):
        sink.block(np.array([4]), kit.failures([4]), 1)
    open_sink(second.runs.sink_spec()).started(4, 1)
    second.runs.collect()
    # The order in which journals are read is that of their names: both orders are right.
    assert second.runs.state.status[4] in (Status.PENDING, Status.FAILED)
    with pytest.raises(StaleWorker):
        sink.block(np.array([4]), kit.failures([4]), 1)
    before = second.runs.state.status[4]
    second.runs.collect()
    assert second.runs.state.status[4] == before
    second.store.release()


def test_a_store_made_again_on_a_living_worker_gets_a_new_journal(path, kit):
    import shutil

    first = kit.driver(opened(path))
    first.register(grid(a=np.arange(4)))
    first.block([0])
    old = open_sink(first.runs.sink_spec())
    first.store._lock._stop.set()
    shutil.rmtree(path)
    with pytest.raises(StoreGone, match="not there"):
        old.check()
    second = kit.driver(opened(path))
    second.register(grid(a=np.arange(4)))
    with pytest.raises(StoreGone, match="another store"):
        old.check()
    with pytest.raises(StoreGone):
        old.block(np.array([1]), kit.outcomes([1]), 1)
    assert second.block([2]).ids.tolist() == [2]
    with pytest.raises(StoreError, match="deleted or replaced"):
        first.runs.fold()
    second.store.release()


def test_a_journal_that_was_deleted_is_made_anew(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(4)))
    driver.block([0])
    [name] = journals(path)
    os.unlink(path / ".journal" / name)
    assert driver.block([1]).ids.tolist() == [1]
    assert journals(path) != [name]
    driver.store.release()


def test_a_worker_alone_gets_the_next_turn_from_the_file(path, kit):
    driver = kit.driver(opened(path))
    turn = read_turn(str(path))
    write_turn(str(path), Turn(turn.identity, turn.epoch + 5))
    with pytest.raises(StaleWorker):
        open_sink(driver.runs.sink_spec())
    driver.store.release()


def test_an_exchange_of_an_array_is_completed_after_a_crash(path, kit, monkeypatch):
    ints = Schema(variables=(Variable(name="x", dtype="<i8"),))
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(10)))
    driver.runs.set_schema(ints, 4)
    driver.block([1], kit.outcomes([1], ints, [np.array([5])]))
    driver.runs.fold(force=True)
    driver.block([2], kit.outcomes([2], kit.number, [np.array([0.5])]))
    with monkeypatch.context() as patched:
        patched.setattr(
            "toolkit.stores.files.storage.Folder.replace_tree",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            driver.runs.set_schema(kit.number)
    abandoned(driver.store)
    again = kit.driver(opened(path))
    assert again.runs.schema == kit.number
    assert again.runs.read("x", np.array([1, 2])).tolist() == [5.0, 0.5]
    again.store.release()


PLAIN = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np, xarray as xr
data = xr.open_zarr(sys.argv[1], chunks=None).load()
assert not any(name.startswith("toolkit") for name in sys.modules)
names = {"status", "attempts", "seconds", "peak_memory", "a", "site", "day", "k"}
assert set(data.coords) == names, data
assert set(data.xindexes) == {"k"}
assert data.status.attrs["flag_meanings"].split()[data.status.values[2]] == "done"
assert list(data.status.attrs["flag_values"]) == [0, 1, 2, 3, 4, 5]
assert data.a.values.tolist() == [1, 1, 2, 2]
assert data.site.values.tolist() == ["n\\u00f6rd"] * 4
assert data.day.values.astype("M8[D]").astype(str).tolist() == ["2020-01-01", "2020-01-02"] * 2
assert str(data.when.values[2]) == "2021-01-01T00:00:00.000000001"
assert np.isnat(data.when.values[0])
assert data.lag.dtype.kind == "m" and data.lag.values[2] == np.timedelta64(5, "ns")
assert data.word.values.tolist() == ["", "", "\\u00e9t\\u00e9", ""]
assert data.flag.dtype == bool and data.flag.values[2]
assert data.z.values[2].tolist() == [1j, 2.0] and np.isnan(data.z.values[0].real).all()
assert data.z.attrs["units"] == "V"
first, n = int(data["spikes.start"][2]), int(data["spikes.length"][2])
assert data.spikes.values[first:first + n].tolist() == [0.5, 0.25]
assert data.thing.dtype == np.uint8
assert data["count"].values.tolist() == [0, 0, 3, 0]
"""


def test_plain_xarray_reads_everything_without_this_package(path, kit):
    schema = Schema(
        variables=(
            Variable(name="count", dtype="<i2"),
            Variable(name="flag", dtype="|b1"),
            Variable(name="z", dtype="<c8", dims=("k",), shape=(2,), attrs={"units": "V"}),
            Variable(name="when", dtype="<M8[ns]"),
            Variable(name="lag", dtype="<m8[ns]"),
            Variable(name="word", kind="text"),
            Variable(name="spikes", kind="ragged", dtype="<f4", dims=("spike",)),
            Variable(name="thing", kind="object"),
        ),
        coords={"k": Coord(dims=("k",), values=np.array([1.5, 2.5]))},
        attrs={"title": "a test"},
    )
    columns = [
        np.array([3], "i2"),
        np.array([True]),
        np.array([[1j, 2]], "c8"),
        np.array(["2021-01-01T00:00:00.000000001"], "M8[ns]"),
        np.array([5], "m8[ns]"),
        np.array(["été"], object),
        RaggedColumn(np.array([2]), np.array([0.5, 0.25], "f4")),
        RaggedColumn(np.array([3]), np.array([1, 2, 3], "u1")),
    ]
    days = np.array(["2020-01-01", "2020-01-02"], "M8[ns]")
    driver = kit.driver(opened(path))
    driver.register(grid(a=[1, 2], site="nörd", day=days))
    driver.runs.set_schema(schema, 4)
    driver.block([2], kit.outcomes([2], schema, columns))
    driver.store.release()
    subprocess.run([sys.executable, "-c", PLAIN, str(path)], check=True, cwd="/")
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    assert attributes["provenance"] == {"made": "by a test"}
    assert attributes["title"] == "a test"


def test_few_files_whatever_the_number_of_runs(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(1000), b=np.arange(100)))
    driver.runs.set_schema(kit.number, 1 << 15)
    for lo in range(0, 100_000, 5000):
        driver.block(np.arange(lo, lo + 5000))
        driver.runs.fold()
    driver.store.release()
    assert sum(len(d) + len(f) for _, d, f in os.walk(path)) <= 1 * 4 + 50
    assert len(list((path / "x").glob("c.*"))) == 4


def test_a_newer_format_is_refused(path):
    opened(path).release()
    root = path / "zarr.json"
    document = json.loads(root.read_text())
    document["attributes"]["toolkit"]["format_version"] = 99
    root.write_text(json.dumps(document))
    for attempt in (ZarrStore.read, ZarrStore.create_or_open):
        with pytest.raises(StoreError, match=r"format version 99.*Install a newer version"):
            attempt(path)


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear all")
    for attempt in (ZarrStore.read, ZarrStore.create_or_open):
        with pytest.raises(StoreError, match=r"is no store.*letter.txt"):
            attempt(tmp_path)
    (tmp_path / "zarr.json").write_text(json.dumps({"node_type": "group", "attributes": {}}))
    with pytest.raises(StoreError, match="another program"):
        ZarrStore.read(tmp_path)
    with pytest.raises(StoreError, match="There is no store"):
        ZarrStore.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", '{"node_type": "group", "attributes": {"toolkit": {}}}', "[" * 10**5],
)
def test_damaged_metadata_is_an_error_with_the_file(path, text):
    opened(path).release()
    (path / "zarr.json").write_text(text)
    with pytest.raises(StoreError, match=r"zarr.json|is no store"):
        ZarrStore.read(path)


def test_chunks_that_are_named_otherwise_are_an_error_that_says_what_to_do(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(3)))
    driver.runs.set_schema(kit.number, 4)
    driver.store.release()
    root = path / "zarr.json"
    said = root.read_text()
    assert '"separator":"."' in said
    root.write_text(said.replace('"separator":"."', '"separator":"/"'))
    with pytest.raises(StoreError, match=r"another version.*into a new store"):
        stores_open.open(path)


def test_no_array_may_lie_outside_of_the_store(path):
    opened(path).release()
    root = path / "zarr.json"
    document = json.loads(root.read_text())
    for key in ("../x", "/etc", "a/../../b"):
        document["consolidated_metadata"]["metadata"] = {key: {"node_type": "group"}}
        root.write_text(json.dumps(document))
        with pytest.raises(StoreError, match="damaged"):
            ZarrStore.read(path)


def test_names_that_are_paths_stay_inside(path, kit):
    names = ["../up", "a/b", "..", "__x", "100%", "line\nbreak", "ü"]
    schema = Schema(variables=tuple(Variable(name=name, dtype="<f8") for name in names))
    driver = kit.driver(opened(path), "stage/../x")
    driver.register(grid({"..p q": np.arange(3)}))
    driver.runs.set_schema(schema, 4)
    driver.block([1], kit.outcomes([1], schema, [np.full(1, float(i)) for i in range(len(names))]))
    driver.store.release()
    assert sorted(os.listdir(path.parent)) == ["s.zarr"]
    runs = ZarrStore.read(path).stage("stage/../x")
    assert [runs.read(name, np.array([1]))[0] for name in names] == list(range(len(names)))


def test_a_full_disk_is_said_with_a_remedy(path, kit, monkeypatch):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(10)))
    driver.runs.set_schema(kit.number, 4)
    driver.block([1])

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("toolkit.stores.files.storage._write_all", full)
        with pytest.raises(StoreError, match=r"disk is full.*Free some space"):
            driver.runs.fold(force=True)
        patched.setattr(os, "writev", full)
        with pytest.raises(StoreError, match="disk is full"):
            driver.block([2])
    driver.block([2])
    driver.runs.fold(force=True)
    assert np.flatnonzero(driver.runs.state.status).tolist() == [1, 2]
    assert not [name for name in os.listdir(path / ".journal") if name.endswith(".tmp")]
    driver.store.release()


def test_a_place_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match=r"may not be written.*store="):
        ZarrStore.create_or_open(tmp_path / "s.zarr")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        ZarrStore.create_or_open(tmp_path / "file")


def test_a_damaged_chunk_is_named(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(10)))
    driver.runs.set_schema(kit.number, 4)
    driver.block([1])
    driver.store.release()
    for raw in (b"", b"nonsense", b"\x28\xb5\x2f\xfd" + b"\xff" * 40):
        (path / "x" / "c.0").write_bytes(raw)
        with pytest.raises(StoreError, match=r"x/c.0.*toolkit check"):
            ZarrStore.read(path).stage("f").read("x", np.array([1]))


def test_a_reader_gets_in_while_journals_are_foreign(path, kit):
    driver = kit.driver(opened(path))
    driver.register(grid(a=np.arange(10)))
    driver.block([1])
    (path / ".journal" / "foreign.journal").write_bytes(os.urandom(9000))
    (path / ".journal" / "fold.json").write_text('{"stages": {"f": {"offsets": {"x": "y"}}}}')
    (path / ".journal" / "failures.jsonl").write_bytes(b'{"stage": "f", "run": 3\n\xff\n[]\n')
    runs = ZarrStore.read(path).stage("f")
    assert np.flatnonzero(runs.state.status).tolist() == [1]
    assert runs.failures() == []
    driver.store.release()
