"""One run of the replay, as a program of its own too: it sleeps, holds memory, and notes both ends.

Nothing but the standard library is imported, so that a job for each run costs as little as it
can. Run as ``python replay_run.py FOLDER NUMBER``: what the run takes stands in ``costs.json``
there, and its result becomes a file in ``results``.
"""

import json
import os
import sys
import time
from pathlib import Path


def hold(number: int, seconds: float, megabytes: float, log: str) -> float:
    """Hold memory for some time.

    Parameters
    ----------
    number
        Of the run.
    seconds, megabytes
        How long, and how much.
    log
        Where its beginning and its end are noted, each with the job of SLURM that it is in.
    """
    _note(log, number, "began")
    held = b"x" * int(megabytes * 1e6)  # written once: it is there
    time.sleep(seconds)
    _note(log, number, "ended")
    return float(len(held))


def main() -> None:
    """Make one run, and write its result into a file of its own."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    seconds, megabytes = json.loads((folder / "costs.json").read_text())[number]
    value = hold(number, seconds, megabytes, str(folder / "log"))
    (folder / "results" / str(number)).write_text(json.dumps(value))


def _note(log: str, number: int, what: str) -> None:
    line = json.dumps([os.environ["SLURM_JOB_ID"], number, what, time.time()])
    with open(log, "a") as file:  # short lines that are appended at once: none tears another
        file.write(f"{line}\n")


if __name__ == "__main__":
    main()
