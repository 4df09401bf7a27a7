import threading

import pytest

import toolkit as tk
from toolkit.stores.journals import events as events_module
from toolkit.stores.journals.events import FILES, FileEvents, MemoryEvents
from toolkit.stores.zarr_store import ZarrStore


def twice(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".journal").mkdir()
    return tmp_path


@pytest.fixture(params=["memory", "file"])
def events(request, folder):
    return MemoryEvents() if request.param == "memory" else FileEvents(str(folder))


def test_an_event_has_a_head_and_its_fields_as_plain_values(events):
    events.note("run_failed", run=3, message="x" * 9000, rate=float("nan"), more={1: (2, None)})
    [line] = events.read()
    assert list(line)[:6] == ["version", "time", "event", "session", "host", "pid"]
    assert (line["version"], line["event"], line["run"]) == (1, "run_failed", 3)
    assert len(line["message"]) == 500
    assert (line["rate"], line["more"]) == (None, {"1": [2, None]})


def test_the_log_is_bounded_and_keeps_the_latest(folder, monkeypatch):
    monkeypatch.setattr(events_module, "MOST_BYTES", 5_000)
    events = FileEvents(str(folder))
    for n in range(500):
        events.note("counted", n=n)
    numbers = [line["n"] for line in events.read()]
    assert numbers == list(range(numbers[0], 500))
    assert len(numbers) > 50
    files = list((folder / ".journal").iterdir())
    assert len(files) <= FILES
    assert sum(file.stat().st_size for file in files) < FILES * 5_400


def test_a_torn_last_line_and_foreign_lines_are_skipped(folder):
    events = FileEvents(str(folder))
    events.note("first")
    path = folder / ".journal" / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": 3}\n[1]\n\xff\xfe\n' + whole[: len(whole) // 2])
    assert [line["event"] for line in events.read()] == ["first"]
    FileEvents(str(folder)).note("second")
    assert [line["event"] for line in events.read()] == ["first", "second"]


def test_threads_note_whole_lines(folder):
    events = FileEvents(str(folder))

    def work(who):
        for n in range(50):
            events.note("said", who=who, n=n)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(line["who"], line["n"]) for line in events.read()]
    assert sorted(found) == [(who, n) for who in range(4) for n in range(50)]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    FileEvents(str(tmp_path / "gone")).note("lost")


def test_a_reader_notes_nothing(tmp_path):
    store = tmp_path / "s.zarr"
    tk.Sweep(twice, {"x": [1, 2]}, store=store).run(progress=False)
    log = store / ".journal" / "events.jsonl"
    before = log.read_bytes()
    tk.open(store).twice.compute()
    tk.status(store)
    assert log.read_bytes() == before


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_sweep_tells_who_ran_what_when_and_how_it_ended(tmp_path, on_disk):
    store = tmp_path / "s.zarr" if on_disk else None
    sweep = tk.Sweep(twice, {"x": [1, 2]}, store=store, seed=7)
    sweep.run(progress=False)
    found = list(sweep._results.open().events.read())
    assert [line["event"] for line in found] == [
        "sweep_started", "stage_started", "batches", "stage_ended", "sweep_ended",
    ]  # fmt: skip
    first, last = found[0], found[-1]
    assert first["versions"]["parallel-analysis-toolkit"] == tk.__version__
    assert first["stages"] == [{"stage": "twice", "runs": 2}]
    assert (first["seed"], last["done"], last["error"]) == (7, 2, None)
    assert len({line["session"] for line in found}) == 1


def test_stages_that_are_not_kept_are_in_the_same_log(tmp_path):
    def after(twice):
        return twice + 1

    sweep = tk.Sweep([tk.stage(twice, keep=False), after], {"x": [1, 2]}, store=tmp_path / "s.zarr")
    sweep.run(progress=False)
    found = list(ZarrStore.read(tmp_path / "s.zarr").events.read())
    ended = [line["stage"] for line in found if line["event"] == "stage_ended"]
    assert ended == ["twice", "after"]


def test_an_error_is_told(tmp_path):
    def fails(x):
        raise ValueError(f"no {x}")

    store = tmp_path / "s.zarr"
    with pytest.raises(tk.RunsFailedError):
        tk.Sweep(fails, {"x": range(3)}, store=store).run(progress=False)
    found = list(ZarrStore.read(store).events.read())
    failed = [line for line in found if line["event"] == "run_failed"]
    assert {(line["run"], line["message"]) for line in failed} == {
        (0, "no 0"), (1, "no 1"), (2, "no 2")
    }  # fmt: skip
    assert found[-1]["error"].startswith("RunsFailedError: ")


def test_of_many_failures_some_are_named(tmp_path):
    def fails_mostly(x):
        if x:
            raise ValueError("no")
        return x

    store = tmp_path / "s.zarr"
    tk.Sweep(fails_mostly, {"x": range(400)}, store=store).run(progress=False, order="given")
    found = list(ZarrStore.read(store).events.read())
    named = sum(line["event"] == "run_failed" for line in found)
    counted = sum(line["failures_not_named"] for line in found if line["event"] == "batches")
    assert named + counted == 399
    assert named < 100
