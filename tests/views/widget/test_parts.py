"""The parts of the widget: how often it looks, what it is told, its front, what stays of it."""

import dataclasses
import json
import re
import struct
import zlib
from importlib.resources import files

import numpy as np
import pytest

from tests.views.specimens import at_the_end, in_the_middle
from toolkit.views.picture import Along, Picture
from toolkit.views.widget.budget import FASTEST, SLOWEST, Budget
from toolkit.views.widget.colors import viridis
from toolkit.views.widget.document import (
    failure_documents,
    grid_bytes,
    picture_document,
    state_document,
)
from toolkit.views.widget.model import MODULES, front, style
from toolkit.views.widget.still import colored, picture_svg, png, still_html


class Clock:
    """Time and CPU that go by when they are told to."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0

    def go(self, seconds: float, cpu: float = 0.0) -> None:
        self.now += seconds
        self.cpu += seconds * cpu


@pytest.mark.parametrize("cost", [0.0005, 0.005, 0.05])
@pytest.mark.parametrize("load", [0.0, 0.4, 1.0])
def test_looks_take_a_hundredth_of_the_cpu_at_most(cost: float, load: float) -> None:
    clock = Clock()
    budget = Budget(lambda: clock.now, lambda: clock.cpu)
    spent = 0.0
    while clock.now < 600:
        pause = budget.pause()
        assert FASTEST <= pause <= SLOWEST
        clock.go(pause, load)
        budget.note(cost)
        spent += 1.5 * cost  # with what sending takes
    at_slowest = 1.5 * cost * 600 / SLOWEST
    granted = 0.001 + 600 * (0.0008 + 0.008 * load) + 580 * 0.002
    assert spent <= max(granted, at_slowest) + 4.5 * cost
    assert spent > 0.0004 * 600, "and it looks all the same"


def test_cheap_looks_come_four_times_a_second() -> None:
    clock = Clock()
    budget = Budget(lambda: clock.now, lambda: clock.cpu)
    clock.go(10)
    budget.note(0.0005)
    assert budget.pause() == FASTEST


def test_the_first_looks_come_soon_and_dear_ones_are_paid_for_later() -> None:
    clock = Clock()
    budget = Budget(lambda: clock.now, lambda: clock.cpu)
    looked = []
    while clock.now < 300:
        clock.go(budget.pause(), 0.1)
        looked.append(clock.now)
        budget.note(0.02)
    assert looked[1] <= 1.5
    assert looked[2] - looked[1] > 10
    assert 1.5 * 0.02 * (len(looked) - 2) <= 300 * (0.0008 + 0.1 * 0.008) + 280 * 0.002


def test_a_sweep_that_lasts_is_looked_at_every_other_second() -> None:
    clock = Clock()
    budget = Budget(lambda: clock.now, lambda: clock.cpu)
    looked = []
    while clock.now < 300:
        clock.go(budget.pause(), 0.0)
        looked.append(clock.now)
        budget.note(0.003)
    late = [each for each in looked if each > 100]
    assert 1.0 < (late[-1] - late[0]) / (len(late) - 1) < 2.0


def picture(kind: str = "map") -> Picture:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    values[0, 0] = np.nan
    x = Along(name="beta", labels=np.array([1.0, 10.0, 100.0, 1000.0]), units="1/day")
    if kind == "line":
        return Picture(
            kind="line", name="peak", stage="peak", x=x, y=None, values=values[:1],
            band=values[:2], low=1.0, high=3.0,
        )  # fmt: skip
    y = Along(name="model", labels=np.array(["<svm>", "tree", "net"]))
    return Picture(
        kind="map", name="peak", stage="peak", x=x, y=y, values=values, low=1.0, high=11.0,
        units="1", long_name="share & more", note="mean over trial (3)",
    )  # fmt: skip


def test_a_state_is_small_and_json() -> None:
    document = state_document(in_the_middle())
    assert len(json.dumps(document)) < 4_000
    assert document["can"] == ["pause", "retry", "cancel"]
    assert document["counts"]["total"] == in_the_middle().counts.total
    assert "failures" not in document
    assert state_document(at_the_end())["can"] == []


def test_failures_are_cut_to_what_a_person_reads() -> None:
    first, second = failure_documents(in_the_middle())
    assert (first["exception"], first["count"], first["runs"]) == ("ValueError", 1300, [3])
    assert first["labels"] == {"beta": "0.3", "model": "svm"}
    assert second["reason"] == "memory"


def test_values_go_row_by_row_as_float32() -> None:
    found = np.frombuffer(grid_bytes(picture()), np.float32)
    np.testing.assert_array_equal(found, picture().values.ravel())
    assert len(grid_bytes(picture("line"))) == 4 * (4 + 8)


def test_the_front_is_one_module_that_asks_nothing_of_other_machines() -> None:
    code = front()
    assert code.count("export default") == 1
    assert not re.search(r"^\s*import ", code, flags=re.M)
    assert "http" not in code
    assert "http" not in style()
    folder = files("toolkit.views.widget") / "front"
    assert {each.name for each in folder.iterdir() if each.name.endswith(".js")} == set(MODULES)


def test_no_text_of_a_run_is_read_as_html_by_the_front() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", front())


def test_selectors_that_others_rely_on_are_in_the_front() -> None:
    code = front()
    for name in ("tk-widget", "tk-counts", "tk-failure", "tk-traceback", "tk-map", "tk-badge"):
        assert f'"{name}' in code, name


def test_colors_grow_lighter_from_end_to_end() -> None:
    colors = viridis().astype(float)
    light = colors @ [0.2126, 0.7152, 0.0722]
    assert colors.shape == (256, 3)
    assert (np.diff(light) > -0.5).all()
    assert light[-1] - light[0] > 150


def test_a_still_picture_has_axes_units_and_a_color_bar() -> None:
    svg = picture_svg(picture())
    for words in ("beta (1/day)", "model", "share &amp; more", "&lt;svm&gt;", "mean over trial"):
        assert words in svg, words
    assert svg.count("data:image/png;base64,") == 2
    assert "<script" not in svg
    assert "polygon" in picture_svg(picture("line"))


def test_pending_cells_have_no_color_and_the_largest_the_lightest() -> None:
    index, colors = colored(picture())
    assert index[0, 0] == 255
    assert index[2, 3] == 253
    np.testing.assert_array_equal(colors[253], viridis()[-1])


@pytest.mark.parametrize("kind", ["map", "line"])
def test_failed_cells_have_a_color_of_their_own_and_are_counted(kind: str) -> None:
    drawn = picture(kind)
    failed = np.zeros(drawn.values.shape, bool)
    failed[0, 0] = True
    values = drawn.values.copy()
    values[0, 0] = np.nan
    marked = dataclasses.replace(drawn, values=values, failed=failed)
    assert "#d55e00" not in picture_svg(drawn)
    assert "#d55e00" in picture_svg(marked)
    assert "1 failed" in picture_svg(marked)
    assert picture_document(marked)["n_failed"] == 1
    index, colors = colored(marked)
    assert bytes(colors[index[0, 0]]).hex() == "d55e00"
    sent = np.frombuffer(grid_bytes(marked), np.uint32)
    assert np.flatnonzero(sent == 0x7FC00001).tolist() == [0]
    assert np.isnan(sent.view(np.float32)[0])
    assert 0x7FC00001 not in np.frombuffer(grid_bytes(drawn), np.uint32)


def test_an_image_is_a_png_whose_last_color_is_none() -> None:
    data = png(np.array([[0, 1, 255], [2, 0, 1]], np.uint8), viridis())
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    parts = {}
    at = 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(body),)
        parts[body[:4]] = body[4:]
        at += 12 + length
    assert struct.unpack(">II", parts[b"IHDR"][:8]) == (3, 2)
    assert zlib.decompress(parts[b"IDAT"]) == bytes([0, 0, 1, 255, 0, 2, 0, 1])
    assert parts[b"PLTE"] == viridis().tobytes()
    assert parts[b"tRNS"] == 255 * b"\xff" + b"\0"


def test_what_stays_in_a_notebook_has_no_script() -> None:
    html = still_html(in_the_middle(), picture())
    assert "<script" not in html
    assert "beta &lt;must&gt; not exceed gamma &amp; more" in html
    assert "<svg" in html
    assert "<svg" not in still_html(None, None)
