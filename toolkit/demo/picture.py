"""The picture of the demo: the misfit over both rates, and the fitted curve over the counts."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.demo.fit import Fit, acceptable
from toolkit.demo.influenza import FIRST_DAY, IN_BED

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From the palette of Okabe and Ito, which reads the same to the color-blind.
INK, BEST, BAND = "#222222", "#D55E00", "#F0B48A"
WIDTH_PX, HEIGHT_PX, DPI = 1400, 620, 100
STYLE: dict[Any, Any] = {
    "font.size": 16,
    "axes.titlesize": 17,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 1.2,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw(data: "xr.Dataset", fit: Fit, path: Path, *, caption: str = "") -> None:
    """Write the picture as PNG, 1400 pixels wide, with a caption among its metadata.

    Parameters
    ----------
    data
        Runs over ``beta``, ``gamma`` and ``infected``.
    fit
        The best of them.
    path
        Of the file.
    caption
        A text that :func:`caption_of` gives back.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12, wspace=0.06)
        figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout=layout)
        left, right = figure.subplots(1, 2, width_ratios=(1.12, 1))
        _draw_map(figure, left, data, fit)
        _draw_curve(right, data, fit)
        figure.savefig(path, metadata={"Description": caption, "Source": _source()})


def caption_of(path: Path) -> str | None:
    """Return the caption of a picture that this version of the demo drew, else None."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info["Description"] if image.info["Source"] == _source() else None
    except (OSError, KeyError):
        return None


def _source() -> str:
    """Return a hash of the demo's code: a picture of another version is drawn anew."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _draw_map(figure: "Figure", axes: "Axes", data: "xr.Dataset", fit: Fit) -> None:
    from matplotlib.colors import LogNorm

    misfit = data.misfit.min("infected").transpose("gamma", "beta")
    beta, gamma, worst = misfit.beta.values, misfit.gamma.values, misfit.max().item()
    colors = axes.pcolormesh(
        beta, gamma, misfit, cmap="viridis_r", norm=LogNorm(fit.misfit, worst), rasterized=True
    )
    axes.set(xlim=beta[[0, -1]], ylim=gamma[[0, -1]])
    axes.set_xlabel("transmission rate β (per day)")
    axes.set_ylabel("recovery rate γ (per day)")  # noqa: RUF001 - not a y
    axes.set_title("How far the model is from the counts")
    for r0 in (3, 4, 5, 6, 8):
        _draw_ratio(axes, r0)
    edge = axes.contour(beta, gamma, misfit, [fit.limit], colors=INK, linewidths=2.2)
    axes.clabel(edge, fmt=lambda limit: f"{limit:.0f} boys", fontsize=14)
    axes.plot(fit.beta, fit.gamma, "o", color=BEST, mec="white", mew=2, ms=12)
    axes.annotate(
        "best fit", (fit.beta, fit.gamma), (-10, 4), textcoords="offset points", ha="right"
    )
    bar = figure.colorbar(colors, ax=axes, pad=0.02)
    ticks = [tick for tick in (20, 30, 50, 70, 100, 150, 200) if fit.misfit <= tick <= worst]
    bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
    bar.ax.minorticks_off()
    bar.ax.axhline(fit.limit, color=INK, lw=2.2)
    bar.set_label("misfit (boys, root mean square)")
    bar.outline.set_visible(False)


def _draw_ratio(axes: "Axes", r0: float) -> None:
    """Draw the line along which beta / gamma is R0, with its name on it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    start, end = max(left, r0 * bottom), min(right, r0 * top)
    if start >= end:
        return
    axes.plot([start, end], [start / r0, end / r0], color="white", lw=1, ls=(0, (5, 5)), alpha=0.8)
    at = start + 0.93 * (end - start)
    axes.text(
        at,
        at / r0,
        f"R₀ = {r0:g}",
        color="white",
        fontsize=14,
        ha="right",
        va="bottom",
        rotation=np.degrees(np.arctan(1 / r0)),
        rotation_mode="anchor",
        transform_rotates_text=True,
    )


def _draw_curve(axes: "Axes", data: "xr.Dataset", fit: Fit) -> None:
    days = np.arange(len(IN_BED))
    fine = np.linspace(days[0], days[-1], 131)
    curves = data.in_bed.where(acceptable(data))
    runs = [name for name in curves.dims if name != "day"]
    low, high = (_between(ends, fine) for ends in (curves.min(runs), curves.max(runs)))
    best = data.in_bed.sel(beta=fit.beta, gamma=fit.gamma, infected=fit.infected)
    axes.plot(
        days, IN_BED, "o", color=INK, ms=10, mec="white", mew=1.5, label="boys in bed", zorder=3
    )
    axes.plot(fine, _between(best, fine), color=BEST, lw=3, label=f"best fit, R₀ = {fit.r0:.1f}")
    within = f"fits within {fit.limit:.0f} boys"
    axes.fill_between(fine, low, high, color=BAND, lw=0, label=within)
    axes.set(xlabel=f"days since {FIRST_DAY}", ylabel="boys", xlim=(-0.4, 13.4), ylim=(0, 400))
    axes.set_title(f"The best of {data.misfit.size:,} runs")
    axes.legend(frameon=False, loc="upper right", handlelength=1.4, borderaxespad=0)


def _between(
    daily: "xr.DataArray", fine: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> "xr.DataArray":
    return daily.interp(day=fine, method="cubic")
