"""How long runs took: their distribution and the slowest."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from toolkit.resources import describe_memory
from toolkit.views.report.drawing import Pictures, can_draw
from toolkit.views.report.elements import (
    count,
    dim,
    figure,
    note,
    section,
    subheading,
    table,
    text,
    took,
)
from toolkit.views.report.material import Floats32, Material, StageMaterial
from toolkit.views.report.spaces import shown_labels
from toolkit.views.snapshot import SlowRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

_MOST_STAGES = 6
_UNITS = ((1e-3, "µs", 1e6), (1.0, "ms", 1e3), (120.0, "s", 1.0), (7200.0, "min", 1 / 60))
_TICKS = {
    **{10.0**power: f"{10 ** (power + 6)} µs" for power in range(-6, -3)},
    **{10.0**power: f"{10 ** (power + 3)} ms" for power in range(-3, 0)},
    1.0: "1 s",
    10.0: "10 s",
    60.0: "1 min",
    600.0: "10 min",
    3600.0: "1 h",
    36e3: "10 h",
    360e3: "100 h",
}
_SIZE = (5.8, 3.1)  # inches
# Factors from which the axis is by magnitude: between slow and fast runs, and from the slowest to
# the median.
_WIDE, _FAR = 20.0, 50.0
_FEWEST = 10  # runs that have a distribution


def times_section(material: Material, pictures: Pictures) -> str:
    """Return quantiles and a distribution of each stage, and the slowest runs."""
    timed = [stage for stage in material.stages if len(stage.measured)]
    if not timed:
        return section("Run times", note("No run has been timed yet."))
    parts = [_quantiles(timed)]
    drawable = [stage for stage in timed if len(stage.measured) >= _FEWEST]
    if drawable and can_draw():
        drawn = "".join(_histogram(stage, pictures) for stage in drawable[:_MOST_STAGES])
        parts.append(f'<div class="pictures">{drawn}</div>')
    if material.snapshot.slowest:
        parts += [subheading("Slowest runs"), _slowest(material.snapshot.slowest)]
    return section("Run times", *parts)


def _quantiles(stages: list[StageMaterial]) -> str:
    heads = ["stage", "runs", "5 %", "median", "mean", "95 %", "longest"]
    has_memory = any(len(stage.peaks) for stage in stages)
    heads += ["peak memory, median", "largest"] if has_memory else []
    rows = []
    for stage in stages:
        seconds = stage.measured
        low, middle, high = np.quantile(seconds, (0.05, 0.5, 0.95)).tolist()
        longest, mean = float(seconds.max()), float(seconds.mean(dtype="f8"))
        times = [took(each) for each in (low, middle, mean, high, longest)]
        row = [text(stage.name, 80), f"{len(seconds):,}", *times]
        if has_memory:
            row += list(_memory(stage.peaks))
        rows.append(row)
    return table(heads, rows, numbers=heads[1:])


def _memory(peaks: Floats32) -> Iterator[str]:
    if not len(peaks):
        yield from (dim("not known"), "")
        return
    yield describe_memory(float(np.median(peaks)))
    yield describe_memory(float(peaks.max()))


def _histogram(stage: StageMaterial, pictures: Pictures) -> str:
    seconds = stage.measured.astype(np.float64)
    with pictures.axes(_SIZE) as (axes, picture):
        is_log = _draw_bars(axes, seconds)
    caption = f"<b>{text(stage.name, 80)}</b>: wall times of {count(len(seconds), 'run')}"
    said = "; the dashed line is the median" + (", the axis by magnitude." if is_log else ".")
    return figure(picture.svg(f"Wall times of {stage.name}"), caption + said)


def _draw_bars(axes: "Axes", seconds: Floats) -> bool:
    """Draw how many runs took how long; return whether by magnitude."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    from toolkit.views.plots.canvas import OKABE_ITO, ink

    positive = seconds[seconds > 0]
    low, high = np.quantile(positive, (0.02, 0.98)) if len(positive) else (0.0, 0.0)
    middle = float(np.median(seconds))
    is_log = bool(low > 0 and (high > _WIDE * low or positive.max() > _FAR * middle))
    unit, factor = next(((u, f) for limit, u, f in _UNITS if middle < limit), ("h", 1 / 3600))
    shown = positive if is_log else seconds * factor
    least, most = float(shown.min()), float(shown.max())
    if most <= least:
        least, most = least * 0.9, most * 1.1 or 1.0
    bins = int(np.clip(np.sqrt(len(shown)), 8, 60))
    edges = (np.geomspace if is_log else np.linspace)(least, most, bins + 1)
    counts, _ = np.histogram(np.clip(shown, edges[0], edges[-1]), edges)
    axes.stairs(counts, edges, fill=True, color=OKABE_ITO[0], alpha=0.85)
    axes.axvline(middle if is_log else middle * factor, color=ink(), ls="--", lw=1)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlabel="wall time of a run" + ("" if is_log else f" ({unit})"), ylabel="runs")
    axes.set_ylim(bottom=0)
    if is_log:
        axes.set_xscale("log")
        ticks = [tick for tick in _TICKS if edges[0] <= tick <= edges[-1]]
        axes.set_xticks(ticks, labels=[_TICKS[tick] for tick in ticks])
        axes.set_xticks([], minor=True)
    return is_log


def _slowest(slowest: tuple[SlowRun, ...]) -> str:
    has_tiers = any(run.tier for run in slowest)
    heads = ["wall time", "stage", "run", "labels", *(["tier"] if has_tiers else [])]
    rows = [
        [
            took(each.seconds) + (dim(" until now") if each.is_running else ""),
            text(each.stage, 80),
            f"{each.run:,}",
            shown_labels(each.labels),
            *([text(each.tier, 80)] if has_tiers else []),
        ]
        for each in slowest
    ]
    return table(heads, rows, numbers=("wall time", "run"))
