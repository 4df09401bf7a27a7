"""When the job ends that a worker process belongs to: two environment variables."""

import os
import time
from collections.abc import Mapping, MutableMapping

JOB_ENDS = "TOOLKIT_JOB_ENDS"
"""Tells a worker when its job ends, in seconds since 1970."""

JOB_SECONDS = "TOOLKIT_JOB_SECONDS"
"""Tells it how long its job lasts in all, from the start of its workers on."""


def ending_in(seconds: float | None) -> dict[str, str]:
    """Return what the processes of a job find in the environment that starts now.

    Parameters
    ----------
    seconds
        How long it lasts; None where nothing ends it.

    Examples
    --------
    >>> ending_in(None)
    {}
    >>> ending_in(90.0)[JOB_SECONDS]
    '90.0'
    """
    if seconds is None:
        return {}
    return {JOB_ENDS: str(time.time() + seconds), JOB_SECONDS: str(seconds)}


def ends_at(environment: Mapping[str, str] = os.environ) -> float:
    """Return when this process's job ends, in seconds since 1970; infinite where nothing does."""
    try:
        return float(environment[JOB_ENDS])
    except (KeyError, ValueError):
        return float("inf")


def begin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Note how long the job lasts from now on, when its workers are about to start."""
    left = ends_at(environment) - time.time()
    if left != float("inf"):
        environment[JOB_SECONDS] = str(left)


def end_now() -> None:
    """Have this process's workers hand back what they have not begun, as if their job ended."""
    os.environ[JOB_ENDS] = str(time.time())
