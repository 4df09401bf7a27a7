"""The faults there are."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

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
        A module of the product without which the fault cannot be done, or a function that says
        whether it can be.
    play
        Disturbs a round.
    """

    name: str
    family: str
    kinds: tuple[str, ...]
    play: Callable[[Round], None]
    needs: str | Callable[[], bool] | None = None

    def rounds_of(self, rounds: int) -> int:
        """Return how many rounds of this fault belong to so many of kill -9."""
        return max(1, round(rounds * SHARE.get(self.family, OTHERS)))

    @property
    def is_possible(self) -> bool:
        """Whether product and machine have what it needs."""
        if callable(self.needs):
            return self.needs()
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


FAULTS: list[Fault] = []


def fault(
    family: str, *, kinds: tuple[str, ...], needs: str | Callable[[], bool] | None = None
) -> Callable[[Callable[[Round], None]], Callable[[Round], None]]:
    """Enter a fault, named as its function."""

    def enter(play: Callable[[Round], None]) -> Callable[[Round], None]:
        name = play.__name__.replace("_", " ")
        FAULTS.append(Fault(name=name, family=family, kinds=kinds, play=play, needs=needs))
        return play

    return enter
