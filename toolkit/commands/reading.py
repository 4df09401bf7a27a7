"""``toolkit status`` and ``errors``: what a store alone can tell. Nothing is unpickled."""

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from toolkit.commands.failed import Failed
    from toolkit.commands.standing import Standing
    from toolkit.views.snapshot import Snapshot

_store_argument = click.argument("store", type=click.Path(path_type=Path))


@click.command()
@_store_argument
@click.option("--watch", is_flag=True, help="Look again and again, until nothing is pending.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks.",
)
@json_option
@reported
def status(store: Path, watch: bool, every: float, as_json: bool) -> ExitCode:
    """Count the runs of STORE by state, also while they are being run.

    With --watch it waits for a sweep that nobody runs yet, and ends as the sweep does: 0 done,
    1 some runs failed, 3 interrupted, also where the process that ran it has died. It goes on
    while a job of SLURM is to run the sweep (again).
    """
    from toolkit.commands.standing import look, look_for_job

    suggest_looking(store)
    if watch:
        return _watch(store, every, as_json=as_json)
    standing = look_for_job(look(store))
    if as_json:
        echo_json("status", standing.document())
    else:
        if sys.stdout.isatty():
            _print(standing)
        else:
            click.echo(str(standing))
        for line in standing.next_steps():
            click.echo(line)
    return ExitCode.DONE


@click.command()
@_store_argument
@click.option("--id", "run", type=click.IntRange(min=0), help="All about one run.")
@click.option("--group", is_flag=True, help="Count by the kind of error and where it was raised.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows to show."
)
@json_option
@reported
def errors(store: Path, run: int | None, group: bool, limit: int, as_json: bool) -> ExitCode:
    """Show the failed runs of STORE."""
    from toolkit.commands.failed import failed_runs, grouped, groups_text, one_text, table_text

    suggest_looking(store)
    found = failed_runs(store)
    if run is not None:
        found = [each for each in found if each.run == run]
        if not found:
            raise CommandError(
                f"Run {run} is not among the failed runs of {store}.",
                f"toolkit errors {shlex.quote(str(store))}",
            )
    document: dict[str, Any] = {"store": str(store.absolute()), "count": len(found)}
    if as_json and group:
        echo_json("errors.groups", {**document, "groups": grouped(found)})
    elif as_json:
        echo_json("errors", {**document, "errors": [each.document() for each in found]})
    elif not found:
        click.echo(f"{store}: no failed runs")
    else:
        width = _width()
        if run is not None:
            text = "\n\n".join(one_text(each) for each in found)
        elif group:
            text = groups_text(grouped(found), limit, width)
        else:
            text = table_text(found, limit, width)
        click.echo(printable(text))
        _tell_next(store, found, is_detailed=run is not None)
    return ExitCode.DONE


def _watch(store: Path, every: float, *, as_json: bool) -> ExitCode:
    from toolkit.commands.standing import look, look_for_job

    first = standing = look_for_job(look(store))
    was_running = False
    begun = time.monotonic()
    with _screen(as_json) as screen:
        while True:
            left = _seconds_left(first, standing, time.monotonic() - begun)
            was_running = was_running or standing.is_running
            is_left = (was_running and not standing.is_running) or standing.was_left
            is_over = not standing.pending or (is_left and standing.job is None)
            screen(standing, left, is_over)
            if is_over:
                break
            time.sleep(every)
            standing = look_for_job(look(store))
    for line in standing.next_steps():
        click.echo(line, err=True)
    if standing.pending:
        return ExitCode.INTERRUPTED
    return ExitCode.RUNS_FAILED if standing.failed else ExitCode.DONE


@contextlib.contextmanager
def _screen(as_json: bool) -> "Iterator[Callable[[Standing, float | None, bool], None]]":
    """Show one standing after the other: as JSON, drawn in a terminal, or a line each."""
    if as_json:
        yield lambda standing, left, _: echo_json(
            "status", {**standing.document(), "seconds_left": left}, in_one_line=True
        )
    elif not sys.stdout.isatty():
        yield lambda standing, *_: click.echo(
            ", ".join(filter(None, [standing.in_one_line(), standing.left_in_words]))
        )
    else:
        from toolkit.views.progress import TerminalDisplay

        display = TerminalDisplay(sys.stdout)
        try:
            yield lambda standing, _, is_over: (display.finish if is_over else display.show)(
                _snapshot(standing, is_over=is_over)
            )
        finally:
            display.close()


def _print(standing: "Standing") -> None:
    """Draw a standing in the terminal."""
    from rich.console import Console

    from toolkit.views.terminal import render

    console = Console()
    is_ascii = not console.encoding.startswith("utf")
    console.print(render(_snapshot(standing), width=console.width, ascii_only=is_ascii))


def _snapshot(standing: "Standing", *, is_over: bool = False) -> "Snapshot":
    """Return what is drawn of a standing: with the name that was typed, and who runs the store.

    Where nothing is left it is done, though the process that ran it may be closing the store yet.
    """
    from dataclasses import replace

    from toolkit.views.stored import snapshot_of_store

    found = snapshot_of_store(standing.store)
    said = ". ".join(filter(None, [standing.who if standing.pending else "", found.message]))
    state = "done" if is_over and not found.counts.pending else found.state
    return replace(found, store=str(standing.store), message=said, state=state)


def _seconds_left(first: "Standing", now: "Standing", seconds: float) -> float | None:
    ended = first.pending - now.pending
    return now.pending * seconds / ended if now.pending and ended > 0 else None


def _tell_next(store: Path, found: "list[Failed]", *, is_detailed: bool) -> None:
    from toolkit.commands.origin import typed_origin

    typed = typed_origin(store)
    run = found[0].run
    if not is_detailed:
        click.echo(f"\nTraceback:    toolkit errors {shlex.quote(str(store))} --id {run}")
    else:
        click.echo()
    click.echo(f"In debugger:  toolkit reproduce {typed} --run {run} --pdb")
    click.echo(f"Mended:       toolkit retry {typed}")


def _width() -> int:
    """Columns of the terminal; without one, nothing is cut."""
    import shutil

    if not sys.stdout.isatty():
        return 10_000
    return shutil.get_terminal_size().columns
