"""What the commands that read a file have in common: the sweep, its part, its store."""

import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.outcome import CommandError, suggest

if TYPE_CHECKING:
    from toolkit.sweep import Sweep

_TARGET_HELP = "a file with a tk.Sweep in it; :sweep may be left out if it has only one"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a command line says of a sweep, as it was typed.

    Attributes
    ----------
    target
        ``FILE.py:sweep``, or a store that came from one.
    labels
        ``LABEL=VALUE`` without an option.
    sets
        Other values of parameters.
    selections
        Labels of the part that is taken, by option.
    store
        Folder that replaces the sweep's own.
    yes
        Whether the file that a store names may be executed.
    """

    target: str
    labels: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    selections: tuple[str, ...] = ()
    store: Path | None = None
    yes: bool = False

    @property
    def part(self) -> tuple[str, ...]:
        """All labels of the part that is taken."""
        return self.labels + self.selections


@dataclass(frozen=True, kw_only=True)
class Described:
    """A sweep as a command line asks for it.

    Attributes
    ----------
    sweep
        With the axes, the part and the store that the options name.
    typed
        The target as one would type it for another command, such as ``study.py:sweep``.
    """

    sweep: "Sweep"
    typed: str

    @property
    def store(self) -> str:
        """The store as one would type it."""
        path = self.sweep.store
        assert path is not None
        return shlex.quote(shown_path(path))


def sweep_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments and options that name a sweep; the function gets them as ``asked``."""
    names = {field.name for field in fields(Asked)}

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        asked = Asked(**{name: given.pop(name) for name in names & given.keys()})
        return function(asked=asked, **given)

    decorators = (
        click.argument("target", metavar="FILE.py:sweep"),
        click.argument("labels", metavar="[LABEL=VALUE]...", nargs=-1),
        click.option(
            "--set",
            "sets",
            metavar="NAME=VALUES",
            multiple=True,
            help="Other values of a parameter: beta=.1,.2 or beta=0.1:0.5:41 (41 numbers) or "
            "trial=20 (replicates).",
        ),
        click.option(
            "--store",
            type=click.Path(path_type=Path, file_okay=False),
            help="Keep the results here instead of where the file says.",
        ),
        click.option(
            "--yes", is_flag=True, help="Where a store is named: execute the file it came from."
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


part_option = click.option(
    "--sel",
    "selections",
    metavar="LABEL=VALUES",
    multiple=True,
    help="Take a part of the space: model=svm, beta=.1,.2 or beta=.2:.3. The same as a "
    "LABEL=VALUE without --sel.",
)
order_option = click.option(
    "--order",
    type=click.Choice(["random", "coarse", "given"]),
    default="random",
    show_default=True,
    help="coarse: a coarse grid first, then finer ones.",
)
max_failures_option = click.option(
    "--max-failures", type=click.IntRange(min=0), help="Stop when more runs than this fail."
)


def describe(
    command: str, asked: Asked, *, needs_store: bool = False, is_point: bool = False
) -> Described:
    """Return the sweep that a command line asks for.

    Parameters
    ----------
    command
        The command, for what it says to type next.
    asked
        The command line.
    needs_store
        Whether results in memory would be lost.
    is_point
        Whether its labels name one run, which may be outside of the space.

    Raises
    ------
    ToolkitError
        If the sweep cannot be had, or an option does not fit it.
    """
    from toolkit.commands.loading import load_sweep
    from toolkit.commands.origin import consented_target, record_origin
    from toolkit.commands.target import Target, parse_target
    from toolkit.commands.values import with_axes, with_selection

    found = parse_target(asked.target)
    chosen = found if isinstance(found, Target) else consented_target(found, command, yes=asked.yes)
    sweep, name = load_sweep(chosen)
    typed = shlex.quote(f"{chosen.file}:{name}")
    suggest(f"toolkit explain {typed}")
    store = found if asked.store is None and isinstance(found, Path) else asked.store
    if store is not None and not _is_same(sweep.store, store):
        sweep = _stored_at(sweep, store)
    if needs_store and sweep.store is None:
        raise CommandError(
            f"{typed} has no store, so its results would be lost when this command ends. Write "
            "store=... in the file, or name a folder for them.",
            f"toolkit {command} {typed} --store {name}.zarr",
        )
    record_origin(sweep, chosen, name)
    part = () if is_point else asked.part
    return Described(sweep=with_selection(with_axes(sweep, asked.sets), part), typed=typed)


def shown_path(path: Path) -> str:
    """Return a path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _is_same(known: Path | None, store: Path) -> bool:
    return known is not None and known.resolve() == store.resolve()


def _stored_at(sweep: "Sweep", store: Path) -> "Sweep":
    from toolkit.sweep import Sweep

    return Sweep(
        sweep.stages,
        sweep.space,
        frozen=sweep.frozen,
        store=store,
        seed=sweep.seed,
        reuse=sweep.reuse,
        durability=sweep.durability,
    )
