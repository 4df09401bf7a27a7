"""Workers that come and go, noted as the scheduler tells of them: nobody asks."""

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from distributed import Client

_TOPIC = "all"
_NAMED = 100
_CONNECT_S = 1.0


def watch_workers(client: Client, note: Callable[..., None]) -> Callable[[], None]:
    """Note the workers that are there, and from now on those that come and go.

    Parameters
    ----------
    client
        Of the cluster.
    note
        Takes an event and its fields; is called in the client's thread.

    Returns
    -------
    Callable
        Ends it.
    """
    info = client.scheduler_info(n_workers=-1)
    workers = info["workers"]
    note(
        "cluster_used",
        scheduler=info.get("address"),
        workers=len(workers),
        threads=sum(worker["nthreads"] for worker in workers.values()),
        addresses=list(workers)[:_NAMED],
        dashboard=_dashboard(client.dashboard_link),
    )
    known = getattr(client, "_event_handlers", None)
    if known is None or _TOPIC in known:  # the user's own: a client has one for each topic
        return lambda: None

    def handle(event: tuple[float, Any]) -> None:
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action == "add-worker":
            note("worker_joined", worker=message["worker"])
        elif action == "remove-worker":
            note(
                "worker_left",
                worker=message["worker"],
                expected=bool(message.get("expected")),
                tasks=len(message.get("processing-tasks") or ()),
            )

    client.subscribe_topic(_TOPIC, handle)

    def stop() -> None:
        if client.status == "running":
            client.unsubscribe_topic(_TOPIC)

    return stop


def _dashboard(link: str | None) -> str | None:
    """Return where the dashboard is, seen from this machine; Dask names the scheduler's host."""
    address = urlsplit(link or "")
    if not address.hostname or not address.port:
        return link or None
    for host in (address.hostname, "127.0.0.1"):
        try:
            socket.create_connection((host, address.port), timeout=_CONNECT_S).close()
        except OSError:
            continue
        return address._replace(netloc=f"{host}:{address.port}").geturl()
    return link
