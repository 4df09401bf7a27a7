"""The state of a run, one word and one number each."""

from enum import IntEnum


class Status(IntEnum):
    """State of one run, as stored in the ``status`` coordinate (uint8).

    ``skipped`` is left out by the space, ``stale`` was made by code or inputs that have changed
    since, ``blocked`` waits for a run that failed.

    Examples
    --------
    >>> Status.DONE == 1
    True
    >>> FLAG_MEANINGS
    'pending done failed skipped stale blocked'
    """

    PENDING = 0
    DONE = 1
    FAILED = 2
    SKIPPED = 3
    STALE = 4
    BLOCKED = 5


FLAG_MEANINGS = " ".join(status.name.lower() for status in Status)
