"""On which tiers the runs that a sweep lacks would start, and how many core-hours they take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.tiers import Ladder
from toolkit.execution.learning import ended_runs
from toolkit.execution.placement import Placement
from toolkit.execution.run_queue import Ids
from toolkit.stages.needs import needs_of
from toolkit.stages.preparing import PreparedStage
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.runs.stage_runs import StageRuns


@dataclass(frozen=True, kw_only=True)
class PlannedTier:
    """What a stage would do on one tier.

    Attributes
    ----------
    runs
        That would start there.
    core_hours
        That they would take, NaN where no run has shown it yet.
    """

    runs: int
    core_hours: float


def ladder_of(client: object) -> Ladder | None:
    """Return the tiers of a cluster, None where it does not say which it has.

    Parameters
    ----------
    client
        What ``run`` takes: the name or file of a profile, a cluster, a Dask client, or None.

    Raises
    ------
    ClusterError
        If there is no such profile.
    """
    if client is None:
        return None
    if isinstance(client, str | Path):
        from toolkit.clusters.profile import load_profile

        return load_profile(client).settings.ladder()
    from toolkit.clusters.demand import TIERS_KEY

    asked: Any = getattr(client, "client", client)
    said = asked.get_metadata(TIERS_KEY, default=None)
    return None if said is None else Ladder.from_json(said)


def planned_tiers(
    prepared: PreparedStage, runs: StageRuns | None, missing: NDArray[np.bool_], ladder: Ladder
) -> Mapping[str, PlannedTier]:
    """Return what each tier would do, the cheapest first; those that would do nothing left out.

    Parameters
    ----------
    prepared
        The stage.
    runs
        What its store holds, None where it has nothing.
    missing
        Which runs of its space would be made, shape ``(n,)``.
    ladder
        The tiers.

    Raises
    ------
    ClusterError
        If no tier can serve one of them.
    """
    binding = prepared.binding
    needs = needs_of(binding)
    before = Catalogue.empty() if runs is None else runs.catalogue
    catalogue, found = before.register(prepared.space, defaults=prepared.defaults)
    ids: Ids = as_array(found)[missing]
    names = [name for name in catalogue.names if name in binding.uses]
    placement = Placement(ladder, needs, names)
    placement.register(ids, catalogue)
    mean = np.nan
    if runs is not None:
        ended, peaks = ended_runs(runs)
        placement.register(ended.ids, catalogue)
        placement.recall(ended, peaks)
        placement.learn(ended, ids, catalogue)
        mean = float(np.nanmean(ended.seconds)) if len(ended.ids) else np.nan
    seconds = placement.seconds[ids] if len(placement.seconds) else np.full(len(ids), np.nan)
    seconds = np.where(np.isnan(seconds), mean, seconds)
    threads = 1 if needs.fixed is None else needs.fixed.threads
    tiers = placement.tier[ids]
    return {
        tier.name: PlannedTier(
            runs=int(np.count_nonzero(tiers == at)),
            core_hours=float(seconds[tiers == at].sum(dtype=float)) * threads / 3600,
        )
        for at, tier in enumerate(ladder.tiers)
        if (tiers == at).any()
    }
