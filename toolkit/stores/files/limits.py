"""How much memory a store may ask for: one from a stranger may claim any size."""

import os

from toolkit.errors import StoreError

SMALL = 64 << 20
"""Bytes that are taken without looking whether they are there."""

_GROUPS = "/sys/fs/cgroup"


def require_room(nbytes: int, what: str) -> None:
    """Raise where something needs more memory than is available.

    Parameters
    ----------
    nbytes
        What is about to be allocated.
    what
        Whatever needs it, as the subject of the message.

    Raises
    ------
    StoreError
        If there is less.
    """
    if nbytes <= SMALL:
        return
    there = room()
    if nbytes > there:
        raise StoreError(
            f"{what} would take {nbytes / 1e9:,.1f} GB of memory, and {there / 1e9:,.1f} GB are "
            "available here. Select a part of it, or read it on a machine with more memory. "
            "A store that should be small is damaged, or not what it says it is."
        )


def room() -> int:
    """Return the bytes of memory that this process can still get."""
    found = [_free_in_group(), _available()]
    return min((n for n in found if n is not None), default=1 << 40)


def _available() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _free_in_group() -> int | None:
    """Return what is left of the limit that containers and batch systems set."""
    most, used = _number("memory.max"), _number("memory.current")
    if most is None or used is None:
        return None
    return max(most - used + (_number_in("memory.stat", "inactive_file") or 0), 0)


def _number(name: str) -> int | None:
    try:
        with open(f"{_GROUPS}/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _number_in(name: str, key: str) -> int | None:
    try:
        with open(f"{_GROUPS}/{name}", encoding="ascii") as file:
            for line in file:
                if line.startswith(f"{key} "):
                    return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
