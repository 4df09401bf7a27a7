import json
from dataclasses import replace

import pytest

from tests.views import specimens
from toolkit.views.dashboard import board as boards
from toolkit.views.dashboard.board import MOST_SWEEPS, Board, without_values

RUNNING = specimens.in_the_middle().document()
DONE = specimens.at_the_end().document()
VIEW = ("fit", "beta", "model")


def post(board, sweep, document=RUNNING, client="client-1", **more):
    return board.post(sweep=sweep, title=sweep, client=client, document=document, **more)


def test_the_newest_sweep_is_shown_unless_another_is_named():
    board = Board(is_open=True)
    assert board.find() is None
    for sweep in "ab":
        post(board, sweep)
    post(board, "a", DONE)
    assert board.find().sweep == board.find("unknown").sweep == "b"
    assert board.find("a").document == DONE
    assert [each.sweep for each in board.sweeps()] == ["b", "a"]


def test_a_scheduler_that_lives_long_keeps_the_latest_sweeps_only():
    board = Board(is_open=True)
    for number in range(MOST_SWEEPS + 5):
        post(board, str(number))
        board.want(str(number), VIEW)
    assert [each.sweep for each in board.sweeps()] == [str(n) for n in range(14, 4, -1)]
    assert board.wanted("0") == []


def test_maps_stay_until_they_are_drawn_anew():
    board = Board(is_open=True)
    other = ("fit", "beta", "gamma")
    post(board, "a", views=[VIEW, other], maps=[(VIEW, {"shape": [1, 1]})])
    post(board, "a", views=[list(VIEW), other], maps=[(list(other), {"shape": [2, 2]})])
    assert board.find().maps == {VIEW: {"shape": [1, 1]}, other: {"shape": [2, 2]}}
    assert board.find().views == (VIEW, other)


def test_a_driver_hears_what_somebody_looks_at_and_when_nobody_does_any_more(monkeypatch):
    now = 100.0
    monkeypatch.setattr(boards.time, "monotonic", lambda: now)
    board = Board(is_open=True)
    assert post(board, "a") == []
    board.want("a", VIEW)
    assert post(board, "a") == [VIEW]
    now += 60
    assert post(board, "a") == []


def test_sweeps_of_a_driver_that_is_gone_are_interrupted_and_no_others():
    board = Board(is_open=True)
    post(board, "ended", DONE)
    post(board, "cut off")
    post(board, "of another", client="client-2")
    board.lose("client-1")
    states = {each.sweep: each.document["state"] for each in board.sweeps()}
    assert states == {"ended": "done", "cut off": "interrupted", "of another": "running"}
    left = board.find("cut off").document
    assert left["counts"]["running"] == 0
    assert left["counts"]["done"] == RUNNING["counts"]["done"]
    assert {stage["counts"]["running"] for stage in left["stages"]} == {0}
    assert left["left"] is None
    post(board, "cut off")  # it was the network only
    assert board.find("cut off").document["state"] == "running"


def test_values_open_to_the_key_only_where_the_dashboard_is_closed():
    assert Board(is_open=True).admits("")
    board = Board(is_open=False)
    assert not board.admits("")
    assert not board.admits(board.key + "x")
    assert not board.admits("ü")
    assert board.admits(board.key)
    assert board.key != Board(is_open=False).key


@pytest.mark.parametrize("snapshot", [specimens.in_the_middle(), specimens.at_the_end()])
def test_what_everybody_sees_has_the_same_keys_and_no_value(snapshot):
    snapshot = replace(snapshot, message="RunsFailedError: beta <must> not")
    shown = without_values(snapshot.document())
    assert shown.keys() == snapshot.document().keys()
    for name in ("failures", "slowest"):
        for one, other in zip(shown[name], snapshot.document()[name], strict=True):
            assert one.keys() == other.keys()
    told = json.dumps(shown)
    for value in ("must", "svm", "forest", "0.3", "0.45", "reproduce(", "signal 9", "raise"):
        assert value not in told
    assert shown["counts"] == snapshot.document()["counts"]
    assert shown["stages"] == snapshot.document()["stages"]


def test_what_a_later_version_adds_is_shown_to_nobody_without_the_key():
    document = {**RUNNING, "secret": 0.3, "failures": [{**RUNNING["failures"][0], "more": "svm"}]}
    shown = without_values(document)
    assert "secret" not in shown
    assert "more" not in shown["failures"][0]
