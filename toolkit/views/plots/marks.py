"""Cells that have no value because their run failed, or waits for one that did."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeVar

from toolkit.run_status import Status
from toolkit.views.plots.canvas import ink

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_STATES = ("status", "attempts", "seconds", "peak_memory")
_MANY = 100  # marks that are fainter, for the sake of what is beside them
MARKERS = {Status.FAILED: "x", Status.BLOCKED: "_"}

Data = TypeVar("Data", "xr.DataArray", "xr.Dataset")


def failures(data: "xr.DataArray | xr.Dataset") -> "dict[Status, xr.Variable]":
    """Return which cells failed and which are blocked, where there is a ``status`` coordinate.

    Where several stages are open, each with its ``status_<stage>``, a cell counts if the run of any
    of them did and the cell has no value: the other stages may come later.
    """
    found = [data.coords[name].variable for name in state_names(data, "status")]
    if not found:
        return {}
    marks = {status: reduce(or_, (each == status for each in found)) for status in MARKERS}
    if len(found) > 1 and hasattr(data, "variable"):
        marks = {status: each & data.isnull().variable for status, each in marks.items()}
    return marks


def state_names(data: "xr.DataArray | xr.Dataset", *kinds: str) -> list[str]:
    """Return the names of ``status`` and its like, bare or with those of their stages."""
    names = list(map(str, data.coords))
    stages = [
        name.removeprefix("status_")
        for name in names
        if name.startswith("status_") and "flag_values" in data.coords[name].attrs
    ]
    if "status" not in names and not stages:
        return []
    known = [f"{kind}{suffix}" for kind in kinds or _STATES for suffix in ("", *_with_bar(stages))]
    return [name for name in names if name in known]


def without_states(data: "Data") -> "Data":
    """Return data without ``status`` and its like."""
    return data.drop_vars(state_names(data))


def draw_marks(
    axes: "Axes",
    marks: "Mapping[Status, tuple[Any, Any]]",
    counts: Mapping[Status, int],
    *,
    size: float,
    color: Any = None,
    **more: Any,
) -> list[Any]:
    """Mark cells, and return the entries of a legend.

    Parameters
    ----------
    marks
        By state: x and y of each.
    counts
        By state: how many there are, which may be more than are drawn.
    size
        Of a mark, in points.
    """
    handles = []
    for status, (xs, ys) in marks.items():
        if not counts[status]:
            continue
        drawn = axes.scatter(
            xs,
            ys,
            s=size**2,
            marker=MARKERS[status],
            color=ink() if color is None else color,
            alpha=1 if counts[status] < _MANY else 0.6,
            linewidths=min(1.2, max(0.5, size / 5)),
            label=f"{status.name.lower()} ({counts[status]:,})",
            gid=status.name.lower(),
            **more,
        )
        handles.append(legend_entry(status, counts[status]))
        drawn.set_in_layout(False)
    return handles


def legend_entry(status: Status, count: int) -> Any:
    """Return what a legend shows for a state."""
    from matplotlib.lines import Line2D

    label = f"{status.name.lower()} ({count:,})"
    return Line2D([], [], ls="", marker=MARKERS[status], ms=6, color=ink(), label=label)


def _with_bar(stages: list[str]) -> list[str]:
    return [f"_{stage}" for stage in stages]
