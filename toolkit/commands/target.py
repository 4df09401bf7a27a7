"""``FILE.py:sweep``: which sweep a command is about, or which store."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from toolkit.commands.outcome import CommandError


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file with a sweep in it.

    Attributes
    ----------
    file
        The file, as it was written.
    name
        The variable that holds the sweep; None where the file has only one.
    """

    file: Path
    name: str | None = None

    def __str__(self) -> str:
        """Return the target as it is typed."""
        return str(self.file) if self.name is None else f"{self.file}:{self.name}"


def parse_target(text: str) -> Target | Path:
    """Return the target, or the folder of a store, that a command was given.

    Raises
    ------
    CommandError
        If there is no such file or folder; the message lists the scripts that there are.
    """
    path = Path(text)
    if path.is_dir():
        return path
    if path.is_file():
        return Target(file=path)
    file, colon, name = text.rpartition(":")
    if colon and Path(file).is_file():
        if not name.isidentifier():
            raise CommandError(
                f"{name!r} in {text!r} is not the name of a variable. Write FILE.py:sweep."
            )
        return Target(file=Path(file), name=name)
    folder = Path(file if colon else text).parent
    scripts = sorted(str(folder / each.name) for each in folder.glob("*.py"))[:10]
    found = f"Found there: {', '.join(scripts)}." if scripts else "There is no .py file there."
    raise CommandError(f"There is no file {file if colon else text!r}. {found}")


def content_hash(file: Path) -> str:
    """Return the hash of a file's content, by which a store knows it again."""
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
