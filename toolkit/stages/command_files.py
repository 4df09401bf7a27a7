"""The files that a command's results depend on: found once, known by their content."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import CommandError, StageError

_PIECE = 1 << 20
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A file as it was when its content was looked at.

    Parameters
    ----------
    path
        Absolute path.
    stamp
        Size, times of change and inode: while these stay, so does the content.
    digest
        Hash of the content.
    """

    path: str
    stamp: Stamp
    digest: str


def seen(path: str) -> Seen:
    """Return a file with the hash of its content, which is read again only when it has changed.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    known = _known.get(path)
    stamp = _stamp(path)
    if known is None or known.stamp != stamp:
        known = _known[path] = Seen(path=path, stamp=stamp, digest=_digest(path))
    return known


def check_unchanged(before: Seen) -> None:
    """Refuse a file that is not what the driver saw when it sent the stage here.

    Raises
    ------
    CommandError
        If its content is another, or it is not there.
    """
    try:
        if _stamp(before.path) == before.stamp or seen(before.path).digest == before.digest:
            return
        what = "has changed since the sweep was started, or is another file on this machine"
    except OSError as problem:
        what = f"cannot be read here ({problem.strerror})"
    raise CommandError(
        f"{before.path} {what}, so its results would be recorded under the wrong code. Run the "
        "sweep again; or give tk.command(version=…), which stands for the content of its files."
    )


def find_program(word: str, folder: Path) -> str | None:
    """Return the path of a program: with a ``/`` from a folder on, else from ``PATH``; or None."""
    if "/" in word or word.startswith("~"):
        path = folder / Path(word).expanduser()
        return str(path) if path.is_file() and os.access(path, os.X_OK) else None
    return shutil.which(word)


def program_missing(word: str, folder: Path) -> StageError:
    """Return what is said of a program that is not there."""
    path = folder / Path(word).expanduser()
    if "/" in word and path.is_file():
        return StageError(f"{str(path)!r} may not be executed. Allow it: chmod +x {path}.")
    where = f"at {str(path)!r}" if "/" in word else "on PATH"
    tip = f" For the one in this folder write './{word}'." if (folder / word).is_file() else ""
    return StageError(
        f"There is no program {word!r} {where}.{tip} Where it is found on the workers only, give "
        "version=: without it the content of the program counts as code."
    )


def _stamp(path: str) -> Stamp:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _digest(path: str) -> str:
    digest = hashlib.blake2b(digest_size=12)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


_known: dict[str, Seen] = {}
