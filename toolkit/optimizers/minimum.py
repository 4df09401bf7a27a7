"""What a search has found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.errors import RunsFailedError
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
        failed), and as coordinates the parameters, ``generation``, ``start`` and ``status``.
    """

    x: Mapping[str, object]
    value: float
    converged: bool
    message: str
    evaluations: int
    history: "xr.Dataset" = field(repr=False)

    def __repr__(self) -> str:
        at = ", ".join(
            f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value!r}"
            for name, value in self.x.items()
        )
        ended = "converged" if self.converged else "not converged"
        return (
            f"<Minimum {self.value:.6g} at {at}\n"
            f" {ended} after {self.evaluations:,} evaluations: {self.message}>"
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
    history = search.history()
    return Minimum(
        x=search.labels_of(best),
        value=float(history.value.sel(evaluation=best)),
        converged=search.is_converged,
        message=search.message,
        evaluations=search.n_evaluated,
        history=history,
    )
