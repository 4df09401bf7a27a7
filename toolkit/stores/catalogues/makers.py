"""Which code made which run: the identities that a stage has had, by number, and their turns.

A store whose stage never changed keeps one identity and nothing for each run. From the second
identity on every run has a number, in an array beside its status. Journals need no note of it:
a driver's turn (its epoch) has one identity for each stage, noted before its first run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stages.identity import UNKNOWN, Identity

MADE_BY = "made_by"
NOBODY = 0xFFFF
"""The number of runs that were made by code of which nothing is known any more."""

_MOST = 0xFFF0
_KEPT_TURNS = 64

Numbers = npt.NDArray[np.uint16]
Statuses = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Makers:
    """The identities of a stage.

    Parameters
    ----------
    identities
        By number; None where no run is left that it made, so that its number may be given anew.
    turns
        First epoch and number, ascending by epoch: who makes what is run from then on.
    present
        The number of the present identity.
    is_varied
        Whether runs have numbers: there has been more than one identity.
    """

    identities: tuple[Identity | None, ...] = ()
    turns: tuple[tuple[int, int], ...] = ()
    present: int = 0
    is_varied: bool = False

    def number_of(self, token: str) -> int:
        """Return the number of the identity with this token, -1 where there is none."""
        for number, identity in enumerate(self.identities):
            if identity is not None and identity.token == token:
                return number
        return -1

    def identity_of(self, number: int) -> Identity:
        """Return the identity with a number; one that equals no other where it is unknown."""
        if 0 <= number < len(self.identities):
            return self.identities[number] or UNKNOWN
        return UNKNOWN

    def at(self, epoch: int) -> int:
        """Return the number of what was run in an epoch."""
        found = NOBODY
        for first, number in self.turns:
            if first <= epoch:
                found = number
        return found

    def took(self, identity: Identity, epoch: int, used: Numbers | None) -> "Makers":
        """Return the makers with an identity as the present one, from an epoch on.

        Parameters
        ----------
        identity
            What makes the runs from now on.
        epoch
            The turn of the driver.
        used
            The numbers that runs with values have; identities of none are forgotten. None where
            runs have no numbers.
        """
        if not self.identities:
            return replace(self, identities=(identity,), turns=((0, 0),))
        number = self.number_of(identity.token)
        if number == self.present:
            # The same token may come with better names, as after a new version of this package.
            listed = [*self.identities]
            listed[number] = identity
            return replace(self, identities=tuple(listed))
        listed, gone = [*self.identities], set[int]()
        if used is not None:
            alive = {*used.tolist(), number, self.present}
            gone = {n for n, each in enumerate(listed) if each is not None and n not in alive}
        for each in gone:
            listed[each] = None
        turns = [(first, NOBODY if each in gone else each) for first, each in self.turns]
        if number < 0:
            number = listed.index(None) if None in listed else len(listed)
            if number >= _MOST:
                raise ValueError(f"{_MOST} kinds of code have made runs of one stage")
            listed[number : number + 1] = [identity]
        return replace(
            self,
            identities=tuple(listed),
            turns=(*turns, (epoch, number))[-_KEPT_TURNS:],
            present=number,
            is_varied=True,
        )

    def seen(
        self, status: Statuses, made_by: Numbers | None, number: int | None = None
    ) -> Statuses:
        """Return status as it reads where one identity is the valid one: done, or stale.

        Parameters
        ----------
        status
            Shape ``(n,)``.
        made_by
            Numbers of the same runs; None where all have number 0.
        number
            The valid identity; None for the present one, -1 for one that made no run.
        """
        if not self.identities:
            return status
        valid = self.present if number is None else number
        has_value = (status == Status.DONE) | (status == Status.STALE)
        is_valid = valid == 0 if made_by is None else made_by == valid
        kinds = np.where(is_valid, np.uint8(Status.DONE), np.uint8(Status.STALE))
        return np.where(has_value, kinds, status).astype(np.uint8, copy=False)

    def to_json(self) -> dict[str, Any]:
        """Return it for the attributes of the stage."""
        return {
            "identities": [None if each is None else each.to_json() for each in self.identities],
            "turns": [list(turn) for turn in self.turns],
            "present": self.present,
            "varied": self.is_varied,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Makers":
        """Return what ``to_json`` described."""
        return cls(
            identities=tuple(
                None if each is None else Identity.from_json(each)
                for each in document["identities"]
            ),
            turns=tuple((int(first), int(number)) for first, number in document["turns"]),
            present=int(document["present"]),
            is_varied=bool(document["varied"]),
        )
