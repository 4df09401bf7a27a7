"""The classes of dask-jobqueue, which know nothing but what a profile says."""

import importlib
import shutil
import signal
from pathlib import Path
from typing import Any

_CLASSES = {
    "slurm": "slurm.SLURMJob",
    "pbs": "pbs.PBSJob",
    "moab": "moab.MoabJob",
    "sge": "sge.SGEJob",
    "lsf": "lsf.LSFJob",
}
SUBMITTERS = {"slurm": "sbatch", "pbs": "qsub", "moab": "msub", "sge": "qsub", "lsf": "bsub"}
"""The command that submits a job, by kind of cluster."""

SUBMIT_SECONDS = 180
"""After which a command that submits is ended."""

# dask-jobqueue takes the first number that such a command prints; sites print of quotas and news.
_JOB_IDS = {
    "slurm": r"(?m)(?:Submitted batch job |^)(?P<job_id>\d+)(?= on cluster |;|\s*$)",
    "lsf": r"Job <(?P<job_id>\d+)>",
}
_LEFT_TO_THE_SITE = ("shebang", "death-timeout", "use-stdin")


def job_class(kind: str) -> Any:
    """Return dask-jobqueue's class of jobs for a kind of cluster.

    What its options leave open, dask-jobqueue looks up in a section of Dask's configuration. A
    profile has been put over the site's section already, and may say that a setting has no value;
    so jobs made here look into a section of their own (:func:`section_name`), with the defaults
    of dask-jobqueue. On its first import dask-jobqueue writes a file of comments,
    ``~/.config/dask/jobqueue.yaml``, and takes Ctrl-C and SIGTERM for itself, which works in the
    main thread only; loaded here it does neither.
    """
    import dask.config

    module, _, name = _CLASSES[kind].partition(".")
    write, handle = dask.config.ensure_file, signal.signal
    dask.config.ensure_file = signal.signal = _do_nothing
    try:
        found = getattr(importlib.import_module(f"dask_jobqueue.{module}"), name)
    finally:
        dask.config.ensure_file, signal.signal = write, handle
    site = dask.config.get(f"jobqueue.{kind}", {})
    kept = {key: site[key] for key in _LEFT_TO_THE_SITE if key in site}
    dask.config.set({f"jobqueue.{section_name(kind)}": {**_defaults(kind), **kept}})
    return found


def new_job(kind: str, **options: Any) -> Any:
    """Return a job of dask-jobqueue that can be submitted, with what it is given.

    It knows its number among other words of the queue, and does not wait for ever for the command
    that submits it.
    """
    job = job_class(kind)(**options)
    job.job_id_regexp = _JOB_IDS.get(kind, job.job_id_regexp)
    if shutil.which("timeout") is not None:
        job.submit_command = f"timeout -k 10 {SUBMIT_SECONDS} {job.submit_command}"
    return job


def section_name(kind: str) -> str:
    """Return the ``config_name`` of dask-jobqueue that jobs of a profile are made with."""
    return f"toolkit-{kind}"


def _defaults(kind: str) -> dict[str, Any]:
    import dask_jobqueue
    import yaml

    path = Path(dask_jobqueue.__file__).with_name("jobqueue.yaml")
    section: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobqueue"][kind]
    return section


def _do_nothing(*_: object, **__: object) -> None:
    return
