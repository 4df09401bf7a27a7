"""An output along one dim, with a line for each label of another."""

from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.views.plots import blocks
from toolkit.views.plots.canvas import axes_of, colors_of, legend_above, shades, title
from toolkit.views.plots.labels import Along, along, label_of, word
from toolkit.views.plots.marks import draw_marks, failures, legend_entry, without_states
from toolkit.views.plots.outputs import one_output, over, selection, too_many

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_MOST_DOTTED = 40  # labels; of more, the line alone shows where they are
_MOST_NAMED = 8  # lines that a legend names; more have a color bar
_MOST_LINES = 200


def line(
    data: "xr.DataArray | xr.Dataset",
    x: str | None = None,
    *,
    hue: str | None = None,
    ax: "Axes | None" = None,
    logx: bool | None = None,
    logy: bool = False,
    **more: Any,
) -> "Axes":
    """Draw an output along one dim; with a second dim, a line for each of its labels.

    A line is broken where there is no value; runs that failed are crossed at the foot. Lines over
    numbers go from dark to light, those over words have colors of their own. Above a million
    points the means of neighbors are drawn, and the title says of how many.

    Parameters
    ----------
    data
        One output, ``data.peak``; arrays of Dask are computed.
    x
        Dim, or coordinate along one, to be drawn across; the longest dim, the last of equals.
    hue
        Dim, or coordinate along one, that tells the lines apart; the other dim.
    ax
        Axes to draw into; those of a new figure.
    logx
        Whether the axis is logarithmic; None: as in :func:`toolkit.plot.map`.
    logy
        Whether the values are drawn by magnitude.
    **more
        For ``xarray.DataArray.plot.line``, and so for matplotlib: ``lw``, ``marker``, ``color``.

    Raises
    ------
    ToolkitError
        If there are further dims, or more than 200 lines: select, or reduce them. If matplotlib
        is not installed.
    """
    output = one_output(data, "line")
    names = _two_names(output, x, hue)
    output = over(output, names, "line")
    if output.dtype.kind not in "iufb":
        raise ToolkitError(f"tk.plot.line draws numbers, and {output.name!r} is {output.dtype}.")
    _check_few(output, names)
    axes = axes_of(ax)
    across = along(output.coords[names[0]], logx)
    others = along(output.coords[names[1]], None) if len(names) > 1 else None
    cells, length, counts = _cells(output, across, others)
    shown = cells["value"].rename(output.name)
    if across.words is None and len(across.positions) <= _MOST_DOTTED:
        more = {"marker": "o", "ms": 4, **more}
    elif across.words is not None:
        more = {"marker": "o", "ls": "", **more}
    count = 1 if others is None else len(others.positions)
    are_ordered = others is not None and others.words is None
    drawn = shown.plot.line(
        x=across.name,
        hue=None if others is None else others.name,
        ax=axes,
        add_legend=False,
        **({"color": colors_of(1, are_ordered=False)[0], **more} if others is None else more),
    )
    if "color" not in more and others is not None:
        for each, color in zip(drawn, colors_of(count, are_ordered=are_ordered), strict=True):
            each.set_color(color)
    if across.is_log:
        axes.set_xscale("log")
    if logy:
        axes.set_yscale("log")
    across.dress(axes, "x")
    axes.set_ylabel(label_of(output))
    for text in axes.get_xticklabels() if across.words is None else ():
        text.set_rotation(0)
    if others is not None:
        _name_lines(axes, drawn, others)
    _mark(axes, cells, across, counts)
    note = blocks.note({across.name: length}, (across.name,)) if length > 1 else None
    title(axes, selection(without_states(output)), note)
    return axes


def _two_names(output: "xr.DataArray", x: str | None, hue: str | None) -> list[str]:
    """Return the name of what is drawn across, and that of what tells the lines apart if any."""

    def dim_of(name: str) -> str:
        there = name in output.coords and name not in output.dims and output.coords[name].ndim
        return str(output.coords[name].dims[0]) if there else name

    taken = [dim_of(name) for name in (x, hue) if name is not None]
    free = [str(dim) for dim in output.dims if dim not in taken and output.sizes[dim] > 1]
    if not free and x is None:
        free = [str(dim) for dim in output.dims if dim not in taken][-1:]
    if x is None:
        if not free:
            raise ToolkitError(f"{output.name!r} is one value: there is no dim to draw it along.")
        if len(free) > (1 if hue is not None else 2):
            drawn = free[-1:] if hue is not None else free[-2:]
            left = [dim for dim in free if dim not in drawn]
            raise ToolkitError(too_many(output, [*drawn, *([hue] if hue else [])], left, "line"))
        x = max(reversed(free), key=lambda dim: output.sizes[dim])
        free.remove(x)
    if hue is None and len(free) == 1:
        hue = free[0]
    return [x] if hue is None else [x, hue]


def _check_few(output: "xr.DataArray", names: list[str]) -> None:
    if len(names) > 1 and output.sizes[names[1]] > _MOST_LINES:
        name, count = names[1], output.sizes[names[1]]
        raise ToolkitError(
            f"{name!r} has {count:,} labels, and more than {_MOST_LINES} lines cannot be told "
            f"apart. Select some, as in data.isel({name}=slice(None, None, {-(-count // 8)})), or "
            "draw it with tk.plot.map."
        )


def _cells(
    output: "xr.DataArray", across: Along, others: Along | None
) -> "tuple[xr.Dataset, int, dict[Status, int]]":
    """Return values and marks, reduced and computed; how many make one; how many are marked."""
    import xarray as xr

    where: Any = xr.where
    dims = [axis.name for axis in (others, across) if axis is not None]
    values = output.variable.transpose(*dims)
    marks = failures(output)
    if marks:
        values = where(marks[Status.FAILED], np.nan, values).transpose(*dims)
    counts = {status: int(each.sum()) for status, each in marks.items()}
    flags = {status.name: each for status, each in marks.items()}
    data = xr.Dataset({"value": values.astype(np.float64), **flags})
    turns = {
        axis.name: axis.order
        for axis in (across, others)
        if axis is not None
        if axis.order is not None
    }
    data = data.isel(turns)
    length = -(-values.size // blocks.MOST_CELLS)
    length = length if length == 1 else -(-len(across.positions) // 2000)
    lengths = {across.name: length} if length > 1 else {}
    data = blocks.reduced(data, lengths).compute()
    places = blocks.positions(across, length) if lengths else across.positions
    data = data.assign_coords({across.name: places})
    if others is not None:
        labels = others.positions if others.words is None else list(others.words)
        data = data.assign_coords({others.name: labels})
    return data, length, counts


def _name_lines(axes: "Axes", drawn: list[Any], others: Along) -> None:
    """Say which line is which: in a legend, or by a color bar where they are many."""
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable

    labels = others.positions if others.words is None else others.words
    if (
        len(drawn) <= _MOST_NAMED
        or labels[0].__class__ is str
        or others.positions.dtype.kind != "f"
    ):
        texts = [word(label) for label in labels]
        for each, text in zip(drawn, texts, strict=True):
            each.set_label(text)
        axes.legend(title=others.label, fontsize="small", title_fontsize="small")
        return
    span = (float(labels[0]), float(labels[-1]))
    norm = mpl.colors.LogNorm(*span) if others.is_log else mpl.colors.Normalize(*span)
    cmap = mpl.colors.ListedColormap(shades(256))
    for each, label in zip(drawn, labels, strict=True):
        each.set_color(cmap(norm(label)))
    axes.figure.colorbar(ScalarMappable(norm, cmap), ax=axes, label=others.label)


def _mark(axes: "Axes", cells: "xr.Dataset", across: Along, counts: dict[Status, int]) -> None:
    """Cross failed runs at the foot, where they have a place along the axis."""
    marks, nowhere = {}, []
    for status in counts:
        failed = cells[status.name]
        if across.name not in failed.dims:
            if counts[status]:
                nowhere.append(legend_entry(status, counts[status]))
            continue
        rest = [dim for dim in failed.dims if dim != across.name]
        places = cells[across.name].values[failed.any(rest).values]
        marks[status] = (places, np.full(len(places), 0.02))
    named = axes.get_legend()
    foot = axes.get_xaxis_transform()
    entries = draw_marks(axes, marks, counts, size=5, transform=foot, clip_on=False)
    legend_above(axes, [*entries, *nowhere])
    if named is not None and (entries or nowhere):
        axes.add_artist(named)
