"""What a view draws of an output: a heat map, a line or points, as plain numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from toolkit.views.plots.labels import is_geometric

Array = npt.NDArray[Any]
Kind = Literal["map", "line", "scatter"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Along:
    """The labels along one side of a picture, or along a dim.

    Attributes
    ----------
    name
        Of the dim, or of the parameter that points lie along.
    labels
        Numbers, dates or words, shape ``(n,)``, in the order of reading: numbers ascend.
    units, long_name
        ``""`` where they are not known.
    each
        How many labels of the dim one of these stands for; a number is then their mean.
    is_whole
        Whether each run has labels of its own, as in a sample: only points are drawn over it.
    """

    name: str
    labels: Array
    units: str = ""
    long_name: str = ""
    each: int = 1
    is_whole: bool = True

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.labels)

    @property
    def title(self) -> str:
        """Long name and unit as an axis shows them."""
        return titled(self.long_name or self.name, self.units)

    @property
    def is_number(self) -> bool:
        """Whether the labels are numbers."""
        return self.labels.dtype.kind in "iuf"

    @cached_property
    def is_log(self) -> bool:
        """Whether the labels are spaced by a factor rather than by a difference."""
        return self.is_number and len(self) > 1 and is_geometric(self.labels.astype(np.float64))

    def words(self) -> list[str]:
        """Return each label as a text."""
        kind = self.labels.dtype.kind
        if kind == "f":
            return [f"{each:.4g}" for each in self.labels.tolist()]
        if kind == "M":
            return [_date(each) for each in self.labels]
        return [str(each) for each in self.labels.tolist()]


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An output as it stands at one moment, ready to be drawn.

    Attributes
    ----------
    kind
        ``"map"``: over two dims. ``"line"``: over one. ``"scatter"``: runs as points, over two
        parameters, or over one with the output upwards.
    name, stage
        Of the output and of its stage.
    x, y
        The sides. ``y`` is None for a line, and for points over one parameter.
    values
        float32, NaN where pending, failed or left out. A map: shape ``(ny, nx)``. A line:
        ``(1, nx)``. Points: ``(1, n)``, with ``x`` and ``y`` of as many labels.
    failed
        Where there is no value because a run failed, of the shape of ``values``; None where that is
        nowhere so.
    band
        The least and the greatest of what a line is the mean of, shape ``(2, nx)``; None where
        it is no mean.
    low, high
        The least and the greatest value over all labels of dims that are fixed: slices of an
        output share a scale. None where there is no value yet.
    units, long_name
        Of the output, ``""`` where they are not known.
    note
        In words: where the means of dims, or of neighboring cells, are shown.
    words
        By value: for outputs that are codes, as ``status`` is.
    """

    kind: Kind
    name: str
    stage: str
    x: Along
    y: Along | None
    values: npt.NDArray[np.float32]
    failed: npt.NDArray[np.bool_] | None = None
    band: npt.NDArray[np.float32] | None = None
    low: float | None = None
    high: float | None = None
    units: str = ""
    long_name: str = ""
    note: str = ""
    words: Mapping[int, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Long name and unit as a color bar shows them."""
        return titled(self.long_name or self.name, self.units)

    @property
    def n_failed(self) -> int:
        """How many cells have no value because a run failed."""
        return 0 if self.failed is None else int(self.failed.sum())

    @property
    def n_missing(self) -> int:
        """How many cells have no value."""
        return int(np.isnan(self.values).sum())


def titled(name: str, units: str) -> str:
    """Return a name with its unit, as axes show them.

    Examples
    --------
    >>> titled("transmission rate", "1/day"), titled("share", "1")
    ('transmission rate (1/day)', 'share')
    """
    return name if units in ("", "1") else f"{name} ({units})"


def _date(label: np.datetime64) -> str:
    text = str(label)
    for tail in (".000000000", ":00", "T00:00"):
        text = text.removesuffix(tail)
    return text
