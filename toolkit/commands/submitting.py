"""``toolkit submit``: the driver of a sweep as a job of SLURM, left alone until it is done."""

import shlex
import warnings
from pathlib import Path

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
from toolkit.commands.outcome import CommandError, ExitCode, echo_json, json_option, reported
from toolkit.commands.streams import results_apart
from toolkit.commands.submission import note_submission
from toolkit.errors import ClusterError
from toolkit.views.plain import printable

_NOTHING_S = 1e-6  # a limit of time in which no run begins


@click.command()
@sweep_options
@part_option
@click.option(
    "--cluster", metavar="PROFILE", required=True, help="Of its workers: a name or a YAML file."
)
@click.option(
    "--walltime", metavar="TIME", help="Of the driver's job, which begins again at its end: 12h."
)
@click.option("--account", help="To which SLURM charges the driver's job.")
@click.option("--partition", help="Where the driver's job runs.")
@order_option
@max_failures_option
@json_option
@reported
def submit(
    asked: Asked,
    cluster: str,
    walltime: str | None,
    account: str | None,
    partition: str | None,
    order: str,
    max_failures: int | None,
    as_json: bool,
) -> ExitCode:
    """Run a sweep by a driver that is a job of SLURM itself, and need not be watched.

    Where the job's time is over before the sweep is done, it begins again and goes on from the
    store. With the profile of one machine, such as local, the job does the work itself.

    \b
    toolkit submit study.py:sweep --cluster slurm-tiers --walltime 12h
    toolkit submit study.py:sweep --cluster local --sel model=svm --sel beta=.1:.3
    """  # noqa: D301 - click reads \b as "leave these lines as they are"
    from toolkit.clusters.driver_job import driver_job
    from toolkit.clusters.profile import load_profile

    _check(walltime=walltime, account=account, partition=partition)
    profile = load_profile(cluster)
    described = describe("submit", asked, needs_store=True)
    folder, path = Path.cwd(), described.sweep.store
    assert path is not None
    path = path.absolute()
    [file_and_name] = shlex.split(described.typed)
    is_file = cluster.endswith((".yaml", ".yml"))
    arguments = [file_and_name, "--store", str(path), "--no-progress", "--order", order]
    arguments += ["--cluster", str(profile.path.absolute()) if is_file else cluster]
    arguments += [] if max_failures is None else ["--max-failures", str(max_failures)]
    for option, texts in (("--set", asked.sets), ("--sel", asked.part)):
        arguments += [f"{option}={text}" for text in texts]
    job = driver_job(
        profile,
        store=path,
        arguments=arguments,
        folder=folder,
        walltime=walltime,
        account=account,
        partition=partition,
    )
    with results_apart():  # makes the store with its runs, for others to look at from now on
        described.sweep.run(time_limit=_NOTHING_S, progress=False)
    if not (left := int(described.sweep.explain().total["missing"])):
        return _tell_nothing(described, as_json=as_json)
    note_submission(path)
    try:
        number = job.submit()
    except ClusterError as error:
        raise CommandError(str(error), f"toolkit cluster check {shlex.quote(cluster)}") from None
    log = shown_path(job.log_path(number))
    if (why := job.never_begins(number)) is not None:
        warnings.warn(
            f"SLURM holds job {number} back as it was asked for: {why}. Give it another partition, "
            "or less memory or time (section `driver` of the profile), and `scancel` this one.",
            UserWarning,
            stacklevel=1,
        )
    if as_json:
        document = {"sweep": described.typed, "store": str(path), "job_id": number, "left": left}
        echo_json("submit", {**document, "script": str(job.script_path), "log": log})
        return ExitCode.DONE
    click.echo(printable(f"{described.store}: its driver is job {number}, and prints into {log}"))
    click.echo(f"Watch it:  toolkit status {described.store} --watch")
    click.echo(f"Stop it:   toolkit stop {described.store}")
    click.echo(f"           scancel {number}, before it has begun")
    return ExitCode.DONE


def _tell_nothing(described: Described, *, as_json: bool) -> ExitCode:
    path = described.sweep.store
    if as_json:
        document = {"sweep": described.typed, "store": str(path), "job_id": None, "left": 0}
        echo_json("submit", {**document, "script": None, "log": None})
    else:
        click.echo(f"{described.store}: nothing is left to run, so no job is submitted")
        click.echo(f"Look:  toolkit status {described.store}")
    return ExitCode.DONE


def _check(**given: str | None) -> None:
    """Raise where an option is nothing that the profile's ``driver`` section could say."""
    from pydantic import ValidationError

    from toolkit.clusters.driver_settings import DriverSettings

    try:
        DriverSettings.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        [problem, *_] = error.errors()
        reason = problem["msg"].removeprefix("Value error, ")
        raise CommandError(f"--{problem['loc'][0]} {problem['input']}: {reason}.") from None
