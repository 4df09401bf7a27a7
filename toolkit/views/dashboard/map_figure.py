"""A map over two parameter dims as a Bokeh figure: states of runs, or how long they took."""

import contextlib
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

import numpy as np

from toolkit.run_status import Status
from toolkit.views.dashboard.panels import COLORS
from toolkit.views.plain import printable

STATES = tuple(status.name.lower() for status in Status)
_TICKS = 8
_LONGEST = 14  # characters of a label under a tick
_HEIGHT = 380
_NONE = "#EEEEEE"

Kind = Literal["states", "seconds"]


class MapFigure:
    """One figure, which is given other maps as the sweep goes on.

    Parameters
    ----------
    kind
        What it shows.

    Attributes
    ----------
    figure
        To be put into a document.
    """

    def __init__(self, kind: Kind) -> None:
        models = self._models = _bokeh()
        self.kind = kind
        self.figure: Any = import_module("bokeh.plotting").figure(
            name=kind,
            height=_HEIGHT,
            sizing_mode="stretch_width",
            tools="pan,box_zoom,wheel_zoom,reset,save",
            x_range=models.Range1d(0, 1),
            y_range=models.Range1d(0, 1),
            toolbar_location="above",
        )
        self._mapper = self._first_mapper()
        self._cells = models.ColumnDataSource(_empty("image", "x", "y", "dw", "dh"))
        self._image = self.figure.image(source=self._cells, color_mapper=self._mapper)
        self._points = models.ColumnDataSource(_empty("x", "y", "value", "x_label", "y_label"))
        color = {"field": "value", "transform": self._mapper}
        self._circles = self.figure.scatter(
            source=self._points, size=8, line_color="#666666", line_width=0.5, fill_color=color
        )
        self._labels = {dim: models.ColumnDataSource({"labels": []}) for dim in "xy"}
        shown = {
            f"${dim}": models.CustomJSHover(args={"source": source}, code=_LABEL)
            for dim, source in self._labels.items()
        }
        value = models.CustomJSHover(args={"states": STATES}, code=_VALUE[kind])
        self._over_cells = models.HoverTool(
            renderers=[self._image],
            formatters={**shown, "@image": value},
            point_policy="follow_mouse",
        )
        self._over_points = models.HoverTool(
            renderers=[self._circles], formatters={"@value": value}
        )
        self.figure.add_tools(self._over_cells, self._over_points)
        _style(self.figure)
        if kind == "seconds":
            self._add_color_bar()
        self._shown: tuple[object, ...] = ()

    def show(self, drawn: Mapping[str, Any], *, is_closed: bool) -> None:
        """Show another map.

        Parameters
        ----------
        drawn
            As :func:`toolkit.views.dashboard.maps.draw_map` returns it.
        is_closed
            Whether labels stay unsaid: cells are numbered, and points ranked.
        """
        x, y = drawn["x"], drawn["y"]
        values = np.frombuffer(
            drawn[self.kind], np.uint8 if self.kind == "states" else np.float32
        ).reshape(drawn["shape"])
        if self.kind == "seconds":
            self._scale(values)
        names = (_name(x, is_closed), _name(y, is_closed) if y else "")
        is_points = drawn["kind"] == "points"
        for renderer, is_shown in ((self._image, not is_points), (self._circles, is_points)):
            if renderer.visible != is_shown:
                renderer.visible = is_shown
        show = self._show_points if is_points else self._show_cells
        bounds = show(values, x, y, is_closed)
        what = (names, is_points, None if is_points else values.shape)
        if what == self._shown:  # what somebody has zoomed into stays
            return
        self._shown = what
        for range_, (low, high) in zip(
            (self.figure.x_range, self.figure.y_range), bounds, strict=True
        ):
            range_.update(start=low, end=high, reset_start=low, reset_end=high)
        told = "state" if self.kind == "states" else "run time"
        for hover, pattern, value in (
            (self._over_cells, "${}{{custom}}", "@image{custom}"),
            (self._over_points, "@{}_label", "@value{custom}"),
        ):
            rows = [(name, pattern.format(dim)) for name, dim in zip(names, "xy", strict=True)]
            hover.tooltips = [row for row in rows if row[0]] + [(told, value)]
        self.figure.xaxis[0].axis_label, self.figure.yaxis[0].axis_label = names
        self.figure.yaxis[0].visible = bool(y)

    def _show_cells(self, values: Any, x: Any, y: Any, is_closed: bool) -> Any:
        ny, nx = values.shape
        texts = (_texts(x, nx, is_closed), _texts(y, ny, is_closed) if y else [""])
        for source, labels in zip(self._labels.values(), texts, strict=True):
            if source.data["labels"] != labels:
                source.data = {"labels": labels}
        self._cells.data = {"image": [values], "x": [0], "y": [0], "dw": [nx], "dh": [ny]}
        _mark(self.figure.xaxis[0], texts[0], may_turn=True)
        _mark(self.figure.yaxis[0], texts[1], may_turn=False)
        return (0, nx), (0, ny)

    def _show_points(self, values: Any, x: Any, y: Any, is_closed: bool) -> Any:
        count = values.shape[1]
        data: dict[str, Any] = {"value": values[0]}
        bounds = []
        for dim, side, axis in (("x", x, self.figure.xaxis[0]), ("y", y, self.figure.yaxis[0])):
            at = np.frombuffer(side["at"]) if side else np.zeros(count)
            if is_closed:
                at = np.argsort(np.argsort(at)) + 1.0
            labels = _texts(side, count, is_closed=False) if side and not is_closed else None
            data[dim] = at
            data[f"{dim}_label"] = labels or [f"{each:,.0f}" for each in at.tolist()]
            low, high = (float(at.min()), float(at.max())) if count else (0.0, 1.0)
            margin = 0.04 * (high - low) or 0.5
            bounds.append((low - margin, high + margin))
            if axis.major_label_overrides or not isinstance(axis.ticker, self._models.BasicTicker):
                axis.ticker = self._models.BasicTicker(desired_num_ticks=_TICKS)
                axis.major_label_overrides = {}
                axis.major_label_orientation = "horizontal"
        self._points.data = data
        return bounds

    def _first_mapper(self) -> Any:
        if self.kind == "states":
            palette = [COLORS[state] for state in STATES]
            return self._models.LinearColorMapper(palette, low=-0.5, high=len(palette) - 0.5)
        return self._models.LogColorMapper("Cividis256", low=0.1, high=1, nan_color=_NONE)

    def _add_color_bar(self) -> None:
        self._bar = self._models.ColorBar(
            color_mapper=self._mapper,
            ticker=self._models.FixedTicker(ticks=[]),
            width=12,
            padding=4,
            major_label_text_font_size="12px",
        )
        self.figure.add_layout(self._bar, "right")

    def _scale(self, values: "np.ndarray[Any, Any]") -> None:
        """Scale the colors to what is there, by the logarithm: run times differ by factors."""
        found = values[np.isfinite(values) & (values > 0)]
        low, high = (float(found.min()), float(found.max())) if len(found) else (0.1, 1.0)
        if high < 1.05 * low:
            low, high = low / 1.5, high * 1.5
        if (self._mapper.low, self._mapper.high) == (low, high):
            return
        self._mapper.update(low=low, high=high)
        ticks = ticks_between(low, high)
        self._bar.ticker.ticks = ticks
        self._bar.major_label_overrides = {tick: f"{tick:.6g}" for tick in ticks}


def ticks_between(low: float, high: float) -> list[float]:
    """Return some round numbers between two positive ones, for an axis by the logarithm.

    Examples
    --------
    >>> ticks_between(0.003, 40.0), ticks_between(0.9, 1.2)
    ([0.01, 0.1, 1.0, 10.0], [0.9, 1.0, 1.1, 1.2])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for round_numbers in ((1,), (1, 2, 5)):
        found = [
            each
            for decade in decades
            for number in round_numbers
            if low <= (each := float(f"{number}e{decade}")) <= high
        ]
        if len(found) >= 3:
            return found[:: -(-len(found) // _TICKS)]
    size = 10.0 ** math.floor(math.log10((high - low) / 2))
    step = next(size * each for each in (1, 2, 5, 10) if (high - low) / (size * each) <= 5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{at * step:.6g}") for at in range(first, last + 1)]


_LABEL = """
const at = Math.floor(value)
const labels = source.data.labels
return 0 <= at && at < labels.length ? labels[at] : ""
"""
_VALUE = {
    "states": "return states[Math.round(value)] ?? '';",
    "seconds": "return Number.isFinite(value) ? `${Number(value.toPrecision(3))} s` : 'none yet'",
}


def _bokeh() -> Any:
    return import_module("bokeh.models")


def _name(axis: Mapping[str, Any], is_closed: bool) -> str:
    name = _words(axis["title"])
    return f"{name}: number" if is_closed else name


def _empty(*columns: str) -> dict[str, list[Any]]:
    return {name: [] for name in columns}


def _texts(axis: Mapping[str, Any], cells: int, is_closed: bool) -> list[str]:
    """Return the label of each cell, or its number where labels stay unsaid."""
    if is_closed:
        return [f"{at * axis['each'] + 1:,}" for at in range(cells)]
    return [_words(label) for label in axis["labels"]]


def _words(label: object) -> str:
    """Return a label as text that Bokeh takes for no formula."""
    found = printable(str(label))
    for mark in ("$$", "\\(", "\\["):
        found = found.replace(mark, " ".join(mark))
    return found


def _mark(axis: Any, texts: list[str], *, may_turn: bool) -> None:
    """Label some of the cells along an axis."""
    step = max(1, -(-len(texts) // _TICKS))
    labels = {at + 0.5: _cut(texts[at]) for at in range(0, len(texts), step)}
    if axis.major_label_overrides == labels:  # another ticker makes Bokeh look at all that it has
        return
    axis.ticker = list(labels)
    axis.major_label_overrides = labels
    is_long = max(map(len, labels.values()), default=0) > 7
    axis.major_label_orientation = 0.6 if is_long and may_turn else "horizontal"


def _cut(label: str) -> str:
    """Return a label as it fits under a tick; long ones differ at their ends, mostly."""
    with contextlib.suppress(ValueError):
        return f"{float(label):.4g}" if len(label) > 6 else label
    if len(label) <= _LONGEST:
        return label
    return f"{label[: _LONGEST // 2]}…{label[-(_LONGEST // 2 - 1) :]}"


def _style(shown: Any) -> None:
    shown.grid.visible = False
    shown.toolbar.logo = None
    shown.outline_line_color = "#999999"
    shown.background_fill_color = "#FFFFFF"
    shown.border_fill_color = None
    for axis in shown.axis:
        axis.axis_label_text_font_size = "14px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = "#1a1a1a"
        axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
