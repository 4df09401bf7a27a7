"""``toolkit log``: what a run has said, or what happened to the sweep. From the store alone."""

from pathlib import Path
from typing import Any

import click

from toolkit.commands.outcome import CommandError, ExitCode, echo_json, reported, suggest_looking
from toolkit.views.plain import printable

_HEAD = ("version", "time", "event", "session", "host", "pid")


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("labels", nargs=-1, metavar="[LABEL=VALUE]...")
@click.option("--run", type=click.IntRange(min=0), help="Id of the run, instead of labels.")
@click.option("--stage", help="Name of the stage, where there are several.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Events to show."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON; of events, one a line.")
@reported
def log(
    store: Path,
    labels: tuple[str, ...],
    run: int | None,
    stage: str | None,
    limit: int,
    as_json: bool,
) -> ExitCode:
    """Show what one run of STORE printed, warned of and logged; without one, what happened.

    \b
    toolkit log sir.zarr beta=.3 gamma=.1     what that run said
    toolkit log sir.zarr --run 17
    toolkit log sir.zarr                      the latest events of the sweep
    """  # noqa: D301 - click reads \b as "leave these lines as they are"
    suggest_looking(store)
    if run is not None and labels:
        raise CommandError("Name the run by --run or by its labels, not by both.")
    if run is None and not labels:
        _show_events(store, limit, as_json=as_json)
        return ExitCode.DONE
    text, named, is_pending = _said(store, labels, run, stage)
    if as_json:
        echo_json("log", {"store": str(store.absolute()), "stage": stage, **named, "text": text})
    elif text:
        click.echo(printable(text), nl=not text.endswith("\n"))
    else:
        what = "has not been run" if is_pending else "has said nothing"
        click.echo(f"This run {what}.", err=True)
    return ExitCode.DONE


def _said(
    store: Path, texts: tuple[str, ...], run: int | None, stage: str | None
) -> tuple[str, dict[str, Any], bool]:
    from toolkit.commands.values import one, parse_assignments
    from toolkit.run_status import Status
    from toolkit.stores.reading.log_of import find_run, said
    from toolkit.stores.reading.open import one_stage
    from toolkit.stores.zarr_store import ZarrStore

    labels: dict[str, Any] = {}
    if run is None:
        dims = {dim.name: dim for dim in one_stage(ZarrStore.read(store), stage).catalogue.dims}
        given = parse_assignments(texts)
        labels = {name: one(text, name, dims.get(name)) for name, text in given.items()}
    runs, found = find_run(store, labels, run=run, stage=stage)
    is_pending = bool(runs.state.status[found] == Status.PENDING)
    named = {"labels": labels} if run is None else {"run": run}
    return said(runs, found), named, is_pending


def _show_events(store: Path, limit: int, *, as_json: bool) -> None:
    import json

    from toolkit.stores.zarr_store import ZarrStore

    events = list(ZarrStore.read(store).events.read())
    for event in events[-limit:]:
        if as_json:
            click.echo(json.dumps(event))
            continue
        fields = [f"{name}={_short(value)}" for name, value in event.items() if name not in _HEAD]
        click.echo(printable(f"{event.get('time')} {event['event']} {' '.join(fields)}"))
    if not events and not as_json:
        click.echo("Nothing has been noted yet.", err=True)


def _short(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
