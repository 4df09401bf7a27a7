"""Tiers: the kinds of workers of a cluster, and which of them serves what a run needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from toolkit.errors import ClusterError
from toolkit.resources import Resources, describe_memory

Need = Literal["memory", "walltime"]

_TAG = "tier-"
_PLENTY = 1e6  # of a worker's tag: so much is shared out among the runs that it does at once


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A kind of worker.

    Parameters
    ----------
    name
        Such as ``"small"``.
    threads
        Of one worker process.
    memory
        That one worker process may hold, in bytes; None where nothing limits it.
    walltime
        How long a worker lasts, in seconds; None where nothing ends it.
    gpus
        Of one worker process.
    resources
        Further Dask worker resources.
    minimum, maximum
        How many workers there are at least and at most; None: no limit.
    idle
        For how many seconds a worker that is not wanted may have nothing to do.
    lends_threads
        Whether a run may take more threads than a worker has: those of one machine share its
        cores.
    is_tagged
        Whether its workers have the resource that says so. False for the only tier of a cluster
        of which nothing is known.
    """

    name: str
    threads: int = 1
    memory: int | None = None
    walltime: float | None = None
    gpus: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    minimum: int = 0
    maximum: int | None = None
    idle: float = 60.0
    lends_threads: bool = False
    is_tagged: bool = True

    @property
    def tag(self) -> str:
        """The Dask worker resource that tells its workers from those of other tiers."""
        return f"{_TAG}{self.name}"

    @property
    def worker_resources(self) -> dict[str, float]:
        """The Dask worker resources that each of its workers starts with."""
        gpus = {"GPU": float(self.gpus)} if self.gpus else {}
        return {self.tag: _PLENTY, **gpus, **self.resources}

    @property
    def is_shared(self) -> bool:
        """Whether it matters how many places of a worker a run takes, and can be seen to."""
        return self.threads > 1 and self.is_tagged

    def places(self, needs: Resources) -> int:
        """Return how many runs of a kind a worker does at once, as far as its threads go."""
        return max(1, self.threads // needs.threads)

    def share(self, needs: Resources) -> int:
        """Return how many of those places a run takes: its part of the worker's memory."""
        if self.memory is None or needs.memory is None:
            return 1
        places = self.places(needs)
        return min(places, max(1, math.ceil(needs.memory * places / self.memory)))

    def tags(self, needs: Resources, share: int = 1) -> dict[str, float]:
        """Return the Dask resources of a task that is to run here.

        Parameters
        ----------
        needs
            Of its runs.
        share
            How many places of a worker it takes.
        """
        gpus = {"GPU": float(needs.gpus)} if needs.gpus else {}
        if not self.is_tagged:
            return gpus
        places = self.places(needs)
        part = _PLENTY if share == places else _PLENTY // places * share
        amount = part if self.threads > 1 else 1.0
        return {self.tag: amount, **gpus}

    def lacks(self, needs: Resources) -> str:
        """Return what a run needs and does not find here, ``""`` where there is nothing."""
        lacking = []
        if needs.gpus > self.gpus:
            lacking.append(f"{needs.gpus} GPUs (it has {self.gpus})")
        if needs.threads > self.threads and not self.lends_threads:
            lacking.append(f"{needs.threads} threads (it has {self.threads})")
        if needs.memory is not None and needs.memory > self._memory:
            wanted, there = describe_memory(needs.memory), describe_memory(self._memory)
            lacking.append(f"{wanted} of memory (it has {there})")
        if needs.walltime is not None and needs.walltime > self._walltime:
            lacking.append(f"{needs.walltime:g} s of walltime (it has {self._walltime:g} s)")
        return ", ".join(lacking)

    @property
    def _memory(self) -> float:
        return math.inf if self.memory is None else self.memory

    @property
    def _walltime(self) -> float:
        return math.inf if self.walltime is None else self.walltime

    def covers(self, other: "Tier") -> bool:
        """Whether its workers can do whatever those of the other can."""
        return (
            self.gpus >= other.gpus
            and self.threads >= other.threads
            and self._memory >= other._memory
            and self._walltime >= other._walltime
        )

    def has_more(self, of: Need, than: "Tier") -> bool:
        """Whether a run that had too little of something there may find enough of it here."""
        if of == "memory":
            return self._memory > than._memory
        return self._walltime > than._walltime


def takes_all(resources: Mapping[str, float]) -> bool:
    """Whether a task with these Dask resources has a worker of several threads to itself."""
    return any(name.startswith(_TAG) and amount == _PLENTY for name, amount in resources.items())


ANY = Tier(name="any", threads=1 << 20, gpus=1 << 20, is_tagged=False)
"""What is taken for the only tier of a cluster that does not say which it has."""


class Ladder:
    """The tiers of a cluster, the cheapest first; runs that are too big for one climb to another.

    Parameters
    ----------
    tiers
        In the order of their cost, at least one, with different names.

    Examples
    --------
    >>> ladder = Ladder([
    ...     Tier(name="small", memory=2 * 10**9),
    ...     Tier(name="large", memory=64 * 10**9),
    ...     Tier(name="gpu", memory=64 * 10**9, gpus=1),
    ... ])
    >>> ladder.cheapest(Resources(memory="8GB")), ladder.cheapest(Resources(gpus=1))
    (1, 2)
    >>> ladder.above(0, "memory", Resources())
    1
    >>> ladder.above(1, "memory", Resources()) is None
    True
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self.tiers = tuple(tiers)
        names = [tier.name for tier in self.tiers]
        if not names or len(set(names)) != len(names):
            raise ClusterError(f"A cluster needs tiers with different names, found {names}.")

    def __len__(self) -> int:
        return len(self.tiers)

    def __getitem__(self, index: int) -> Tier:
        return self.tiers[index]

    def cheapest(self, needs: Resources) -> int:
        """Return the index of the cheapest tier that serves a run.

        GPUs are for runs that ask for them: others get such a tier where no other serves.

        Raises
        ------
        ClusterError
            If none does: the message says what each tier lacks.
        """
        serving = [at for at, tier in enumerate(self.tiers) if not tier.lacks(needs)]
        if not serving:
            lines = [f"  {tier.name}: lacks {tier.lacks(needs)}" for tier in self.tiers]
            raise ClusterError(
                "No tier of the cluster can serve a run that needs what `resources=` says:\n"
                + "\n".join(lines)
                + "\nAsk for less, or add a tier to the cluster's profile."
            )
        without_gpus = [at for at in serving if needs.gpus or not self.tiers[at].gpus]
        return (without_gpus or serving)[0]

    def above(self, tier: int, of: Need, needs: Resources) -> int | None:
        """Return the next tier with more of what was too little, None where there is none."""
        better = [
            at
            for at in range(len(self.tiers))
            if self.tiers[at].has_more(of, self.tiers[tier])
            and not self.tiers[at].lacks(needs)
            and (needs.gpus or not self.tiers[at].gpus)
        ]
        # The next that has more, not one that is cheaper but was passed over for another need.
        higher = [at for at in better if at > tier]
        return min(higher or better, default=None)

    def to_json(self) -> list[dict[str, object]]:
        """Return the tiers as plain values."""
        return [asdict(tier) for tier in self.tiers]

    @classmethod
    def from_json(cls, values: Sequence[Mapping[str, object]]) -> "Ladder":
        """Return what ``to_json`` wrote."""
        return cls([Tier(**each) for each in values])  # type: ignore[arg-type]
