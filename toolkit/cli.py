"""The ``toolkit`` command. What a command needs is imported when it runs."""

import click

from toolkit.commands.caring import check, compact
from toolkit.commands.clusters import cluster
from toolkit.commands.doctor import doctor
from toolkit.commands.exporting import export
from toolkit.commands.log import log
from toolkit.commands.reading import errors, status
from toolkit.commands.reporting import report
from toolkit.commands.reproducing import reproduce
from toolkit.commands.running import explain, retry, run
from toolkit.commands.steering import dash, scale, stop
from toolkit.commands.submitting import submit

_EPILOG = """\b
Exit codes: 0 done, 1 some runs failed, 2 usage or a bad description,
            3 interrupted; the same command goes on.
Progress is written to standard error, results to standard output."""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="parallel-analysis-toolkit", prog_name="toolkit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """Run one function a thousand or ten million times: labelled parameter sweeps.

    \b
    toolkit explain study.py:sweep          what would run; runs nothing
    toolkit run study.py:sweep              run what the store lacks
    toolkit status sir.zarr --watch         from another terminal
    toolkit errors sir.zarr --group         what failed, and why
    toolkit log sir.zarr beta=.3 gamma=.1   what that run printed
    """  # noqa: D301 - click reads \b as "leave these lines as they are"
    context.obj = debug


for _command in (
    run, explain, retry, reproduce, submit, status, stop, scale, dash, errors, log, export,
    report, check, compact, cluster, doctor,
):  # fmt: skip
    main.add_command(_command)
