"""The widget as Jupyter knows it: its front, and the values that both sides share."""

from functools import cache
from importlib.resources import files
from typing import Any

from toolkit.views.widget.colors import viridis

MODULES = ("scales.js", "picture.js", "panels.js", "main.js")
"""The parts of the front, in the order in which they are joined to one module."""


def front() -> str:
    """Return the ES module that draws the widget; it asks nothing of any other machine."""
    folder = files("toolkit.views.widget") / "front"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in MODULES)


def style() -> str:
    """Return how it looks, in the colors of Jupyter's theme."""
    return (files("toolkit.views.widget") / "front" / "widget.css").read_text(encoding="utf-8")


@cache
def model_class() -> Any:
    """Return the class of the widget; anywidget is loaded when the first one is shown."""
    import anywidget
    import traitlets

    class SweepWidget(anywidget.AnyWidget):
        """The state of a sweep and one picture of it."""

        _esm = front()
        _css = style()
        palette = traitlets.Unicode(viridis().tobytes().hex()).tag(sync=True)
        state = traitlets.Dict().tag(sync=True)
        failures: Any = traitlets.List().tag(sync=True)
        options = traitlets.Dict().tag(sync=True)
        picture = traitlets.Dict().tag(sync=True)
        sides = traitlets.Dict().tag(sync=True)
        grid = traitlets.Bytes(b"").tag(sync=True)

    return SweepWidget
