"""What a store says of the tiers of the cluster that runs it."""

import json

from click.testing import CliRunner

import toolkit as tk
from toolkit.cli import main
from toolkit.commands.standing import look
from toolkit.stores.journals.events import FileEvents
from toolkit.stores.zarr_store import ZarrStore


def test_the_latest_words_of_its_driver_on_each_tier_are_told(tmp_path):
    path = tmp_path / "s.zarr"
    tk.Sweep(lambda x: x, {"x": range(3)}, store=path).run(progress=False)
    events = FileEvents(str(path))
    small = {"runs": 40, "at_once": 8, "core_hours_left": 1.25, "core_hours_spent": 0.5}
    large = {"runs": 2, "at_once": 0, "core_hours_left": 3.0, "core_hours_spent": 0.0}
    large["waits"] = "1 job waits behind others of higher priority (Priority)"
    events.note("tiers", stage="fit", tiers={"small": small | {"runs": 50}})
    events.note("tiers", stage="fit", tiers={"small": small, "large": large})
    assert [(each["tier"], each["runs"]) for each in look(path).tiers] == [
        ("small", 40),
        ("large", 2),
    ]
    store = ZarrStore.create_or_open(path)
    store.acquire()
    try:
        said = str(look(path))
        assert "tier small (fit): 40 runs left, 1.25 core-hours, 8 at once; 0.5 core-hours" in said
        assert "tier large (fit): 2 runs left, 3 core-hours, waits for a worker" in said
        assert "worker (1 job waits behind others of higher priority (Priority)); 0 core" in said
        document = json.loads(CliRunner().invoke(main, ["status", str(path), "--json"]).output)
    finally:
        store.release()
    assert document["tiers"][1] == {"stage": "fit", "tier": "large", **large}


def test_of_a_stage_that_is_done_meanwhile_nothing_is_left(tmp_path):
    path = tmp_path / "s.zarr"
    tk.Sweep(tk.stage(lambda x: x, name="fit"), {"x": range(3)}, store=path).run(progress=False)
    small = {"runs": 3, "at_once": 1, "core_hours_left": 1.25, "core_hours_spent": 0.5}
    FileEvents(str(path)).note("tiers", stage="fit", tiers={"small": small})
    store = ZarrStore.create_or_open(path)
    store.acquire()
    try:
        said = str(look(path))
    finally:
        store.release()
    assert "tier small (fit): nothing left; 0.5 core-hours spent" in said


def test_what_an_earlier_sweep_said_is_not_told(tmp_path):
    path = tmp_path / "s.zarr"
    sweep = tk.Sweep(lambda x: x, {"x": range(3)}, store=path)
    sweep.run(progress=False)
    FileEvents(str(path)).note("tiers", stage="fit", tiers={"small": {"runs": 1}})
    sweep.extend(x=[7]).run(progress=False)
    assert look(path).tiers == ()


def test_made_up_words_are_no_error(tmp_path):
    path = tmp_path / "s.zarr"
    tk.Sweep(lambda x: x, {"x": range(3)}, store=path).run(progress=False)
    events = FileEvents(str(path))
    events.note("tiers", stage="fit", tiers={"small": {"runs": "many", "waits": 3}, "large": 3})
    assert [(each["tier"], each["runs"], each["waits"]) for each in look(path).tiers] == [
        ("small", 0, "")
    ]
    events.note("tiers", stage="fit", tiers={"small": {"runs": 1, "waits": "x\x1b[2J" * 10**4}})
    assert len(look(path).tiers[0]["waits"]) <= 1000
    events.note("tiers", stage="fit", tiers=7)
    assert str(look(path))


def test_the_time_that_is_left_is_told_while_its_driver_lives(tmp_path):
    path = tmp_path / "s.zarr"
    tk.Sweep(lambda x: x, {"x": range(3)}, store=path).run(progress=False)
    store = ZarrStore.create_or_open(path)
    store.acquire()
    try:
        store.stage("result").register(tk.grid(x=range(9)))
        store.events.note("sweep_started", stages=[{"stage": "result", "runs": 9}])
        store.events.note("stage_started", stage="result", asked=9, todo=6, threads=1)
        store.events.note("outlook", low=60.0, high=90.0, core_hours=1.0, gpu_hours=0.0)
        found = json.loads(CliRunner().invoke(main, ["status", str(path), "--json"]).stdout)
        assert (found["state"], found["message"]) == ("running", "")
        assert 30 < found["left"]["low"] <= 60 < found["left"]["high"] <= 90
    finally:
        store.release()
    found = json.loads(CliRunner().invoke(main, ["status", str(path), "--json"]).stdout)
    assert (found["state"], found["left"]) == ("idle", None)
