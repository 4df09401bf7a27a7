"""Whether a profile can work here: its job scripts, and what the machine and SLURM say to them."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.clusters import slurm_site
from toolkit.clusters.gpus import visible_gpus
from toolkit.clusters.job_classes import SUBMITTERS
from toolkit.clusters.job_script import clock, folders, job_script
from toolkit.clusters.profile import Profile
from toolkit.clusters.settings import LocalProfile, QueueSettings, SlurmProfile
from toolkit.clusters.slurm_site import Partition
from toolkit.clusters.tier_settings import SlurmTier
from toolkit.errors import ClusterError
from toolkit.resources import describe_memory


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    subject
        A tier, or what else was looked at.
    is_ok
        Whether it is as it should be.
    text
        What was found.
    remedy
        What to do, where it is not.
    """

    subject: str
    is_ok: bool
    text: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found of a profile, and the job script of each tier."""

    findings: list[Finding]
    scripts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether no problem was found."""
        return all(each.is_ok for each in self.findings)


def check_profile(profile: Profile) -> Check:
    """Return what can be found out about a profile without starting or submitting anything."""
    settings = profile.settings
    if isinstance(settings, LocalProfile):
        return Check(findings=list(_this_machine(settings)))
    scripts: dict[str, str] = {}
    findings = []
    for tier in settings.tiers:
        try:
            scripts[tier] = job_script(settings, tier)
        except (ImportError, ValueError, TypeError) as error:
            findings.append(
                _problem(
                    tier,
                    f"no job script can be made: {error}",
                    "Look at `toolkit doctor`, and at the settings that the message names.",
                )
            )
    findings += _surroundings(settings)
    if isinstance(settings, SlurmProfile):
        findings += _slurm(settings, scripts)
    else:
        findings += _other_queue(settings)
    return Check(findings=findings, scripts=scripts)


def _fine(subject: str, text: str) -> Finding:
    return Finding(subject=subject, is_ok=True, text=text)


def _problem(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject=subject, is_ok=False, text=text, remedy=remedy)


def _this_machine(settings: LocalProfile) -> Iterator[Finding]:
    counts, cores = settings.counts(), len(os.sched_getaffinity(0))
    threads = sum(counts[name] * tier.threads for name, tier in settings.tiers.items())
    yield _fine("cores", f"{threads} threads of {sum(counts.values())} workers on {cores} cores")
    memory = {name: settings.memory_of(name, counts) for name in settings.tiers}
    total = sum(counts[name] * (each or 0) for name, each in memory.items())
    there = settings.machine_memory()
    told = f"{describe_memory(total)} for all workers, {describe_memory(there)} there"
    if total > there * 1.001:
        yield _problem("memory", told, "Lower memory or count, or leave memory: auto.")
    else:
        yield _fine("memory", told)
    if any(tier.gpus for tier in settings.tiers.values()):
        found, taken = len(visible_gpus()), len(settings.gpu_names())
        wanted = sum(counts[name] * tier.gpus for name, tier in settings.tiers.items())
        if not wanted:
            yield _problem(
                "gpus",
                f"{found} GPUs found, so no worker with a GPU starts",
                "Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES; gpus: 2 pretends some.",
            )
        elif taken > found:
            yield _fine("gpus", f"{taken - found} of {taken} GPUs are pretended, {found} found")
        else:
            yield _fine("gpus", f"{found} GPUs found")


def _surroundings(settings: QueueSettings) -> Iterator[Finding]:
    for folder in folders(settings):
        if "$" in folder:
            yield _problem(
                "folder",
                f"{folder} names an environment variable that is not set here",
                "Set it, or write ${NAME:-default} in log_folder and shared_folder.",
            )
            continue
        holder = Path(folder).absolute()
        while not holder.exists():
            holder = holder.parent
        if os.access(holder, os.W_OK) and holder.is_dir():
            yield _fine("folder", f"{folder} can be written")
        else:
            yield _problem(
                "folder",
                f"{folder} cannot be written: look at {holder}",
                "Set log_folder and shared_folder to folders of yours that all nodes share.",
            )
    if settings.interface:
        import psutil

        names = sorted(psutil.net_if_addrs())
        if settings.interface in names:
            yield _fine("interface", f"{settings.interface} is there")
        else:
            yield _problem(
                "interface",
                f"this machine has no network interface {settings.interface}",
                f"Set interface to one of {', '.join(names)}; the nodes need it too.",
            )
    python = settings.python
    if python and os.path.isabs(python) and not os.access(python, os.X_OK):
        yield _problem(
            "python",
            f"{python} is no program here",
            "Set python to that of an environment which the nodes see, with this package in it.",
        )
    if settings.security == "none":
        yield _fine("security", "none, as confirmed: whoever reaches the port can run code as you")


def _other_queue(settings: QueueSettings) -> Iterator[Finding]:
    command = SUBMITTERS[settings.kind]
    if shutil.which(command) is None:
        yield _problem(
            settings.kind, f"no command {command} here", "Run this where jobs are submitted from."
        )
    else:
        yield _fine(settings.kind, f"{shutil.which(command)} is there; it was asked nothing")
    if settings.memory_flag == "none":
        asking = [n for n, tier in settings.tiers.items() if not getattr(tier, "resource_spec", "")]
        if asking:
            yield _problem(
                "memory",
                f"{settings.kind} is not told how much memory the jobs of {', '.join(asking)} need",
                "Set memory_flag to this site's name for it, or resource_spec in each tier.",
            )


def _slurm(settings: SlurmProfile, scripts: Mapping[str, str]) -> Iterator[Finding]:
    if missing := slurm_site.missing_commands():
        yield _problem(
            "SLURM",
            f"no {', '.join(missing)} on the search path",
            "Run this on a login node of the cluster; a profile of kind local works anywhere.",
        )
        return
    try:
        there, version = slurm_site.partitions(), slurm_site.version()
    except ClusterError as error:
        yield _problem(
            "SLURM",
            str(error),
            "Look whether `sinfo` answers by itself; SLURM_CONF names its configuration.",
        )
        return
    yield _fine("SLURM", f"{version} answers; {len(there)} partitions")
    for name, tier in settings.tiers.items():
        yield from _slurm_tier(name, tier, settings, there)
        if name in scripts:
            takes, words = slurm_site.would_take(scripts[name])
            if takes:
                yield _fine(name, f"SLURM would take it: {words}")
            else:
                yield _problem(
                    name,
                    f"SLURM would refuse it: {words}",
                    f"Mend tiers.{name} of the profile; `toolkit cluster check --scripts` shows "
                    "the job script.",
                )


def _slurm_tier(
    name: str, tier: SlurmTier, settings: SlurmProfile, there: Mapping[str, Partition]
) -> Iterator[Finding]:
    default = next((each.name for each in there.values() if each.is_default), "")
    asked = (tier.partition or default).split(",")
    unknown = [each for each in asked if each not in there]
    if unknown:
        which = f"partition {', '.join(unknown)}" if tier.partition else "default partition"
        yield _problem(
            name,
            f"there is no {which}",
            f"Set tiers.{name}.partition to one of {', '.join(sorted(there))}.",
        )
        return
    chosen = [there[each] for each in asked]
    label = "partition " + ",".join(asked) + ("" if tier.partition else " (SLURM's default)")
    if not any(each.is_up for each in chosen):
        yield _problem(name, f"{label} is down", "Choose another, or wait; `sinfo` shows states.")
    else:
        yield _fine(
            name, f"{label} is up, with {_count(sum(len(each.nodes) for each in chosen), 'node')}"
        )
    yield _limit(
        name,
        f"walltime {tier.walltime}",
        tier.walltime_s,
        [each.most_time for each in chosen],
        lambda most: clock(int(most), days=True),
        f"Lower tiers.{name}.walltime, or choose another partition.",
    )
    if settings.memory_flag != "none":
        yield _limit(
            name,
            f"memory {tier.memory}",
            tier.job_memory,
            [each.most_memory for each in chosen],
            describe_memory,
            f"Lower tiers.{name}.memory, or choose another partition.",
        )
    yield _fitting_nodes(name, tier, settings, chosen)


def _limit(
    name: str,
    what: str,
    asked: float,
    limits: list[float | None] | list[int | None],
    describe: Callable[[float], str],
    remedy: str,
) -> Finding:
    most = max((float("inf") if each is None else float(each) for each in limits), default=0.0)
    if most == float("inf"):
        return _fine(name, f"{what}: the partition has no limit")
    told = describe(most)
    if asked > most:
        return _problem(name, f"{what} is above the partition's limit of {told}", remedy)
    return _fine(name, f"{what} is within the partition's limit of {told}")


def _fitting_nodes(
    name: str, tier: SlurmTier, settings: SlurmProfile, chosen: list[Partition]
) -> Finding:
    nodes = {node.name: node for each in chosen for node in each.nodes}.values()
    memory = 0 if settings.memory_flag == "none" else tier.job_memory
    kind = tier.gpu_type
    wanted = f"{_count(tier.cores, 'core')} and {tier.memory}"
    if tier.gpus:
        wanted += f" and {_count(tier.gpus, f'{kind} GPU' if kind else 'GPU')}"
    fitting = [
        node
        for node in nodes
        if node.cores >= tier.cores
        and node.memory >= memory
        and (not tier.gpus or node.gpus_of(kind) >= tier.gpus)
    ]
    if fitting:
        return _fine(name, f"{len(fitting)} of {_count(len(nodes), 'node')} can give {wanted}")
    largest = ", ".join(
        f"{node.name} ({node.cores} cores, {describe_memory(node.memory)}"
        + "".join(f", {count} {kind or 'untyped'} GPUs" for kind, count in node.gpus)
        + ")"
        for node in sorted(nodes, key=lambda node: node.memory)[-3:]
    )
    return _problem(
        name,
        f"no node of the partition has {wanted}; its largest: {largest or 'none'}",
        f"Ask for less in tiers.{name}, or choose another partition.",
    )


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
