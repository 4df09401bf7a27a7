import functools
import pickle
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import toolkit as tk
from toolkit.markup import bar, folded, legend, link, rows, view
from toolkit.views import html
from toolkit.views.failures import failures_html

VOID = {"br", "hr", "img"}


class Reader(HTMLParser):
    """Notes the tags, and fails where one is not closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(source: str) -> Reader:
    reader = Reader()
    reader.feed(source)
    assert reader.open == []
    return reader


def ratio(x, y=2.0):
    if x == 3:
        raise ValueError("three")
    return x / y


def test_a_sweep_shows_its_function_its_space_and_what_is_stored(tmp_path: Path) -> None:
    sweep = tk.Sweep(ratio, tk.grid(x=[1, 2, 3, 4]), store=tmp_path / "r.zarr", seed=8)
    sweep.sel(x=[2, 3]).run(progress=False)
    found = read(sweep._repr_html_())
    assert "ratio over 4 runs (x: 4)" in found.text
    assert "ratio(x, y=2.0)" in found.text
    assert "test_html.py, line" in found.text
    assert str(tmp_path / "r.zarr") in found.text
    assert "1 of 4 runs, 1 failed" in found.text
    assert "1 2 3 4" in found.text
    assert {"details", "style", "table"} <= found.tags
    assert "script" not in found.tags


def test_names_of_the_user_are_escaped(tmp_path: Path) -> None:
    def tagged(x, y="<script>alert(1)</script>"):
        return x

    tagged.__name__ = "<script>"
    sweep = tk.Sweep(
        tk.stage(tagged, name="tagged"), {"x": ["<b>", "&"]}, store=tmp_path / "<i>&.zarr"
    )
    found = read(sweep._repr_html_())
    assert found.tags & {"script", "b", "i"} == {"b"}
    assert "<script>alert(1)</script>" in found.text
    assert "<i>&.zarr" in found.text


def test_a_sweep_of_one_point_in_memory() -> None:
    found = read(tk.Sweep(ratio, {"x": 1})._repr_html_())
    assert "over 1 run" in found.text
    assert "in memory" in found.text


def test_a_large_sweep_does_not_look_into_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_LOOKED_UP", 2)
    assert "stored" not in read(tk.Sweep(ratio, {"x": [1, 2, 3]})._repr_html_()).text


def test_a_store_that_cannot_be_read_does_not_break_the_view(tmp_path: Path) -> None:
    (tmp_path / "r.zarr").mkdir()
    (tmp_path / "r.zarr" / "zarr.json").write_text("{")
    sweep = tk.Sweep(ratio, {"x": [1]}, store=tmp_path / "r.zarr")
    assert "cannot be said" in read(sweep._repr_html_()).text


@pytest.mark.parametrize(
    ("function", "shown"), [(len, "len(obj, /)"), (functools.partial(ratio, 3), "partial(y=2.0)")]
)
def test_functions_without_source_are_shown_too(
    function: Callable[..., object], shown: str
) -> None:
    text = read(rows([("f", html._function(tk.stage(function, name="f")))])).text
    assert shown in text


def test_parts_of_a_view_escape_texts_and_keep_html() -> None:
    source = view("A&B", "<x>", rows([("<n>", "<b>1</b>")]), folded("<s>", "<i>2</i>"))
    found = read(source)
    assert found.tags == {"style", "div", "details", "summary", "b", "i", "table", "tr", "td"}
    for text in ("A&B", "<x>", "<n>", "<s>"):
        assert text in found.text


@pytest.mark.parametrize(
    "file", ["/tmp/ipykernel_4711/3079582654.py", "<ipython-input-3-0a1b2c3d4e5f>"]
)
def test_a_function_of_a_notebook_is_said_to_be_in_a_cell(file: str) -> None:
    names: dict[str, Callable[..., float]] = {}
    exec(compile("def model(x): return x", file, "exec"), names)
    text = read(tk.Sweep(names["model"], {"x": [1]})._repr_html_()).text
    assert "a notebook cell" in text
    assert "3079582654" not in text


def fails(x):
    if x % 3 == 0:
        raise ValueError(f"<script>alert({x})</script> [red]")
    if x % 3 == 1:
        return 1 / (x - x)
    return x


def test_failures_are_shown_by_kind_with_a_traceback_each(tmp_path: Path) -> None:
    sweep = tk.Sweep(fails, {"x": range(30)}, store=tmp_path / "f.zarr")
    sweep.run(progress=False)
    for frame in (sweep.failures(), tk.failures(tmp_path / "f.zarr")):
        found = read(frame._repr_html_())
        assert "20 runs in 2 ways" in found.text
        assert "10 × ValueError at test_html.py:" in found.text
        assert "10 × ZeroDivisionError at test_html.py:" in found.text
        assert "raise ValueError(f" in found.text
        assert "<script>alert(0)</script> [red]" in found.text
        assert "script" not in found.tags
        assert found.text.count("Traceback (most recent call last)") == 2


def test_a_table_of_failures_is_pandas_own_in_all_else(tmp_path: Path) -> None:
    sweep = tk.Sweep(fails, {"x": range(7)})
    sweep.run(progress=False)
    frame = sweep.failures()
    assert type(frame) is pd.DataFrame
    assert list(frame.x) == [0, 1, 3, 4, 6]
    for made in (frame.head(3), frame.copy(), pickle.loads(pickle.dumps(frame))):
        assert "Failures" not in made._repr_html_()
        assert "traceback" in made._repr_html_()
    frame.loc[0, "message"] = "looked at"
    assert "looked at" in read(frame._repr_html_()).text
    assert "none" in read(sweep.sel(x=[2, 5]).failures()._repr_html_()).text
    assert "3 × ValueError: " in read(failures_html(frame.drop(columns=["traceback", "log", "stage"]))).text


def test_a_hundred_thousand_failures_take_a_moment_and_little_room() -> None:
    count = 100_000
    frame = pd.DataFrame(
        {
            "x": np.arange(count),
            "stage": "fit",
            "run": np.arange(count),
            "exception": "ValueError",
            "message": [f"no {x}" * 100 for x in range(count)],
            "traceback": [f'  File "m.py", line {x % 7}, in f\n' + "x" * 99 for x in range(count)],
            "log": "l" * 50_000,
        }
    )
    begun = time.process_time()
    html = failures_html(frame)
    seconds = time.process_time() - begun
    assert "in 7 ways (by the first 5,000)" in read(html).text
    assert len(html) < 200_000
    assert seconds < 0.5  # measured 30 ms; the machine may be busy


def test_a_plan_is_a_table_of_its_stages() -> None:
    def peak(beta):
        return beta

    def late(peak, gamma):
        return peak * gamma

    found = read(
        tk.Sweep([peak, late], tk.grid(beta=[1, 2], gamma=["<b>"])).explain()._repr_html_()
    )
    assert "4 of 4 runs to do" in found.text
    assert "peak (beta)" in found.text
    assert "late (beta, gamma)" in found.text
    assert "unknown" in found.text
    assert "peak -> late over" in found.text
    assert found.tags & {"script"} == set()


def test_a_job_has_a_bar_and_its_counts() -> None:
    job = tk.Sweep(fails, {"x": range(9)}).start()
    job.result(timeout=60)
    found = read(job._repr_html_())
    assert "finished, fails: 3 of 9 done, 6 failed" in found.text
    assert "3 done" in found.text
    assert "6 failed" in found.text
    assert "tk-bar" in job._repr_html_()


def test_a_cluster_shows_its_workers_by_tier_and_starts_nothing(tmp_path: Path) -> None:
    cluster = tk.cluster("local", workers=1)
    assert "not started" in read(cluster._repr_html_()).text
    assert "not started" in repr(cluster)
    with cluster:
        found = read(cluster._repr_html_())
        assert "1 workers, 1 threads" in found.text
        assert f"href='{cluster.dashboard_link}'" in cluster._repr_html_()


@pytest.mark.parametrize("address", ["javascript:alert(1)", "<b>"])
def test_what_is_no_address_of_a_page_is_no_link(address: str) -> None:
    found = read(link(address, "words"))
    assert found.tags == set()
    assert found.text == address


def test_a_bar_is_never_without_words() -> None:
    counts = {"done": 1, "failed": 10**6}
    assert "1,000,000 failed" in bar(counts, 10**6 + 1)  # to be read where the mouse is
    assert read(legend(counts)).text == "1 done1,000,000 failed"


def test_sweeps_of_a_million_runs_are_shown_in_a_moment(tmp_path: Path) -> None:
    axes = {name: np.linspace(0, 1, 100) for name in "abc"}
    sweep = tk.Sweep(lambda a, b, c: a, tk.grid(axes), store=tmp_path / "m.zarr")
    begun = time.process_time()
    sweep._repr_html_()
    repr(sweep)
    assert time.process_time() - begun < 0.25  # measured 2 ms; the machine may be busy
