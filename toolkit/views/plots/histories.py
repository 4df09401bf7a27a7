"""What an optimizer or a sampler did, evaluation by evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.views.plots.canvas import (
    FAINT,
    AxesArray,
    axes_of,
    colors_of,
    grid_of_axes,
    legend_above,
)
from toolkit.views.plots.labels import label_of, spreads_by_magnitude
from toolkit.views.plots.marks import draw_marks, failures, legend_entry, state_names
from toolkit.views.plots.samples import as_dataset, numbers_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

_ALONG = ("evaluation", "iteration", "generation", "step", "draw", "run", "sample", "row")
_COUNTED = ("run", "sample", "row")  # dims along which evaluations are counted from one
_MOST_NAMED = 8

Floats = npt.NDArray[np.float64]


def convergence(
    history: "xr.Dataset | xr.DataArray | pd.DataFrame",
    value: str | None = None,
    *,
    dim: str | None = None,
    by: str | None = None,
    maximize: bool = False,
    logy: bool | None = None,
    ax: "Axes | None" = None,
    **more: Any,
) -> "Axes":
    """Draw the best value so far over the evaluations, a line for each start.

    With one start the value of each evaluation is there too, faint; evaluations that failed are
    crossed at the foot.

    Parameters
    ----------
    history
        Values in the order in which they were evaluated.
    value
        Name of what was optimized; the only output.
    dim
        Dim along which they were; one of ``evaluation``, ``iteration``, ``generation``,
        ``step``, ``draw``, ``run`` and ``sample`` that is there, or the only dim.
    by
        Dim that tells starts apart, or a coordinate along ``dim`` that does; the other dim.
    maximize
        Whether larger is better.
    logy
        Whether values are drawn by magnitude. None: where the best of each evaluation is above
        zero and gets thirty times smaller or larger.
    ax
        Axes to draw into; those of a new figure.
    **more
        For ``matplotlib.axes.Axes.plot``.

    Raises
    ------
    ToolkitError
        If there are several outputs and none is named, or further dims.
    """
    dataset = as_dataset(history, "convergence")
    [told] = _told(dataset, [_one_value(dataset, value)], dim, by, "convergence")
    axes = axes_of(ax)
    best = (np.fmax if maximize else np.fmin).accumulate(told.values, axis=1)
    colors = colors_of(len(best), are_ordered=told.is_ordered and len(best) > _MOST_NAMED)
    at = np.arange(1, best.shape[1] + 1)
    for number, each in enumerate(best):
        style = {"drawstyle": "steps-post", "lw": 2 if len(best) == 1 else 1.4, **more}
        axes.plot(at, each, **{"color": colors[number], "label": told.names[number], **style})
    if len(best) == 1:
        dots: dict[str, Any] = {"ls": "", "marker": "o", "ms": 3, "alpha": FAINT, "mew": 0}
        axes.plot(at, told.values[0], color=colors[0], zorder=1, **dots)
    if logy or (logy is None and _by_magnitude(best)):
        axes.set_yscale("log")
    axes.set_xlabel(told.along)
    name, _, units = told.label.partition(" (")
    best_of = f"{'highest' if maximize else 'lowest'} {name} so far"
    axes.set_ylabel(f"{best_of} ({units}" if units else best_of)
    if 1 < len(told.names) <= _MOST_NAMED:
        axes.legend(title=told.by, fontsize="small", title_fontsize="small")
    named = axes.get_legend()
    _mark(axes, told)
    entries = _legend_of_marks(told)
    legend_above(axes, entries)
    if named is not None and entries:
        axes.add_artist(named)
    return axes


def trace(
    data: "xr.Dataset | xr.DataArray | pd.DataFrame",
    parameters: Sequence[str] | None = None,
    *,
    dim: str | None = None,
    by: str | None = None,
    ax: Any = None,
    **more: Any,
) -> AxesArray:
    """Draw the values of parameters along a chain or over the evaluations, one below the other.

    Evaluations that failed are crossed at the foot.

    Parameters
    ----------
    data
        Parameters and values in the order of the draws or evaluations.
    parameters
        Names; None for all numbers over the same dims.
    dim, by
        As for :func:`convergence`: the chain's dim, and what tells chains apart.
    ax
        Axes to draw into, one for each parameter; those of a new figure.
    **more
        For ``matplotlib.axes.Axes.plot``.

    Returns
    -------
    array of Axes
        Shape ``(n,)``.

    Raises
    ------
    ToolkitError
        If a name is unknown or no number, or there are further dims.
    """
    dataset = as_dataset(data, "trace")
    names = list(parameters) if parameters is not None else _traced(dataset, dim, by)
    if not names:
        raise ToolkitError("tk.plot.trace finds no numbers along a dim in the data.")
    all_told = _told(dataset, names, dim, by, "trace")
    size = (7.0, min(1.5 * len(names) + 0.8, 14))
    axes = grid_of_axes(ax, len(names), 1, size=size, sharex=True)[:, 0]
    for each, told in zip(axes, all_told, strict=True):
        count = told.values.shape[1]
        colors = colors_of(len(told.values), are_ordered=False)
        is_dotted = count <= 60 or (len(told.values) == 1 and told.is_scattered)
        for color, name, values in zip(colors, told.names, told.values, strict=True):
            style: dict[str, Any] = {"color": color, "label": name, "lw": 0.8, "alpha": 0.85}
            if is_dotted:
                style |= {"marker": "o", "ms": 3, "mew": 0}
            each.plot(np.arange(1, count + 1), values, **{**style, **more})
        if spreads_by_magnitude(told.values.ravel()):
            each.set_yscale("log")
        each.set_ylabel(told.label.replace(" (", "\n("))
        _mark(each, told)
    first = all_told[0]
    axes[-1].set_xlabel(first.along)
    named = axes[0].get_lines() if 1 < len(first.names) <= _MOST_NAMED else []
    legend_above(axes[0], [*_entries(named, first), *_legend_of_marks(first)])
    return axes


@dataclass(frozen=True, kw_only=True)
class _Told:
    """Values over evaluations, shape ``(n_starts, n_evaluations)``, with the words for them."""

    values: Floats
    marks: dict[Status, npt.NDArray[np.bool_]]
    names: list[str]
    by: str
    along: str
    label: str
    is_ordered: bool
    is_scattered: bool


def _told(
    dataset: "xr.Dataset", names: Sequence[str], dim: str | None, by: str | None, picture: str
) -> list[_Told]:
    """Return each of some values over the evaluations of each start."""
    for name in names:
        if name not in dataset.variables or dataset[name].dtype.kind not in "iufb":
            raise ToolkitError(
                f"tk.plot.{picture} finds no numbers {name!r} in the data, which has "
                f"{', '.join(map(repr, numbers_of(dataset))) or 'none'}."
            )
    dims = list(dict.fromkeys(str(d) for name in names for d in dataset[name].dims))
    dim = _dim(dims, dim, picture)
    others = [each for each in dims if each != dim]
    if by is None and len(others) == 1:
        by = others[0]
    left = [each for each in others if each != by]
    if left:
        sizes_of = ", ".join(f"{each} ({dataset.sizes[each]:,} labels)" for each in left)
        raise ToolkitError(
            f"tk.plot.{picture} draws along {dim!r}, with a line for each label of one more dim, "
            f"and the data also has {sizes_of}. "
            f"Select one label of each, as in data.isel({left[0]}=0), or reduce it, as in "
            f"data.min({left[0]!r})."
        )
    if by is not None and by not in dataset.variables and by not in dataset.dims:
        raise ToolkitError(f"by= names {by!r}, which the data has not: {', '.join(dims)}.")
    along = label_of(dataset[dim]) if dim in dataset.coords else dim
    if dim in _COUNTED:
        along = "evaluation"
    flags = {k: v for k, v in failures(dataset).items() if set(v.dims) <= set(dims)}
    told = []
    for name in names:
        variables: dict[str, Any] = {
            "value": dataset[name].variable,
            **{s.name: v for s, v in flags.items()},
        }
        sizes = {d: dataset.sizes[d] for d in (*([by] if by in dims else []), dim)}
        rows = {
            key: np.asarray(v.set_dims(sizes).transpose(*sizes).values).reshape(-1, sizes[dim])
            for key, v in variables.items()
        }
        labels: list[Any] = [""]
        if by in dims:
            labels = list(dataset[by].values)
        elif by is not None:
            labels, rows = _split(rows, np.asarray(dataset[by].values))
        values = rows.pop("value").astype(np.float64)
        marks = {status: rows[status.name].astype(bool) for status in flags}
        if Status.FAILED in marks and name in dataset.data_vars:
            values = np.where(marks[Status.FAILED], np.nan, values)
        told.append(
            _Told(
                values=values,
                marks=marks,
                names=[str(each) for each in labels],
                by="" if by is None else (label_of(dataset[by]) if by in dataset.variables else by),
                along=along,
                label=label_of(dataset[name]),
                is_ordered=len(labels) > 1 and all(isinstance(each, np.number) for each in labels),
                is_scattered=dim in ("run", "sample", "evaluation", "row"),
            )
        )
    return told


def _dim(dims: Sequence[str], dim: str | None, picture: str) -> str:
    if dim is not None:
        if dim not in dims:
            raise ToolkitError(f"dim= names {dim!r}, and the values are over {', '.join(dims)}.")
        return dim
    usual = [each for each in _ALONG if each in dims]
    if len(dims) != 1 and not usual:
        raise ToolkitError(
            f"tk.plot.{picture} draws along the dim of the evaluations, and the values are over "
            f"{', '.join(dims) or 'none'}. Say which: dim=."
        )
    return usual[0] if usual else dims[0]


def _split(
    rows: dict[str, npt.NDArray[Any]], groups: npt.NDArray[Any]
) -> tuple[list[Any], dict[str, npt.NDArray[Any]]]:
    """Return rows of one line as those of several, the shorter ones padded."""
    labels = list(dict.fromkeys(groups.tolist()))
    members = [np.flatnonzero(groups == label) for label in labels]
    longest = max(map(len, members), default=0)
    found = {}
    for key, row in rows.items():
        empty: Any = np.nan if key == "value" else False
        dtype = np.float64 if key == "value" else np.bool_
        padded: npt.NDArray[Any] = np.full((len(labels), longest), empty, dtype=dtype)
        for number, indices in enumerate(members):
            padded[number, : len(indices)] = row[0, indices]
        found[key] = padded
    return [np.asarray(label)[()] for label in labels], found


def _one_value(dataset: "xr.Dataset", value: str | None) -> str:
    names = [str(name) for name in dataset.data_vars]
    if value is None and len(names) != 1:
        raise ToolkitError(
            f"tk.plot.convergence draws one value, and the history has {len(names)}: "
            f"{', '.join(names)}. Name it: value={names[0] if names else 'misfit'!r}."
        )
    return names[0] if value is None else value


def _traced(dataset: "xr.Dataset", dim: str | None, by: str | None) -> list[str]:
    """Return the parameters and outputs that have the dims of the longest of them."""
    states = state_names(dataset)
    names = [
        str(name)
        for name, each in dataset.variables.items()
        if each.dtype.kind in "iuf"
        and each.ndim
        and name not in states
        and name not in dataset.dims
        and name != by
        and (dim is None or dim in each.dims)
    ]
    most = max((dataset[name].size for name in names), default=0)
    return [name for name in names if dataset[name].size == most]


def _by_magnitude(best: Floats) -> bool:
    there = best[np.isfinite(best)]
    return bool(len(there) and (there > 0).all() and there.max() >= 30 * there.min())


def _mark(axes: "Axes", told: _Told) -> None:
    """Cross evaluations that failed, at the foot."""
    marks = {}
    for status, flags in told.marks.items():
        places = np.flatnonzero(flags.any(axis=0)) + 1
        marks[status] = (places, np.full(len(places), 0.03))
    foot = axes.get_xaxis_transform()
    draw_marks(axes, marks, _counts(told), size=4, transform=foot, clip_on=False)


def _counts(told: _Told) -> dict[Status, int]:
    return {status: int(flags.sum()) for status, flags in told.marks.items()}


def _legend_of_marks(told: _Told) -> list[Any]:
    return [legend_entry(status, count) for status, count in _counts(told).items() if count]


def _entries(lines: Sequence[Any], told: _Told) -> list[Any]:
    """Return what a legend shows for chains: ``chain 0``, ``chain 1``."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=line.get_color(), lw=2, label=f"{told.by} {name}")
        for line, name in zip(lines, told.names, strict=False)
    ]
