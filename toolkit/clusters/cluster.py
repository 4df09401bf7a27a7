"""``tk.cluster``: a profile, made into a running cluster."""

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.clusters.profile import load_profile

if TYPE_CHECKING:
    from toolkit.clusters.local import LocalCluster


def cluster(profile: str | Path = "local", **overrides: object) -> "LocalCluster":
    """Return the cluster that a profile describes; a context manager.

    Parameters
    ----------
    profile
        The name of a profile (``"local"``) or the path of a YAML file such as
        ``"cluster_configs/local.yaml"``.
    **overrides
        Settings that replace those of the profile: ``workers`` (a number, or a mapping of
        kinds), ``threads`` (per worker), ``memory`` (per worker, with a unit), ``resources``
        (Dask worker resources such as ``{"GPU": 1}``), ``dashboard`` (an address, or None).

    Returns
    -------
    LocalCluster
        With ``.client``, ``.dashboard_link``, ``.scale(count)`` and ``.close()``.

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
    checked = load_profile(profile, **overrides)
    from toolkit.clusters.local import LocalCluster

    return LocalCluster(checked)
