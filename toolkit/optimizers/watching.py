"""A look at a search as it goes on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from toolkit.errors import SweepError
from toolkit.optimizers.search import Search

if TYPE_CHECKING:
    import xarray as xr

_APART = 0.5  # seconds between two looks, at least
_SHARE = 10  # and so many times what the last one took


class Watch:
    """Shows somebody the history so far: twice a second at most, and a tenth of the time.

    Parameters
    ----------
    search
        Whose history.
    look
        Is called with it; None: nobody looks.

    Raises
    ------
    SweepError
        If it cannot be called.
    """

    def __init__(self, search: Search, look: "Callable[[xr.Dataset], object] | None") -> None:
        if look is not None and not callable(look):
            raise SweepError(
                f"watch={look!r} must be a function of the history so far, such as "
                "lambda history: tk.plot.convergence(history)."
            )
        self._search, self._look = search, look
        self._due = time.monotonic() + _APART
        self._seen = -1

    def __call__(self) -> None:
        """Show what there is, where it is time."""
        if self._look is not None and time.monotonic() >= self._due:
            self._show()

    def finish(self) -> None:
        """Show the end, unless that was seen."""
        if self._look is not None and self._search.n_evaluated not in (0, self._seen):
            self._show()

    def _show(self) -> None:
        assert self._look is not None
        began = time.monotonic()
        self._seen = self._search.n_evaluated
        self._look(self._search.history())
        now = time.monotonic()
        self._due = now + max(_APART, _SHARE * (now - began))
