"""What this machine has, found without importing what it is asked about."""

import os
import platform
import shlex
import shutil
import site
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTION = "parallel-analysis-toolkit"

_CGROUPS = Path("/sys/fs/cgroup")
_TORCH_ASKS = """
import torch
for number in range(torch.cuda.device_count()):
    print(torch.cuda.get_device_name(number))
"""


def python() -> dict[str, Any]:
    """Return the versions of this package and of Python, and where they are."""
    return {
        "toolkit": _version(DISTRIBUTION),
        "folder": str(Path(__file__).resolve().parent.parent),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }


def packages() -> list[dict[str, Any]]:
    """Return one entry for each package that is needed, or that an extra is made of.

    Each has ``name``, ``version`` (None: not installed), ``wanted`` (such as ``">=2.2"``),
    ``extra`` (None: always needed) and ``is_there``: installed and new enough.
    """
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    found = []
    for line in lines:
        wanted = Requirement(line)
        extra = next((name for name in extras if f'extra == "{name}"' in str(wanted.marker)), None)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra or ""}):
            continue
        version = _version(wanted.name)
        found.append(
            {
                "name": wanted.name,
                "version": version,
                "wanted": str(wanted.specifier),
                "extra": extra,
                "is_there": version is not None
                and wanted.specifier.contains(version, prereleases=True),
            }
        )
    return found


def installer(names: list[str], *, again: bool = False) -> str:
    """Return the command that adds packages to this Python, ``again``: though they are there."""
    beside = str(Path(sys.executable).with_name("uv"))
    uv = shutil.which("uv") or shutil.which(beside)
    if uv:
        command = [uv, "pip", "install", "--python", sys.executable]
    else:
        command = [sys.executable, "-m", "pip", "install"]
    if again:
        command.append("--reinstall" if uv else "--force-reinstall")
    return shlex.join([*command, *names])


def is_clone() -> bool:
    """Whether this package runs from a clone of its repository, with a Makefile."""
    return (Path(__file__).resolve().parents[2] / "Makefile").is_file()


def hardware() -> dict[str, Any]:
    """Return cores and bytes: what there is, and what this process may use."""
    import psutil

    memory = psutil.virtual_memory()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cpu_quota()
    limit = _memory_limit()
    return {
        "cores": os.cpu_count(),
        "cores_usable": usable if quota is None else min(usable or 1, quota),
        "memory": min(memory.total, limit or memory.total),
        "memory_available": min(memory.available, limit or memory.total),
        "disk_free_here": shutil.disk_usage(".").free,
    }


def dask_configuration() -> dict[str, Any]:
    """Return the files and environment variables that Dask reads its configuration from."""
    import yaml

    folders = [
        os.environ.get("DASK_ROOT_CONFIG", "/etc/dask"),
        os.path.join(sys.prefix, "etc", "dask"),
        *(os.path.join(prefix, "etc", "dask") for prefix in site.PREFIXES),
        os.path.expanduser("~/.config/dask"),
    ]
    if given := os.environ.get("DASK_CONFIG"):
        folders.append(given)
    files: dict[str, list[str]] = {}
    for folder in map(Path, dict.fromkeys(folders)):
        paths = [folder] if folder.is_file() else sorted(folder.glob("*.y*ml"))
        for path in paths:
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
                files[str(path)] = [f"unreadable: {type(error).__name__}"]
                continue
            files[str(path)] = sorted(map(str, content)) if isinstance(content, dict) else []
    variables = sorted(name for name in os.environ if name.startswith("DASK_"))
    return {"files": files, "variables": variables}


def slurm() -> dict[str, Any]:
    """Return whether jobs can be submitted from here, and the job that this is in."""
    submit = shutil.which("sbatch")
    return {
        "sbatch": submit,
        "version": _output([submit, "--version"]) if submit else None,
        "job": os.environ.get("SLURM_JOB_ID"),
    }


def accelerators() -> dict[str, Any]:
    """Return torch's version and the devices that the driver and torch see."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    driver = (_output(query) or "").splitlines() if shutil.which("nvidia-smi") else []
    torch = _version("torch")
    # Asked in a process of its own: importing torch takes seconds and stays in memory.
    ask = [sys.executable, "-c", _TORCH_ASKS]
    seen = _output(ask, timeout=120) if torch and driver else None
    return {"torch": torch, "driver": driver, "torch_sees": (seen or "").splitlines()}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _output(command: list[str], *, timeout: float = 10.0) -> str | None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _own_cgroups() -> list[Path]:
    """Folders of the control group of this process and of those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    folder = _CGROUPS / own.lstrip("/")
    return [each for each in (folder, *folder.parents) if each.is_relative_to(_CGROUPS)]


def _limits(name: str) -> list[list[str]]:
    found = []
    for folder in _own_cgroups():
        try:
            words = (folder / name).read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            continue
        if words and words[0] != "max":
            found.append(words)
    return found


def _cpu_quota() -> int | None:
    shares = [int(quota) / int(period) for quota, period in _limits("cpu.max")]
    return max(1, int(min(shares))) if shares else None


def _memory_limit() -> int | None:
    limits = [int(words[0]) for words in _limits("memory.max")]
    return min(limits) if limits else None
