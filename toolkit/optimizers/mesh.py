"""Meshes over known points, which say where a function changes most: the learners of adaptive."""

import importlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from toolkit.errors import SweepError

Point: TypeAlias = tuple[float, ...]
"""A point of the unit cube."""

LOSSES = ("default", "curvature")

_TAKEN_WHOLE = 2  # dims up to which a mesh of many points can be made at once


class Mesh(Protocol):
    """Knows the values of some points, and where the next are wanted most."""

    def begin(self, known: Mapping[Point, float], without: Iterable[Point]) -> None:
        """Take in what is known, once, and points that have no value and never will."""

    def tell(self, point: Point, value: float) -> None:
        """Learn the value at a point; it must be finite."""

    def ask(self) -> Point:
        """Return the next point. It is not asked for again, told or not."""


def make_mesh(dims: int, loss: str) -> Mesh:
    """Return an empty mesh over the unit cube of some dims.

    Parameters
    ----------
    dims
        One or more.
    loss
        ``"default"``: points where the function changes most; ``"curvature"``: where it bends most.

    Raises
    ------
    SweepError
        If the loss is not known, or adaptive is not installed.
    """
    if loss not in LOSSES:
        raise SweepError(
            f"loss={loss!r} is not known. Choose among {', '.join(map(repr, LOSSES))}."
        )
    try:
        name = "learner1D" if dims == 1 else "learnerND"
        learners = importlib.import_module(f"adaptive.learner.{name}")
    except ModuleNotFoundError as error:
        raise SweepError(
            "refine needs the library adaptive, which is not installed. Install it with: "
            "pip install 'parallel-analysis-toolkit[refine]'"
        ) from error
    per_cell = learners.curvature_loss_function() if loss == "curvature" else None
    return _Line(learners, per_cell) if dims == 1 else _Simplices(learners, dims, per_cell)


class _Line:
    """Intervals between the points of one dim."""

    def __init__(self, learners: Any, loss: Any) -> None:
        self._learner = learners.Learner1D(None, (0.0, 1.0), loss)

    def begin(self, known: Mapping[Point, float], without: Iterable[Point]) -> None:
        """Take in what is known."""
        if known:
            xs = [x for (x,) in known]
            self._learner.tell_many(xs, list(known.values()), force=len(xs) > 1)
        for (x,) in without:
            self._learner.tell_pending(x)

    def tell(self, point: Point, value: float) -> None:
        """Learn the value at a point."""
        self._learner.tell(point[0], value)

    def ask(self) -> Point:
        """Return the next point."""
        (x,), _ = self._learner.ask(1)
        return (float(x),)


class _Simplices:
    """Triangles, tetrahedra and so on between the points of two or more dims."""

    def __init__(self, learners: Any, dims: int, loss: Any) -> None:
        # The same points on every machine, whether or not it has adaptive's compiled part.
        self._learner = learners.LearnerND(
            None, [(0.0, 1.0)] * dims, loss, triangulation_backend="python"
        )
        self._dims = dims

    def begin(self, known: Mapping[Point, float], without: Iterable[Point]) -> None:
        """Take in what is known."""
        if self._dims > _TAKEN_WHOLE:
            # A regular grid of three dims has flat tetrahedra where it is triangulated as one.
            corners = set(itertools.product((0.0, 1.0), repeat=self._dims))
            for point in sorted(known, key=lambda point: point not in corners):
                self._learner.tell(point, known[point])
        elif known:
            ordered = sorted(known, key=known.__getitem__)
            for point in (ordered[0], ordered[-1]):  # which set the scale of all others
                self._learner.tell(point, known[point])
            self._learner.data.update(known)
        for point in without:
            self._learner.tell_pending(point)

    def tell(self, point: Point, value: float) -> None:
        """Learn the value at a point."""
        self._learner.tell(point, value)

    def ask(self) -> Point:
        """Return the next point."""
        (point,), _ = self._learner.ask(1)
        return tuple(float(x) for x in point)
