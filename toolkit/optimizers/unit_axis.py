"""Numeric axes as a refinement sees them: from 0 to 1, and back to labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.spaces.axis import Column
from toolkit.spaces.distribution import Linear, Log, Logit

Floats: TypeAlias = npt.NDArray[np.float64]
Scale: TypeAlias = Literal["linear", "log", "logit"]

_KINDS: Mapping[Scale, type[Linear] | type[Log] | type[Logit]] = {
    "linear": Linear,
    "log": Log,
    "logit": Logit,
}
_DIGITS = 9  # of a new label, as a share of the range


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitAxis:
    """A numeric axis between its least and its greatest label.

    Parameters
    ----------
    column
        The parameter with its labels, shape ``(n,)``, of which at least two differ.
    scale
        In which the axis is refined: evenly, in the logarithm, or in log odds.
    ends
        The least and the greatest label.
    known
        The labels, ascending.
    """

    column: Column
    scale: Scale
    ends: tuple[float, float]
    known: Floats = field(repr=False)

    @classmethod
    def of(cls, column: Column) -> "UnitAxis":
        """Return the axis of a parameter.

        Its scale is that which it was drawn in, and the logarithm where its labels are at equal
        ratios.

        Raises
        ------
        SweepError
            If its labels are no numbers, or there is nothing between them.
        """
        if column.objects is not None or column.labels.dtype.kind not in "iuf":
            kind = "objects" if column.objects is not None else _kind(column.labels)
            raise SweepError(
                f"refine needs numbers along {column.name!r}, found {kind}. Refine over the other "
                f"dims, for one of its labels: sweep.sel({column.name}=…)."
            )
        known = np.unique(column.labels.astype(np.float64))
        is_integer = column.labels.dtype.kind in "iu"
        if len(known) < 2 or (is_integer and known[-1] - known[0] < 2):
            found = ", ".join(map(str, np.unique(column.labels).tolist()))
            advice = " Write decimals to refine between whole numbers." if is_integer else ""
            raise SweepError(
                f"There is nothing to refine along {column.name!r}, which has {found}.{advice}"
            )
        given = column.attrs.get("scale")
        scale: Scale = given if given in ("log", "logit") else _scale(known)
        return cls(
            column=column, scale=scale, ends=(float(known[0]), float(known[-1])), known=known
        )

    @property
    def name(self) -> str:
        """The parameter."""
        return self.column.name

    @property
    def is_integer(self) -> bool:
        """Whether its labels are whole numbers."""
        return self.column.labels.dtype.kind in "iu"

    def positions(self, labels: npt.ArrayLike) -> Floats:
        """Return where labels lie, from 0 to 1, of the same shape."""
        return _KINDS[self.scale](*self.ends).cdf(labels)

    def holds(self, labels: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which labels could be its own, those between the ends, of the same shape."""
        values = np.asarray(labels, dtype=np.float64)
        inside: npt.NDArray[np.bool_] = (values >= self.ends[0]) & (values <= self.ends[1])
        return inside & (values == np.round(values)) if self.is_integer else inside

    def label(self, position: float) -> float | int:
        """Return the label at a position from 0 to 1.

        A whole number where all are; else one that is there already, or one of few digits.
        """
        if position <= 0 or position >= 1:
            end = self.ends[position >= 1]
            return round(end) if self.is_integer else end
        value = float(_KINDS[self.scale](*self.ends).ppf(position))
        if self.is_integer:
            return round(value)
        at = int(np.searchsorted(self.known, value))
        for near in self.known[max(at - 1, 0) : at + 1].tolist():
            if abs(float(self.positions(near)) - position) < 10.0**-_DIGITS:
                return float(near)
        if self.scale == "linear":
            span = self.ends[1] - self.ends[0]
            return round(value, _DIGITS - math.floor(math.log10(span)))
        return float(f"{value:.{_DIGITS + 1}g}")

    def new_column(self, labels: list[float | int]) -> Column:
        """Return the parameter with these labels."""
        kept = self.column
        values: npt.NDArray[Any] = np.array(labels, np.int64 if self.is_integer else np.float64)
        return Column(name=kept.name, labels=values, attrs=kept.attrs, required=kept.required)


def _kind(labels: npt.NDArray[Any]) -> str:
    return {"U": "text", "b": "True and False", "M": "dates", "m": "durations"}.get(
        labels.dtype.kind, str(labels.dtype)
    )


def _scale(known: Floats) -> Scale:
    """Return in which scale labels lie evenly: the logarithm, if not as they are."""
    if len(known) < 3 or known[0] <= 0:
        return "linear"
    steps, ratios = np.diff(known), np.diff(np.log(known))
    if np.allclose(steps, steps[0], rtol=1e-6):
        return "linear"
    is_geometric = np.allclose(ratios, ratios[0], rtol=1e-3, atol=0)
    return "log" if is_geometric else "linear"
