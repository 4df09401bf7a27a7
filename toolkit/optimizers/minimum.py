"""What a search has found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.errors import RunsFailedError
from toolkit.optimizers.diagnosing import notes_on
from toolkit.optimizers.search import Search

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """What ``tk.minimize`` has found.

    Attributes
    ----------
    x
        The best point, by parameter.
    value
        The objective there.
    converged
        Whether the search ended because there is nothing better nearby.
    message
        Why it ended.
    evaluations
        How many points were evaluated, failed ones included.
    history
        Every point in the order of its number along ``evaluation``, with ``value`` (NaN where it
        failed), and as coordinates the parameters, ``generation``, ``start`` and ``status``; in the
        steady state also ``follows``, the evaluation whose value was told just before each point
        was drawn. The same search has the same history, bit for bit.
    seconds
        That each evaluation took, along ``evaluation`` as the history, NaN where none was made.
    notes
        What to look at before the fit is believed: no convergence, parameters on their bounds,
        starts that disagree, scales, values that are NaN or all equal.
    """

    x: Mapping[str, object]
    value: float
    converged: bool
    message: str
    evaluations: int
    history: "xr.Dataset" = field(repr=False)
    seconds: "xr.DataArray | None" = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        at = ", ".join(
            f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value!r}"
            for name, value in self.x.items()
        )
        ended = "converged" if self.converged else "not converged"
        return (
            f"<Minimum {self.value:.6g} at {at}\n"
            f" {ended} after {self.evaluations:,} evaluations: {self.message}"
            f"{''.join(f'{chr(10)} - {note}' for note in self.notes)}>"
        )


def minimum_of(search: Search) -> Minimum:
    """Return what a search has found.

    Raises
    ------
    RunsFailedError
        If no evaluation gave a finite value.
    """
    best = search.best
    if best is None:
        raise RunsFailedError(
            f"None of the {search.n_evaluated:,} evaluations gave a finite value. {search.message}."
        )
    history, x = search.history(), search.labels_of(best)
    return Minimum(
        x=x,
        value=float(history.value.sel(evaluation=best)),
        converged=search.is_converged,
        message=search.message,
        evaluations=search.n_evaluated,
        history=history,
        seconds=search.seconds(),
        notes=notes_on(history, search.space.axes, x, is_converged=search.is_converged),
    )
