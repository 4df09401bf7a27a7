import functools
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import toolkit as tk
from toolkit.markup import folded, rows, view
from toolkit.views import html

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
