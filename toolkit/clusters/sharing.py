"""How the room that a busy queue leaves is shared among the tiers: in proportion to their work."""

import math
from collections.abc import Mapping, Sequence

from toolkit.clusters.tiers import Tier

_PATIENCE = 3.0  # seconds in the queue after which a job is taken to wait for room
_MEMORY = 60.0  # seconds for which it is remembered that there was no more room
_SLACK = 0.25  # of a job that a share may fall short of


class Sharing:
    """Says how many jobs each tier is to have where the queue has no room for all that are wanted.

    Whoever asks first has all of a full queue, as long as its workers last: large ones that
    wait beside small ones would take what the small ones leave, and then do their work with more
    than that needs. Tiers with GPUs ask for other nodes and are left alone.

    Parameters
    ----------
    tiers
        Of the cluster.
    processes
        Of a job of each tier, by its name.

    Examples
    --------
    >>> small, large = Tier(name="small", memory=4 << 30), Tier(name="large", memory=8 << 30)
    >>> sharing = Sharing([small, large], {"small": 1, "large": 1})
    >>> sharing.note({"small": 8, "large": 2}, waited=10.0, now=0.0)
    >>> sharing.shared({"small": 20, "large": 20}, {"small": 600.0, "large": 300.0}, now=1.0)
    {'small': 6, 'large': 3}
    """

    def __init__(self, tiers: Sequence[Tier], processes: Mapping[str, int]) -> None:
        members = [tier for tier in tiers if not tier.gpus]
        self._sizes = {tier.name: _size(tier, members) * processes[tier.name] for tier in members}
        self._full: list[tuple[float, float]] = []  # when there was no more room, and for how much

    def note(self, held: Mapping[str, int], *, waited: float, now: float) -> None:
        """Note how much the queue has given by now.

        Parameters
        ----------
        held
            How many jobs of each tier have begun.
        waited
            For how many seconds the one of these tiers has waited that waits the longest.
        now
            Seconds of a clock that never goes back.
        """
        self._full = [each for each in self._full if now - each[0] < _MEMORY]
        if waited >= _PATIENCE:
            room = sum(size * held.get(name, 0) for name, size in self._sizes.items())
            self._full.append((now, room))

    @property
    def names(self) -> frozenset[str]:
        """The tiers that share."""
        return frozenset(self._sizes)

    def shared(
        self, wanted: Mapping[str, int], seconds: Mapping[str, float], *, now: float
    ) -> dict[str, int]:
        """Return how many jobs of each tier are to be had.

        Parameters
        ----------
        wanted
            As many would be worth having if there were room for all.
        seconds
            Of computing that is left for each tier.
        now
            As for :meth:`note`.

        Returns
        -------
        dict
            At most as many as wanted; where any is wanted, at least one.
        """
        result = dict(wanted)
        work = {name: seconds.get(name, 0.0) for name, n in wanted.items() if n}
        work = {name: each for name, each in work.items() if name in self._sizes}
        full = [room for at, room in self._full if now - at < _MEMORY]
        in_all = sum(self._sizes[name] * each for name, each in work.items())
        if not full or not max(full) or len(work) < 2 or not in_all:
            return result
        for name, each in work.items():
            share = math.ceil(max(full) * each / in_all - _SLACK)
            result[name] = min(wanted[name], max(1, share))
        return result


def _size(tier: Tier, members: Sequence[Tier]) -> float:
    """Return the share of a node that a worker takes, as a multiple of the smallest one."""
    sizes = [1.0]
    least = min(each.threads for each in members)
    sizes.append(tier.threads / least)
    if all(each.memory for each in members):
        sizes.append((tier.memory or 1) / min(each.memory or 1 for each in members))
    return max(sizes)
