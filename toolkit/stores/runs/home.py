"""What the runs of a stage need of the store that they are in."""

import functools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from toolkit.stores.arrays.hierarchy import Hierarchy
from toolkit.stores.journals.events import Events
from toolkit.stores.journals.failure_log import FailureLog
from toolkit.stores.journals.journal import Durability
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.journals.records import Origin
from toolkit.stores.journals.run_logs import RunLogs


class Home(Protocol):
    """The store that a stage's runs are in."""

    path: str | None
    identity: str
    epoch: int
    durability: Durability
    is_writable: bool
    accepts_late: bool
    hierarchy: Hierarchy
    failure_log: FailureLog
    run_logs: RunLogs
    events: Events
    lock: AbstractContextManager[Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the store."""

    def pull(self, receipts: Iterable[Receipt]) -> None:
        """Hand new records to the stages they belong to."""

    def pass_over(self, journal: str, origin: Origin) -> bool:
        """Count a piece of a journal as read, if it is what comes next; say whether it is."""

    def offsets(self) -> dict[str, int]:
        """Return how far each journal was read."""

    def marks(self, stage: str) -> dict[str, set[int]]:
        """Return the runs that the journals' pages note as in progress."""

    def write_marker(self) -> None:
        """Write how far the journals are folded."""

    def check(self) -> None:
        """Raise if the store is not this driver's any more."""


class AtHome(Protocol):
    """What lives in a store."""

    _home: Home


S = TypeVar("S", bound=AtHome)
P = ParamSpec("P")
T = TypeVar("T")


def alone(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let one thread at a time into a store: a live view reads while the driver folds."""

    @functools.wraps(method)
    def locked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._home.lock:
            return method(self, *args, **kwargs)

    return locked
