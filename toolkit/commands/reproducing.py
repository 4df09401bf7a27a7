"""``toolkit reproduce``: one run again, here."""

import os
import pprint
import traceback
from pathlib import Path
from types import TracebackType

import click

from toolkit.commands.described import Asked, describe, sweep_options
from toolkit.commands.outcome import CommandError, ExitCode, reported
from toolkit.errors import ToolkitError
from toolkit.views.plain import printable

_PACKAGE = f"{Path(__file__).resolve().parent.parent}{os.sep}"


@click.command()
@sweep_options
@click.option("--run", "run_id", type=click.IntRange(min=0), help="Id of the run.")
@click.option("--stage", help="Name of the stage, where there are several.")
@click.option("--pdb", "debugger", is_flag=True, help="Open the debugger where it raises.")
@reported
def reproduce(
    asked: Asked,
    run_id: int | None,
    stage: str | None,
    debugger: bool,
) -> ExitCode:
    """Run one point here, with the same inputs and random streams.

    Prints what the function returns. Name the point by its labels or by its run:

    \b
    toolkit reproduce study.py:sweep beta=.3 gamma=.1
    toolkit reproduce study.py:sweep --run 17 --pdb
    """  # noqa: D301 - click reads \b as "leave these lines as they are"
    from toolkit.commands.values import point

    described = describe("reproduce", asked, is_point=True)
    if run_id is not None and asked.labels:
        raise CommandError("Name the point by --run or by its labels, not by both.")
    if run_id is None and not asked.labels and len(described.sweep.space) > 1:
        raise CommandError(
            f"Which of the {len(described.sweep.space):,} runs? Give a label for each of "
            f"{', '.join(described.sweep.space.sizes)}, or --run ID.",
            f"toolkit reproduce {described.typed} --run 0",
        )
    try:
        value = described.sweep.reproduce(
            run=run_id,
            stage=stage,
            **point(described.sweep, asked.labels),
        )
    except ToolkitError:
        raise
    except Exception as error:  # noqa: BLE001 - the error of the function is the answer
        frames = _from_the_function(error.__traceback__)
        lines = traceback.format_exception(type(error), error, frames)
        click.echo(printable("".join(lines)), err=True, nl=False)
        if debugger:
            import pdb

            pdb.post_mortem(frames)
        else:
            click.echo("Next: the same with --pdb, which stops there", err=True)
        return ExitCode.RUNS_FAILED
    click.echo(value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False))
    return ExitCode.DONE


def _from_the_function(frames: TracebackType | None) -> TracebackType | None:
    """Leave out our own frames, which come first."""
    found = frames
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        found = found.tb_next
    return found or frames
