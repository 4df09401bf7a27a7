import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk
from toolkit.views.plots.spans import Span, account_of, packed


def texts(axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def widths(axes, gid: str) -> list[float]:
    return [bar.get_width() for bar in axes.patches if bar.get_gid() == gid]


def swept(path: Path, copy: Path | None = None) -> tk.Sweep:
    def first(x):
        time.sleep(0.01)
        if x == 3:
            raise ValueError("three")
        return x

    def second(first):
        if copy is not None and first == 8:
            shutil.copytree(path, copy)
        return first

    return tk.Sweep([first, second], tk.grid(x=range(10)), store=path)


def test_stages_are_bars_with_what_came_of_them(tmp_path: Path) -> None:
    sweep = swept(tmp_path / "s.zarr")
    sweep.run(progress=False)
    axes = tk.plot.gantt(sweep)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["first", "second"]
    assert len(widths(axes, "stage")) == 2
    assert min(widths(axes, "stage")) > 0
    assert [text.get_text() for text in axes.texts] == ["9 done, 1 failed", "9 done"]
    assert "run failed" in texts(axes)
    assert axes.get_xlabel().startswith("seconds since 20")
    assert axes.get_xlabel().endswith("UTC")


def test_runs_that_journals_tell_of_are_bars_of_their_process(tmp_path: Path) -> None:
    swept(tmp_path / "s.zarr", tmp_path / "copy.zarr").run(progress=False)
    began = account_of(tmp_path / "copy.zarr", -1).begin
    spans = [span for span in account_of(tmp_path / "copy.zarr", -1).spans if span.kind == "run"]
    first = [span for span in spans if span.text.startswith("first")]
    assert len(first) == 10
    assert [span.text for span in first if span.status == tk.Status.FAILED] == ["first 3"]
    assert min(span.end - span.begin for span in first) >= 0.0095
    assert min(span.begin for span in first) >= began - 0.001
    # One after the other, as one process made them.
    assert len(packed(first)) == 1
    axes = tk.plot.gantt(tmp_path / "copy.zarr")
    assert {"done", "failed"} <= set(texts(axes))
    assert "not ended" in {text.get_text() for text in axes.texts}
    np.testing.assert_allclose(
        sorted(widths(axes, "run"))[-10:],
        sorted(span.end - span.begin for span in spans)[-10:],
        atol=1e-3,
    )


def test_each_start_of_a_sweep_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    sweep = swept(path)
    sweep.sel(x=[1, 2]).run(progress=False)
    sweep.run(progress=False)
    assert tk.plot.gantt(path, start=0).texts[0].get_text() == "2 done"
    with pytest.raises(
        tk.ToolkitError, match=r"knows of 2 starts of its sweep: start= is from 0 t"
    ):
        tk.plot.gantt(path, start=2)


def test_workers_are_bars_from_when_they_came_until_they_left(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    swept(path).run(progress=False)
    first, second = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1"
    told = [
        {"event": "sweep_started"},
        {"event": "cluster_used", "addresses": [first]},
        {"event": "worker_joined", "worker": second},
        {"event": "worker_left", "worker": first},
        {"event": "sweep_ended"},
    ]
    with open(path / ".journal" / "events.jsonl", "a") as file:
        for minute, event in enumerate(told):
            time = f"2099-01-01T00:{10 * minute:02d}:00.000+00:00"
            file.write(json.dumps({"version": 1, "time": time, **event}) + "\n")
    axes = tk.plot.gantt(path)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["10.0.0.1:1", "10.0.0.2:1"]
    np.testing.assert_allclose(widths(axes, "worker"), [20, 20])
    assert axes.get_xlabel() == "minutes since 2099-01-01 00:00:00 UTC"
    assert texts(axes) == ["worker is there"]


def test_a_sweep_without_a_store_is_an_error_that_says_so() -> None:
    with pytest.raises(tk.ToolkitError, match="needs a store: the folder, or a sweep with store="):
        tk.plot.gantt(object())


def test_a_folder_without_a_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(tk.StoreError):
        tk.plot.gantt(tmp_path / "none.zarr")


def test_spans_that_overlap_lie_in_rows_of_their_own() -> None:
    def span(begin: float, end: float) -> Span:
        return Span(lane="host 1", kind="run", begin=begin, end=end)

    rows = packed([span(0, 2), span(1, 3), span(2, 4), span(3, 5)])
    assert [[each.begin for each in row] for row in rows] == [[0, 2], [1, 3]]
