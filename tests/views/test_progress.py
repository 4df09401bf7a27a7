import fcntl
import importlib.util
import io
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import toolkit as tk
from tests.views import specimens
from tests.views.test_html import read
from toolkit.views import progress
from toolkit.views.block import snapshot_html
from toolkit.views.progress import BlockDisplay, LineDisplay, TerminalDisplay, shown
from toolkit.views.snapshot import Snapshot

JOB: Any = SimpleNamespace()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Displays begin and go on without waiting."""
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LINE_SHARE", 0.0)


class Script:
    """Looks that come from a list, the last of them again and again."""

    def __init__(self, *steps: Snapshot | Exception) -> None:
        self.steps = list(steps)
        self.looked = threading.Semaphore(0)

    def __call__(self, job: object) -> Snapshot:
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        self.looked.release()
        if isinstance(step, Exception):
            raise step
        return step

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self.looked.acquire(timeout=20)


def test_where_there_is_no_terminal_lines_are_written(at_once: None) -> None:
    stream = io.StringIO()
    look = Script(specimens.in_the_middle(), specimens.at_the_end())
    with shown(JOB, stream=stream, look=look):
        look.wait(2)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Dask dashboard: http://127.0.0.1:8787/status"
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  /data/parcels.zarr: 62,684 of", lines[1])
    assert lines[-1].endswith("/data/sir.zarr: 4,000 of 4,000 done, finished")
    assert sum("dashboard" in each for each in lines) == 1


def test_a_sweep_of_a_moment_shows_nothing() -> None:
    stream = io.StringIO()
    look = Script(specimens.at_the_end())
    with shown(JOB, stream=stream, look=look):
        pass
    assert stream.getvalue() == ""


def test_what_is_switched_off_starts_no_thread(at_once: None) -> None:
    before = threading.active_count()
    with shown(JOB, enabled=False, look=Script(RuntimeError("looked"))):
        assert threading.active_count() == before


def test_the_lines_of_a_week_can_be_read() -> None:
    now = 0.0
    display = LineDisplay(io.StringIO(), clock=lambda: now)
    times = [0.0]
    while now < 7 * 86_400:
        now += display.pause
        times.append(now)
    assert times[:5] == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert 100 < len(times) < 300
    assert max(b - a for a, b in itertools.pairwise(times)) < 3_601


def test_a_log_without_the_signs_of_a_language_gets_question_marks() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    LineDisplay(stream).show(replace(specimens.at_the_end(), store="/données/é.zarr"))
    assert b"/donn?es/?.zarr: 4,000 of 4,000 done" in raw.getvalue()


@pytest.mark.parametrize("times", [0, 3])
def test_a_display_that_fails_says_so_once(at_once: None, times: int) -> None:
    stream = io.StringIO()
    error = ZeroDivisionError("no\nrate")
    look = Script(*[specimens.in_the_middle()] * times, error)
    with shown(JOB, stream=stream, look=look):
        look.wait(times + 1)
    said = [each for each in stream.getvalue().splitlines() if "the sweep goes on" in each]
    assert said == [
        "Progress cannot be shown any more, and the sweep goes on (ZeroDivisionError: no rate)."
    ]


def test_a_sweep_is_whole_though_nothing_can_be_written(
    at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    def slow(x):
        time.sleep(0.02)
        return x

    data = tk.Sweep(slow, {"x": range(10)}).run()
    assert data.slow.sum() == 45


def test_looks_that_take_long_are_rare(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    stop = threading.Event()

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) > 2

    monkeypatch.setattr(stop, "wait", wait)

    def look(job: object) -> Snapshot:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        return specimens.in_the_middle()

    progress._watch(JOB, stop, io.StringIO(), look)
    assert min(waited[1:]) >= 0.05 / 0.02


def pseudo_terminal(command: list[str], folder: Path, **environment: str) -> tuple[str, str]:
    """What a program writes to a terminal of 100 columns, and to standard output in a file."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    with open(folder / "out", "wb") as out:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=out,
            stderr=theirs,
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            close_fds=True,
        )
    os.close(theirs)
    got = b""
    with suppress(OSError):  # a terminal ends by an error
        while piece := os.read(ours, 65_536):
            got += piece
    assert process.wait(timeout=60) == 0
    os.close(ours)
    return got.decode(), (folder / "out").read_text()


SWEEP = """\
import time
import toolkit as tk

def model(x):
    time.sleep(0.15)
    print("printed by a run", x)
    if x == 5:
        raise ValueError("[red]no[/] five")
    return x

begun = time.monotonic()
tk.Sweep(model, {"x": range(12)}, store="s.zarr").run()
print("took", time.monotonic() - begun)
"""


def script(folder: Path) -> list[str]:
    """Return the command that runs the sweep."""
    (folder / "study.py").write_text(SWEEP)
    return [sys.executable, "study.py"]


def test_a_real_terminal_is_redrawn_in_place_and_given_back(tmp_path: Path) -> None:
    screen, out = pseudo_terminal(script(tmp_path), tmp_path)
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen)
    drawings = words.count("model ")
    assert 2 <= drawings <= 2 + 4 * float(out.split()[-1])
    last = words[words.rindex("! done  ") :]
    assert "━ 11 of 12 done   × 1 failed" in last
    assert "1  ValueError  study.py:8 in model  [red]no[/] five" in last or "failed in" not in last
    assert "! finished, 1 of 12 runs failed" in last
    assert screen.count("\x1b[?25h") >= screen.count("\x1b[?25l") == 1  # the cursor
    assert "\x1b[1A" in screen  # in place
    assert "printed by a run 3" in out  # a file gets what was meant for it
    assert "model " not in out


def test_a_terminal_that_cannot_be_redrawn_gets_lines(tmp_path: Path) -> None:
    screen, _ = pseudo_terminal(script(tmp_path), tmp_path, TERM="dumb")
    assert "\x1b" not in screen
    assert "11 of 12 done, 1 failed" in screen.splitlines()[-1]


def test_a_store_is_watched_in_a_terminal_until_its_sweep_ends(tmp_path: Path) -> None:
    command = script(tmp_path)
    (tmp_path / "study.py").write_text(SWEEP.replace("sleep(0.15)", "sleep(0.8)"))
    sweep = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "s.zarr" / "zarr.json").exists():
            assert sweep.poll() is None
            time.sleep(0.01)
        command = f"{sys.executable} -m toolkit status s.zarr --watch --every 0.1; echo code $?"
        screen, out = pseudo_terminal(["sh", "-c", f"({command}) >&2"], tmp_path)
    finally:
        sweep.wait(timeout=60)
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen)
    assert "● running  s.zarr" in words
    assert "running: process" in words
    last = words[words.rindex("! done  s.zarr") :]
    assert "━ 11 of 12 done   × 1 failed" in last
    assert "1  ValueError  study.py:8 in model  [red]no[/] five" in last
    assert "! finished, 1 of 12 runs failed" in last
    assert "toolkit errors s.zarr --group" in last
    assert "code 1" in last
    assert out == ""


def test_a_terminal_is_given_back_when_drawing_fails(at_once: None) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    look = Script(specimens.in_the_middle(), RuntimeError("lost"))
    with shown(JOB, stream=stream, look=look):
        look.wait(2)
    assert stream.getvalue().count("the sweep goes on (RuntimeError: lost)") == 1
    assert isinstance(sys.stdout, io.TextIOBase)  # rich has taken its own away


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The states of one output of a notebook."""
    states: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            states.append(html.data)

    module = SimpleNamespace(
        HTML=lambda data: SimpleNamespace(data=data), display=lambda *a, **k: Handle()
    )
    real = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda n: module if n == "IPython.display" else real(n)
    )
    return states


@pytest.mark.parametrize("is_there", [True, False])
def test_a_notebook_without_widgets_gets_a_block_and_what_is_missing(
    notebook: list[str], monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    find: Callable[..., object] = lambda name: object() if is_there else None  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", find)
    display = BlockDisplay()
    display.show(specimens.in_the_middle())
    display.finish(specimens.at_the_end())
    first, last = map(read, notebook)
    assert ("pip install" in first.text) == (not is_there)
    assert ("parallel-analysis-toolkit[notebook]" in first.text) == (not is_there)
    for words in ("61,204 done", "1,312 failed", "990 blocked", "84,994 pending", "24 running"):
        assert words in first.text
    assert "25 to 48 min left" in first.text
    assert "finished, all runs are done" in last.text


def test_the_block_escapes_and_folds_failures() -> None:
    found = read(snapshot_html(specimens.in_the_middle()))
    assert "1,300 × ValueError at model.py:17 in fit: beta <must> not exceed" in found.text
    assert 'raise ValueError("beta <must> not' in found.text
    assert "sweep.reproduce(stage='fit', run=3)" in found.text
    assert found.tags & {"script", "must", "img"} == set()
    assert "details" in found.tags
    assert "href" not in snapshot_html(
        replace(specimens.in_the_middle(), dashboard_link="javascript:alert(1)")
    )


def test_a_block_stays_small() -> None:
    snapshot = specimens.in_the_middle()
    [group, _] = snapshot.failures
    huge = replace(group, message="m" * 10**6, traceback="t" * 10**6, labels={"x": "l" * 10**6})
    html = snapshot_html(
        replace(snapshot, failures=(huge,) * 50, stages=snapshot.stages * 500, message="m" * 10**6)
    )
    assert len(html) < 300_000
    read(html)


def test_the_display_is_chosen_by_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    assert isinstance(progress.display_for(JOB, stream), LineDisplay)
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setenv("TERM", "xterm")
    display = progress.display_for(JOB, stream)
    display.close()
    assert isinstance(display, TerminalDisplay)


@pytest.mark.notebook
def test_a_real_kernel_without_widgets_shows_a_block_that_stays(tmp_path: Path) -> None:
    import nbformat

    from tests.notebooks.executing import executed

    cell = f"import sys\nsys.modules['anywidget'] = None\n{SWEEP}"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook = executed(notebook, tmp_path, seconds=120)
    blocks = [each for each in notebook.cells[0].outputs if each.output_type == "display_data"]
    assert len(blocks) == 1
    found = read(blocks[0].data["text/html"])
    assert "finished, 1 of 12 runs failed" in found.text
    assert "11 done" in found.text
    assert 'pip install "parallel-analysis-toolkit[notebook]"' in found.text
    assert "script" not in found.tags


def test_a_terminal_is_given_back_after_an_interrupt(tmp_path: Path) -> None:
    cut = SWEEP.replace("range(12)", "range(200)").replace(
        "begun =",
        "import os, signal, sys, threading\n"
        "def interrupt():\n"
        "    while 'rich.live' not in sys.modules:\n"  # the first drawing is about to come
        "        time.sleep(0.05)\n"
        "    time.sleep(2)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt, daemon=True).start()\n"
        "begun =",
    )
    (tmp_path / "study.py").write_text(cut)
    command = f"{sys.executable} study.py; test $? -ne 0"
    screen, _ = pseudo_terminal(["sh", "-c", command], tmp_path)
    assert screen.count("\x1b[?25h") >= screen.count("\x1b[?25l") == 1
    assert "InterruptedSweepError" in screen
    assert "stopped with" in screen
