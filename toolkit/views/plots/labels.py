"""How the labels of a dim stand on an axis: as numbers, dates or words, even or by magnitude."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_EVEN = 0.25  # steps whose standard deviation is below this share of their mean are even
_MOST_TICKS = 8
_MOST_WORDS = 24

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Along:
    """One axis of a picture.

    Attributes
    ----------
    name
        Of the dim in the picture.
    label
        Long name and unit.
    positions
        Where the labels stand: numbers or dates, ascending; 0…n-1 for words.
    order
        Index of each in the data; None where they have the data's order.
    words
        Labels that are words, None for numbers and dates.
    is_log
        Whether the axis is logarithmic.
    """

    name: str
    label: str
    positions: Array
    order: npt.NDArray[np.intp] | None
    words: tuple[str, ...] | None
    is_log: bool

    def dress(self, axes: "Axes", which: str) -> None:
        """Label an axis, ``"x"`` or ``"y"``, and put ticks where the labels are few."""
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_label_text(self.label)
        if self.words is not None:
            step = -(-len(self.words) // _MOST_WORDS)
            axis.set_ticks(np.arange(len(self.words))[::step], labels=list(self.words[::step]))
            if which == "x" and len("".join(self.words[::step])) > 40:
                axes.tick_params(axis="x", rotation=45)
                for text in axes.get_xticklabels():
                    text.set_horizontalalignment("right")
                    text.set_rotation_mode("anchor")
        elif self.is_log and len(self.positions) <= _MOST_TICKS:
            axis.set_ticks(self.positions, labels=[f"{each:.3g}" for each in self.positions])
            axis.set_ticks([], minor=True)


def along(labels: "xr.DataArray", log: bool | None) -> Along:
    """Return how the labels of a dim, or of a coordinate along one, stand on an axis.

    Parameters
    ----------
    labels
        Of shape ``(n,)``.
    log
        Whether the axis is logarithmic; None: where :func:`is_geometric` says so.

    Raises
    ------
    ToolkitError
        If a logarithmic axis is asked for labels that are not numbers above zero.
    """
    values = np.asarray(labels.values)
    words: tuple[str, ...] | None = None
    order = None
    if len(values) == 1 and not log:  # alone, a number says nothing of a scale
        words = (word(values[0]),)
        positions = np.zeros(1)
    elif values.dtype.kind in "iuf":
        positions = values.astype(np.float64)
    elif values.dtype.kind in "mM":
        positions = values
    else:
        words = tuple(map(str, values))
        positions = np.arange(len(values), dtype=np.float64)
    if words is None and (positions[1:] < positions[:-1]).any():
        order = np.argsort(positions, kind="stable")
        positions = positions[order]
    is_number = words is None and positions.dtype.kind == "f"
    if log and not (is_number and (positions > 0).all()):
        raise ToolkitError(
            f"{labels.name!r} cannot have a logarithmic axis: not all of its labels are numbers "
            "above zero. Leave log out for it."
        )
    return Along(
        name=str(labels.name),
        label=label_of(labels),
        positions=positions,
        order=order,
        words=words,
        is_log=is_geometric(positions) if log is None and is_number else bool(log),
    )


def word(label: Any) -> str:
    """Return a label as a text: of numbers four digits, of days no time."""
    if isinstance(label, np.datetime64):
        return str(label).removesuffix("T00:00:00.000000000")
    return f"{label:.4g}" if isinstance(label, np.floating) else str(label)


def label_of(variable: "xr.DataArray") -> str:
    """Return long name and unit as an axis shows them, ``"transmission rate (1/day)"``."""
    name = str(variable.attrs.get("long_name") or variable.name or "")
    units = variable.attrs.get("units")
    return name if units in (None, "", "1", 1) else f"{name} ({units})"


def is_geometric(labels: Array) -> bool:
    """Whether labels are spaced by a factor rather than by a difference.

    They are where there are three or more, all above zero, with steps in the logarithm that are
    even (standard deviation below a quarter of the mean) and twice as even as those in the numbers
    themselves: 0.01, 0.1, 1 and 1, 2, 5, 10, 20 are, 1, 2, 3 and 100, 101, 102 are not.

    Examples
    --------
    >>> is_geometric(np.array([1.0, 2, 5, 10, 20])), is_geometric(np.array([1.0, 2, 3]))
    (True, False)
    """
    if len(labels) < 3 or not (np.isfinite(labels).all() and (labels > 0).all()):
        return False
    ordered = np.unique(labels)
    if len(ordered) < 3:
        return False
    in_log, in_numbers = (_unevenness(each) for each in (np.log(ordered), ordered))
    return in_log < _EVEN and in_log < in_numbers / 2


def spreads_by_magnitude(sample: Array) -> bool:
    """Whether drawn numbers fill their range more evenly in the logarithm than as they are.

    They have to be above zero, and to span a factor of ten or more.
    """
    drawn = np.sort(sample[np.isfinite(sample)])
    if len(drawn) < 8 or drawn[0] <= 0 or drawn[-1] < 10 * drawn[0]:
        return False
    return _distance_to_even(np.log(drawn)) < _distance_to_even(drawn)


def _unevenness(ordered: Array) -> float:
    steps = np.diff(ordered)
    return float(np.std(steps) / np.mean(steps))


def _distance_to_even(ordered: Array) -> float:
    """Return how far the share of numbers up to each is from that of an even spread, at most."""
    even = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    return float(np.abs(even - np.linspace(0, 1, len(ordered))).max())
