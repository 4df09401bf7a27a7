"""The process that has a store, and whether it lives, as far as can be seen from here."""

import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The process that has the store: ``is_alive`` is None where that cannot be seen from here."""

    host: str
    pid: int
    since: float
    is_alive: bool | None


def driver_of(store: Path) -> Driver | None:
    """Return who has a store, None where nobody does. One file is read, nobody is asked."""
    from toolkit.stores.files.lock import process_start, read_holder

    holder = read_holder(str(store))
    if holder is None:
        return None
    is_alive = None
    if holder.host == socket.gethostname():
        is_alive = process_start(holder.pid) == (holder.process_start or None)
    return Driver(host=holder.host, pid=holder.pid, since=holder.since, is_alive=is_alive)
