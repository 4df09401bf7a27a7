"""What ``client=`` may be, resolved once to a Dask client or to none."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.clusters.cluster import cluster
from toolkit.errors import SweepError
from toolkit.stages.current import current_run

if TYPE_CHECKING:
    from distributed import Client


def resolve_client(given: object) -> tuple["Client | None", Callable[[], None]]:
    """Return the Dask client to use and what closes it.

    Parameters
    ----------
    given
        A Dask client; something with a ``client`` or ``get_client()`` (a cluster); the name or
        path of a profile, whose cluster is started here and closed afterwards; or None for the
        client that is there already, if there is one; inside of a run, none.

    Raises
    ------
    SweepError
        If it is none of these.
    """
    if given is None:
        return _present_client(), _nothing
    if isinstance(given, str | Path):
        started = cluster(given)
        return started.client, started.close
    candidate: Any = given
    if hasattr(candidate, "scheduler_info") and hasattr(candidate, "submit"):
        return candidate, _nothing
    if hasattr(candidate, "client"):
        return candidate.client, _nothing
    if hasattr(candidate, "get_client"):
        client = candidate.get_client()
        return client, client.close
    raise SweepError(
        f"client={given!r} is not something to run on. Give a dask.distributed Client, a "
        "tk.cluster(...), the name or path of a cluster profile, or nothing."
    )


def _present_client() -> "Client | None":
    # A run that waited for runs of its own cluster would keep the place that they wait for.
    if "distributed" not in sys.modules or current_run().id >= 0:
        return None
    from distributed import Client

    try:
        present: Client = Client.current(allow_global=True)
    except ValueError:
        return None
    return present


def _nothing() -> None:
    return None
