"""``toolkit run``, ``explain`` and ``retry``."""

import math
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.described import (
    Asked,
    Described,
    describe,
    max_failures_option,
    order_option,
    part_option,
    shown_path,
    sweep_options,
)
from toolkit.commands.outcome import (
    CommandError,
    ExitCode,
    echo_json,
    json_option,
    reported,
    suggest,
    this_command,
)
from toolkit.commands.streams import results_apart
from toolkit.errors import RunsFailedError, StoreError, ToolkitError
from toolkit.run_status import Status

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.execution.plan import Plan

_cluster_option = click.option(
    "--cluster", metavar="PROFILE", help="Where to run: a profile's name or its YAML file."
)
_progress_option = click.option("--no-progress", is_flag=True, help="Show no progress.")


@click.command()
@sweep_options
@part_option
@_cluster_option
@json_option
@reported
def explain(
    asked: Asked,
    cluster: str | None,
    as_json: bool,
) -> ExitCode:
    """Say what a sweep has stored and what running it would do. Runs nothing."""
    described = describe("explain", asked)
    plan = described.sweep.explain(cluster)
    if as_json:
        echo_json(
            "explain",
            {
                "sweep": described.typed,
                "store": _store_path(described),
                "sizes": plan.sizes,
                "stages": [
                    {"stage": name, **_whole(row), "tiers": _tiers(plan.tiers.get(str(name), {}))}
                    for name, row in plan.stages.to_dict("index").items()
                ],
                "total": _whole(dict(plan.total)),
            },
        )
    else:
        click.echo(f"{described.sweep.space}\n{plan}")
    return ExitCode.DONE


@click.command()
@sweep_options
@part_option
@_cluster_option
@click.option(
    "--rerun",
    type=click.Choice(["failed", "stale", "damaged", "all"]),
    multiple=True,
    help="Run these again though they have an outcome.",
)
@order_option
@max_failures_option
@click.option(
    "--time-limit", metavar="TIME", help="Hand out nothing more after this: 90s, 20min, 2h."
)
@_progress_option
@json_option
@reported
def run(
    asked: Asked,
    cluster: str | None,
    rerun: tuple[str, ...],
    order: str,
    max_failures: int | None,
    time_limit: str | None,
    no_progress: bool,
    as_json: bool,
) -> ExitCode:
    """Run what a sweep's store lacks.

    LABEL=VALUE takes a part of the space: toolkit run study.py:sweep model=svm beta=.2:.3
    """
    described = describe("run", asked, needs_store=True)
    return _run(
        described,
        as_json=as_json,
        client=cluster,
        rerun=rerun,
        order=order,
        max_failures=max_failures,
        time_limit=None if time_limit is None else _seconds(time_limit),
        progress=not no_progress,
    )


@click.command()
@sweep_options
@part_option
@_cluster_option
@click.option(
    "--damaged",
    is_flag=True,
    help="Instead, runs whose stored values `toolkit check` finds damaged.",
)
@_progress_option
@json_option
@reported
def retry(
    asked: Asked,
    cluster: str | None,
    damaged: bool,
    no_progress: bool,
    as_json: bool,
) -> ExitCode:
    """Run a sweep's failed runs again, and what its store lacks."""
    command = "retry --damaged" if damaged else "retry"
    described = describe(command, asked, needs_store=True)
    return _run(
        described,
        as_json=as_json,
        client=cluster,
        rerun=("damaged",) if damaged else ("failed",),
        progress=not no_progress,
    )


def _run(
    described: Described, *, as_json: bool, rerun: tuple[str, ...], **options: Any
) -> ExitCode:
    if "damaged" in rerun and described.sweep.store is not None:
        _take_out(described.sweep.store)
    before = described.sweep.explain()
    typed = shlex.quote(str(described.store))
    suggest(f"toolkit status {typed}", after=StoreError)
    suggest(f"toolkit errors {typed} --group", after=RunsFailedError)
    with _stopped_by_sigterm(), results_apart():
        data = described.sweep.run(rerun=rerun, **options)
    counts = _counts(before, described.sweep.explain(), rerun, blocked=_n_blocked(data))
    if as_json:
        echo_json("run", {"sweep": described.typed, "store": _store_path(described), **counts})
    else:
        _tell(described, counts)
    if counts["pending"]:
        return ExitCode.INTERRUPTED
    return ExitCode.RUNS_FAILED if counts["failed"] or counts["blocked"] else ExitCode.DONE


def _n_blocked(data: "xr.Dataset") -> int:
    """Count the runs that wait for one that failed, over all stages."""
    names = [name for name in map(str, data.coords) if name.split("_")[0] == "status"]
    return sum(int((data[name] == Status.BLOCKED).sum()) for name in names)


def _take_out(store: Path) -> None:
    """Make damaged runs pending, so that what is counted from here on counts them as missing."""
    from toolkit.stores.upkeep.repair import repair

    if (store / "zarr.json").exists():
        found = sum(map(len, repair(store).values()))
        click.echo(f"{store}: {found:,} runs with damaged values", err=True)


def _seconds(text: str) -> float:
    from toolkit.resources import parse_walltime

    try:
        return parse_walltime(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)
    except ToolkitError:
        raise CommandError(
            f"--time-limit {text} is not a length of time, such as 90s, 20min, 2h or 1:30:00."
        ) from None


def _counts(
    before: "Plan", after: "Plan", rerun: tuple[str, ...], *, blocked: int
) -> dict[str, int]:
    """Count runs of the sweep, and those that were executed between two plans."""
    was = {name: int(before.total[name]) for name in ("runs", "missing", "failed", "stale")}
    now = {
        name: int(after.total[name]) for name in ("runs", "stored", "missing", "failed", "stale")
    }
    asked = was["missing"] + sum(was[each] for each in rerun if each in was)
    if "all" in rerun:
        asked = was["runs"]
    return {
        "runs": now["runs"],
        "executed": max(asked - now["missing"], 0),
        "done": now["stored"],
        "stale": now["stale"],
        "failed": now["failed"],
        "blocked": blocked,
        "pending": now["missing"] - blocked,
    }


def _tell(described: Described, counts: dict[str, int]) -> None:
    store = described.store
    parts = [f"{counts['done']:,} of {counts['runs']:,} runs done"]
    not_done = ("stale", "failed", "blocked", "pending")
    parts += [f"{counts[name]:,} {name}" for name in not_done if counts[name]]
    parts.append(f"{counts['executed']:,} executed now")
    click.echo(f"{store}: {', '.join(parts)}")
    if counts["pending"]:
        click.echo(f"Go on:       {this_command()}")
    if counts["failed"]:
        click.echo(f"See why:     toolkit errors {store} --group")
        click.echo(f"Run again:   toolkit retry {described.typed}")
    assert described.sweep.store is not None
    click.echo(f"In Python:   tk.open({str(shown_path(described.sweep.store))!r})")


def _tiers(tiers: "Mapping[str, Any]") -> list[dict[str, Any]]:
    return [
        {
            "tier": name,
            "runs": planned.runs,
            "core_hours": None if math.isnan(planned.core_hours) else planned.core_hours,
        }
        for name, planned in tiers.items()
    ]


def _whole(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row of a plan with its counts as whole numbers."""
    return {
        str(name): int(value) if name != "seconds" and _is_integral(value) else value
        for name, value in row.items()
    }


def _is_integral(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _store_path(described: Described) -> str | None:
    path = described.sweep.store
    return None if path is None else str(path.absolute())


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Take SIGTERM, with which schedulers end a job, as Ctrl-C: what runs is finished and kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
