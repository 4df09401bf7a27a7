"""Where a dashboard listens."""

import re
import socket
from typing import Any


def dashboard_options(address: str | None) -> dict[str, Any]:
    """Return what Dask's scheduler is to be told of its dashboard; None: there is none."""
    if address is None:  # it listens all the same, and answers nothing of a dashboard
        return {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    return {"dashboard": True, "dashboard_address": free_address(address)}


def dashboard_link(link: str, address: str) -> str:
    """Return Dask's link to its dashboard with the host where that listens.

    Dask takes the scheduler's host for it.

    Examples
    --------
    >>> dashboard_link("http://10.0.0.7:8787/status", "127.0.0.1:8787")
    'http://127.0.0.1:8787/status'
    """
    host, _, _ = address.rpartition(":")
    if host == "0.0.0.0":
        return link
    return re.sub(r"^(\w+://)[^/:]+:", rf"\g<1>{host or '127.0.0.1'}:", link)


def free_address(address: str) -> str:
    """Return the address itself, or with port 0 (any free one) where its port is taken.

    Without a host it is that of this machine which others cannot reach.
    """
    host, _, port = address.rpartition(":")
    host = host or "127.0.0.1"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return f"{host}:{port}"
