"""An output over points that are on no grid: samples, tables, what was refined."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.views.plots.labels import spreads_by_magnitude
from toolkit.views.report.cells import MOST_READ, Floats
from toolkit.views.report.choices import Choice, described
from toolkit.views.report.drawing import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_DRAWN = 20_000
_BINS = 10


@dataclass(frozen=True, kw_only=True)
class PointsShown:
    """What a scatter shows.

    Attributes
    ----------
    names
        Of the parameters across and upwards; one where the output itself is drawn upwards.
    labels
        What stands along the axes and beside the colors, the output last.
    columns
        The parameters and the output, each of shape ``(n,)``.
    crosses
        The parameters of the runs that failed, each of shape ``(n_failed,)``.
    logs
        Whether each of the columns is drawn by magnitude.
    drawn, left_out, failed, not_finite
        Points that are drawn, those that are not, failed runs, values that are infinite.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    columns: tuple[Floats, ...]
    crosses: tuple[Floats, ...]
    logs: tuple[bool, ...]
    drawn: int
    left_out: int
    failed: int
    not_finite: int

    @property
    def is_log(self) -> bool:
        """Whether the output is drawn by magnitude."""
        return self.logs[-1]


def points_shown(choice: Choice) -> PointsShown | None:
    """Return the points of an output over the two parameters that tell most of it.

    None where no point has a value.
    """
    (dim,) = choice.dims
    output = choice.output
    if output.size > MOST_READ:
        output = output.isel({dim: slice(None, None, -(-output.size // MOST_READ))})
    whole = np.asarray(output.variable.transpose(dim, ...).values, dtype=np.float64)
    infinite = np.isinf(whole)
    whole = np.where(infinite, np.nan, whole).reshape(len(whole), -1)
    counts = np.isfinite(whole).sum(axis=1)
    values = np.nansum(whole, axis=1) / np.where(counts, counts, np.nan)
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        return None
    kept = there[:: -(-there.size // _MOST_DRAWN)]
    known = {
        name: np.asarray(output.coords[name].values, dtype=np.float64) for name in choice.parameters
    } or {dim: np.arange(len(values), dtype=np.float64)}
    names = _telling(known, values, kept)
    failed = _failed(output, dim)
    columns = (*(known[name][kept] for name in names), values[kept])
    labels = [_label(output.coords[n].attrs if n in output.coords else {}, n) for n in names]
    return PointsShown(
        names=names,
        labels=(*labels, _label(output.attrs, choice.name)),
        columns=columns,
        crosses=tuple(known[name][failed][:_MOST_DRAWN] for name in names),
        logs=tuple(spreads_by_magnitude(each) for each in columns),
        drawn=len(kept),
        left_out=len(there) - len(kept),
        failed=int(failed.sum()),
        not_finite=int(infinite.sum()),
    )


def draw_points(axes: "Axes", shown: PointsShown) -> None:
    """Draw a scatter: two parameters colored by the output, or the output over one."""
    from toolkit.views.plots.canvas import GRADED, OKABE_ITO, ink, legend_above
    from toolkit.views.plots.marks import MARKERS, legend_entry

    size = float(np.clip(40 - 6 * np.log2(max(shown.drawn, 64) / 64), 5, 40))
    style: Any = {"s": size, "lw": 0, "rasterized": shown.drawn > 1000}
    if len(shown.names) == 1:
        across, upward = shown.columns
        axes.scatter(across, upward, color=OKABE_ITO[0], alpha=0.7, **style)
        crosses: Any = (shown.crosses[0], np.full(len(shown.crosses[0]), 0.02))
        where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    else:
        norm = "log" if shown.is_log else "linear"
        across, upward, colors = shown.columns
        drawn = axes.scatter(across, upward, c=colors, cmap=GRADED, norm=norm, **style)
        axes.figure.colorbar(drawn, ax=axes, label=shown.labels[2])
        crosses, where = shown.crosses, {}
    scales = ["log" if each else "linear" for each in shown.logs]
    axes.set(xlabel=shown.labels[0], ylabel=shown.labels[1], xscale=scales[0], yscale=scales[1])
    if shown.failed:
        marker = MARKERS[Status.FAILED]
        xs, ys = crosses
        axes.scatter(xs, ys, s=16, marker=marker, color=ink(), lw=0.8, alpha=0.7, **where)
        legend_above(axes, [legend_entry(Status.FAILED, shown.failed)])


def _telling(
    known: dict[str, Floats], values: Floats, kept: npt.NDArray[np.intp]
) -> tuple[str, ...]:
    """Return the names of the two parameters by which the values differ most, in their order."""
    varied = [name for name, column in known.items() if len(np.unique(column[kept])) > 1]
    shares = {name: _share_told(known[name][kept], values[kept]) for name in varied}
    most = sorted(varied, key=lambda name: -shares[name])[:2]
    return tuple(name for name in varied if name in most) or tuple(known)[:1]


def _share_told(column: Floats, values: Floats) -> float:
    """Return the share of the values' variance between tenths of a parameter."""
    there = np.isfinite(column)
    column, values = column[there], values[there]
    variance = values.var() if len(values) else 0.0
    if not variance > 0:
        return 0.0
    edges = np.unique(np.quantile(column, np.linspace(0, 1, _BINS + 1)[1:-1]))
    tenth = np.searchsorted(edges, column, side="right")
    counts = np.bincount(tenth)
    sums = np.bincount(tenth, values)
    means = sums / np.maximum(counts, 1)
    return float((counts * (means - values.mean()) ** 2).sum() / (len(values) * variance))


def _failed(output: Any, dim: str) -> npt.NDArray[np.bool_]:
    none = np.zeros(output.sizes[dim], dtype=bool)
    if "status" not in output.coords or dim not in output.coords["status"].dims:
        return none
    status = output.coords["status"].variable.transpose(dim, ...)
    found: npt.NDArray[np.bool_] = (status.values.reshape(len(none), -1) == Status.FAILED).any(1)
    return found


def _label(attrs: Any, name: str) -> str:
    long_name, units = described(attrs, name)
    return str(safe(f"{long_name} ({units})" if units else long_name))
