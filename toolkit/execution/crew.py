"""The workers of a Dask client, by the tiers of their cluster."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from distributed import Client

from toolkit.clusters.demand import DEMAND_KEY, PROBLEMS_KEY, TIERS_KEY, WAITS_KEY, Demand
from toolkit.clusters.tiers import ANY, Ladder
from toolkit.errors import ClusterError, SweepError

_LOOK_SECONDS = 1.0
_PLAIN_LOOK_SECONDS = 10.0  # workers of other clusters seldom come and go


class Crew:
    """Who is there to run a stage, and what is asked of the cluster.

    Parameters
    ----------
    client
        Its cluster says with the scheduler which tiers it has; other clusters count as one tier.
    stage
        Name of the stage.
    resources
        Dask resources that each of its runs takes.
    cores
        Threads that each of its runs takes.

    Attributes
    ----------
    ladder
        The tiers of the cluster.
    workers, threads
        How many worker processes there are, and how many runs they do at once; at least 1.
    """

    def __init__(
        self, client: Client, *, stage: str, resources: Mapping[str, float], cores: int
    ) -> None:
        self._client, self._stage, self._cores = client, stage, cores
        self._resources = dict(resources)
        said: Any = client.get_metadata(TIERS_KEY, default=None)
        self.ladder = Ladder([ANY]) if said is None else Ladder.from_json(said)
        self.workers = self.threads = 1
        self._rooms = [0] * len(self.ladder)
        self._looked_at = self._said_at = 0.0
        self.look()

    def look(self) -> None:
        """Count the workers.

        Raises
        ------
        SweepError
            If none of those that are there can run the stage, and there will be no others.
        """
        self._looked_at = time.monotonic()
        tags = [tier.tag if tier.is_tagged else "" for tier in self.ladder.tiers]
        counted: Any = self._client.run_on_scheduler(_count, tags=tags, resources=self._resources)
        n_workers, n_fitting, threads = counted
        if n_workers and not n_fitting and not self.is_tiered:
            wanted = ", ".join(f"{name}={amount:g}" for name, amount in self._resources.items())
            raise SweepError(
                f"Stage {self._stage!r} needs workers with {wanted}, and none of the "
                f"{n_workers} workers has that. Start workers with the Dask resource, such "
                "as tk.cluster('local', resources={'GPU': 1}) or dask worker --resources GPU=1."
            )
        self._rooms = [max(1, each // self._cores) if each else 0 for each in threads]
        self.workers = max(1, n_fitting)
        self.threads = max(1, sum(self._rooms))

    @property
    def is_tiered(self) -> bool:
        """Whether the cluster says which tiers it has; it may then start workers when needed."""
        return self.ladder[0].is_tagged

    def room(self, tier: int) -> int:
        """Return how many runs the workers of a tier do at once by now."""
        pause = _LOOK_SECONDS if self.is_tiered else _PLAIN_LOOK_SECONDS
        if time.monotonic() - self._looked_at > pause:
            self.look()
        return self._rooms[tier] if self.is_tiered else max(1, self._rooms[tier])

    def waits(self) -> Mapping[str, str]:
        """Return why jobs of a tier are not there yet, by the names of those that wait."""
        if not self.is_tiered:
            return {}
        said: Any = self._client.get_metadata(WAITS_KEY, default=None) or {}
        return {str(tier): str(why) for tier, why in said.items()}

    def ask(self, sweep: str, demands: Callable[[], Mapping[int, Demand]]) -> None:
        """Tell the cluster what is left for each tier, once a second.

        Raises
        ------
        ClusterError
            If it cannot start workers that are needed: with the words of the queueing system.
        """
        if not self.is_tiered or time.monotonic() - self._said_at < _LOOK_SECONDS:
            return
        self._said_at = time.monotonic()
        found = demands()
        said = {
            self.ladder[tier].name: demand.to_json() | {"at": time.time()}
            for tier, demand in found.items()
        }
        self._client.set_metadata([*DEMAND_KEY, sweep], said)
        problems: Any = self._client.get_metadata(PROBLEMS_KEY, default=None) or {}
        for tier, demand in found.items():
            problem = problems.get(self.ladder[tier].name)
            if problem and demand.runs and not self._rooms[tier]:
                raise ClusterError(
                    f"Tier {self.ladder[tier].name!r} is needed for {demand.runs} runs, and its "
                    f"workers cannot be started: {problem}"
                )

    def leave(self, sweep: str) -> None:
        """Ask for nothing more."""
        if self.is_tiered:
            self._client.set_metadata([*DEMAND_KEY, sweep], {})


def _count(
    tags: list[str], resources: dict[str, float], dask_scheduler: Any = None
) -> tuple[int, int, list[int]]:
    """Return the number of workers, of those with these resources, and their threads by tag.

    A few numbers, where the list of a thousand workers is a megabyte.
    """
    workers = list(dask_scheduler.workers.values())
    fitting = [
        each
        for each in workers
        if all(each.resources.get(name, 0) >= amount for name, amount in resources.items())
    ]
    threads = [
        sum(each.nthreads for each in fitting if not tag or tag in each.resources) for tag in tags
    ]
    return len(workers), len(fitting), threads
