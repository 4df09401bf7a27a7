"""The range of the remaining time: how often the truth lies in it, and how wide it is."""

import json
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import toolkit as tk
from tests.execution.play import Play, alike, own_clock, uneven
from toolkit.execution import chronicle
from toolkit.execution.foresight import Foresight
from toolkit.execution.outlook import Forecaster, Outlook, Rates, cap

SCHEMA = json.loads((Path(tk.__file__).parent / "commands" / "schemas" / "event.json").read_text())


def played(scenario, seed=0):
    """Return at each look: seconds left in truth, share of the work done, and the outlook."""
    rows, total = [], scenario.seconds.sum()
    with own_clock() as clock:
        play, forecaster = Play(scenario, seed, clock), Forecaster()

        def look(now):
            share = float(np.nansum(now.state.seconds)) / total
            rows.append((now.now, share, forecaster.look(now.known())))

        end = play.play(look)
    return [(end - at, share, outlook) for at, share, outlook in rows]


@pytest.mark.parametrize(
    "scenario",
    [
        alike("alike", places=(8,), n=200),
        uneven("uneven", places=(4,), noise=0.25, n_sizes=12, trials=3),
    ],
    ids=lambda scenario: scenario.name,
)
def test_the_truth_lies_in_the_range(scenario):
    rows = [row for row in played(scenario) if row[1] >= 0.1]
    assert all(outlook is not None for _, _, outlook in rows)
    inside = [outlook.low <= left <= outlook.high for left, _, outlook in rows]
    assert np.mean(inside) >= 0.8
    for _, share, outlook in rows:
        assert outlook.high <= (1.5 if share >= 0.5 else 3.0) * outlook.low * (1 + 1e-9)


def test_runs_that_kill_their_workers_and_climb_are_reckoned_with():
    scenario = uneven("kills", places=(4, 2), n_sizes=12, trials=3, kills=True)
    rows = [row for row in played(scenario) if row[1] >= 0.3]
    assert np.mean([o.low / 1.5 <= left <= o.high * 1.5 for left, _, o in rows]) >= 0.8


def test_nothing_is_said_before_anything_is_known():
    with own_clock() as clock:
        play = Play(alike("alike", places=(8,), n=400), 0, clock)
        assert Forecaster().look(play.known()) is None


def test_the_range_narrows_as_the_work_is_done():
    assert [cap(share) for share in (0.1, 0.5, 0.9)] == pytest.approx([3.0, 1.5, 1.5])
    assert cap(0.01) > cap(0.1) > cap(0.2) > cap(0.4)


def test_many_runs_that_are_alike_take_one_division():
    rates = Rates()
    more = {"seconds": 1e-3, "threads": 2, "gpus": 0.0}
    assert rates.look(0.0, ended=0, pending=10_000, **more) is None
    outlook = rates.look(10.0, ended=2_000, pending=8_000, **more)
    assert outlook.low < 40.0 < outlook.high <= 3 * outlook.low
    assert outlook.core_hours == pytest.approx(8_000 * 1e-3 * 2 / 3600)
    begun = time.perf_counter()
    for at in range(1000):
        rates.look(11.0 + at, ended=2_000 + at, pending=8_000 - at, **more)
    assert time.perf_counter() - begun < 1.0


def test_time_that_has_passed_is_taken_off():
    outlook = Outlook(low=10.0, high=20.0, core_hours=1.0, gpu_hours=0.0).after(0.25)
    assert (outlook.low, outlook.high, outlook.core_hours) == (7.5, 15.0, 0.75)


def test_the_log_tells_the_outlook(tmp_path, monkeypatch):
    monkeypatch.setattr(chronicle, "_EVERY_SECONDS", 0.5)
    store = tmp_path / "naps.zarr"
    tk.Sweep(sleep_a_little, {"x": range(150)}, store=store).run(progress=False)
    lines = (store / ".journal" / "events.jsonl").read_text().splitlines()
    said = [each for each in map(json.loads, lines) if each["event"] == "outlook"]
    assert any(each["low"] is not None for each in said)
    for each in said:
        jsonschema.validate(each, SCHEMA)
        assert each["low"] is None or each["low"] <= each["high"]


def sleep_a_little(x):
    time.sleep(0.012)
    return x


def nap(x):
    time.sleep(0.02 + 0.02 * (x % 3))
    return x


def test_a_job_tells_its_outlook(tmp_path):
    sweep = tk.Sweep(nap, {"x": range(200)}, store=tmp_path / "naps.zarr")
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as cluster:
        job = sweep.start(cluster, progress=False)
        found = []
        while not job.is_finished and len(found) < 1000:
            found.append(job.outlook())
            time.sleep(0.1)
        job.result()
    said = [each for each in found if each is not None]
    assert said
    assert found[0] is None
    assert all(0 < each.low <= each.high and each.core_hours > 0 for each in said)
    assert all(each.gpu_hours == 0 for each in said)
    assert said[-1].high < 60
    assert job.outlook() is None


def test_a_forecast_that_fails_ends_no_sweep(monkeypatch):
    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr(Foresight, "_look", fail)
    job = tk.Sweep(abs, {"x": range(50)}).start()
    assert job.outlook() is None
    assert len(job.result(timeout=60).x) == 50


def slipped(deviation, drift):
    forecaster = Forecaster()
    for at in range(1, 200):
        found = forecaster._slip(float(at), 100.0 + (drift - 1) * at, deviation)
    return found


def test_an_end_that_has_moved_away_is_moved_on_where_runs_are_not_foreseen():
    assert slipped(0.8, 1.0) == pytest.approx(1.3)
    assert slipped(0.6, 0.5) == pytest.approx(1.05)
    assert slipped(0.8, 0.0) == 1.0  # it stays where it was
    assert slipped(0.3, 1.0) == 1.0  # what runs take is foreseen


def test_a_pause_moves_no_end():
    forecaster = Forecaster()
    for at in (1.0, 10.0, 20.0):
        forecaster._slip(at, 100.0 - at, 0.8)
    assert forecaster._slip(620.0, 80.0, 0.8) == 1.0
    assert forecaster._slip(630.0, 70.0, 0.8) == 1.0
