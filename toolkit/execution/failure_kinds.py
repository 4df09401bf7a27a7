"""Failed runs counted by what was raised and where, at the cost of one look at each."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.observation import FailureKind
from toolkit.execution.run_queue import Ids
from toolkit.stages.failure import RunFailure, own_frame

_MOST_KINDS = 1000  # that are told apart
_SHOWN = 20
_MEMBERS = 10  # of each kind that are kept
_OTHER = ("other kinds of errors", "")


class FailureKinds:
    """Which failed run is of which kind.

    Attributes
    ----------
    earlier
        Failed runs of which nothing was said, as of the latest count.
    """

    def __init__(self) -> None:
        self._of: NDArray[np.uint16] = np.zeros(0, np.uint16)  # by run; 0: nothing was said
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts = [0]
        self._members: list[list[RunFailure]] = [[]]
        self._shown: tuple[FailureKind, ...] | None = ()
        self.earlier: Ids = np.zeros(0, np.int64)

    def add(self, failure: RunFailure) -> None:
        """Take in what a run died of; what was said of it before counts no more."""
        key = (failure.exception, own_frame(failure.traceback))
        number = self._numbers.get(key)
        if number is None:
            key = key if len(self._numbers) < _MOST_KINDS else _OTHER
            number = self._numbers.setdefault(key, len(self._counts))
            if number == len(self._counts):
                self._counts.append(0)
                self._members.append([])
        run = failure.run
        if run >= len(self._of):
            longer = np.zeros(max(run + 1, 2 * len(self._of)), np.uint16)
            longer[: len(self._of)] = self._of
            self._of = longer
        before = int(self._of[run])
        if before:
            self._counts[before] -= 1
            self._members[before] = [each for each in self._members[before] if each.run != run]
        self._of[run] = number
        self._counts[number] += 1
        if len(self._members[number]) < _MEMBERS:
            self._members[number].append(failure)
        self._shown = None

    def settle(self, n_failed: int, failed: Callable[[], Ids]) -> None:
        """Make the groups add up to the failed runs that there are.

        Parameters
        ----------
        n_failed
            How many runs have failed.
        failed
            Returns their ids; called where the groups do not add up.
        """
        if sum(self._counts) == n_failed:
            return
        ids = failed()
        known = np.zeros(len(ids), np.int64)
        inside = ids < len(self._of)
        known[inside] = self._of[ids[inside]]
        self._counts = np.bincount(known, minlength=len(self._counts)).tolist()
        self.earlier = ids[known == 0]
        for number in range(1, len(self._counts)):
            self._members[number] = self._still_failed(number, ids[known == number])
        self._shown = None

    def _still_failed(self, number: int, ids: Ids) -> list[RunFailure]:
        left = set(ids.tolist()) if len(ids) <= _MEMBERS else None
        members = self._members[number]
        kept = [
            each for each in members if (each.run in left if left is not None else each.run in ids)
        ]
        if not kept and members and len(ids):
            kept = [replace(members[0], run=int(ids[0]))]
        return kept or members[:1]

    @property
    def n_kinds(self) -> int:
        """How many groups there are, not counting runs of which nothing was said."""
        return sum(count > 0 for count in self._counts[1:])

    def kinds(self) -> tuple[FailureKind, ...]:
        """Return the groups with most runs."""
        if self._shown is None:
            found = [
                FailureKind(
                    exception=exception,
                    where=where,
                    count=self._counts[number],
                    runs=tuple(each.run for each in self._members[number]),
                    first=self._members[number][0],
                )
                for (exception, where), number in self._numbers.items()
                if self._counts[number] and self._members[number]
            ]
            self._shown = tuple(sorted(found, key=lambda each: -each.count)[:_SHOWN])
        return self._shown


def together(first: tuple[FailureKind, ...], second: tuple[FailureKind, ...]) -> list[FailureKind]:
    """Return groups of two origins as one, those of the same kind added up, the largest first."""
    found = {(each.exception, each.where): each for each in first}
    for each in second:
        key = (each.exception, each.where)
        known = found.get(key)
        found[key] = (
            each
            if known is None
            else replace(
                known,
                count=known.count + each.count,
                runs=(*known.runs, *each.runs)[:_MEMBERS],
            )
        )
    return sorted(found.values(), key=lambda each: -each.count)
