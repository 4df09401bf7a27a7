"""A posterior, or any sample: each parameter alone, and two by two."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.views.plots.canvas import GRADED, OKABE_ITO, AxesArray, grid_of_axes, ink
from toolkit.views.plots.samples import (
    Column,
    Floats,
    as_dataset,
    checked,
    column_of,
    points_of,
    quantiles,
    weights_of,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_ONE_SIGMA = (0.16, 0.5, 0.84)
_BINS = (10, 50)


def corner(
    data: "xr.Dataset | pd.DataFrame",
    parameters: Sequence[str] | None = None,
    *,
    weights: Any = None,
    truths: Mapping[str, float] | Sequence[float] | None = None,
    bins: int | None = None,
    log: Mapping[str, bool] | None = None,
    ax: Any = None,
    cmap: Any = GRADED,
) -> AxesArray:
    """Draw how parameters are distributed: histograms on the diagonal, densities below.

    Over each histogram stand the median and how far it is to the quantiles at 16 and 84 %, which
    are dashed. Points that lack a parameter are left out.

    Parameters
    ----------
    data, parameters, log
        As for :func:`toolkit.plot.pairs`. Dims such as ``chain`` and ``draw`` are strung together.
    weights
        Name of the points' weights, or an array of them, as nested samplers give.
    truths
        True values, by name or one for each parameter: drawn as lines.
    bins
        Of each histogram; None: from the number of points that count.
    ax
        Axes to draw into, ``n²`` of them; those of a new figure.
    cmap
        Color map of the densities.

    Returns
    -------
    array of Axes
        Shape ``(n, n)``; those above the diagonal are not shown.

    Raises
    ------
    ToolkitError
        If a name is unknown or no number, or weights are below zero.
    """
    dataset = as_dataset(data, "corner")
    column = column_of(dataset, weights)
    points = points_of(dataset, parameters, "corner", extra=column, logs=log, fewest=1)
    given = weights_of(points, weights)
    columns = points.columns
    there = np.all([np.isfinite(each.values) for each in columns], axis=0)
    for flags in points.marks.values():
        there &= ~flags
    if not there.any():
        raise ToolkitError("tk.plot.corner finds no point that has all parameters.")
    shares = None if given is None else checked(given[there])
    true = _truths(truths, columns)
    count = bins or _bins(int(there.sum()), shares)
    edges = [_edges(each, there, shares, count) for each in columns]
    # A cell of a density has fewer points than a bar: wider ones are less speckled.
    wide = [_edges(each, there, shares, bins or -(-2 * count // 3)) for each in columns]
    side = len(columns)
    inches = min(2.1 * side + 0.9, 14)
    axes = grid_of_axes(ax, side, side, size=(inches, inches), sharex="col")
    for row in range(side):
        for col in range(side):
            each = axes[row, col]
            if col > row:
                each.set_visible(False)
                continue
            across, upward = columns[col], columns[row]
            if row == col:
                _draw_alone(each, across, across.values[there], shares, edges[col])
            else:
                _draw_density(
                    each,
                    (across.values[there], upward.values[there]),
                    shares,
                    (wide[col], wide[row]),
                    cmap,
                )
                each.set_yscale("log" if upward.is_log else "linear")
                each.set_ylim(edges[row][0], edges[row][-1])
            each.set_xscale("log" if across.is_log else "linear")
            each.set_xlim(edges[col][0], edges[col][-1])
            _draw_truth(each, true.get(across.name), None if row == col else true.get(upward.name))
            _label(each, across, upward, row=row, col=col, side=side)
    return axes


def _truths(
    truths: Mapping[str, float] | Sequence[float] | None, columns: Sequence[Column]
) -> dict[str, float]:
    names = [each.name for each in columns]
    if truths is None:
        return {}
    if not isinstance(truths, Mapping):
        if len(truths) != len(names):
            raise ToolkitError(
                f"truths= has {len(truths)} values, and {len(names)} parameters are drawn: "
                f"{', '.join(names)}."
            )
        return dict(zip(names, map(float, truths), strict=True))
    unknown = [name for name in truths if name not in names]
    if unknown:
        raise ToolkitError(
            f"truths= names {', '.join(map(repr, unknown))}, which is not drawn: "
            f"{', '.join(names)} are."
        )
    return {name: float(value) for name, value in truths.items()}


def _bins(count: int, shares: Floats | None) -> int:
    """Return how many bins the points that count are good for."""
    effective = count if shares is None else 1 / float((shares**2).sum())
    return int(np.clip(1.3 * np.cbrt(effective), *_BINS))


def _edges(column: Column, there: Any, shares: Floats | None, count: int) -> Floats:
    """Return edges of bins over all but a thousandth of the points."""
    values = column.values[there]
    if column.is_log:
        values = np.log(values)
    low, high = quantiles(values, (0.0005, 0.9995), shares)
    low, high = (
        (values.min(), values.max()) if len(values) < 2000 and shares is None else (low, high)
    )
    if not high > low:
        low, high = low - 0.5, high + 0.5
    margin = 0.02 * (high - low)
    edges: Floats = np.linspace(low - margin, high + margin, count + 1)
    return np.exp(edges) if column.is_log else edges


def _draw_alone(
    axes: Any, column: Column, values: Floats, shares: Floats | None, edges: Floats
) -> None:
    weights = np.full(len(values), 1 / len(values)) if shares is None else shares
    axes.hist(values, edges, weights=weights, color=OKABE_ITO[0], alpha=0.35, histtype="stepfilled")
    axes.hist(values, edges, weights=weights, color=OKABE_ITO[0], histtype="step", lw=1.4)
    low, middle, high = quantiles(values, _ONE_SIGMA, shares)
    for place in (low, middle, high):
        axes.axvline(place, color=ink(), ls="--", lw=0.9, alpha=0.7)
    axes.set_title(_estimate(column.name, low, middle, high), fontsize="medium")
    axes.set_yticks([])
    axes.set_ylim(bottom=0)


def _estimate(name: str, low: float, middle: float, high: float) -> str:
    """Return ``name = median (+up, -down)`` to two digits of the smaller distance."""
    up, down = high - middle, middle - low
    smaller = min((each for each in (up, down) if each > 0), default=0.0)
    if not smaller:
        return f"{name} = {middle:.4g}"
    digits = 1 - int(np.floor(np.log10(smaller)))
    if -4 < digits < 6:
        places = max(0, digits)
        texts = [f"{each:.{places}f}" for each in (middle, up, down)]
    else:
        texts = [f"{each:.2e}" for each in (middle, up, down)]
    return f"{name} = ${texts[0]}^{{+{texts[1]}}}_{{-{texts[2]}}}$"


def _draw_density(
    axes: Any,
    values: tuple[Floats, Floats],
    shares: Floats | None,
    edges: tuple[Floats, Floats],
    cmap: Any,
) -> None:
    counts = np.histogram2d(*values, bins=list(edges), weights=shares)[0]
    shown = np.ma.masked_equal(counts.T, 0)
    axes.pcolormesh(*edges, shown, cmap=cmap, rasterized=True)


def _draw_truth(axes: Any, across: float | None, upward: float | None) -> None:
    style = {"color": OKABE_ITO[1], "lw": 1.4, "gid": "truth"}
    if across is not None:
        axes.axvline(across, **style)
    if upward is not None:
        axes.axhline(upward, **style)
    if across is not None and upward is not None:
        axes.plot([across], [upward], "s", color=OKABE_ITO[1], ms=5)


def _label(axes: Any, across: Column, upward: Column, *, row: int, col: int, side: int) -> None:
    if row == side - 1:
        axes.set_xlabel(across.label)
        if not across.is_log:
            axes.locator_params(axis="x", nbins=4, steps=[1, 2, 2.5, 5, 10])
    else:
        axes.tick_params(labelbottom=False)
    if col == 0 and row > 0:
        axes.set_ylabel(upward.label)
    elif col != row:
        axes.tick_params(labelleft=False)
