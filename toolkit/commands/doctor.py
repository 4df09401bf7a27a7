"""``toolkit doctor``: what is there, what is missing, and the command that adds it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.outcome import ExitCode, echo_json, json_option, reported
from toolkit.views.plain import printable

if TYPE_CHECKING:
    from toolkit.stores.upkeep.place import Trial

_USES = {
    "store": "Stores",
    "durability": 'Stores with durability="power"',
    "frozen": "Frozen inputs (TOOLKIT_FROZEN_DIR)",
}
_FOR_DEVELOPERS = ("dev", "docs", "test", "browser")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@json_option
@reported
def doctor(folder: Path | None, as_json: bool) -> ExitCode:
    """Say what is installed and what this machine has, and how to add what is missing.

    With FOLDER, try instead whether its file system does what stores rely on: writes a few
    hundred small files there and deletes them. Ends with 1 where it does not.
    """
    if folder is not None:
        return _examine(folder, as_json=as_json)
    from toolkit.commands import machine

    found: dict[str, Any] = {
        "python": machine.python(),
        "packages": machine.packages(),
        "hardware": machine.hardware(),
        "dask": machine.dask_configuration(),
        "slurm": machine.slurm(),
        "accelerators": machine.accelerators(),
    }
    needed = [p for p in found["packages"] if p["extra"] is None and not p["is_there"]]
    remedies = _remedies(found["packages"], found["accelerators"])
    if as_json:
        echo_json("doctor", {**found, "is_complete": not needed, "remedies": remedies})
    else:
        for title, lines in _sections(found).items():
            click.secho(title, bold=True)
            for line in lines:
                click.echo(f"  {line}")
        _tell(remedies)
    return ExitCode.USAGE if needed else ExitCode.DONE


def _examine(folder: Path, *, as_json: bool) -> ExitCode:
    from toolkit.stores.upkeep.place import examine

    place = examine(folder)
    if as_json:
        trials = [asdict(trial) for trial in place.trials]
        known = {"folder": place.folder, "file_system": place.file_system}
        echo_json(
            "doctor_folder",
            {**known, "is_good_for_stores": place.is_good_for_stores, "trials": trials},
        )
        return ExitCode.DONE if place.is_good_for_stores else ExitCode.RUNS_FAILED
    click.echo(printable(f"{place.folder} ({place.file_system or 'file system unknown'})"))
    for use, title in _USES.items():
        click.secho(title, bold=True)
        for trial in place.trials:
            if trial.used_by == use:
                click.secho("  yes  " if trial.is_good else "  NO   ", nl=False, fg=_color(trial))
                click.echo(printable(f"{trial.what}: {trial.found}"))
                if not trial.is_good:
                    click.echo(f"       So {trial.otherwise}.")
    if place.is_good_for_stores:
        click.echo("Stores can lie here, as far as one machine can tell.")
        return ExitCode.DONE
    click.echo("Give stores another folder, or know what you do.")
    return ExitCode.RUNS_FAILED


def _color(trial: "Trial") -> str | None:
    return None if trial.is_good else "red"


def _sections(found: dict[str, Any]) -> dict[str, list[str]]:
    from toolkit.resources import describe_memory

    python, hardware = found["python"], found["hardware"]
    free, memory, disk = (
        describe_memory(hardware[name]) for name in ("memory_available", "memory", "disk_free_here")
    )
    required = [package for package in found["packages"] if package["extra"] is None]
    return {
        "Versions": [
            f"toolkit {python['toolkit']} in {python['folder']}",
            f"Python {python['python']} ({python['executable']}) on {python['platform']}",
            *_wrapped([_package(package) for package in required]),
        ],
        "Machine": [
            f"{hardware['cores_usable']} of {hardware['cores']} cores, "
            f"{free} of {memory} memory free, "
            f"{disk} free on this disk",
        ],
        "Dask configuration": _dask(found["dask"]),
        "SLURM": [_slurm(found["slurm"])],
        "GPU": _gpu(found["accelerators"]),
    }


def _package(package: dict[str, Any]) -> str:
    if package["version"] is None:
        return f"{package['name']} MISSING"
    old = "" if package["is_there"] else f" (needs {package['wanted']})"
    return f"{package['name']} {package['version']}{old}"


def _wrapped(words: list[str], width: int = 90) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f", {word}" if lines[-1] else word
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _dask(dask: dict[str, Any]) -> list[str]:
    lines = [f"{path}: {', '.join(keys) or 'empty'}" for path, keys in dask["files"].items()]
    if dask["variables"]:
        lines.append(f"environment: {', '.join(dask['variables'])}")
    return lines or ["none: Dask's defaults"]


def _slurm(slurm: dict[str, Any]) -> str:
    if slurm["sbatch"] is None:
        return "not found: there is no sbatch here, so this is no login node"
    inside = f", inside of job {slurm['job']}" if slurm["job"] else ""
    return f"{slurm['version'] or 'version unknown'} ({slurm['sbatch']}){inside}"


def _gpu(accelerators: dict[str, Any]) -> list[str]:
    torch, driver = accelerators["torch"], accelerators["driver"]
    lines = driver or ["none: nvidia-smi is not there or shows none"]
    if torch is None:
        return [*lines, "torch is not installed"]
    sees = f"sees {len(accelerators['torch_sees'])} of them" if driver else "uses the CPU"
    return [*lines, f"torch {torch} {sees}"]


def _remedies(packages: list[dict[str, Any]], accelerators: dict[str, Any]) -> list[dict[str, Any]]:
    """Return, for what is needed and for each extra, what is missing and what adds it."""
    from toolkit.commands.machine import installer, is_clone

    missing: dict[str | None, list[str]] = {}
    for package in packages:
        if not package["is_there"] and package["extra"] not in _FOR_DEVELOPERS:
            missing.setdefault(package["extra"], []).append(package["name"] + package["wanted"])
    remedies = [
        {
            "for": "everything" if extra is None else extra,
            "is_optional": extra is not None,
            "missing": names,
            "command": "make setup TORCH=1"
            if extra == "torch" and is_clone()
            else installer(names),
        }
        for extra, names in missing.items()
    ]
    sees, driver = len(accelerators["torch_sees"]), len(accelerators["driver"])
    if accelerators["torch"] and sees < driver:
        remedies.append(
            {
                "for": "GPU",
                "is_optional": True,
                "missing": [f"a torch that sees the GPU (this one is {accelerators['torch']})"],
                "command": installer(["torch"], again=True),
            }
        )
    return remedies


def _tell(remedies: list[dict[str, Any]]) -> None:
    if not remedies:
        click.echo("Nothing is missing.")
        return
    for remedy in remedies:
        kind = "optional" if remedy["is_optional"] else "NEEDED"
        color = None if remedy["is_optional"] else "red"
        click.secho(f"Missing for {remedy['for']} ({kind}): ", fg=color, nl=False)
        click.echo(", ".join(remedy["missing"]))
        click.echo(f"  {remedy['command']}")
