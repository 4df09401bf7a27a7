"""What a store holds of a map already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.optimizers.unit_axis import UnitAxis
from toolkit.run_status import Status
from toolkit.spaces import build
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Column
from toolkit.spaces.space import Space
from toolkit.stages.schema import Variable
from toolkit.stores.runs.stage_runs import StageRuns

Labels = tuple[float | int, ...]


@dataclass(frozen=True, kw_only=True)
class KnownMap:
    """Points of a map, by their labels along its axes.

    Parameters
    ----------
    values
        Of the output, the mean over replicates that ended well.
    without
        Points of which all runs that ended failed.
    """

    values: Mapping[Labels, float] = field(default_factory=dict)
    without: tuple[Labels, ...] = ()

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.values) + len(self.without)


def known_map(
    runs: StageRuns,
    space: Space,
    axes: Sequence[UnitAxis],
    output: str,
    defaults: Mapping[str, object],
) -> KnownMap:
    """Return what is stored of an output over some axes, at the other labels of a space.

    Parameters
    ----------
    runs
        Of the stage, by now.
    space
        What is refined.
    axes
        The parameters that the map lies over: all stored labels between their ends count, those
        of earlier refinements too.
    output
        Name of the output.
    defaults
        What older runs had, by the name of an argument that was added later.

    Raises
    ------
    SweepError
        If the stage has no such output, or it is not one number for each run.
    """
    status = np.asarray(runs.state.status)
    ids = np.flatnonzero(np.isin(status, (Status.DONE, Status.STALE, Status.FAILED)))
    if not len(ids):
        return KnownMap()
    schema = runs.widest_schema
    if schema is not None:
        require_number(output, schema.variables)
    ids = ids[_is_inside(runs, ids, space, axes, defaults)]
    if not len(ids):
        return KnownMap()
    values = np.full(len(ids), np.nan)
    done = np.isin(status[ids], (Status.DONE, Status.STALE))
    if done.any():
        values[done] = np.asarray(runs.read(output, ids[done]), np.float64)
    found = runs.catalogue.labels(ids, [axis.name for axis in axes])
    columns = [found[axis.name][0] for axis in axes]
    table = np.stack([column.astype(np.float64) for column in columns], axis=1)
    points, of = np.unique(table, axis=0, return_inverse=True)
    is_there = np.isfinite(values)
    count = np.bincount(of[is_there], minlength=len(points))
    total = np.bincount(of[is_there], values[is_there], minlength=len(points))
    labels = [_labels(row, axes) for row in points.tolist()]
    return KnownMap(
        values={at: float(total[n] / count[n]) for n, at in enumerate(labels) if count[n]},
        without=tuple(at for n, at in enumerate(labels) if not count[n]),
    )


def require_number(output: str, variables: Sequence[Variable]) -> None:
    """Raise a SweepError unless an output is one number for each run."""
    found = next((each for each in variables if each.name == output), None)
    if found is None:
        names = ", ".join(repr(each.name) for each in variables) or "none"
        raise SweepError(f"There is no output {output!r} to refine. The stage has {names}.")
    is_number = found.kind == "fixed" and not found.dims and np.dtype(found.dtype).kind in "biuf"
    if not is_number:
        dims = f" along {', '.join(map(repr, found.dims))}" if found.dims else ""
        raise SweepError(
            f"refine needs one number for each run, and the output {output!r} is {found.label}"
            f"{dims}. Let the function return one beside it, such as its maximum, and refine that."
        )


def _is_inside(
    runs: StageRuns,
    ids: npt.NDArray[np.int64],
    space: Space,
    axes: Sequence[UnitAxis],
    defaults: Mapping[str, object],
) -> npt.NDArray[np.bool_]:
    """Return which runs have the labels of a space, and lie between the ends of the axes."""
    inside = np.ones(len(ids), bool)
    by_name = {axis.name: axis for axis in axes}
    there = set(runs.catalogue.names)
    for column in (column for dim in space.dims for column in dim.columns):
        if column.name not in there:
            inside &= _is_default(column, defaults)
            continue
        labels, inactive = runs.catalogue.labels(ids, [column.name])[column.name]
        axis = by_name.get(column.name)
        if axis is not None:
            if labels.dtype.kind not in "iuf":
                return np.zeros(len(ids), bool)
            inside &= axis.holds(labels) & ~inactive
        else:
            inside &= (lb.match(column.labels, labels) >= 0) | inactive
    return inside


def _is_default(column: Column, defaults: Mapping[str, object]) -> bool:
    if column.name not in defaults:
        return False
    default = build.constant(column.name, defaults[column.name], lenient=True).columns[0]
    return bool((lb.match(column.labels, default.labels) >= 0).all())


def _labels(row: Sequence[float], axes: Sequence[UnitAxis]) -> Labels:
    return tuple(
        round(label) if axis.is_integer else label for label, axis in zip(row, axes, strict=True)
    )
