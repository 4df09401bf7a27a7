"""A sampler as the engine knows sources."""

from typing import Any

from toolkit.execution.sources import Outcomes
from toolkit.optimizers.samplers.inversion import Inversion
from toolkit.optimizers.search import SearchSource
from toolkit.spaces.space import Space


class SamplerSource:
    """The source of a search whose end nobody knows: it says about how much is to come.

    Parameters
    ----------
    source
        Of the search.
    inversion
        The sampler that it asks.
    """

    def __init__(self, source: SearchSource, inversion: Inversion[Any]) -> None:
        self._source, self._inversion = source, inversion

    @property
    def left(self) -> int:
        """How many runs it may still give, about."""
        return self._inversion.expected

    def ask(self, n: int) -> Space | None:
        """Return all points that are wanted at once."""
        return self._source.ask(n)

    def tell(self, outcomes: Outcomes) -> None:
        """Learn what became of some runs."""
        self._source.tell(outcomes)
