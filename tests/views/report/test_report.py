import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk
from tests.views.report.conftest import Page, check, read
from tests.views.specimens import at_the_end, in_the_middle
from toolkit.views.report.material import material_of
from toolkit.views.report.report import report_of, report_of_store
from toolkit.views.stored import snapshot_of_store

Report = Callable[[Path | str], Page]

SECTIONS = [
    "status", "space", "results", "run-times", "failures", "costs", "provenance", "environment",
]  # fmt: skip
NAME = "<img src=x onerror=alert(1)>"
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e$\\frac{$'


def swept(path: Path, function: Callable[..., object], space: object) -> None:
    tk.Sweep(function, space, store=path).run(progress=False)


def test_a_report_has_all_sections(tmp_path: Path, report: Report) -> None:
    swept(tmp_path / "a.zarr", lambda x: x * 2.0, {"x": [1, 2, 3]})
    page = report(tmp_path / "a.zarr")
    assert list(page.sections) == SECTIONS
    assert "It is complete: every run is done." in page.sections["status"]
    assert page.sections["failures"].startswith("FailuresNo run failed.")


def test_what_a_live_sweep_knows_is_shown(tmp_path: Path) -> None:
    swept(tmp_path / "a.zarr", lambda x: x * 2.0, {"x": [1, 2, 3]})
    made = material_of(tmp_path / "a.zarr", in_the_middle())
    page = read(report_of(made))
    check(page)
    status, costs = page.sections["status"], page.sections["costs"]
    assert "It is running" in status
    assert "84,994 pending (56.7 %)" in status
    assert "2 jobs wait: (Priority)" in status
    assert "spent43.2 core-hours and 3 GPU-hours" in costs
    assert "expected still64.5 core-hours and 5.1 GPU-hours, in 25 min 00 s to 48 min 20 s" in costs
    assert "1,300 runs of fit: ValueError at model.py:17 in fit" in page.sections["failures"]
    assert "beta <must> not exceed gamma & more" in page.sections["failures"]
    assert "Run it again: sweep.reproduce(stage='fit', run=3)" in page.sections["failures"]
    assert "30 min 04 s until now" in page.sections["run-times"]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("cancelled", "It was cancelled"),
        ("error", "It was ended by an error"),
        ("idle", "nobody runs it"),
        ("interrupted", "the process that ran it has died"),
        ("paused", "It is paused"),
    ],
)
def test_how_it_ended_is_said_in_words(tmp_path: Path, state: str, says: str) -> None:
    swept(tmp_path / "a.zarr", lambda x: x * 2.0, {"x": [1, 2, 3]})
    snapshot = replace(at_the_end(), state=state, message="disk <full>")  # type: ignore[arg-type]
    page = read(report_of(material_of(tmp_path / "a.zarr", snapshot)))
    assert says in page.sections["status"]
    assert "disk <full>" in page.sections["status"]


def test_hostile_texts_are_texts_wherever_they_come_from(tmp_path: Path, report: Report) -> None:
    import xarray as xr

    def model(x: float, kind: str) -> dict[str, float]:
        if x > 2:
            raise ValueError(HOSTILE)
        return {NAME: x, "fine": x}

    attrs = {"units": HOSTILE, "long_name": HOSTILE}
    x = xr.DataArray([1.0, 2.0, 3.0], dims="x", attrs=attrs)
    outputs = {NAME: tk.Output(float, units=HOSTILE, long_name=HOSTILE), "fine": float}
    stage = tk.stage(model, outputs=outputs, name="model")
    store = tmp_path / "<b>a&.zarr"
    sweep = tk.Sweep(stage, tk.grid(x=x, kind=[HOSTILE, "plain"]), store=store)
    sweep.run(progress=False)
    poison(store)
    page = report(store)
    assert page.pictures == 2
    assert "alert(1)" in page.sections["failures"]
    assert "alert(1)" in page.sections["space"]
    assert "alert(1)" in page.sections["provenance"]
    assert "alert(1)" in page.sections["environment"]
    assert "\x1b" not in page.html
    assert "\u202e" not in page.html


def poison(store: Path) -> None:
    """Write texts, and what is no text, into the provenance and the log of a store."""
    import json

    file = store / "zarr.json"
    document = json.loads(file.read_text())
    made_by = document["attributes"]["provenance"]
    made_by |= {
        "user": HOSTILE,
        "created": HOSTILE,
        "python": [HOSTILE],
        "versions": {HOSTILE: HOSTILE, "numpy": 12},
        "argv": [HOSTILE, 3],
        "git": {"commit": HOSTILE, "dirty": HOSTILE},
        "inputs": {HOSTILE: {HOSTILE: HOSTILE}, "x": 5},
        "script": {"file": HOSTILE, "name": HOSTILE, "content": 7},
        "platform": {"a": HOSTILE},
    }
    file.write_text(json.dumps(document))
    started = {"version": 1, "event": "sweep_started", "session": "s", "time": HOSTILE}
    started |= {"user": HOSTILE, "versions": [HOSTILE], "program": {"a": 1}, "seed": HOSTILE}
    ended = {"version": 1, "event": "sweep_ended", "session": "s", "seconds": HOSTILE}
    ended |= {"error": HOSTILE, "done": HOSTILE}
    with open(store / ".journal/events.jsonl", "a") as log:
        log.writelines(json.dumps(each) + "\n" for each in (started, ended))


def test_a_store_with_nothing_done(tmp_path: Path, report: Report) -> None:
    def bad(x: float) -> float:
        raise KeyError("no")

    with pytest.raises(tk.RunsFailedError):
        swept(tmp_path / "a.zarr", bad, {"x": [1, 2, 3]})
    page = report(tmp_path / "a.zarr")
    assert "There is nothing to draw yet" in page.sections["results"]
    assert "3 runs of bad: KeyError at test_report.py" in page.sections["failures"]
    assert 'raise KeyError("no")' in page.sections["failures"]


def test_a_store_that_was_only_begun(tmp_path: Path, report: Report) -> None:
    from toolkit.stores.zarr_store import ZarrStore

    ZarrStore.create_or_open(tmp_path / "a.zarr")
    page = report(tmp_path / "a.zarr")
    assert list(page.sections) == SECTIONS
    assert "No stage has run yet" in page.sections["space"]


def test_a_store_that_is_being_written(tmp_path: Path, report: Report) -> None:
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent("""
            import time
            import toolkit as tk

            def slow(x, y):
                time.sleep(0.02)
                return x + y

            space = tk.grid(x=list(range(80)), y=list(range(80)))
            tk.Sweep(slow, space, store="a.zarr").run(progress=False)
        """)
    )
    running = subprocess.Popen([sys.executable, script], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (tmp_path / "a.zarr/.journal/events.jsonl").exists():
                counts = snapshot_of_store(tmp_path / "a.zarr").counts
                if counts.done >= 12:
                    break
            time.sleep(0.1)
        page = report(tmp_path / "a.zarr")
    finally:
        running.kill()
        running.wait()
    assert "It is running" in page.sections["status"]
    assert "no end is noted" in page.sections["provenance"]
    assert page.pictures == 2
    assert any("without a value" in each for each in page.captions)
    assert "has died" in report(tmp_path / "a.zarr").sections["status"]


def test_without_matplotlib_words_stand_in_place_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    swept(tmp_path / "a.zarr", lambda x: x * 2.0, {"x": [1, 2, 3]})
    monkeypatch.setattr("toolkit.views.report.drawing.find_spec", lambda name: None)
    page = report(tmp_path / "a.zarr")
    assert page.pictures == 0
    assert "drawn by matplotlib, which is not installed" in page.sections["results"]
    assert "median" in page.sections["run-times"]


def test_nothing_is_unpickled(tmp_path: Path, report: Report) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, (f"unpickled in {tmp_path}",))

    def model(x: int) -> dict[str, object]:
        return {"trap": Trap(), "y": x}

    swept(tmp_path / "a.zarr", model, {"x": [1, 2, 3]})
    import pickle

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pickle, "loads", refuse)
        patch.setattr(pickle, "load", refuse)
        page = report(tmp_path / "a.zarr")
    assert "trap (Python objects)" in page.sections["results"]
    assert page.pictures == 1


def test_code_that_changed_is_told_with_what_it_made(tmp_path: Path, report: Report) -> None:
    first = tk.stage(lambda x: x * 2.0, name="model", version="1")
    second = tk.stage(lambda x: x * 3.0, name="model", version="2")
    tk.Sweep(first, {"x": [1, 2]}, store=tmp_path / "a.zarr").run(progress=False)
    with pytest.warns(UserWarning, match="are stale"):
        tk.Sweep(second, {"x": [1, 2, 3]}, store=tmp_path / "a.zarr", seed=5).run(progress=False)
    page = report(tmp_path / "a.zarr")
    assert "2 stale (66.7 %)" in page.sections["status"]
    words = page.sections["provenance"]
    assert "before2" in words
    assert "valid1" in words
    assert "seed0, 5" in words


def test_a_million_runs_are_a_small_file(tmp_path: Path, report: Report) -> None:
    @tk.stage(vectorized=True, outputs={f"y{n}": float for n in range(4)})
    def noise(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
        found = np.round(np.sin(a * 12.9898 + b * 78.233), 6) * 43758.5453 % 1
        return {f"y{n}": found + n for n in range(4)}

    axis = np.linspace(0, 6, 1000)
    swept(tmp_path / "a.zarr", noise, tk.grid(a=axis, b=axis))
    began = time.process_time()
    html = report_of_store(tmp_path / "a.zarr", snapshot_of_store(tmp_path / "a.zarr"))
    assert time.process_time() - began < 5
    assert len(html) < 5_000_000
    page = read(html)
    check(page)
    assert page.pictures == 5
    assert "means of blocks of 4 × 4 cells (a × b)" in page.captions[0]
