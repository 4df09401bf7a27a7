"""Sampled parameters against one another, two by two."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.views.plots.canvas import (
    FAINT,
    GRADED,
    OKABE_ITO,
    AxesArray,
    counted,
    grid_of_axes,
    ink,
)
from toolkit.views.plots.marks import MARKERS
from toolkit.views.plots.samples import (
    Points,
    as_dataset,
    checked,
    column_of,
    points_of,
    weights_of,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_MOST_POINTS = 20_000


def pairs(
    data: "xr.Dataset | pd.DataFrame",
    parameters: Sequence[str] | None = None,
    *,
    color: str | None = None,
    weights: Any = None,
    log: Mapping[str, bool] | None = None,
    ax: Any = None,
    **more: Any,
) -> AxesArray:
    """Draw sampled parameters against one another, a scatter for each pair.

    Points whose run failed are crossed, and so are not missed where they crowd. Of more than 20,000
    points as many are drawn, evenly taken, and the picture says so.

    Parameters
    ----------
    data
        A sample, ``tk.open("fit.zarr")``: its parameters are the coordinates along the sample;
        or a posterior, whose variables over the same dims (``chain``, ``draw``) are parameters;
        or a table.
    parameters
        Names; None for all. Any outputs may be among them.
    color
        Name of an output that colors the points.
    weights
        Name of the points' weights, or an array of them: a point's area is in proportion.
    log
        Whether a parameter's axes are logarithmic, ``{"gamma": True}``; others are where the
        sample fills its range more evenly by magnitude, over a factor of ten or more.
    ax
        Axes to draw into, ``(n - 1)²`` of them; those of a new figure.
    **more
        For ``matplotlib.axes.Axes.scatter``: ``cmap``, ``s``, ``alpha``, ``vmin``, ``norm``.

    Returns
    -------
    array of Axes
        Shape ``(n - 1, n - 1)``; those above the diagonal are not shown.

    Raises
    ------
    ToolkitError
        If a name is unknown or no number, or has dims that the parameters lack.
    """
    dataset = as_dataset(data, "pairs")
    extra = [*([color] if color is not None else []), *column_of(dataset, weights)]
    points = points_of(dataset, parameters, "pairs", extra=extra, logs=log)
    heavy = weights_of(points, weights)
    areas = None if heavy is None else checked(heavy)
    drawn = points.columns
    side = len(drawn) - 1
    inches = min(max(2.4 * side + 1.2, 4.6), 12)
    wider = inches + (1.0 if color else 0.0)
    axes = grid_of_axes(ax, side, side, size=(wider, inches), sharex="col", sharey="row")
    kept = _kept(points, color)
    style = _style(points, color, areas, kept, more)
    scatter = None
    for row in range(side):
        for col in range(side):
            each = axes[row, col]
            if col > row:
                each.set_visible(False)
                continue
            across, upward = drawn[col], drawn[row + 1]
            scatter = each.scatter(across.values[kept], upward.values[kept], **style)
            _cross(each, points, across.values, upward.values)
            each.set(
                xscale="log" if across.is_log else "linear",
                yscale="log" if upward.is_log else "linear",
            )
            if row == side - 1:
                each.set_xlabel(across.label)
            if col == 0:
                each.set_ylabel(upward.label)
    _explain(axes, points, color, scatter, kept)
    return axes


def _kept(points: Points, color: str | None) -> Any:
    """Return the indices of the points that are drawn."""
    there = np.ones(len(points.columns[0].values), dtype=bool)
    for flags in points.marks.values():
        there &= ~flags
    if color is not None:
        there &= np.isfinite(points.extra[color].values)
    found = np.flatnonzero(there)
    return found[:: -(-len(found) // _MOST_POINTS) or 1]


def _style(
    points: Points, color: str | None, areas: Any, kept: Any, more: Mapping[str, Any]
) -> dict[str, Any]:
    few = float(np.clip(40 - 6 * np.log2(max(len(kept), 64) / 64), 6, 40))
    style: dict[str, Any] = {"s": few, "lw": 0, "alpha": 0.9, "rasterized": len(kept) > 2000}
    if color is None:
        style["color"] = OKABE_ITO[0]
        style["alpha"] = 0.6
    else:
        style |= {"c": points.extra[color].values[kept], "cmap": GRADED}
    if areas is not None:
        style["s"] = 90 * areas[kept] / areas[kept].max()
    return style | dict(more)


def _cross(each: Any, points: Points, across: Any, upward: Any) -> None:
    for status, flags in points.marks.items():
        if flags.any():
            each.scatter(
                across[flags],
                upward[flags],
                s=14,
                marker=MARKERS[status],
                color=ink(),
                alpha=0.5 + FAINT / 2,
                lw=0.8,
                gid=status.name.lower(),
            )


def _explain(axes: AxesArray, points: Points, color: str | None, scatter: Any, kept: Any) -> None:
    """Add the color bar, what crosses mean, and how many points are drawn."""
    from matplotlib.lines import Line2D

    figure = axes[0, 0].figure
    side = axes.shape[0]
    total = len(points.columns[0].values)
    if color is not None:
        figure.colorbar(scatter, ax=list(axes.ravel()), label=points.extra[color].label, pad=0.02)
    entries = [
        Line2D(
            [],
            [],
            ls="",
            marker=MARKERS[status],
            ms=5,
            color=ink(),
            label=f"{status.name.lower()} ({int(flags.sum()):,})",
        )
        for status, flags in points.marks.items()
        if flags.any()
    ]
    if entries:
        # Beside the first scatter, where the hidden axes leave room.
        home = axes[0, 0]
        legend = home.legend(
            handles=entries,
            loc="lower right" if side == 1 else "upper left",
            bbox_to_anchor=(1, 1) if side == 1 else (1.02, 1),
            frameon=False,
            borderaxespad=0,
            fontsize="small",
        )
        legend.set_in_layout(side == 1)
    marked = sum(int(flags.sum()) for flags in points.marks.values())
    missing = total - marked
    if len(kept) < missing and missing > _MOST_POINTS:
        axes[0, 0].set_title(
            f"{len(kept):,} of {counted(missing, 'point')}", loc="left", fontsize="medium"
        )
