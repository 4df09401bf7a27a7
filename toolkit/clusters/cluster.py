"""``tk.cluster``: a profile, made into a running cluster."""

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.clusters.profile import load_profile

if TYPE_CHECKING:
    from toolkit.clusters.running_cluster import RunningCluster


def cluster(profile: str | Path = "local", **overrides: object) -> "RunningCluster":
    """Return the cluster that a profile describes; a context manager.

    Parameters
    ----------
    profile
        The name of a profile (``"local"``) or the path of a YAML file such as
        ``"cluster_configs/local.yaml"``.
    **overrides
        Settings that replace those of the profile: ``workers`` (a number, or a mapping of
        tiers), ``threads`` (per worker), ``memory`` (per worker, with a unit), ``resources``
        (Dask worker resources such as ``{"GPU": 1}``), ``dashboard`` (an address, or None);
        any other by its name, that of one tier as ``**{"tiers.small.maximum": 5}``.

    Returns
    -------
    RunningCluster
        With ``.client``, ``.dashboard_link``, ``.scale(count, tier)`` and ``.close()``.

    Raises
    ------
    ClusterError
        If the profile is not found or not valid, or its workers do not start.

    Examples
    --------
    >>> import toolkit as tk
    >>> with tk.cluster("local", workers=2) as cluster:  # doctest: +SKIP
    ...     sweep.run(cluster)
    """
    from toolkit.clusters.running_cluster import RunningCluster

    checked = load_profile(profile, **overrides)
    if checked.settings.kind == "local":
        from toolkit.clusters.local import LocalMachine

        return RunningCluster(checked, LocalMachine(checked))
    from toolkit.clusters.job_queue import JobQueue

    return RunningCluster(checked, JobQueue(checked))
