"""How a command ends: its exit code, its message, and the command to type next."""

import functools
import json
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import ParamSpec

import click

from toolkit.errors import (
    ClusterError,
    InterruptedSweepError,
    RunsFailedError,
    StoreError,
    ToolkitError,
)
from toolkit.views.plain import plain, printable

P = ParamSpec("P")

_SUGGESTIONS = "toolkit.suggestions"


class ExitCode(IntEnum):
    """What the exit codes of ``toolkit`` mean."""

    DONE = 0
    RUNS_FAILED = 1
    USAGE = 2
    INTERRUPTED = 3


class CommandError(ToolkitError):
    """A command cannot be carried out.

    Parameters
    ----------
    message
        What was wrong and what was found.
    next_command
        What to type next.
    """

    def __init__(self, message: str, next_command: str | None = None) -> None:
        super().__init__(message)
        self.next_command = next_command


def reported(function: Callable[P, ExitCode | None]) -> Callable[P, None]:
    """Make a function the body of a command: errors become messages, outcomes exit codes.

    Adds ``--debug``, which shows tracebacks.
    """

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @click.pass_context
    @functools.wraps(function)
    def body(context: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.pop("debug", False)) or bool(context.find_root().obj)
        if os.environ.get("NO_COLOR"):
            context.color = False
        try:
            with _short_warnings(debug):
                code = function(*args, **kwargs)
        except (ToolkitError, KeyboardInterrupt) as error:
            if debug:
                _write_traceback(error)
            code = _say(error, context)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - Python's own code for this, 1, means failed runs
            _write_traceback(error)
            click.echo("This is a fault of the toolkit, not of your description.", err=True)
            code = ExitCode.USAGE
        context.exit(code or ExitCode.DONE)

    return body


def suggest(command: str, *, after: type[ToolkitError] = ToolkitError) -> None:
    """Have the running command say what to type next if it fails so from here on."""
    context = click.get_current_context()
    context.meta.setdefault(_SUGGESTIONS, []).append((after, command))


def suggest_looking(store: Path) -> None:
    """Have the running command say what tells more of a store, or what makes one."""
    typed = shlex.quote(str(store))
    is_store = any((store / name).exists() for name in ("zarr.json", ".journal"))
    suggest(f"toolkit status {typed}" if is_store else "toolkit run FILE.py:sweep")
    if is_store and click.get_current_context().info_name != "check":
        suggest(f"toolkit check {typed}", after=StoreError)


def this_command() -> str:
    """Return the running command as it was typed, for typing it again."""
    context = click.get_current_context()
    is_typed = context.info_name in sys.argv
    return shlex.join(["toolkit", *(sys.argv[1:] if is_typed else _path(context).split())])


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


def echo_json(name: str, content: Mapping[str, object], *, in_one_line: bool = False) -> None:
    """Write a JSON document with its schema's name and version to standard output."""
    document = plain({"schema": f"toolkit.{name}", "version": 1, **content})
    indent = None if in_one_line else 2
    click.echo(json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False))


def _say(error: BaseException, context: click.Context) -> ExitCode:
    code = _code_of(error)
    message = str(error) or "Interrupted."
    if code is not ExitCode.INTERRUPTED:
        click.secho("Error: ", err=True, nl=False, fg="red")
    click.echo(printable(message), err=True)
    click.echo(f"Next: {_next(error, context)}", err=True)
    return code


def _code_of(error: BaseException) -> ExitCode:
    if isinstance(error, RunsFailedError):
        return ExitCode.RUNS_FAILED
    if isinstance(error, InterruptedSweepError | KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.USAGE


def _next(error: BaseException, context: click.Context) -> str:
    if isinstance(error, CommandError) and error.next_command:
        return error.next_command
    if isinstance(error, ClusterError):
        return "toolkit cluster list"
    if _code_of(error) is ExitCode.INTERRUPTED:
        return this_command()
    for kind, command in reversed(context.meta.get(_SUGGESTIONS, [])):
        if isinstance(error, kind):
            return str(command)
    return f"toolkit {_path(context)} --help"


def _path(context: click.Context) -> str:
    """Return the command's name with those of its groups, whatever the program is called."""
    return context.command_path.partition(" ")[2]


@contextmanager
def _short_warnings(debug: bool) -> Iterator[None]:
    """Show a warning as one message, without the line of ours that gave it."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.secho("Warning: ", err=True, nl=False, fg="yellow")
        click.echo(printable(str(message)), err=True)

    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = show
        yield


def _write_traceback(error: BaseException) -> None:
    click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
