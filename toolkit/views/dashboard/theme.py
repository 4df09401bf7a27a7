"""Light or dark as the browser asks for: figures are drawn on a canvas, which no style reaches."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

PENDING = {"light": "#DDDDDD", "dark": "#4A4A4A"}
"""The color of what has not been run yet; also ``--tk-pending`` of the page."""

_FOLLOW = """
const asked = window.matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  const isDark = asked.matches;
  const [ground, text, line] = isDark
    ? ["#181818", "#e4e4e4", "#777777"] : ["#ffffff", "#1a1a1a", "#999999"];
  const none = isDark ? "#2e2e2e" : "#eeeeee";
  const later = isDark ? dark : light;
  for (const figure of figures) {
    figure.background_fill_color = ground;
    figure.outline_line_color = line;
  }
  for (const axis of axes) {
    axis.axis_label_text_color = axis.major_label_text_color = text;
    axis.axis_line_color = axis.major_tick_line_color = text;
  }
  for (const bar of bars) {
    bar.major_label_text_color = text;
    bar.background_fill_color = ground;
  }
  for (const mapper of mappers) {
    if (mapper.type === "LogColorMapper") mapper.nan_color = none;
    else mapper.palette = states.map((state, at) =>
      state === "pending" ? later : state === "skipped" ? ground : colors[at]);
  }
};
paint();
asked.addEventListener("change", paint);
"""


def follow_theme(document: Any, figures: Sequence[Any]) -> None:
    """Paint the figures of a document as its browser asks for, also when that changes.

    Parameters
    ----------
    document
        Of Bokeh: what one browser sees.
    figures
        Maps of states by a linear scale, or of numbers by a logarithmic one.
    """
    from toolkit.views.dashboard.map_figure import STATES
    from toolkit.views.dashboard.panels import COLORS

    models: Any = import_module("bokeh.models")
    code = models.CustomJS(
        args={
            "figures": list(figures),
            "axes": [axis for figure in figures for axis in figure.axis],
            "bars": [bar for figure in figures for bar in figure.select(models.ColorBar)],
            "mappers": [
                mapper
                for figure in figures
                for kind in (models.LinearColorMapper, models.LogColorMapper)
                for mapper in figure.select(kind)
            ],
            "states": list(STATES),
            "colors": [COLORS[state] for state in STATES],
            **PENDING,
        },
        code=_FOLLOW,
    )
    document.js_on_event("document_ready", code)
