"""Commands of a site, such as those of its queueing system: asked for text, and not for ever."""

import subprocess
from collections.abc import Sequence


def ask(
    command: Sequence[str], *, timeout: float, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command and return what it said, whatever its exit code.

    Parameters
    ----------
    command
        And its arguments: no shell sees them.
    timeout
        Seconds after which it is ended.
    given
        What it reads.

    Raises
    ------
    OSError
        If it cannot be started.
    subprocess.TimeoutExpired
        If it has not ended in time.
    """
    return subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
