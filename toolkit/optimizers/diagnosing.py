"""What a fit should be looked at for, in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.spaces.distribution import Distribution, Linear, Log, Logit

if TYPE_CHECKING:
    import xarray as xr

_NEAR = 1e-3  # share of an axis from its end
_DISAGREE = 1e-3  # share of what the starts' best values are apart from the spread of all values
_APART = 0.05  # share of an axis between the best points of starts
_MAGNITUDES = 100.0  # high by low, from which on a linear axis is asked about
_FEW = 20

Floats = npt.NDArray[np.float64]


def notes_on(
    history: "xr.Dataset",
    axes: Mapping[str, Distribution],
    best: Mapping[str, object],
    *,
    is_converged: bool,
) -> tuple[str, ...]:
    """Return what is to be looked at before a fit is believed, a sentence or two each.

    Parameters
    ----------
    history
        Every evaluation, as :class:`toolkit.optimizers.minimum.Minimum` has it.
    axes
        The parameters that were fitted.
    best
        The best point.
    is_converged
        Whether the search that found it says so.
    """
    notes = []
    if not is_converged:
        notes.append(
            "The search did not converge: the point is the best that was seen, and may be far from "
            "the best there is. A larger budget= on the same store goes on from here."
        )
    notes += _flat(history)
    notes += _not_finite(history)
    notes += _at_bounds(axes, best)
    notes += _scales(history, axes)
    notes += _starts(history, axes)
    return tuple(notes)


def _values(history: "xr.Dataset") -> Floats:
    return np.asarray(history["value"].values, np.float64)


def _flat(history: "xr.Dataset") -> list[str]:
    values = _values(history)
    values = values[np.isfinite(values)]
    if len(values) < _FEW or values.min() != values.max():
        return []
    return [
        f"All {len(values):,} values are equal ({values[0]:g}): the objective does not depend on "
        "its parameters here. Look whether it uses them."
    ]


def _not_finite(history: "xr.Dataset") -> list[str]:
    values, status = _values(history), np.asarray(history.status.values)
    odd = int(((status == Status.DONE) & ~np.isfinite(values)).sum())
    failed = int((status == Status.FAILED).sum())
    ran = int(np.isin(status, (Status.DONE, Status.FAILED)).sum())
    notes = []
    if odd:
        notes.append(
            f"{odd:,} of {ran:,} values are NaN or infinite, and counted as worse than all others. "
            "Raise an error where a point makes no sense, so that its reason is kept."
        )
    if 2 * failed > ran:
        notes.append(
            f"{failed:,} of {ran:,} evaluations failed. Give narrower axes, or constraints= that "
            "are true where the objective is defined."
        )
    return notes


def _at_bounds(axes: Mapping[str, Distribution], best: Mapping[str, object]) -> list[str]:
    notes = []
    for name, kind in axes.items():
        if not isinstance(kind, Linear | Log | Logit):
            continue
        at = float(np.asarray(kind.cdf(float(best[name]))))  # type: ignore[arg-type]
        if min(at, 1 - at) < _NEAR:
            end = "low" if at < 0.5 else "high"
            bound = kind.low if at < 0.5 else kind.high
            notes.append(
                f"{name}={best[name]:.6g} lies on the {end} bound of its axis ({bound:g}): a "
                "better value may lie beyond. Widen the axis, unless the bound means something."
            )
    return notes


def _scales(history: "xr.Dataset", axes: Mapping[str, Distribution]) -> list[str]:
    values = _values(history)
    good = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")[:_FEW]
    notes = []
    for name, kind in axes.items():
        if not (isinstance(kind, Linear) and kind.low > 0 and kind.high / kind.low >= _MAGNITUDES):
            continue
        if len(values) >= _FEW and float(np.median(history[name].values[good])) < 0.1 * kind.high:
            notes.append(
                f"{name} may lie anywhere from {kind.low:g} to {kind.high:g}, and its best values "
                f"lie in the lowest tenth. Search its magnitude: {name}=tk.log({kind.low:g}, "
                f"{kind.high:g})."
            )
    return notes


def _starts(history: "xr.Dataset", axes: Mapping[str, Distribution]) -> list[str]:
    """Say whether the starts ended at one place."""
    starts, values = np.asarray(history.start.values), _values(history)
    each: list[int] = []
    for start in np.unique(starts):
        own = np.flatnonzero((starts == start) & np.isfinite(values))
        if len(own):
            each.append(int(own[np.argmin(values[own])]))
    if len(each) < 2:
        return []
    ends, finite = values[each], values[np.isfinite(values)]
    spread = float(np.median(finite) - finite.min())
    is_worse = ends - ends.min() > _DISAGREE * spread
    if is_worse.any():
        return [
            f"The starts disagree: {int(is_worse.sum())} of {len(each)} ended at a value above the "
            f"best, {ends.min():.6g} (the worst at {ends.max():.6g}). There are several valleys, "
            "and perhaps a better one: give more starts=, or a larger population=."
        ]
    apart = [
        name
        for name, kind in axes.items()
        if isinstance(kind, Linear | Log | Logit)
        and np.ptp([_cdf(kind, history[name].values[at]) for at in each]) > _APART
    ]
    if apart:
        return [
            f"All {len(each)} starts ended at about the same value and at different points: the "
            f"data do not say what {', '.join(apart)} should be."
        ]
    return []


def _cdf(kind: Distribution, value: Any) -> float:
    return float(np.asarray(kind.cdf(value)))
