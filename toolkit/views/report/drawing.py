"""Pictures by matplotlib as SVG that stands in a page and takes its colors for text and lines."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any

from toolkit.views.plain import printable
from toolkit.views.report.elements import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING = (
    "Pictures are left out: they are drawn by matplotlib, which is not installed here. Install it "
    "with python -m pip install 'parallel-analysis-toolkit[viz]' and make the report again."
)

_INK = "#1f2e3d"  # no color of any scale: replaced by that of the text around
_SIZE = (5.8, 3.9)  # inches
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "toolkit",
    "text.usetex": False,
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.framealpha": 0.0,
    "figure.dpi": 150,
    **dict.fromkeys(
        (
            "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color",
            "legend.labelcolor", "axes.titlecolor", "grid.color",
        ),
        _INK,
    ),
}  # fmt: skip

_PREAMBLE = re.compile(r"^.*?(?=<svg)", re.S)
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.S)
_SPACES = re.compile(r'\s+xmlns(?::\w+)?="[^"]*"')
_HEAD = re.compile(r'<svg\b[^>]*?viewBox="([^"]*)"[^>]*>', re.S)
_NAMED = re.compile(r'(\bid="|url\(#|href="#)')
_COMMENTS = re.compile(r"<!--.*?-->", re.S)
_PAINT = re.compile(rf"(?<=[\s:\"]){_INK}(?=[;\"])")


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


class Pictures:
    """Draws pictures one after the other; their parts have names of their own in the page."""

    def __init__(self) -> None:
        self._numbers = count(1)

    @contextmanager
    def axes(self, size: tuple[float, float] = _SIZE) -> "Iterator[tuple[Axes, Picture]]":
        """Give axes to draw into; after it the picture is finished."""
        with self.figure(size) as (figure, picture):
            yield figure.add_subplot(), picture

    @contextmanager
    def figure(self, size: tuple[float, float] = _SIZE) -> "Iterator[tuple[Figure, Picture]]":
        """Give a figure to draw into; after it the picture is finished."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        with mpl.rc_context(), warnings.catch_warnings():
            mpl.rcdefaults()  # not as the user's notebooks look, but alike everywhere
            mpl.rcParams.update(_STYLE)
            warnings.simplefilter("ignore")  # letters that its fonts lack: the browser has them
            figure = Figure(figsize=size, layout="constrained")
            picture = Picture(next(self._numbers))
            yield figure, picture
            picture.finish(figure)


class Picture:
    """One picture: ``svg`` is there once it is drawn."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._svg = ""

    def finish(self, figure: "Figure") -> None:
        """Take over what was drawn."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        out = io.StringIO()
        # One pass, which lays out and draws; savefig makes two.
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(out, metadata={"Date": None})
        self._svg = _in_page(out.getvalue(), f"p{self._number}-")

    def svg(self, title: str) -> str:
        """Return it for a page; ``title`` is what it shows, for those who cannot see it."""
        name = text(title, 300)
        return self._svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)


def safe(label: Any) -> Any:
    r"""Return text for matplotlib: short, printable, with its formulas where they are sound.

    Examples
    --------
    >>> safe("rate"), safe("$\\mu$m"), safe("$\\frac{$")
    ('rate', '$\\mu$m', '\\$\\frac{\\$')
    """
    if not isinstance(label, str):
        return label
    shown = " ".join(printable(label).split())
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    return shown if "$" not in shown or _is_formula(shown) else shown.replace("$", r"\$")


def _is_formula(label: str) -> bool:
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(label)
    except ValueError:
        return False
    return True


def _in_page(document: str, prefix: str) -> str:
    """Return an SVG document as an element of a page, with its colors and without addresses."""
    found = _PREAMBLE.sub("", document, count=1)
    for pattern in (_DROPPED, _COMMENTS):
        found = pattern.sub("", found)
    found = _HEAD.sub(lambda head: f'<svg viewBox="{head[1]}">', found, count=1)
    found = _SPACES.sub("", found)
    found = _NAMED.sub(lambda name: f"{name[1]}{prefix}", found)
    return _PAINT.sub("currentColor", found)
