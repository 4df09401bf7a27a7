"""How much is handed out at once, and what is said to be left."""

from types import SimpleNamespace

import numpy as np
import pytest

import toolkit as tk
from toolkit.clusters.tiers import Ladder, Tier
from toolkit.execution.lanes import Lanes
from toolkit.execution.pace import Pace
from toolkit.execution.placement import Placement
from toolkit.execution.sizing import window_size
from toolkit.execution.window import Window
from toolkit.resources import Resources
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue

LADDER = Ladder([Tier(name="small", walltime=3600), Tier(name="large", idle=10.0)])
WORKERS = SimpleNamespace(room=lambda tier: 0 if tier else 8, workers=8, ladder=LADDER)


def window_of(seconds: float) -> tuple[Window, Lanes, Placement]:
    catalogue, ids = Catalogue.empty().register(tk.grid(x=np.arange(200.0)))
    placement = Placement(LADDER, Needs(stage="f", fixed=Resources()), ("x",))
    placement.register(np.asarray(ids), catalogue)
    placement.seconds = np.full(200, seconds, np.float32)
    lanes = Lanes("random")
    lanes.add(np.asarray(ids), catalogue)
    lanes.place(placement)
    pace = Pace()
    pace.expected = seconds
    return Window(lanes, pace), lanes, placement


def hand_out(window: Window) -> list:
    tasks = window.next_batches(WORKERS)
    for task in tasks:
        window.sent(task)
    return tasks


@pytest.mark.parametrize(("seconds", "out"), [(10.0, 10), (0.3, 22), (0.25, 24)])
def test_no_more_is_out_than_keeps_workers_busy(seconds: float, out: int) -> None:
    window, _, _ = window_of(seconds)
    tasks = hand_out(window)
    assert len(window) == len(tasks) == out
    assert hand_out(window) == []
    for task in tasks[: out // 2]:
        window.back(task)
    assert hand_out(window)


def test_what_is_left_is_told_by_what_each_run_is_expected_to_take() -> None:
    window, lanes, placement = window_of(10.0)
    hand_out(window)
    placement.climb(int(lanes.next_batch(seconds=1.0, expected=1.0).run_ids()[0]), "walltime")
    left = window.demands()[0]
    assert (left.runs, left.seconds) == (199, pytest.approx(1990.0))


def test_where_runs_are_alike_the_whole_window_is_handed_out() -> None:
    catalogue, ids = Catalogue.empty().register(tk.grid(x=np.arange(200.0)))
    lanes, pace = Lanes("random"), Pace()
    lanes.add(np.asarray(ids), catalogue)
    pace.expected = 10.0
    window = Window(lanes, pace)
    tasks = hand_out(window)
    assert len(tasks) == window_size(8) == 24
    for task in tasks[:11]:
        window.back(task)
    assert hand_out(window) == []
    window.back(tasks[11])
    assert len(hand_out(window)) == 12


def helped(window: Window, *, n_large: int) -> int:
    """Return how many batches idle workers of the larger tier are given of the cheaper one."""
    workers = SimpleNamespace(room=lambda tier: n_large if tier else 8, workers=8, ladder=LADDER)
    tasks = window.next_batches(workers)
    for task in tasks:
        window.sent(task)
    return sum(task.tier for task in tasks)


def test_who_has_nothing_else_to_do_helps_a_cheaper_tier_for_a_while(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr("toolkit.execution.window.time.monotonic", lambda: now)
    window, lanes, placement = window_of(10.0)
    assert helped(window, n_large=4) == 0  # there is no work for which they are kept
    placement.tier[:2] = 1
    lanes.rearrange()
    assert helped(window, n_large=4) == 4  # two runs of their own, and two others
    now += 9.0
    assert helped(window, n_large=6) == 2
    now += 2.0
    assert helped(window, n_large=8) == 0  # they hold the room of others by now


def test_who_has_nothing_else_to_do_helps_to_the_end(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr("toolkit.execution.window.time.monotonic", lambda: now)
    window, lanes, placement = window_of(5.0)  # 1000 seconds, of 8 + 20 workers
    placement.tier[:2] = 1
    lanes.rearrange()
    assert helped(window, n_large=4) == 4
    now += 60.0
    assert helped(window, n_large=6) == 0
    assert helped(window, n_large=20) == 16


def test_near_the_end_those_without_work_of_their_own_help_before_they_are_let_go() -> None:
    window, _, _ = window_of(0.1)  # 20 seconds, of 8 + 4 workers
    assert helped(window, n_large=4) == 4


def test_before_anything_has_ended_the_end_is_not_taken_to_be_near(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr("toolkit.execution.window.time.monotonic", lambda: now)
    window, _, _ = window_of(np.nan)
    window._pace.expected = 0.0  # all of the first wave was lost
    workers = SimpleNamespace(room=lambda tier: 4 if tier else 8, workers=8, ladder=LADDER)
    now += 10.0  # 2000 seconds at least, of 8 + 4 workers
    assert window._may_help(workers, 1, 0) == 0


def test_the_longest_begin_first_however_few_workers_their_tier_has(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr("toolkit.execution.window.time.monotonic", lambda: now)
    window, lanes, placement = window_of(1.0)
    placement.seconds[[7, 90]] = 20.0, 30.0
    placement.tier[:2] = 1
    lanes.rearrange()
    workers = SimpleNamespace(room=lambda tier: 9 * tier, workers=9, ladder=LADDER)
    now += 2.0
    tasks = window.next_batches(workers)
    assert [each.run_ids()[0] for each in tasks if each.first > 1][:2] == [90, 7]


def test_a_longer_run_of_a_tier_that_waits_for_workers_does_not_wait_with_it() -> None:
    window, lanes, placement = window_of(1.0)
    placement.seconds[[7, 90]] = 20.0, 30.0
    placement.tier[:4] = 1
    lanes.rearrange()
    lanes.hurry(0, seconds_left=20.0, expected=1.0)
    for small, expected in ((0, {0, 1, 2, 3, 7, 90}), (1, {0, 1, 2, 3})):
        rooms = [small, 6]
        workers = SimpleNamespace(room=rooms.__getitem__, workers=7, ladder=LADDER)
        tasks = window._cut(workers, 1, 6, 6)
        runs = np.concatenate([each.run_ids() for each in tasks]).tolist()
        assert set(runs) == expected
        assert small or runs[:2] == [90, 7]
        for each in tasks:
            lanes.give_back(each, 0)
        lanes.hurry(0, seconds_left=20.0, expected=1.0)


def test_what_is_spent_is_told_in_hours_of_cores_and_gpus() -> None:
    catalogue, ids = Catalogue.empty().register(tk.grid(x=np.arange(20.0)))
    ladder = Ladder([Tier(name="gpu", threads=4, gpus=1)])
    needs = Resources(threads=4, gpus=1)
    placement = Placement(ladder, Needs(stage="f", fixed=needs), ("x",))
    placement.register(np.asarray(ids), catalogue)
    lanes = Lanes("random")
    lanes.add(np.asarray(ids), catalogue)
    for gpus, place in ((1, False), (0, True)):  # by the needs of all, and by the tags of each
        if place:
            lanes.place(placement)
        window = Window(lanes, Pace(), 4, gpus)
        task = lanes.next_batch(seconds=1.0, expected=1.0)
        window.spent(task, 1800.0)
        assert window.hours() == window.hours(0) == (2.0, 0.5)
        assert window.hours(1) == (0.0, 0.0)


def test_runs_that_have_a_worker_to_themselves_leave_no_place_for_others() -> None:
    ladder = Ladder(
        [Tier(name="small", memory=10**9), Tier(name="fat", memory=2 * 10**9, threads=2)]
    )
    workers = SimpleNamespace(room=lambda tier: 8, workers=12, ladder=ladder)  # 4 with 2 threads
    catalogue, ids = Catalogue.empty().register(tk.grid(x=np.arange(200.0)))
    placement = Placement(ladder, Needs(stage="f", fixed=Resources()), ("x",))
    placement.register(np.asarray(ids), catalogue)
    placement.seconds = np.full(200, 1.0, np.float32)
    lanes, pace = Lanes("random"), Pace()
    lanes.add(np.asarray(ids), catalogue)
    lanes.place(placement)
    pace.expected = 1.0
    for run in range(3):
        placement.climb(run, "memory")
    lanes.rearrange()
    placement.seconds[:] = 1.0
    window = Window(lanes, pace)
    assert (window.demands()[1].threads, window.places(workers)) == (2, (8, 4))
    tasks = window.next_batches(workers)
    for task in tasks:
        window.sent(task)
    on_fat = [task for task in tasks if task.tier]
    own = [task for task in on_fat if task.first < 3]
    assert (len(own), len(on_fat)) == (3, 5)  # three alone, and two in the places of the fourth
    window.back(own[0])
    assert len([task for task in window.next_batches(workers) if task.tier]) == 2
