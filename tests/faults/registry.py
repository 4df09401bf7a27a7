"""The faults there are."""

from collections.abc import Callable
from dataclasses import dataclass

import injection
from rounds import Round

SHARE = {"kill -9": 1.0}
OTHERS = 0.1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    Parameters
    ----------
    name
        In words.
    family
        ``"kill -9"`` is done in all rounds, others in a tenth of them.
    kinds
        Of study, in turn by round.
    needs
        A phase of the product without which the fault cannot be done.
    play
        Disturbs a round.
    """

    name: str
    family: str
    kinds: tuple[str, ...]
    play: Callable[[Round], None]
    needs: str | None = None

    def rounds_of(self, rounds: int) -> int:
        """Return how many rounds of this fault belong to so many of kill -9."""
        return max(1, round(rounds * SHARE.get(self.family, OTHERS)))

    @property
    def is_possible(self) -> bool:
        """Whether the product has what it needs."""
        return self.needs is None or injection.is_there(self.needs)


FAULTS: list[Fault] = []


def fault(
    family: str, *, kinds: tuple[str, ...], needs: str | None = None
) -> Callable[[Callable[[Round], None]], Callable[[Round], None]]:
    """Enter a fault, named as its function."""

    def enter(play: Callable[[Round], None]) -> Callable[[Round], None]:
        name = play.__name__.replace("_", " ")
        FAULTS.append(Fault(name=name, family=family, kinds=kinds, play=play, needs=needs))
        return play

    return enter
