"""Where evaluations are made: in this process, or by workers; pure functions of measured times."""

import math
import os

DEAR = 0.05  # seconds of one evaluation, above which each is a task of its own
START_UP = 3.0  # seconds until a cluster on this machine works
_ROUND = 0.03  # seconds that a generation costs on its way to workers and back
_GAIN = 1.2  # by which workers should be quicker: what is measured is not exact


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def worth_a_cluster(workers: int, together: int) -> float:
    """Return from how many seconds of work on a cluster of our own is sooner done, inf for never.

    Parameters
    ----------
    workers
        That it would have.
    together
        Evaluations that may be made at once.

    Examples
    --------
    >>> worth_a_cluster(1, 16), round(worth_a_cluster(2, 16), 1), round(worth_a_cluster(8, 4), 1)
    (inf, 9.0, 5.1)
    """
    saved = 1 - _GAIN / max(min(workers, together), 1)
    return START_UP * _GAIN / saved if saved > 0 else math.inf


def should_leave(
    seconds: float, left: int, *, workers: int, together: int, start_up: float = START_UP
) -> bool:
    """Whether what is left of a search is better made by workers than by this process.

    Parameters
    ----------
    seconds
        Of one evaluation, as measured lately.
    left
        Evaluations to come, at most.
    workers, together
        As for :func:`worth_a_cluster`.
    start_up
        Seconds until the workers work, 0 where they are there.

    Examples
    --------
    >>> should_leave(0.0005, 10**6, workers=8, together=8)
    False
    >>> should_leave(0.02, 2000, workers=8, together=8)
    True
    >>> should_leave(0.02, 100, workers=8, together=8)
    False
    """
    if seconds >= DEAR:  # the engine records each as it begins, and starts a cluster where it pays
        return True
    together = max(together, 1)
    waves = math.ceil(together / max(min(workers, together), 1))
    elsewhere = start_up + left / together * (_ROUND + waves * seconds)
    return left * seconds > _GAIN * elsewhere
