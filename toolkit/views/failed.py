"""The failed runs of a store, one by one and by kind."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from toolkit.stages.failure import own_frame

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Failed:
    """One failed run: its labels, and what ``tk.failures`` says of it."""

    run: int
    stage: str
    labels: dict[str, Any]
    reason: str
    exception: str
    message: str
    traceback: str
    exit_code: int | None
    log: str
    attempts: int
    tier: str
    peak_memory: float | None
    host: str

    @property
    def where(self) -> str:
        """The innermost line of the user's code, such as ``study.py:12 in simulate``."""
        return own_frame(self.traceback)

    def document(self) -> dict[str, Any]:
        """Return the content of the JSON document."""
        return {**asdict(self), "where": self.where}


def failed_runs(store: Path) -> list[Failed]:
    """Return the failed runs of a store.

    Raises
    ------
    StoreError
        If the folder is no store.
    """
    from toolkit.stores.reading.failures import COLUMNS
    from toolkit.stores.reading.open import failures
    from toolkit.views.plain import plain

    frame = failures(store)
    names = [name for name in frame.columns if name not in COLUMNS]
    records = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    return [
        Failed(
            labels={name: plain(record[name]) for name in names},
            **{name: plain(record[name]) for name in COLUMNS},
        )
        for record in records
    ]


def by_kind(found: Iterable[T], kind: Callable[[T], Hashable]) -> list[list[T]]:
    """Return failures in groups of the same kind, the largest group first."""
    groups: dict[Hashable, list[T]] = {}
    for each in found:
        groups.setdefault(kind(each), []).append(each)
    return sorted(groups.values(), key=lambda members: -len(members))
