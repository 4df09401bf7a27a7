"""Workers whose runs leak memory: they say so between batches, and are started again."""

import threading
import time

from toolkit.stages.peak import resident

_FULL, _GROWN = 0.6, 0.2  # parts of the memory limit
_PATIENCE = 60.0  # seconds that a worker waits to be renewed before it goes on as it is


class _Memory:
    """What this process may hold, what it held after its first batch, and who works in it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limit = 0
        self.first = 0.0
        self.active = 0
        self.refusing_since = 0.0


_memory = _Memory()


def limit_memory(limit: int | None) -> None:
    """Say how many bytes this worker process may hold; only those with a limit are renewed."""
    _memory.limit = limit or 0


def begin_batch() -> bool:
    """Count a batch in; False where this process waits to be renewed and none should begin."""
    with _memory.lock:
        since = _memory.refusing_since
        if since and time.monotonic() - since < _PATIENCE:
            return False
        _memory.refusing_since = 0.0
        _memory.active += 1
        return True


def end_batch() -> None:
    """Count a batch out."""
    with _memory.lock:
        _memory.active -= 1
        _memory.first = _memory.first or resident()
        if is_full():
            _memory.refusing_since = _memory.refusing_since or time.monotonic()


def is_full() -> bool:
    """Whether runs have left so much memory behind that a later one may be ended for it.

    What a worker holds after its first batch, frozen inputs among it, is no leak.
    """
    if not _memory.limit or not _memory.first:
        return False
    held = resident()
    return held > _FULL * _memory.limit and held - _memory.first > _GROWN * _memory.limit


def is_due() -> bool:
    """Whether this process waits to be renewed, and nothing runs in it any more."""
    with _memory.lock:
        return _memory.refusing_since > 0 and _memory.active == 0
