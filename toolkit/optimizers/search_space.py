"""Axes to fit, as an optimizer sees them: from 0 to 1, and back to the labels of runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError, SweepError
from toolkit.optimizers.generational import Floats, Ids
from toolkit.spaces import build, condition
from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.distribution import (
    Choice,
    Continuous,
    Distribution,
    Integers,
    as_distribution,
)
from toolkit.spaces.joint_draw import JointDraw

EVALUATION = "evaluation"
NUMBERS = (EVALUATION, "generation", "start")
FOLLOWS = "follows"  # of a point drawn in the steady state: the evaluation told just before
_LEAST_QUANTILE = 2.0**-32  # of a distribution without bounds


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Axes to fit, and constants.

    Parameters
    ----------
    axes
        By parameter, the map between the unit interval and its values.
    constants
        The other parameters, each a dim of one label.
    constraint
        Called with arrays, as ``Space.where`` calls it; points where it is false are not run.
    """

    axes: Mapping[str, Distribution]
    constants: tuple[Dim, ...] = ()
    constraint: Callable[..., Any] | None = None

    @classmethod
    def of(cls, given: object, constraint: object = None) -> "SearchSpace":
        """Return the space of some axes as ``tk.minimize`` takes them.

        Raises
        ------
        SpaceError
            If one is no axis and no constant, or there is none to fit.
        """
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise SpaceError(
                f"axes={given!r} must be a mapping of parameters to axes, such as "
                "{'rate': tk.log(0.01, 10), 'shift': (0, 1)}."
            )
        fixed = {
            name: value
            for name, value in given.items()
            if value is None or isinstance(value, str | bool | int | float | np.generic)
        }
        axes = {
            name: as_distribution(name, value) for name, value in given.items() if name not in fixed
        }
        if not axes:
            raise SpaceError("minimize needs an axis to fit over, such as rate=(0.1, 0.5).")
        taken = [name for name in (*NUMBERS, FOLLOWS) if name in given]
        if taken:
            raise SpaceError(
                f"parameter {taken[0]!r} bears the name of what numbers the evaluations "
                f"({', '.join((*NUMBERS, FOLLOWS))}). Give it another: "
                f"tk.stage(f, rename={{'{taken[0]}': …}})."
            )
        if constraint is not None and not callable(constraint):
            raise SpaceError(
                f"constraints={constraint!r} must be a function of parameters that is true where "
                "a point may be run, such as lambda low, high: low < high."
            )
        constants = tuple(build.constant(name, value) for name, value in fixed.items())
        return cls(axes=axes, constants=constants, constraint=constraint)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters to fit."""
        return tuple(self.axes)

    @property
    def counts(self) -> Ids:
        """How many values each axis takes, shape ``(n_dims,)``, 0 where it is continuous."""
        return np.array([_count_of(kind) for kind in self.axes.values()], np.int64)

    @property
    def is_ordered(self) -> npt.NDArray[np.bool_]:
        """Which axes are of numbers rather than of choices, shape ``(n_dims,)``."""
        return np.array([not isinstance(kind, Choice) for kind in self.axes.values()], np.bool_)

    def columns(self, points: Floats) -> list[Column]:
        """Return the parameters at some points, shape ``(n, n_dims)``."""
        is_open, draw = self._drawing
        if is_open.any():
            inside = np.clip(points, _LEAST_QUANTILE, 1 - _LEAST_QUANTILE)
            points = np.where(is_open, inside, points)
        return draw(points)

    @cached_property
    def _drawing(self) -> tuple[npt.NDArray[np.bool_], JointDraw]:
        """Which axes may have no bounds, shape ``(n_dims,)``, and what draws from all of them."""
        is_open = [isinstance(kind, Continuous) for kind in self.axes.values()]
        return np.array(is_open, np.bool_), JointDraw(self.axes)

    def rows(self, columns: list[Column], numbers: Mapping[str, Ids]) -> Dim:
        """Return the dim of some evaluations, each a row with its numbers by name."""
        labels = [Column(name=name, labels=each, required=False) for name, each in numbers.items()]
        evaluations = numbers[EVALUATION]
        # No two rows are equal, for each has its own number.
        return Dim(name=EVALUATION, size=len(evaluations), columns=(*columns, *labels), kind="rows")

    def is_allowed(self, rows: Dim) -> npt.NDArray[np.bool_]:
        """Return which evaluations the constraint allows, shape ``(n,)``."""
        if self.constraint is None:
            return np.ones(rows.size, np.bool_)
        made = condition.evaluate(self.constraint, None, (rows, *self.constants), ())
        mask: npt.NDArray[np.bool_] = np.asarray(made.mask, np.bool_).reshape(-1)
        return np.broadcast_to(mask, (rows.size,))

    def position(self, start: Mapping[str, object]) -> Floats:
        """Return where a start lies, shape ``(n_dims,)``; in the middle of axes it does not name.

        Raises
        ------
        SweepError
            If it names something else, or lies outside of an axis.
        """
        unknown = [name for name in start if name not in self.axes]
        if unknown:
            raise SweepError(str(build.unknown("start: the parameter", unknown[0], self.axes)))
        at = np.full(len(self.axes), 0.5)
        for number, (name, kind) in enumerate(self.axes.items()):
            if name in start:
                at[number] = _position(name, kind, start[name])
        return at


def _count_of(kind: Distribution) -> int:
    if isinstance(kind, Integers):
        return kind.high - kind.low + 1
    return len(kind.column) if isinstance(kind, Choice) else 0


def _position(name: str, kind: Distribution, value: Any) -> float:
    low, high = kind.bounds
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if not hasattr(kind, "column"):
        if not is_number or not low <= value <= high:
            raise SweepError(
                f"start has {name}={value!r}, and the axis reaches from {low:g} to {high:g}. Begin "
                "inside of it, or move its bounds."
            )
        return float(np.asarray(kind.cdf(value)))
    try:
        return float(np.asarray(kind.cdf(value)))
    except SpaceError as error:
        raise SweepError(f"start has {name}={value!r}, {error}") from error
