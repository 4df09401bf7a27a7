"""``toolkit cluster``: the profiles that ``--cluster`` takes."""

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.outcome import ExitCode, echo_json, json_option, reported
from toolkit.views.plain import printable

if TYPE_CHECKING:
    from toolkit.clusters.checking import Check
    from toolkit.clusters.profile import Profile


@click.group()
def cluster() -> None:
    """Show, check and start the cluster profiles that --cluster takes."""


@cluster.command(name="list")
@json_option
@reported
def list_profiles(as_json: bool) -> ExitCode:
    """List the profiles that can be named, and where each comes from."""
    from toolkit.clusters.profile import load_profile, profile_names
    from toolkit.errors import ClusterError
    from toolkit.views.text import table

    rows: list[dict[str, Any]] = []
    for name, path in sorted(profile_names().items()):
        row: dict[str, Any] = {"name": name, "kind": "invalid", "tiers": [], "path": str(path)}
        try:
            settings = load_profile(path).settings
            row |= {"kind": settings.kind, "tiers": list(settings.tiers)}
        except ClusterError as error:
            row["error"] = str(error)
        rows.append(row)
    if as_json:
        echo_json("cluster.list", {"profiles": rows})
    else:
        cells = [
            [row["name"], row["kind"], ", ".join(row["tiers"]), _near(row["path"])] for row in rows
        ]
        click.echo(printable(table(["profile", "kind", "tiers", "file"], cells, width=1000)))
        for row in rows:
            if "error" in row:
                click.echo(printable(row["error"]), err=True)
    return ExitCode.DONE


@cluster.command()
@click.argument("profile")
@json_option
@reported
def show(profile: str, as_json: bool) -> ExitCode:
    """Show what PROFILE (a name or a YAML file) gives here, and where each setting comes from.

    Starts nothing.
    """
    from toolkit.clusters.profile import load_profile

    found = load_profile(profile)
    dumped = found.settings.model_dump()
    settings = {key: dumped[key] for key in sorted(dumped, key=_rank)}
    if as_json:
        if found.settings.kind == "local":
            settings["workers"] = settings["tiers"]  # the name that tiers had before
        echo_json(
            "cluster.show",
            {
                "name": found.name,
                "path": str(found.path),
                "settings": settings,
                "origins": dict(found.origins),
            },
        )
    else:
        click.echo(printable(_with_origins(found, settings)))
    return ExitCode.DONE


@cluster.command()
@click.argument("profile")
@click.option("--scripts", is_flag=True, help="Show the job script of each tier.")
@json_option
@reported
def check(profile: str, scripts: bool, as_json: bool) -> ExitCode:
    """Check whether PROFILE works here: job scripts, partitions, limits. Submits nothing.

    Ends with 2 where there is a problem.
    """
    from toolkit.clusters.checking import check_profile
    from toolkit.clusters.profile import load_profile

    found = load_profile(profile)
    checked = check_profile(found)
    if as_json:
        echo_json(
            "cluster.check",
            {
                "name": found.name,
                "path": str(found.path),
                "kind": found.settings.kind,
                "is_ok": checked.is_ok,
                "findings": [
                    {
                        "subject": each.subject,
                        "is_ok": each.is_ok,
                        "text": each.text,
                        "remedy": each.remedy,
                    }
                    for each in checked.findings
                ],
                "scripts": dict(checked.scripts),
            },
        )
    else:
        _echo_check(found, checked, scripts=scripts)
    return ExitCode.DONE if checked.is_ok else ExitCode.USAGE


@cluster.command()
@click.argument("profile")
@json_option
@reported
def up(profile: str, as_json: bool) -> ExitCode:
    """Start the cluster of PROFILE, and keep it until Ctrl-C or SIGTERM.

    Writes the address that a Dask client connects to.
    """
    from toolkit.clusters.cluster import cluster as start

    stop = threading.Event()
    before = {
        each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with start(profile) as running:
            address = str(running.client.scheduler_info()["address"])
            link, folder = running.dashboard_link, running.certificates
            if as_json:
                told = {"address": address, "dashboard": link}
                if folder is not None:
                    told["certificates"] = str(folder)
                echo_json("cluster.up", told, in_one_line=True)
            else:
                click.echo(f"scheduler  {address}")
                click.echo(f"dashboard  {link or 'none'}")
                click.echo(f"use it     {_connection(address, folder)}; Ctrl-C ends it")
            while not stop.wait(1.0):
                pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    return ExitCode.DONE


def _connection(address: str, certificates: Path | None) -> str:
    """Return what connects a Dask client."""
    if certificates is None:
        return f'dask.distributed.Client("{address}")'
    files = {"tls_ca_file": "ca", "tls_client_cert": "cert", "tls_client_key": "key"}
    named = ", ".join(f'{name}="{certificates}/{file}.pem"' for name, file in files.items())
    return f'dask.distributed.Client("{address}", security=dask.distributed.Security({named}))'


def _echo_check(profile: "Profile", checked: "Check", *, scripts: bool) -> None:
    click.echo(printable(f"{profile.name}: {_near(str(profile.path))}"))
    if scripts:
        for tier, script in checked.scripts.items():
            click.secho(f"\n--- {tier}", bold=True)
            click.echo(printable(script))
    for each in checked.findings:
        word, color = ("ok", "green") if each.is_ok else ("problem", "red")
        click.secho(f"{word:8} ", nl=False, fg=color)
        click.echo(printable(f"{each.subject}: {each.text}"))
        if each.remedy:
            click.echo(printable(f"{'':8} Do: {each.remedy}"))
    problems = sum(not each.is_ok for each in checked.findings)
    if problems:
        click.echo(f"{problems} problem{'s' if problems > 1 else ''}", err=True)


def _with_origins(profile: "Profile", settings: dict[str, Any]) -> str:
    """Return the settings as YAML, each with a comment that says where it comes from."""
    lines = list(_lines(settings, (), profile))
    wide = min(60, max(len(text) for text, _ in lines))
    head = f"# {profile.name}: {_near(str(profile.path))}"
    return "\n".join(
        [
            head,
            *(f"{text:<{wide}}  # {_near(told)}" if told else text for text, told in lines),
        ]
    )


def _lines(
    settings: dict[str, Any], at: tuple[str, ...], profile: "Profile"
) -> list[tuple[str, str]]:
    import yaml

    found = []
    for name, value in settings.items():
        key, indent = (*at, name), "  " * len(at)
        origin = profile.origins.get(".".join(key))
        if origin is None and isinstance(value, dict):
            found += [(f"{indent}{name}:", ""), *_lines(value, key, profile)]
            continue
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
        text = text.removesuffix("...\n").strip()  # with which YAML ends a scalar
        found.append((f"{indent}{name}: {text}", origin or ""))
    return found


def _rank(key: str) -> int:
    """Put the kind first and the tiers last, as people write them."""
    return {"kind": 0, "tiers": 2}.get(key, 1)


def _near(path: str) -> str:
    """Return a path, or a text that begins with one, as it is typed from here."""
    here = str(Path.cwd()) + os.sep
    return path.removeprefix(here)
