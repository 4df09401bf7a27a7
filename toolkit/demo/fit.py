"""What the sweep says: the best fit, and how far the rates may lie from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

# Three fitted numbers, 14 days and independent normal errors would make this a 95 % region.
TOLERANCE = 1.4


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The best run, and the range of those whose misfit is at most ``limit``.

    Attributes
    ----------
    beta, gamma, r0, infected
        Rates per day, their ratio, and the boys infected on the first day, of the best run.
    misfit, limit
        Smallest misfit, and ``TOLERANCE`` times that, in boys.
    beta_range, gamma_range, r0_range, infected_range
        Lowest and highest among the acceptable runs.
    """

    beta: float
    gamma: float
    infected: float
    r0: float
    misfit: float
    limit: float
    beta_range: tuple[float, float]
    gamma_range: tuple[float, float]
    infected_range: tuple[float, float]
    r0_range: tuple[float, float]

    def __str__(self) -> str:
        """Return a table for people."""
        rows = (
            ("", "best", f"within {self.limit:.1f} boys", ""),
            ("beta", f"{self.beta:.2f}", _range(self.beta_range, ".2f"), "per day"),
            (
                "gamma",
                f"{self.gamma:.3f}",
                _range(self.gamma_range, ".3f"),
                f"per day: ill for {1 / self.gamma:.1f} days",
            ),
            ("R0", f"{self.r0:.2f}", _range(self.r0_range, ".2f"), "beta / gamma"),
            (
                "infected",
                f"{self.infected:g}",
                _range(self.infected_range, "g"),
                "boys on the first day",
            ),
        )
        table = [f"  {name:10}{best:8}{ends:19}{unit}".rstrip() for name, best, ends, unit in rows]
        title = f"Best fit: {self.misfit:.1f} boys off, root mean square over the days"
        note = f"Ranges are of all runs up to {self.limit:.1f} boys off, {TOLERANCE:g} x the best."
        return "\n".join((title, *table, note))


def fit(data: "xr.Dataset") -> Fit:
    """Find the best run of a sweep and the range of acceptable ones.

    Parameters
    ----------
    data
        Runs of the model over ``beta``, ``gamma`` and ``infected``.

    Raises
    ------
    ValueError
        If no run is done.
    """
    best = data.isel(data.misfit.argmin(...))
    limit = TOLERANCE * best.misfit.item()
    runs = data.misfit.stack(run=data.misfit.dims)
    chosen = runs[runs.values <= limit]
    return Fit(
        beta=best.beta.item(),
        gamma=best.gamma.item(),
        infected=best.infected.item(),
        r0=(best.beta / best.gamma).item(),
        misfit=best.misfit.item(),
        limit=limit,
        beta_range=_ends(chosen.beta),
        gamma_range=_ends(chosen.gamma),
        infected_range=_ends(chosen.infected),
        r0_range=_ends(chosen.beta / chosen.gamma),
    )


def acceptable(data: "xr.Dataset") -> "xr.DataArray":
    """Return which runs have a misfit of at most ``TOLERANCE`` times the smallest."""
    is_close: xr.DataArray = data.misfit <= TOLERANCE * data.misfit.min()
    return is_close


def _ends(values: "xr.DataArray") -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))


def _range(ends: tuple[float, float], form: str) -> str:
    return f"{ends[0]:{form}} to {ends[1]:{form}}"
