"""What all pictures share: matplotlib loaded late, axes, colors, titles, legends."""

import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito without black, which a dark style would swallow; yellow comes last.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
GRADED = "viridis"
FAINT = 0.35  # opacity of what stands behind

AxesArray = npt.NDArray[np.object_]


def pyplot() -> ModuleType:
    """Return ``matplotlib.pyplot``.

    Raises
    ------
    ToolkitError
        If matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ToolkitError(
            "Pictures are drawn by matplotlib, which is not installed here. Install it: "
            "python -m pip install 'parallel-analysis-toolkit[viz]'"
        )
    import matplotlib.pyplot

    return matplotlib.pyplot


def axes_of(ax: "Axes | None", *, size: tuple[float, float] | None = None) -> "Axes":
    """Return the given axes, or those of a new figure of some inches."""
    plt = pyplot()
    if ax is not None:
        return ax
    axes: Axes = plt.subplots(layout="constrained", figsize=size)[1]
    return axes


def grid_of_axes(
    ax: Any, rows: int, columns: int, *, size: tuple[float, float], **more: Any
) -> AxesArray:
    """Return axes of shape ``(rows, columns)``: the given ones, or those of a new figure.

    Raises
    ------
    ToolkitError
        If another number of axes is given.
    """
    plt = pyplot()
    if ax is None:
        made: AxesArray = plt.subplots(
            rows, columns, squeeze=False, layout="constrained", figsize=size, **more
        )[1]
        return made
    given = np.asarray(ax, dtype=object)
    if given.size != rows * columns:
        raise ToolkitError(
            f"This picture needs {rows} × {columns} axes, and ax= has {given.size}. Make them with "
            f"plt.subplots({rows}, {columns}), or leave ax= out."
        )
    return given.reshape(rows, columns)


def ink() -> str:
    """Return the color of text in the style in use: what is seen on its background."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def shades(count: int, cmap: str = GRADED) -> list[Any]:
    """Return colors from dark to light for labels that have an order.

    Those that the background would swallow are left out: the lightest, or in a dark style the
    darkest.
    """
    import matplotlib as mpl

    background = mpl.colors.to_rgb(mpl.rcParams["axes.facecolor"])
    low, high = (0.2, 1) if np.mean(background) < 0.5 else (0, 0.9)
    return [mpl.colormaps[cmap](each) for each in np.linspace(low, high, max(count, 1))]


def colors_of(count: int, *, are_ordered: bool) -> list[Any]:
    """Return a color for each of some lines or groups."""
    if are_ordered or count > len(OKABE_ITO):
        return shades(count)
    return list(OKABE_ITO[:count])


def legend_above(axes: "Axes", handles: Sequence[Any]) -> None:
    """Put a legend over the upper right corner, where it hides nothing."""
    if handles:
        axes.legend(
            handles=list(handles),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(handles),
            frameon=False,
            borderaxespad=0.1,
            handletextpad=0.3,
            fontsize="small",
        )


def title(axes: "Axes", *lines: str | None) -> None:
    """Put the lines that say something over the axes, at the left."""
    text = "\n".join(line for line in lines if line)
    axes.set_title("")
    if text:
        axes.set_title(text, loc="left", fontsize="medium")


def counted(number: int, what: str) -> str:
    """Return ``"1 run"`` or ``"1,024 runs"``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
