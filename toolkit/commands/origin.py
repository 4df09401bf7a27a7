"""Which file a store came from: written down when it is run, asked when only the store is named."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.outcome import CommandError
from toolkit.commands.target import Target, content_hash
from toolkit.views.plain import printable

if TYPE_CHECKING:
    from toolkit.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the sweep of a store is described.

    Attributes
    ----------
    file
        Absolute path of the file.
    name
        The variable in it; None where the file was run as a script.
    content
        Hash of the file when it was last run.
    """

    file: Path
    name: str | None
    content: str

    @property
    def target(self) -> Target:
        """The file and the variable; the file relative to here if it is below."""
        here = Path.cwd()
        file = self.file.relative_to(here) if self.file.is_relative_to(here) else self.file
        return Target(file=file, name=self.name)

    @property
    def typed(self) -> str:
        """The same as one would type it: a store may name any file, for a shell it is one word."""
        return shlex.quote(str(self.target))


def record_origin(sweep: "Sweep", target: Target, name: str) -> None:
    """Have the store of a sweep remember its file and variable, once it is run."""
    script = {
        "file": str(target.file.resolve()),
        "name": name,
        "content": content_hash(target.file),
    }
    setattr(sweep._results, "script", script)  # noqa: B010


def origin_of(made_by: dict[str, Any]) -> Origin | None:
    """Return where a store came from, by its provenance; None if it does not say."""
    script = made_by.get("script")
    if not isinstance(script, dict):
        return None
    file, name, content = (script.get(key) for key in ("file", "name", "content"))
    if not isinstance(file, str) or not isinstance(content, str) or printable(file) != file:
        return None
    is_name = isinstance(name, str) and name.isidentifier()
    return Origin(file=Path(file), name=name if is_name else None, content=content)


def provenance_of(store: Path) -> dict[str, Any]:
    """Return what made a store.

    Raises
    ------
    StoreError
        If the folder is no store.
    """
    from toolkit.stores.zarr_store import ZarrStore

    return ZarrStore.read(store).provenance


def typed_origin(store: Path) -> str:
    """Return the sweep of a store as one would type it, or a place for it."""
    origin = origin_of(provenance_of(store))
    return "FILE.py:sweep" if origin is None else origin.typed


def consented_target(store: Path, command: str, *, yes: bool) -> Target:
    """Return the file behind a store, if it may be executed.

    A store may come from somebody else, and reading its file executes it. So the file is named
    and nothing is done unless ``yes``, and then only if the file is the one that was run.

    Raises
    ------
    CommandError
        With the command that names the file, unless ``yes`` is given and the hash agrees.
    StoreError
        If the folder is no store.
    """
    origin = origin_of(provenance_of(store))
    if origin is None:
        raise CommandError(
            f"{store} does not say which file it came from.", f"toolkit {command} FILE.py:sweep"
        )
    typed = f"toolkit {command} {origin.typed}"
    if not yes:
        raise CommandError(
            f"{store} came from {origin.target}. {command} would execute that file: name it, or "
            "add --yes to take it from the store.",
            typed,
        )
    if not origin.file.is_file():
        raise CommandError(
            f"{store} came from {origin.file}, which is not there.",
            f"toolkit {command} FILE.py:sweep",
        )
    if content_hash(origin.file) != origin.content:
        raise CommandError(
            f"{origin.target} was edited since it was last run into {store}, so --yes does not "
            "take it. Look at it, and name it.",
            typed,
        )
    click.echo(f"{store} came from {origin.target}", err=True)
    return origin.target
