"""What a site says of its job queue in Dask's own configuration, for dask-jobqueue to read."""

import os
from collections.abc import Iterator
from typing import Any

# Keys of dask-jobqueue -> ours; where two mean the same, the later one has the word.
_COMMON = {
    "name": "job_name",
    "project": "account",
    "account": "account",
    "queue": "partition",
    "interface": "interface",
    "python": "python",
    "env-extra": "prologue",
    "job-script-prologue": "prologue",
    "job-extra": "directives",
    "job-extra-directives": "directives",
    "header-skip": "skip_directives",
    "job-directives-skip": "skip_directives",
    "log-directory": "log_folder",
    "local-directory": "scratch_folder",
    "shared-temp-directory": "shared_folder",
    "lsf-units": "memory_unit",
    "extra": "worker_arguments",
    "worker-extra-args": "worker_arguments",
}
_OF_TIERS = {
    "cores": "cores",
    "processes": "processes",
    "memory": "memory",
    "walltime": "walltime",
    "resource-spec": "resource_spec",
}


def site_settings(kind: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Return what the section ``jobqueue.KIND`` of Dask's configuration says, in our words.

    The defaults of dask-jobqueue itself are left out, whether it has been imported or not.

    Parameters
    ----------
    kind
        Of job queue, such as ``"slurm"``.

    Returns
    -------
    common, of_tiers, origins
        Settings for all tiers, settings that each tier has, and where each of both comes from.
    """
    common: dict[str, Any] = {}
    of_tiers: dict[str, Any] = {}
    origins: dict[str, str] = {}
    found = {key: (value, origin) for key, value, origin in _section(kind)}
    for names, into in ((_COMMON, common), (_OF_TIERS, of_tiers)):
        for key, name in names.items():
            if key in found and found[key][0] not in (None, [], {}):
                into[name], origin = found[key]
                origins[name] = f"{origin}, jobqueue.{kind}.{key}"
    return common, of_tiers, origins


def _section(kind: str) -> Iterator[tuple[str, Any, str]]:
    import dask

    section = dask.config.get(f"jobqueue.{kind}", default=None)
    if not isinstance(section, dict):
        return
    built_in = [_part(each, kind) for each in dask.config.defaults]
    files = [
        (str(path), _part(content, kind))
        for path, content in dask.config.collect_yaml(dask.config.paths, return_paths=True)
    ]
    variables = {
        name.rpartition("__")[2].lower().replace("_", "-"): name
        for name in os.environ
        if name.upper().startswith(f"DASK_JOBQUEUE__{kind.upper()}__")
    }
    for name, value in section.items():
        key = name.replace("_", "-")
        holding = [path for path, content in files if content.get(key) == value and key in content]
        if key in variables:
            yield key, value, f"${variables[key]}"
        elif holding:
            yield key, value, holding[-1]
        elif not any(key in each and each[key] == value for each in built_in):
            yield key, value, "dask.config"


def _part(content: Any, kind: str) -> dict[str, Any]:
    jobqueue = content.get("jobqueue") if isinstance(content, dict) else None
    part = jobqueue.get(kind) if isinstance(jobqueue, dict) else None
    if not isinstance(part, dict):
        return {}
    return {str(key).replace("_", "-"): value for key, value in part.items()}
