"""``toolkit check`` and ``compact``: stores are looked after."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.commands.outcome import (
    ExitCode,
    echo_json,
    json_option,
    reported,
    suggest,
    suggest_looking,
)
from toolkit.views.plain import printable

if TYPE_CHECKING:
    from toolkit.stores.upkeep.check import Report

_store_argument = click.argument("store", type=click.Path(path_type=Path))
_SHOWN = 20


@click.command()
@_store_argument
@json_option
@reported
def check(store: Path, as_json: bool) -> ExitCode:
    """Read all of STORE and say what is damaged. Writes nothing.

    Ends with 0 where nothing is damaged, and with 1 otherwise.
    """
    from toolkit.stores.upkeep.check import check as look

    suggest_looking(store)
    report = look(store)
    if as_json:
        echo_json("check", _document(store, report))
    else:
        click.echo(printable(str(report)))
        if not report.is_sound:
            _tell_runs(store, report)
    return ExitCode.DONE if report.is_sound else ExitCode.RUNS_FAILED


@click.command()
@_store_argument
@json_option
@reported
def compact(store: Path, as_json: bool) -> ExitCode:
    """Make STORE smaller, while nobody runs it: what is stored stays as it is."""
    from toolkit.stores.upkeep.compaction import compact as make_smaller

    suggest(f"toolkit status {shlex.quote(str(store))}")
    done = make_smaller(store)
    if as_json:
        echo_json(
            "compact",
            {
                "store": str(store.absolute()),
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "files_before": done.files_before,
                "files_after": done.files_after,
            },
        )
    else:
        click.echo(str(done))
    return ExitCode.DONE


def _document(store: Path, report: "Report") -> dict[str, object]:
    runs = report.runs()
    return {
        "store": str(store.absolute()),
        "is_sound": report.is_sound,
        "is_in_use": report.is_in_use,
        "chunks": report.n_chunks,
        "findings": [
            {
                "place": each.place,
                "what": each.what,
                "remedy": each.remedy,
                "stage": each.stage,
                "runs": len(each.runs),
                "is_damage": each.is_damage,
            }
            for each in report.findings
        ],
        "damaged_runs": runs.to_dict("records"),
    }


def _tell_runs(store: Path, report: "Report") -> None:
    from toolkit.commands.origin import typed_origin

    runs = report.runs()
    if not len(runs):
        return
    click.echo(f"\n{printable(runs.head(_SHOWN).to_string(index=False))}")
    if len(runs) > _SHOWN:
        click.echo(f"... and {len(runs) - _SHOWN:,} more (--json has all)")
    click.echo(f"\nRun again:   toolkit retry --damaged {typed_origin(store)}")
