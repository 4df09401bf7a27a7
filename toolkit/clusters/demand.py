"""How much work waits for each tier, and how many workers are wanted for it."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from toolkit.clusters.tiers import Tier

TIERS_KEY = ("toolkit", "tiers")
DEMAND_KEY = ("toolkit", "demand")
SCALE_KEY = ("toolkit", "scale")  # by tier: a number of jobs asked for by hand, or None
PROBLEMS_KEY = ("toolkit", "problems")  # by tier: why its workers cannot be started
WAITS_KEY = ("toolkit", "waits")  # by tier: why jobs that are wanted are not there yet
_STALE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one sweep has left for one tier.

    Parameters
    ----------
    runs
        That wait or run.
    seconds
        Of computing that they take in all, over all threads: measured where runs have ended, else
        what has passed without a result, which they take at least.
    threads
        That one run takes.
    at
        When this was said, in seconds since 1970.
    """

    runs: int
    seconds: float
    threads: int = 1
    at: float = 0.0

    def to_json(self) -> dict[str, float]:
        """Return it as plain values."""
        return asdict(self)


def demands_for(tier: str, said: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Demand]:
    """Return what all sweeps have left for a tier.

    Parameters
    ----------
    tier
        Its name.
    said
        By sweep and tier, as it lies with the scheduler under ``DEMAND_KEY``. What was said over
        a minute ago is of a driver that died.
    """
    found = [each[tier] for each in said.values() if tier in each]
    now = time.time()
    return [
        Demand(
            runs=int(each["runs"]),
            seconds=float(each["seconds"]),
            threads=int(each.get("threads", 1)),
            at=float(each["at"]),
        )
        for each in found
        if now - float(each["at"]) < _STALE_SECONDS
    ]


def wanted_workers(tier: Tier, demands: Iterable[Demand], *, startup: float) -> int:
    """Return how many workers of a tier are worth having.

    Another worker is worth it while each has at least as much to do as its start takes; and no
    more than all runs at once can use.

    Parameters
    ----------
    tier
        Its threads, its least and its largest number of workers.
    demands
        What the sweeps have left for it.
    startup
        Seconds from the begin of a worker's job to its first run, as measured so far: to wait in
        the queue costs nothing.

    Examples
    --------
    >>> small = Tier(name="small", threads=2, maximum=20)
    >>> wanted_workers(small, [Demand(runs=1000, seconds=120.0)], startup=5.0)
    12
    >>> wanted_workers(small, [Demand(runs=6, seconds=1e6)], startup=5.0)
    3
    """
    wanted = 0.0
    for each in demands:
        if not each.runs:
            continue
        at_once = max(1, tier.threads // max(1, each.threads))
        by_runs = math.ceil(each.runs / at_once)
        by_seconds = math.ceil(each.seconds / (at_once * max(startup, 1.0)))
        wanted += max(1, min(by_runs, by_seconds))
    most = math.inf if tier.maximum is None else tier.maximum
    return int(min(max(wanted, tier.minimum), most))
