"""Where a map is refined next: a source of points that is told what became of them."""

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.execution.sources import Outcomes
from toolkit.optimizers.known import KnownMap
from toolkit.optimizers.mesh import Mesh, Point
from toolkit.optimizers.unit_axis import UnitAxis
from toolkit.run_status import Status
from toolkit.spaces import condition
from toolkit.spaces.axis import Dim
from toolkit.spaces.rows import rows_dim
from toolkit.spaces.space import Space

logger = logging.getLogger("toolkit")

Labels = tuple[float | int, ...]

_MOST_TRIES = 1000  # points left out by the space, one after the other, before it is given up


@dataclass(kw_only=True)
class _Waiting:
    """A point whose runs have not all ended.

    Parameters
    ----------
    asked
        The point that the mesh asked for.
    place
        Where its runs are: elsewhere where labels are whole numbers.
    n_runs
        How many runs it has.
    values
        By run, what has ended: NaN where it failed.
    """

    asked: Point
    place: Point
    n_runs: int
    values: dict[tuple[object, ...], float] = field(default_factory=dict)


class Refinement:
    """Gives points where an output changes most.

    Parameters
    ----------
    space
        What is refined: each parameter of the axes along a dim of its own or together with the
        others, all other dims of one label or replicates.
    axes
        The parameters to refine over.
    output
        Name of the output.
    points
        How many points to give. Each is run once for each replicate.
    mesh
        Of no points yet.
    known
        What is known already.
    """

    def __init__(
        self,
        *,
        space: Space,
        axes: Sequence[UnitAxis],
        output: str,
        points: int,
        mesh: Mesh,
        known: KnownMap,
    ) -> None:
        self._axes, self._output = tuple(axes), output
        self._mesh = mesh
        self._names = frozenset(axis.name for axis in axes)
        others = [dim for dim in space.dims if not self._names & {c.name for c in dim.columns}]
        self._others = tuple(others)
        refined = [dim for dim in space.dims if dim not in others]
        self._rows_name = refined[0].name if refined[0].kind == "rows" else _unused(space)
        self._conditions = [each for each in space.conditions if each.parameter not in self._names]
        self._repeats = [dim.name for dim in others if dim.size > 1]
        self._per_point = math.prod(dim.size for dim in others)
        self._points_left = points
        self._given: list[Labels] = []
        self._taken: set[Labels] = {*known.values, *known.without}
        self._waiting: list[_Waiting] = []
        self._values: dict[Point, float] = {}
        self._failed_corners: list[Point] = []
        self._begin(known)

    @property
    def left(self) -> int:
        """How many runs it is still to give."""
        return self._points_left * self._per_point

    @property
    def given(self) -> Space | None:
        """All points given so far, None where there are none."""
        return self._space(self._given) if self._given else None

    def ask(self, n: int) -> Space | None:
        """Return about ``n`` further runs, or None."""
        count = max(1, n // self._per_point)
        if not self._values:  # nothing to choose by yet
            count = max(count, 2 ** len(self._axes))
        chosen: list[Labels] = []
        while len(chosen) < min(count, self._points_left):
            found = self._next()
            if found is None:
                self._points_left = len(chosen)
                break
            chosen.append(found)
        self._points_left -= len(chosen)
        self._given += chosen
        return self._space(chosen) if chosen else None

    def tell(self, outcomes: Outcomes) -> None:
        """Learn what became of some runs."""
        values = self._read(outcomes)
        columns = [np.asarray(outcomes.points[axis.name], np.float64) for axis in self._axes]
        places = np.stack(
            [axis.positions(column) for axis, column in zip(self._axes, columns, strict=True)],
            axis=1,
        )
        repeats = [list(outcomes.points[name]) for name in self._repeats]
        for number, value in enumerate(values.tolist()):
            waiting = self._waiting_at(places[number])
            if waiting is None:
                continue
            waiting.values[tuple(column[number] for column in repeats)] = value
            if len(waiting.values) == waiting.n_runs:
                self._waiting.remove(waiting)
                self._learn(waiting)

    def _begin(self, known: KnownMap) -> None:
        self._values = {self._place(at): value for at, value in known.values.items()}
        without = [self._place(at) for at in known.without]
        corners = [point for point in without if _is_corner(point)]
        self._mesh.begin(self._values, [point for point in without if point not in corners])
        for point in corners:
            self._without_value(point, point)

    def _next(self) -> Labels | None:
        """Return the labels of the next point, None where there is none left."""
        for _ in range(_MOST_TRIES):
            asked = self._mesh.ask()
            labels = tuple(axis.label(at) for axis, at in zip(self._axes, asked, strict=True))
            if all(axis.is_integer for axis in self._axes):
                free = self._nearest_free(labels, asked)
                if free is None:
                    return None
                labels = free
            if labels in self._taken:
                continue
            self._taken.add(labels)
            n_runs = self._count(labels)
            if n_runs:
                place = self._place(labels)
                self._waiting.append(_Waiting(asked=asked, place=place, n_runs=n_runs))
                return labels
        logger.warning(
            "refine ends %d points early: the space leaves out nearly all points that are left",
            self._points_left,
        )
        return None

    def _nearest_free(self, labels: Labels, asked: Point) -> Labels | None:
        """Return the whole numbers nearest to a point that are not taken, None where all are."""
        ends = [(round(axis.ends[0]), round(axis.ends[1])) for axis in self._axes]
        if math.prod(high - low + 1 for low, high in ends) <= len(self._taken):
            return None
        for reach in itertools.count():
            ranges = [
                range(max(low, int(at) - reach), min(high, int(at) + reach) + 1)
                for (low, high), at in zip(ends, labels, strict=True)
            ]
            free = [each for each in itertools.product(*ranges) if each not in self._taken]
            if free:
                return min(free, key=lambda each: math.dist(self._place(each), asked))
        return None

    def _read(self, outcomes: Outcomes) -> npt.NDArray[np.float64]:
        """Return the value of each outcome, NaN where the run failed or returned none."""
        found = np.full(len(outcomes.status), np.nan)
        done = np.isin(outcomes.status, (Status.DONE, Status.STALE))
        if not done.any():
            return found
        column: Any = outcomes.values.get(self._output)
        found[done] = require_numbers(self._output, column, outcomes.values)[done]
        found[~np.isfinite(found)] = np.nan
        return found

    def _learn(self, ended: _Waiting) -> None:
        values = [value for value in ended.values.values() if not math.isnan(value)]
        if not values:
            self._without_value(ended.asked, ended.place)
            return
        value = math.fsum(values) / len(values)
        self._values[ended.place] = value
        # Away from the place where it was asked for, what was asked stays asked for.
        is_there = math.dist(ended.asked, ended.place) < 1e-6
        self._mesh.tell(ended.asked if is_there else ended.place, value)
        corners, self._failed_corners = self._failed_corners, []
        for corner in corners:
            self._without_value(corner, corner)

    def _without_value(self, asked: Point, place: Point) -> None:
        """Go on without a point: it stays asked for. At a corner, the mesh needs a value."""
        if not _is_corner(place):
            return
        if not self._values:
            self._failed_corners.append(asked)
            return
        nearest = min(self._values, key=lambda known: math.dist(known, place))
        self._mesh.tell(asked, self._values[nearest])

    def _waiting_at(self, place: npt.NDArray[np.float64]) -> _Waiting | None:
        if not self._waiting:
            return None
        nearest = min(self._waiting, key=lambda each: math.dist(each.place, place))
        return nearest if math.dist(nearest.place, place) < 1e-6 else None

    def _place(self, labels: Labels) -> Point:
        return tuple(
            float(axis.positions(label)) for axis, label in zip(self._axes, labels, strict=True)
        )

    def _count(self, labels: Labels) -> int:
        """Return how many runs a point has, 0 where the space leaves it out."""
        if not self._conditions:
            return self._per_point
        dims = self._dims([labels])
        made = [condition.evaluate(c.function, c.parameter, dims, ()) for c in self._conditions]
        return len(condition.points(dims, made))

    def _space(self, points: Sequence[Labels]) -> Space:
        dims = self._dims(points)
        made = [condition.evaluate(c.function, c.parameter, dims, ()) for c in self._conditions]
        return Space(dims, (), tuple(made))

    def _dims(self, points: Sequence[Labels]) -> tuple[Dim, ...]:
        columns = [
            axis.new_column([labels[number] for labels in points])
            for number, axis in enumerate(self._axes)
        ]
        rows = replace(rows_dim(self._rows_name, columns), copies=None)
        return (rows, *self._others)


def require_numbers(output: str, column: Any, known: Any) -> npt.NDArray[np.float64]:
    """Return an output of some runs as floats, shape ``(n,)``.

    Raises
    ------
    SweepError
        If there is no such output, or it is not one number for each run.
    """
    if column is None:
        names = ", ".join(map(repr, known)) or "none"
        raise SweepError(f"There is no output {output!r} to refine. The stage has {names}.")
    values = np.asarray(column) if isinstance(column, np.ndarray) else np.zeros((0, 0))
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise SweepError(
            f"refine needs one number for each run, and the output {output!r} is none. Let the "
            "function return one beside it, such as its maximum, and refine that."
        )
    return values.astype(np.float64)


def _is_corner(point: Point) -> bool:
    return all(x in (0.0, 1.0) for x in point)


def _unused(space: Space) -> str:
    taken = {*space.names, *(dim.name for dim in space.dims)}
    return next(
        name for name in ("point", *map("point_{}".format, range(1000))) if name not in taken
    )
