"""A map over two parameter dims as a Bokeh figure: states of runs, or how long they took."""

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
_WIDE = 30.0  # from this ratio of greatest to least on, times are shown by their logarithm
_HEIGHT = 380

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
        self._source = models.ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._labels = {dim: models.ColumnDataSource({"labels": []}) for dim in "xy"}
        self._glyph = self.figure.image(source=self._source, **self._mapper())
        self._names: tuple[str, ...] = ()
        shown = {
            f"${dim}": models.CustomJSHover(args={"source": source}, code=_LABEL.format(dim=dim))
            for dim, source in self._labels.items()
        }
        shown["@image"] = models.CustomJSHover(args={"states": STATES}, code=_VALUE[kind])
        self._hover = models.HoverTool(tooltips=[], formatters=shown, point_policy="follow_mouse")
        self.figure.add_tools(self._hover)
        _style(self.figure)
        if kind == "seconds":
            self._add_color_bar()

    def show(self, drawn: Mapping[str, Any], *, is_closed: bool) -> None:
        """Show another map.

        Parameters
        ----------
        drawn
            As :class:`toolkit.views.dashboard.maps.Map` describes it.
        is_closed
            Whether labels stay unsaid: cells are numbered.
        """
        ny, nx = drawn["shape"]
        kind = np.uint8 if self.kind == "states" else np.float32
        values = np.frombuffer(drawn[self.kind], kind).reshape(ny, nx)
        x, y = drawn["x"], drawn["y"]
        names = (_name(x, is_closed), _name(y, is_closed) if y else "")
        texts = [_texts(x, nx, is_closed), _texts(y, ny, is_closed) if y else [""]]
        if self.kind == "seconds":
            self._use_mapper(values)
        self._source.data = {"image": [values], "x": [0], "y": [0], "dw": [nx], "dh": [ny]}
        for source, labels in zip(self._labels.values(), texts, strict=True):
            if source.data["labels"] != labels:
                source.data = {"labels": labels}
        if (*names, nx, ny) != self._names:  # else what somebody has zoomed into stays
            self._names = (*names, nx, ny)
            for range_, count in ((self.figure.x_range, nx), (self.figure.y_range, ny)):
                range_.update(start=0, end=count, reset_start=0, reset_end=count)
                range_.bounds = (0, count)
            value = "state" if self.kind == "states" else "run time"
            along_y = [(names[1], "$y{custom}")] if y else []
            self._hover.tooltips = [(names[0], "$x{custom}"), *along_y, (value, "@image{custom}")]
        _mark(self.figure.xaxis[0], names[0], texts[0], may_turn=True)
        _mark(self.figure.yaxis[0], names[1], texts[1], may_turn=False)

    def clear(self) -> None:
        """Show nothing."""
        self._source.data = {"image": [], "x": [], "y": [], "dw": [], "dh": []}

    def _mapper(self) -> dict[str, Any]:
        if self.kind == "states":
            palette = [COLORS[state] for state in STATES]
            return {
                "color_mapper": self._models.LinearColorMapper(
                    palette, low=-0.5, high=len(palette) - 0.5
                )
            }
        return {
            "color_mapper": self._models.LinearColorMapper(
                "Cividis256", low=0, high=1, nan_color="#EEEEEE"
            )
        }

    def _add_color_bar(self) -> None:
        self._bar = self._models.ColorBar(
            color_mapper=self._glyph.glyph.color_mapper,
            width=12,
            padding=4,
            major_label_text_font_size="12px",
        )
        self.figure.add_layout(self._bar, "right")

    def _use_mapper(self, values: "np.ndarray[Any, Any]") -> None:
        """Scale the colors to what is there: by the logarithm where times differ widely."""
        models = self._models
        found = values[np.isfinite(values) & (values > 0)]
        low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
        if low == high:
            low, high = low / 2, high * 2
        is_wide = low > 0 and high / low > _WIDE
        kind = models.LogColorMapper if is_wide else models.LinearColorMapper
        mapper = self._glyph.glyph.color_mapper
        if type(mapper) is kind:
            mapper.update(low=low, high=high)
            return
        mapper = kind(palette="Cividis256", low=low, high=high, nan_color="#EEEEEE")
        self._glyph.glyph.color_mapper = mapper
        self._bar.color_mapper = mapper
        self._bar.ticker = (
            models.LogTicker() if is_wide else models.BasicTicker(desired_num_ticks=6)
        )


_LABEL = """
const at = Math.floor(special_vars.data_{dim})
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
    units = f" ({axis['units']})" if axis.get("units") else ""
    return printable(f"{axis['name']}{units}") + (" – position" if is_closed else "")


def _texts(axis: Mapping[str, Any], cells: int, is_closed: bool) -> list[str]:
    """Return the label of each cell, or its position where labels stay unsaid."""
    if not is_closed:
        return [printable(str(label)) for label in axis["labels"]]
    each = axis["size"] / cells
    return [f"{int(at * each) + 1:,}" for at in range(cells)]


def _mark(axis: Any, name: str, texts: list[str], *, may_turn: bool) -> None:
    """Name an axis, and some of its cells."""
    step = max(1, -(-len(texts) // _TICKS))
    labels = {at + 0.5: _cut(texts[at]) for at in range(0, len(texts), step)}
    axis.axis_label = name
    axis.ticker = list(labels)
    axis.major_label_overrides = labels
    is_long = max(map(len, labels.values()), default=0) > 7
    axis.major_label_orientation = 0.6 if is_long and may_turn else "horizontal"


def _cut(label: str) -> str:
    """Return a label as it fits under a tick; long ones differ at their ends, mostly."""
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
