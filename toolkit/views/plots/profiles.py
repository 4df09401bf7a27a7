"""Likelihood profiles: how far the likelihood falls as each parameter moves."""

from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.views.plots.canvas import FAINT, AxesArray, colors_of, grid_of_axes, ink, title

if TYPE_CHECKING:
    import xarray as xr

_COLUMNS = 3


def profile(data: "xr.Dataset", *, ax: Any = None, **more: Any) -> "AxesArray":
    """Draw what ``tk.likelihood_profile`` returns, a panel for each parameter.

    The line is the deviance, twice the fall of the log-likelihood, with all other parameters
    fitted anew; the dotted one is what the curvature at the best point foretells. Where the line
    lies below the dashed threshold is the interval, which is shaded. A profile that stays below on
    a side is open there.

    Parameters
    ----------
    data
        Of ``tk.likelihood_profile``.
    ax
        As many axes as parameters; those of a new figure.
    **more
        For ``matplotlib.axes.Axes.plot``.

    Raises
    ------
    ToolkitError
        If these are no profiles.
    """
    missing = [name for name in ("profile", "deviance", "low", "high") if name not in data]
    if missing or "threshold" not in data.attrs:
        raise ToolkitError(
            "tk.plot.profile draws what tk.likelihood_profile returns, and this has no "
            f"{', '.join(missing) or 'threshold'}."
        )
    names = data.parameter.values.tolist()
    columns = min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    if ax is None:
        panels = grid_of_axes(None, rows, columns, size=(3.4 * columns, 2.8 * rows), sharey=True)
    else:
        panels = grid_of_axes(ax, 1, len(names), size=(0, 0))
    for panel, name in zip(panels.flat, names, strict=False):
        _draw(panel, data.sel(parameter=name), float(data.attrs["threshold"]), more)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for row in panels:
        row[0].set_ylabel("deviance")
    return panels


def _draw(panel: Any, data: "xr.Dataset", threshold: float, more: dict[str, Any]) -> None:
    color = more.get("color", colors_of(1, are_ordered=False)[0])
    at, fell = data.profile.values, data.deviance.values
    shown = np.isfinite(fell) & np.isfinite(at)
    at, fell = at[shown], fell[shown]
    top = 1.6 * threshold
    low, high, best = (float(data[name]) for name in ("low", "high", "estimate"))
    ends = (low if np.isfinite(low) else at.min(), high if np.isfinite(high) else at.max())
    panel.axvspan(*ends, color=color, alpha=0.4 * FAINT, lw=0)
    panel.axhline(threshold, color=ink(), lw=1, ls="--", alpha=0.7)
    panel.plot(at, fell, **{"color": color, "lw": 1.8, "marker": "o", "ms": 3.5, **more})
    panel.plot([best], [0], marker="D", ms=5, color=ink(), ls="", zorder=4)
    is_log = str(data.scale.values) == "log"
    _draw_curvature(panel, data, at, threshold, is_log=is_log)
    if is_log:
        panel.set_xscale("log")
        if at.max() < 20 * at.min():  # too few decades for ticks at their powers
            from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

            panel.xaxis.set_major_locator(MaxNLocator(5))
            panel.xaxis.set_major_formatter(ScalarFormatter())
            panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(-0.04 * top, top)
    name = str(data.parameter.values)
    panel.set_xlabel(name)
    open_ends = [word for word, end in (("below", low), ("above", high)) if not np.isfinite(end)]
    said = f"{best:.3g}  [{low:.3g}, {high:.3g}]"
    if open_ends:
        said = f"open {' and '.join(open_ends)}"
    title(panel, said)


def _draw_curvature(
    panel: Any, data: "xr.Dataset", at: Any, threshold: float, *, is_log: bool
) -> None:
    low, high, best = (float(data[name]) for name in ("hessian_low", "hessian_high", "estimate"))
    if not (np.isfinite(low) and np.isfinite(high)) or not low < best < high:
        return
    if is_log:
        places = np.geomspace(at.min(), at.max(), 100)
        half = max(np.log(high / best), np.log(best / low))
        away = np.log(places / best) / half
    else:
        places = np.linspace(at.min(), at.max(), 100)
        away = (places - best) / max(high - best, best - low)
    panel.plot(places, threshold * away**2, color=ink(), lw=1, ls=":", alpha=0.7)
