"""Where runs come from: a space, or something that chooses its next points by what it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toolkit.run_status import Status
from toolkit.spaces.space import Space
from toolkit.stages.failure import RunFailure
from toolkit.stores.runs.stage_runs import StageRuns


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of some of the points that a source gave, in any order.

    Attributes
    ----------
    points
        Values of each parameter, one for each outcome.
    status
        ``tk.Status`` of each, shape ``(n,)``: done or failed.
    values
        Each output, first dim ``n``; missing (NaN, NaT, "") where the run failed.
    failures
        Of the failed ones.
    seconds
        That each took, shape ``(n,)``, NaN where unknown.
    """

    points: Mapping[str, Sequence[object]]
    status: NDArray[np.uint8]
    values: Mapping[str, object]
    failures: tuple[RunFailure, ...]
    seconds: NDArray[np.float32]


class Source(Protocol):
    """Gives points to run and is told what became of them.

    ``ask`` returns a space of about ``n`` further points, or None while (or because) there is
    nothing to give; a sweep ends when that is so and nothing is running. It is asked whenever
    workers could begin further runs, and ``n`` is how many. ``tell`` takes any finished subset in
    any order, failures included; points that the store holds already are told at once.

    What a source gave and nobody ran, because the sweep was stopped, is left out of the store.
    """

    def ask(self, n: int) -> Space | None:
        """Return about ``n`` further points, or None."""

    def tell(self, outcomes: Outcomes) -> None:
        """Learn what became of some points."""


@runtime_checkable
class Bounded(Protocol):
    """A source that knows how much it is still to give."""

    @property
    def left(self) -> int:
        """How many runs it is still to give."""


def runs_left(source: Source) -> int:
    """Return how many runs a source is still to give, 0 where it cannot say."""
    return source.left if isinstance(source, Bounded) else 0


class SpaceSource:
    """A space as a source: all of it at the first call, whatever the outcomes."""

    def __init__(self, space: Space) -> None:
        self._space: Space | None = space

    def ask(self, n: int) -> Space | None:
        """Return the space once."""
        del n
        space, self._space = self._space, None
        return space

    def tell(self, outcomes: Outcomes) -> None:
        """Do nothing: a space does not depend on outcomes."""
        del outcomes


def tell(
    source: Source,
    runs: StageRuns,
    ids: NDArray[np.int64],
    failures: tuple[RunFailure, ...] = (),
) -> None:
    """Tell a source what became of some runs; those without an outcome are left out."""
    if isinstance(source, SpaceSource):
        return
    status = runs.state.status[ids]
    ended = np.isin(status, (Status.DONE, Status.STALE, Status.FAILED))
    ids, status = ids[ended], status[ended]
    if not len(ids):
        return
    schema = runs.widest_schema
    names = () if schema is None else schema.names
    source.tell(
        Outcomes(
            points=runs.catalogue.values(ids),
            status=status,
            values={name: runs.read(name, ids) for name in names},
            failures=failures,
            seconds=runs.state.seconds[ids],
        )
    )
