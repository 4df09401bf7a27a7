"""A heat map of an output over two dims."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.views.plots import blocks
from toolkit.views.plots.canvas import GRADED, OKABE_ITO, axes_of, legend_above, title
from toolkit.views.plots.labels import Along, along, label_of
from toolkit.views.plots.marks import draw_marks, failures, without_states
from toolkit.views.plots.outputs import one_output, over, selection, two_dims

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_MOST_MARKS = 20_000


def map(  # noqa: A001 - users write tk.plot.map
    data: "xr.DataArray | xr.Dataset",
    x: str | None = None,
    y: str | None = None,
    *,
    ax: "Axes | None" = None,
    logx: bool | None = None,
    logy: bool | None = None,
    cmap: Any = None,
    **more: Any,
) -> "Axes":
    """Draw an output over two dims as a labelled heat map.

    Cells without a value are blank; those of runs that failed are crossed, those that wait for a
    failed run struck through. Above a million cells the means of blocks are drawn, and the title
    says of how many. Texts are drawn in the colors of categories.

    Parameters
    ----------
    data
        One output, ``data.peak``; arrays of Dask are computed.
    x, y
        Dims, or coordinates along one, to be drawn across and upwards; the first and the second
        dim.
    ax
        Axes to draw into; those of a new figure.
    logx, logy
        Whether an axis is logarithmic. None: where there are three or more labels, all above
        zero, whose steps are much more even in the logarithm than in the numbers.
    cmap
        Color map; ``"viridis"``.
    **more
        For ``xarray.DataArray.plot.pcolormesh``: ``vmin``, ``vmax``, ``norm``, ``robust``,
        ``levels``, ``add_colorbar``, ``cbar_kwargs``.

    Raises
    ------
    ToolkitError
        If there are further dims: select a label of each, or reduce them. If matplotlib is not
        installed.
    """
    output = one_output(data, "map")
    names = two_dims(output, x, y, "map")
    output = over(output, names, "map")
    if "flag_values" in output.attrs:
        output = _as_words(output)
    axes = axes_of(ax)
    across = along(output.coords[names[0]], logx)
    upward = along(output.coords[names[1]], logy)
    scale = {"x": across, "y": upward}
    cells, lengths, counts = _cells(output, across, upward)
    shown = _on_axes(cells, output, across, upward, lengths)
    logs = {f"{which}scale": "log" for which, axis in scale.items() if axis.is_log}
    more = {"rasterized": True, **logs, **more}
    if shown.dtype.kind in "UO":
        _draw_words(axes, _widened(shown), cmap, more)
    else:
        _draw_numbers(axes, _widened(shown), label_of(output), cmap, more)
    for which, axis in scale.items():
        axis.dress(axes, which)
    _mark(axes, cells, shown, counts)
    note = blocks.note(lengths, (across.name, upward.name))
    title(axes, selection(without_states(output)), note)
    return axes


def _as_words(output: "xr.DataArray") -> "xr.DataArray":
    """Return ``status``, or whatever else has words for its numbers, in words."""
    words = dict(
        zip(
            np.atleast_1d(output.attrs["flag_values"]).tolist(),
            str(output.attrs.get("flag_meanings", "")).split(),
            strict=False,
        )
    )
    texts = np.array([words.get(each, str(each)) for each in output.values.ravel().tolist()])
    return without_states(output).copy(data=texts.reshape(output.shape).astype(object))


def _cells(
    output: "xr.DataArray", across: Along, upward: Along
) -> "tuple[xr.Dataset, dict[str, int], dict[Status, int]]":
    """Return values and marks as drawn; how many make one; how many cells are marked."""
    import xarray as xr

    where: Any = xr.where
    values = output.variable.transpose(upward.name, across.name)
    if values.dtype.kind == "b":
        values = values.astype(np.float64)
    shape = {str(dim): size for dim, size in values.sizes.items()}
    lengths = blocks.block_lengths(shape)
    if lengths and values.dtype.kind not in "iuf":
        raise ToolkitError(
            f"{output.name!r} has {values.size:,} cells that are no numbers: there is no mean of "
            "them to draw. Select a part, as in data.isel(…)."
        )
    marks = failures(output)
    if marks:
        failed = marks[Status.FAILED]
        values = where(failed, _missing(values.dtype), values).transpose(*values.dims)
    data = xr.Dataset({"value": values, **{status.name: each for status, each in marks.items()}})
    turns = {axis.name: axis.order for axis in (across, upward) if axis.order is not None}
    data = data.isel(turns)
    # A stage may have fewer dims than the output: its failure is one of all its cells.
    data = data.assign(
        {status.name: data[status.name].broadcast_like(data["value"]) for status in marks}
    ).transpose(*shape)
    counts = {status: int(data[status.name].sum()) for status in marks}
    return blocks.reduced(data, lengths).compute(), lengths, counts


def _missing(dtype: np.dtype[Any]) -> Any:
    return "" if dtype.kind in "UOT" else np.nan


def _on_axes(
    cells: "xr.Dataset",
    output: "xr.DataArray",
    across: Along,
    upward: Along,
    lengths: Mapping[str, int],
) -> "xr.DataArray":
    places = {
        axis.name: blocks.positions(axis, lengths[axis.name])
        if axis.name in lengths
        else axis.positions
        for axis in (across, upward)
    }
    return cells["value"].assign_coords(places).rename(output.name)


def _widened(shown: "xr.DataArray") -> "xr.DataArray":
    """Return the same with a dim of one label as two halves: xarray sees no width in one."""
    import xarray as xr

    for dim in shown.dims:
        if shown.sizes[dim] == 1:
            halves = [shown.assign_coords({dim: shown[dim] + each}) for each in (-0.25, 0.25)]
            shown = xr.concat(halves, dim)
    return shown


def _draw_numbers(
    axes: "Axes", shown: "xr.DataArray", label: str, cmap: Any, more: dict[str, Any]
) -> None:
    if more.get("add_colorbar", True):
        more["cbar_kwargs"] = {"label": label, **(more.get("cbar_kwargs") or {})}
    if cmap is None:
        more = {"center": False, **more}  # else xarray takes another map where signs change
    y, x = shown.dims
    shown.plot.pcolormesh(x=x, y=y, ax=axes, cmap=cmap or GRADED, **more)


def _draw_words(axes: "Axes", shown: "xr.DataArray", cmap: Any, more: dict[str, Any]) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    texts = shown.values.astype(object)
    is_missing = (texts == "") | (texts == None)  # noqa: E711 - elementwise
    words = sorted({str(each) for each in texts[~is_missing]})
    if len(words) > len(OKABE_ITO) and cmap is None:
        raise ToolkitError(
            f"{shown.name!r} has {len(words)} different texts, and {len(OKABE_ITO)} colors can be "
            "told apart. Map it to fewer texts or to numbers, or give cmap=."
        )
    numbers = np.full(texts.shape, np.nan)
    for number, word in enumerate(words):
        numbers[texts == word] = number
    colors = ListedColormap(OKABE_ITO[: max(1, len(words))]) if cmap is None else cmap
    more = {"vmin": -0.5, "vmax": max(1, len(words)) - 0.5, **more, "add_colorbar": False}
    y, x = shown.dims
    mesh = shown.copy(data=numbers).plot.pcolormesh(x=x, y=y, ax=axes, cmap=colors, **more)
    entries = [
        Patch(color=mesh.cmap(mesh.norm(number)), label=word) for number, word in enumerate(words)
    ]
    axes.figure.legend(
        handles=entries, title=str(shown.name), loc="outside right upper", frameon=False
    )


def _mark(
    axes: "Axes", cells: "xr.Dataset", shown: "xr.DataArray", counts: Mapping[Status, int]
) -> None:
    """Mark cells of failed runs that have no value."""
    y, x = shown.dims
    is_blank = cells["value"].isnull() | (cells["value"] == "")
    marks = {}
    for status in counts:
        rows, columns = np.nonzero((cells[status.name] & is_blank).values)
        step = -(-len(rows) // _MOST_MARKS) or 1
        marks[status] = (
            shown[x].values[columns[::step]],
            shown[y].values[rows[::step]],
        )
    extent = axes.get_window_extent()
    cell = min(extent.width / shown.sizes[x], extent.height / shown.sizes[y])
    cell *= 72 / axes.figure.dpi  # from dots to points
    legend_above(axes, draw_marks(axes, marks, counts, size=float(np.clip(cell / 2, 1, 8))))
