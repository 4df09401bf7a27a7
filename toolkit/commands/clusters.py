"""``toolkit cluster``: the profiles that ``--cluster`` takes."""

from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.outcome import ExitCode, echo_json, reported

if TYPE_CHECKING:
    from toolkit.clusters.profile import Profile

_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group()
def cluster() -> None:
    """Show the cluster profiles that --cluster takes."""


@cluster.command(name="list")
@_json_option
@reported
def list_profiles(as_json: bool) -> ExitCode:
    """List the profiles that can be named, and where each comes from."""
    from toolkit.clusters.profile import load_profile, profile_names
    from toolkit.errors import ClusterError
    from toolkit.views.text import table

    rows: list[dict[str, Any]] = []
    for name, path in sorted(profile_names().items()):
        try:
            found = load_profile(path)
            rows.append({"name": name, "kind": found.settings.kind, "path": str(path)})
        except ClusterError as error:
            rows.append({"name": name, "kind": "invalid", "path": str(path), "error": str(error)})
    if as_json:
        echo_json("cluster.list", {"profiles": rows})
    else:
        cells = [[row["name"], row["kind"], row["path"]] for row in rows]
        click.echo(table(["profile", "kind", "file"], cells, width=1000))
        for row in rows:
            if "error" in row:
                click.echo(row["error"], err=True)
    return ExitCode.DONE


@cluster.command()
@click.argument("profile")
@_json_option
@reported
def show(profile: str, as_json: bool) -> ExitCode:
    """Show what PROFILE (a name or a YAML file) gives here. Starts nothing."""
    from toolkit.clusters.profile import load_profile

    found = load_profile(profile)
    settings = found.settings.model_dump()
    if as_json:
        echo_json(
            "cluster.show", {"name": found.name, "path": str(found.path), "settings": settings}
        )
    else:
        click.echo(_as_yaml(found, settings), nl=False)
    return ExitCode.DONE


def _as_yaml(profile: "Profile", settings: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(settings, sort_keys=False)
    return f"# {profile.name}: {profile.path}, with its defaults filled in\n{text}"
