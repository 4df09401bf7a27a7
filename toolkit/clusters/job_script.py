"""What each tier asks its job queue for: the options of dask-jobqueue, and the script they make."""

import math
import os
import re
import shlex
import sys
from typing import Any

from toolkit.clusters.job_classes import job_class, section_name
from toolkit.clusters.job_time import JOB_ENDS, JOB_SECONDS
from toolkit.clusters.settings import (
    LsfProfile,
    PbsProfile,
    QueueSettings,
    SgeProfile,
    SlurmProfile,
)
from toolkit.clusters.tier_settings import JobTier, SlurmTier, SpecifiedTier
from toolkit.stages.failure import TIER_VARIABLE

_MIB = 2**20


def job_options(settings: QueueSettings, tier: str) -> dict[str, Any]:
    """Return the keyword arguments of dask-jobqueue's job class for the jobs of a tier.

    What depends on the running cluster is left to it: scheduler, name, protocol and certificates.
    The class has to come from :func:`~toolkit.clusters.job_classes.job_class`, which makes the
    section that ``config_name`` names.

    Parameters
    ----------
    settings
        Of a profile of a job queue.
    tier
        One of its tiers.
    """
    chosen = settings.tiers[tier]
    rung = chosen.tier(tier)
    resources = ",".join(f"{name}={amount:g}" for name, amount in rung.worker_resources.items())
    options: dict[str, Any] = {
        "config_name": section_name(settings.kind),
        "job_name": f"{settings.job_name}-{tier}",
        "queue": _quoted(chosen.partition),
        "cores": chosen.threads * chosen.processes,
        "processes": chosen.processes,
        "memory": f"{chosen.worker_memory * chosen.processes}B",
        "python": settings.python or shlex.quote(sys.executable),
        "interface": settings.interface,
        "local_directory": settings.scratch_folder,
        "job_script_prologue": _prologue(settings, tier),
        "job_extra_directives": [],
        "job_directives_skip": list(chosen.skip_directives),
        "worker_command": "toolkit.clusters.job_process",
        "worker_extra_args": [
            *("--nanny", "--nworkers", str(chosen.processes)),
            *("--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--resources", resources),
            *settings.worker_arguments,
        ],
    }
    match settings:
        case SlurmProfile():
            _ask_slurm(options, settings, settings.tiers[tier])
        case PbsProfile():
            _ask_pbs(options, settings, settings.tiers[tier])
        case SgeProfile():
            _ask_sge(options, settings, settings.tiers[tier])
        case LsfProfile():
            _ask_lsf(options, settings, settings.tiers[tier])
    options["job_extra_directives"] += chosen.directives
    return options


def job_script(settings: QueueSettings, tier: str) -> str:
    """Return the script that each job of a tier is submitted with, as far as it is known before.

    The scheduler's address and the names of the certificates are stand-ins. Nothing is written.
    """
    from distributed.security import Security

    security = None
    if settings.security == "tls":
        folder = settings.shared_folder
        security = Security(
            tls_ca_file=f"{folder}/CA",
            tls_worker_cert=f"{folder}/CERT",
            tls_worker_key=f"{folder}/KEY",
            require_encryption=True,
        )
    protocol = "tls" if security else "tcp"
    job = job_class(settings.kind)(
        f"{protocol}://SCHEDULER:PORT",
        name=f"{tier}-0",
        security=security,
        protocol="tls://" if security else None,
        **job_options(settings, tier),
    )
    return str(job.job_script())


def folders(settings: QueueSettings) -> list[str]:
    """Return the folders that must be there when a job starts: of logs, and of certificates."""
    found = [settings.log_folder] if settings.log_folder else []
    if settings.security == "tls":
        found.append(settings.shared_folder)
    return [os.path.expandvars(os.path.expanduser(each)) for each in found]


def clock(seconds: int, *, days: bool = False) -> str:
    """Return a length of time as job queues read it.

    Examples
    --------
    >>> clock(5400), clock(90_000), clock(90_000, days=True)
    ('01:30:00', '25:00:00', '1-01:00:00')
    """
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24) if days else (0, hours)
    return (f"{day}-" if day else "") + f"{hour:02d}:{minute:02d}:{second:02d}"


def _prologue(settings: QueueSettings, name: str) -> list[str]:
    tier = settings.tiers[name]
    ends = f"$(($(date +%s) + {tier.walltime_s}))"
    if settings.kind == "slurm":  # it says when the job ends, after a change of its limit too
        ends = f"${{SLURM_JOB_END_TIME:-{ends}}}"
    return [
        *(f"module load {module}" for module in settings.modules),
        *settings.prologue,
        f"export {TIER_VARIABLE}={name}",
        f"export {JOB_ENDS}={ends} {JOB_SECONDS}={tier.walltime_s}",
    ]


def _quoted(text: str | None) -> Any:
    """Return what a line of directives, which is read as by a shell, has to say to mean a text."""
    if text is None or re.fullmatch(r"[\w@%+=:,./&|*\[\]!~-]+", text):
        return text
    return shlex.quote(text)


def _log(settings: QueueSettings, name: str) -> str | None:
    """Return where a job writes, with ``~`` replaced: job queues know no home."""
    if settings.log_folder is None:
        return None
    return os.path.join(os.path.expandvars(os.path.expanduser(settings.log_folder)), name)


def _ask_slurm(options: dict[str, Any], settings: SlurmProfile, tier: SlurmTier) -> None:
    extra, skip = options["job_extra_directives"], options["job_directives_skip"]
    mebibytes = tier.job_memory / _MIB
    options.update(
        account=_quoted(tier.account),
        walltime=clock(tier.walltime_s, days=True),
        job_cpu=tier.cores,
        job_mem=f"{math.ceil(mebibytes)}M",
    )
    if settings.memory_flag != "mem":
        skip.append("--mem=")
    if settings.memory_flag == "mem-per-cpu":
        extra.append(f"--mem-per-cpu={math.ceil(mebibytes / tier.cores)}M")
    if tier.gpus and settings.gpu_flag != "none":
        kind = f"{tier.gpu_type}:" if tier.gpu_type else ""
        flag = "gres=gpu:" if settings.gpu_flag == "gres" else f"{settings.gpu_flag}="
        extra.append(f"--{flag}{kind}{tier.gpus}")
    if tier.qos:
        extra.append(f"--qos={_quoted(tier.qos)}")
    if tier.constraint:
        extra.append(f"--constraint={_quoted(tier.constraint)}")
    if settings.requeue is not None:
        extra.append("--requeue" if settings.requeue else "--no-requeue")
    if log := _log(settings, "\0"):
        # Of a folder's name no part is for SLURM to fill in.
        extra.append("--output=" + _quoted(log.replace("%", "%%").replace("\0", "%x-%j.log")))


def _ask_pbs(options: dict[str, Any], settings: PbsProfile, tier: SpecifiedTier) -> None:
    extra = options["job_extra_directives"]
    spec = f"select=1:ncpus={tier.cores}"
    if settings.memory_flag != "none":
        spec += f":mem={math.ceil(tier.job_memory / _MIB)}mb"
    if tier.gpus and settings.gpu_flag != "none":
        spec += f":{settings.gpu_flag}={tier.gpus}"
    options.update(
        account=_quoted(tier.account),
        walltime=clock(tier.walltime_s),
        resource_spec=tier.resource_spec or spec,
    )
    if settings.requeue is not None:
        extra.append(f"-r {'y' if settings.requeue else 'n'}")
    if log := _log(settings, ""):
        extra += [f"-o {log}", "-j oe"]


def _ask_sge(options: dict[str, Any], settings: SgeProfile, tier: SpecifiedTier) -> None:
    extra = options["job_extra_directives"]
    parts = []
    if settings.memory_flag != "none":
        parts.append(f"{settings.memory_flag}={math.ceil(tier.job_memory / _MIB / tier.cores)}M")
    if tier.gpus and settings.gpu_flag != "none":
        parts.append(f"{settings.gpu_flag}={tier.gpus}")
    options.update(
        project=_quoted(tier.account),
        walltime=clock(tier.walltime_s),
        resource_spec=tier.resource_spec or ",".join(parts) or None,
    )
    if tier.cores > 1:
        extra.append(f"-pe {settings.parallel_environment} {tier.cores}")
    if settings.requeue is not None:
        extra.append(f"-r {'y' if settings.requeue else 'n'}")
    if log := _log(settings, ""):
        extra.append(f"-o {log}")


def _ask_lsf(options: dict[str, Any], settings: LsfProfile, tier: JobTier) -> None:
    extra, skip = options["job_extra_directives"], options["job_directives_skip"]
    hours, minutes = divmod(math.ceil(tier.walltime_s / 60), 60)
    options.update(
        project=_quoted(tier.account),
        walltime=f"{hours:02d}:{minutes:02d}",
        ncpus=tier.cores,
        mem=tier.job_memory,
        lsf_units=settings.memory_unit,
    )
    if settings.memory_flag == "none":
        skip.append("-M ")
    if tier.gpus and settings.gpu_flag != "none":
        extra.append(f'-gpu "num={tier.gpus}"')
    if settings.requeue is not None:
        extra.append("-r" if settings.requeue else "-rn")
    if log := _log(settings, "%J.log"):
        extra.append(f"-o {log}")
