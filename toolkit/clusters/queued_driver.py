"""The job of a store's driver in SLURM's queue: it is known by its name."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from toolkit.clusters.site_command import ask

_TIMEOUT = 20.0


def driver_job_name(store: Path) -> str:
    """Return what the job is called that runs the driver of a store.

    Examples
    --------
    >>> driver_job_name(Path("/home/me/it's mine.zarr"))
    'toolkit-it-s-mine-22e188e7'
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", store.stem)[:32].strip("-")
    digest = hashlib.blake2b(str(store.resolve()).encode(), digest_size=4).hexdigest()
    return f"toolkit-{stem}-{digest}"


def queued_driver(store: Path) -> str | None:
    """Return the id of this user's job that is to run a store, or about to end.

    Returns
    -------
    str or None
        None where there is none, and where SLURM is not there or does not answer.
    """
    squeue = shutil.which("squeue")
    if squeue is None:
        return None
    options = ["--noheader", f"--user={os.getuid()}", f"--name={driver_job_name(store)}"]
    try:
        done = ask([squeue, *options, "--format=%i"], timeout=_TIMEOUT)
        done.check_returncode()
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)
