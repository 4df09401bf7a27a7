import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.views import specimens
from toolkit.views.snapshot import (
    ENDED,
    Counts,
    FailureGroup,
    SlowRun,
    Snapshot,
    Span,
    StageState,
    TierState,
)
from toolkit.views.terminal import render
from toolkit.views.words import line, mark

HOSTILE = "\x1b[2J\x1b]0;taken\x07[bold red]no[/]\n[/nothing]\u202e\u2028 &lt; \x00"


def drawn(snapshot: Snapshot, *, width: int = 100, ascii_only: bool = False, **more: object) -> str:
    """What a terminal gets; colors are left out unless they are asked for."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, **{"color_system": None, **more})  # type: ignore[arg-type]
    console.print(render(snapshot, width=width, ascii_only=ascii_only))
    return stream.getvalue()


def with_counts(**counts: int) -> Snapshot:
    stage = StageState(name="fit", counts=Counts(**counts))
    return Snapshot(at=0.0, state="running", stages=(stage,))


def bar_of(snapshot: Snapshot, width: int = 100) -> str:
    return drawn(snapshot, width=width).splitlines()[1].split()[1]


def test_all_that_matters_of_a_running_sweep_is_drawn() -> None:
    text = drawn(specimens.in_the_middle())
    for words in (
        "● running  /data/parcels.zarr  24 min 35 s elapsed",
        "━ 1,480 of 1,500 done   × 20 failed",
        "━ 61,204 of 148,500 done   × 1,312 failed   ○ 990 blocked   · 84,994 pending",
        "▸ 24 of them running   41.5 runs/s   2.4 s a run",
        "25 to 48 min left   43.2 core-hours and 3 GPU-hours spent",
        "about 64.5 core-hours and 5.1 GPU-hours to come   2 workers, 6 threads",
        "gpu: 2 jobs wait: (Priority)",
        "1,332 runs failed in 2 ways",
        "1,300  fit  ValueError  model.py:17 in fit  beta <must> not exceed gamma & more",
        "12  fit  WorkerDied  memory",
        "slowest: run 801 of fit, 30 min 04 s so far (beta=0.5)",
        "Dask dashboard: http://127.0.0.1:8787/status",
    ):
        assert words in text
    heads, small, gpu = (each.split() for each in text.splitlines()[8:11])
    assert heads[:4] == ["tier", "pending", "running", "workers"]
    assert small == ["small", "80,000", "20", "5", "31.2", "44", "0", "0"]
    assert gpu == ["gpu", "4,994", "4", "2", "12", "20.5", "3", "5.1"]


def test_a_finished_sweep_has_its_mark_in_words() -> None:
    text = drawn(specimens.at_the_end())
    assert text.splitlines()[-1] == "✓ finished, all runs are done"
    assert "100 %" in text
    assert "left" not in text


@pytest.mark.parametrize("width", [30, 47, 60, 80, 100, 200])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_longer_than_the_terminal(width: int, ascii_only: bool) -> None:
    snapshot = specimens.in_the_middle()
    stage = replace(snapshot.stages[0], name="a stage with a long name " * 5)
    wide = FailureGroup(
        stage="fit", exception="模型", where="模型.py:1", count=3, runs=(1,), message="错误" * 200
    )
    snapshot = replace(
        snapshot,
        stages=(*snapshot.stages, stage),
        failures=(*snapshot.failures, wide),
        store="/" + "folder/" * 40 + "s.zarr",
        message="waits " * 50,
    )
    text = drawn(snapshot, width=width, ascii_only=ascii_only)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "61,204 of 148,500 done" in text or width == 30
    assert text.isascii() == ascii_only


@pytest.mark.parametrize("width", [40, 100])
def test_text_from_runs_commands_neither_the_terminal_nor_rich(width: int) -> None:
    group = FailureGroup(
        stage=HOSTILE, exception=HOSTILE, where=HOSTILE, count=1, runs=(1,), message=HOSTILE
    )
    slow = SlowRun(stage=HOSTILE, run=1, seconds=2.0, labels={HOSTILE: HOSTILE})
    stages = (StageState(name=HOSTILE, counts=Counts(done=1, failed=1, pending=3)),) * 2
    tier = TierState(name=HOSTILE, stage=HOSTILE, waits=HOSTILE)
    snapshot = Snapshot(
        at=0.0,
        state="running",
        stages=stages,
        message=HOSTILE,
        tiers=(tier, tier),
        failures=(group,),
        slowest=(slow,),
        store=HOSTILE,
        dashboard_link=HOSTILE,
    )
    for text in (drawn(snapshot, width=width), line(snapshot) + "\n"):
        assert "[bold red]no[/]" in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u2028\u202e]", text)
    assert "\n" not in line(snapshot)


def test_colors_are_there_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colors = {"force_terminal": True, "color_system": "truecolor"}
    colorful = drawn(specimens.in_the_middle(), **colors)
    color = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|9[0-7])[;m]")
    assert len(color.findall(colorful)) > 10
    monkeypatch.setenv("NO_COLOR", "1")
    bare = drawn(specimens.in_the_middle(), **colors)
    assert not color.search(bare)
    assert re.sub(r"\x1b\[[0-9;]*m", "", bare) == re.sub(r"\x1b\[[0-9;]*m", "", colorful)


def test_each_kind_of_runs_has_its_sign_in_the_bar_however_few_they_are() -> None:
    bar = bar_of(with_counts(done=10**6, failed=1, blocked=1, stale=1, pending=2, running=1))
    assert set(bar) == set("━≈×○▸·")
    assert bar.count("━") > 70
    assert bar_of(with_counts(done=50, pending=50)).count("━") in (43, 44, 45)
    assert set(bar_of(with_counts())) == {"·"}


def test_a_sweep_is_at_a_hundred_percent_only_where_none_is_pending() -> None:
    assert " 99 %" in drawn(with_counts(done=999_999, pending=1))
    assert " 100 %" in drawn(with_counts(done=999_999, failed=1))


def test_of_many_stages_those_are_drawn_where_something_happens() -> None:
    quiet = [StageState(name=f"s{at}", counts=Counts(done=10)) for at in range(40)]
    busy = StageState(name="busy", counts=Counts(done=3, pending=7, running=2))
    snapshot = replace(specimens.at_the_end(), stages=(*quiet, busy), state="running")
    text = drawn(snapshot)
    assert "29 more stages: 290 of 290 runs done" in text
    assert "busy" in text
    assert len(text.splitlines()) < 35


@pytest.mark.parametrize("state", sorted(ENDED))
@pytest.mark.parametrize("pending", [0, 7])
def test_each_end_is_told_in_words(state: str, pending: int) -> None:
    counts = Counts(done=3, failed=1, pending=pending)
    stage = StageState(name="fit", counts=counts)
    snapshot = Snapshot(at=0.0, state=state, stages=(stage,), message="no room left on disk")  # type: ignore[arg-type]
    words = mark(snapshot)
    assert words
    assert words in drawn(snapshot)
    assert ("7 runs to go" in words) == (state != "done" and pending == 7)
    if state == "error":
        assert "no room left on disk" in drawn(snapshot)


@pytest.mark.parametrize("state", ["starting", "running", "paused", "stopping"])
def test_what_goes_on_has_no_mark_and_says_its_state(state: str) -> None:
    snapshot = replace(specimens.in_the_middle(), state=state)
    assert mark(snapshot) == ""
    assert drawn(snapshot).splitlines()[0].split()[1] == state


def test_a_mark_counts_what_failed_and_what_that_blocked() -> None:
    ended = replace(with_counts(done=8, failed=1, blocked=3), state="done")
    assert mark(ended) == "finished, 1 of 12 runs failed, 3 blocked by runs that failed"
    assert drawn(ended).splitlines()[-1].startswith("! finished")


def test_a_line_tells_counts_speed_and_what_is_left() -> None:
    assert line(specimens.in_the_middle()) == (
        "/data/parcels.zarr: 62,684 of 150,000 done, 1,332 failed, 990 blocked, "
        "84,994 pending, 41.5 runs/s, 24 min 35 s elapsed, 25 to 48 min left"
    )
    assert line(specimens.at_the_end()) == "/data/sir.zarr: 4,000 of 4,000 done, finished"
    paused = replace(with_counts(done=1, pending=1), state="paused")
    assert line(paused) == "fit: 1 of 2 done, 1 pending, paused"
    assert line(replace(paused, stages=())) == "no stage: no runs yet"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (Span(low=1_500, high=2_900), "25 to 48 min left"),
        (Span(low=2_880, high=2_900), "about 48 min left"),
        (None, ""),
    ],
)
def test_the_time_that_is_left_is_a_range_unless_it_is_known(left: Span | None, words: str) -> None:
    text = drawn(replace(specimens.in_the_middle(), left=left))
    assert words in text
    assert ("left" in text.replace("h left", "")) == bool(words)
