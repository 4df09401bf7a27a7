"""``toolkit stop``, ``scale`` and ``dash``: a running sweep, steered from anywhere."""

import shlex
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from toolkit.commands.outcome import (
    CommandError,
    ExitCode,
    echo_json,
    json_option,
    reported,
    suggest_looking,
)
from toolkit.views.plain import printable

if TYPE_CHECKING:
    from toolkit.views.driver import Driver

_store_argument = click.argument("store", type=click.Path(path_type=Path))
_wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0.0),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until the sweep has obeyed.",
)
_LOOK_S = 0.2
_MOST_JOBS = 100_000


@click.command()
@_store_argument
@click.option("--now", is_flag=True, help="End what runs too; it is run again by the next start.")
@_wait_option
@json_option
@reported
def stop(store: Path, now: bool, wait: float, as_json: bool) -> ExitCode:
    """Stop the sweep that runs STORE, wherever it runs, as Ctrl-C does.

    Runs in progress are finished and stored; the command that ran it goes on later.
    """
    driver = _driver_of(store)
    answer = _ask(store, {"stop": True, "now": now}, wait)
    if as_json:
        echo_json("stop", {"store": str(store.absolute()), "now": now, **answer})
    elif answer["is_obeyed"]:
        what = "what runs is ended" if now else "runs in progress are finished, and no others begin"
        click.echo(f"{store}: stopping; {what}")
        click.echo(f"Its end:  toolkit status {shlex.quote(str(store))} --watch")
    else:
        _tell_unanswered(store, driver, wait)
    return _code(answer)


@click.command()
@_store_argument
@click.option("--tier", required=True, help="A tier of its cluster's profile.")
@click.option(
    "--jobs",
    type=click.IntRange(0, _MOST_JOBS),
    help="How many jobs (here: workers) it is to have.",
)
@click.option("--auto", is_flag=True, help="Back to as many as the work needs.")
@_wait_option
@json_option
@reported
def scale(
    store: Path, tier: str, jobs: int | None, auto: bool, wait: float, as_json: bool
) -> ExitCode:
    """Give a tier of the running sweep's cluster more jobs, or fewer.

    \b
    toolkit scale sir.zarr --tier small --jobs 20
    toolkit scale sir.zarr --tier small --jobs 0      runs that need the tier wait
    toolkit scale sir.zarr --tier small --auto        as many as the work needs
    """  # noqa: D301 - click reads \b as "leave these lines as they are"
    if (jobs is None) is not auto:
        raise CommandError("Give either --jobs N or --auto.")
    driver = _driver_of(store)
    answer = _ask(store, {"scale": {tier: jobs}}, wait)
    if as_json:
        document = {"store": str(store.absolute()), "tier": tier, "jobs": jobs}
        echo_json("scale", {**document, **answer})
    if answer["because"] is not None:
        raise CommandError(
            f"{store} was not scaled: {answer['because']}.",
            f"toolkit status {shlex.quote(str(store))}",
        )
    if answer["is_obeyed"] and not as_json:
        number = "as many jobs as the work needs" if jobs is None else f"{jobs:,} jobs"
        wanted = "1 job" if jobs == 1 else number
        click.echo(printable(f"{store}: tier {tier} is to have {wanted}"))
        for why in _waits(store, tier):
            click.echo(printable(f"Now:   {why}"))
        click.echo(f"Look:  toolkit status {shlex.quote(str(store))}")
    elif not as_json:
        _tell_unanswered(store, driver, wait)
    return _code(answer)


@click.command()
@_store_argument
@json_option
@reported
def dash(store: Path, as_json: bool) -> ExitCode:
    """Show where the Dask dashboard of the running STORE is, and how to reach it from outside."""
    driver = _driver_of(store)
    link = _dashboard(store)
    if link is None:
        raise CommandError(
            f"{store} is run without a cluster by now, or its cluster has no dashboard.",
            f"toolkit status {shlex.quote(str(store))} --watch",
        )
    address = urlsplit(link)
    here = socket.gethostname()
    via = "" if driver.host == here else f"-J {shlex.quote(here)} "
    host = address.hostname or "127.0.0.1"
    target = f"{address.port}:{host}:{address.port}"
    line = f"ssh -N -L {shlex.quote(target)} {via}{shlex.quote(driver.host)}"
    local = f"http://127.0.0.1:{address.port}{address.path or '/status'}"
    if as_json:
        document = {"link": link, "host": driver.host, "ssh": line, "open": local}
        echo_json("dash", {"store": str(store.absolute()), **document})
    else:
        click.echo(printable(f"dashboard     {link} on {driver.host}"))
        click.echo(printable(f"from outside  {line}"))
        click.echo(printable(f"then open     {local}"))
    return ExitCode.DONE


def _waits(store: Path, tier: str) -> list[str]:
    """Return why the jobs of a tier wait, as its driver said last."""
    from toolkit.commands.standing import look

    found = [each["waits"] for each in look(store).tiers if each["tier"] == tier]
    return [why for why in dict.fromkeys(found) if why]


def _driver_of(store: Path) -> "Driver":
    """Return who runs a store; raise where nobody does."""
    from toolkit.commands.standing import look

    suggest_looking(store)
    standing = look(store)
    if standing.driver is None or not standing.is_running:
        who = "" if standing.driver is None else ": the process that ran it has died"
        raise CommandError(
            f"Nobody runs {store}{who}.", f"toolkit status {shlex.quote(str(store))}"
        )
    return standing.driver


def _ask(store: Path, wanted: dict[str, Any], wait: float) -> dict[str, Any]:
    """Put a request into a store, and return what became of it within some seconds."""
    from toolkit.stores.journals.control import Asked, ask, is_waiting

    name = ask(str(store), Asked(**wanted))
    deadline = time.monotonic() + wait
    while is_waiting(str(store), name) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    is_gone = not is_waiting(str(store), name)
    because = None
    for event in _events(store):
        if event.get("request") == name:
            is_gone = True
            because = event.get("because") if event["event"] == "request_refused" else None
    return {"request": name, "is_obeyed": is_gone and because is None, "because": because}


def _code(answer: dict[str, Any]) -> ExitCode:
    return ExitCode.DONE if answer["is_obeyed"] else ExitCode.INTERRUPTED


def _tell_unanswered(store: Path, driver: "Driver", wait: float) -> None:
    click.echo(
        f"{store}: asked process {driver.pid} on {driver.host}, which has not answered within "
        f"{wait:g} s. It obeys when it sees the request: shared file systems may show it later.",
        err=True,
    )
    click.echo(f"Look:  toolkit log {shlex.quote(str(store))} --limit 5", err=True)


def _events(store: Path) -> list[dict[str, Any]]:
    from toolkit.stores.zarr_store import ZarrStore

    return list(ZarrStore.read(store).events.read())


def _dashboard(store: Path) -> str | None:
    """Return the dashboard that the log names last in this start of the sweep, if it is one."""
    link: object = None
    for event in _events(store):
        if event["event"] == "sweep_started":
            link = None
        elif event["event"] == "cluster_used":
            link = event.get("dashboard")
    try:
        address = urlsplit(link) if isinstance(link, str) else None
        is_one = address is not None and address.scheme in ("http", "https") and address.port
    except ValueError:
        return None
    return str(link) if is_one else None
