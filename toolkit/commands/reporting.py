"""``toolkit report``: a store as one HTML file."""

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from toolkit.commands.outcome import CommandError, ExitCode, reported, suggest_looking

_HEAD = 500  # bytes in which a report says what it is


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write, STORE_report.html if left out.",
)
@reported
def report(store: Path, output: Path | None) -> ExitCode:
    """Write all about STORE into one HTML file.

    What made it, what was varied, how it stands, the results in pictures, run times, failures,
    costs and versions. The file needs no network and runs no script. A report that is there
    is replaced, any other file is left alone.
    """
    suggest_looking(store)
    written = _writable(store, output)
    size = _write(written, lambda: _document(store), store)
    click.echo(f"{written}: {_size(size)}")
    return ExitCode.DONE


def _document(store: Path) -> str:
    from toolkit.views.report.report import report_of_store
    from toolkit.views.stored import snapshot_of_store

    return report_of_store(store, snapshot_of_store(store))


def _writable(store: Path, output: Path | None) -> Path:
    """Return the file to write; raise where that must not or cannot be."""
    wanted = _default(store) if output is None else output
    typed = f"toolkit report {shlex.quote(str(store))} --output"
    if wanted.is_dir():
        inside = _default(store) if _is_inside(wanted / "_", store) else wanted / _default(store)
        raise CommandError(f"{wanted} is a folder.", f"{typed} {shlex.quote(str(inside))}")
    if not wanted.parent.is_dir():
        raise CommandError(
            f"{wanted} cannot be written: there is no folder {wanted.parent}.",
            f"{typed} {_default(store)}",
        )
    if _is_inside(wanted, store):
        raise CommandError(
            f"{wanted} is inside of the store, which holds results only.",
            f"{typed} {_default(store)}",
        )
    if os.path.lexists(wanted) and not _is_report(wanted):
        raise CommandError(
            f"{wanted} is there and is no report, so it is left alone. Name another file, or "
            "remove it.",
            f"{typed} {_default(store).stem}_2.html",
        )
    return wanted


def _default(store: Path) -> Path:
    """Return the name of the report, in the working directory."""
    name = Path(os.path.abspath(store)).name
    stem = name.removesuffix(".zarr") or "store"
    return Path(f"{stem}_report.html")


def _is_inside(file: Path, store: Path) -> bool:
    return Path(os.path.realpath(file.parent)).is_relative_to(os.path.realpath(store))


def _is_report(file: Path) -> bool:
    """Whether a file was written by this command."""
    from toolkit.views.report.page import MARK

    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return False
        with open(file, "rb") as there:
            return MARK.encode() in there.read(_HEAD)
    except OSError:
        return False


def _write(file: Path, make: Callable[[], str], store: Path) -> int:
    """Write what is made, in one step; return its bytes.

    The place is tried before the work: who may not write there hears of it at once.
    """
    target = Path(os.path.realpath(file))  # a link stays one
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _said(file, store):
            part.open("xb").close()
        content = make().encode("utf-8", "replace")
        with _said(file, store):
            part.write_bytes(content)
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return len(content)


@contextmanager
def _said(file: Path, store: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror or error}. Name another file.",
            f"toolkit report {shlex.quote(str(store))} --output ~/{_default(store)}",
        ) from error


def _size(nbytes: int) -> str:
    from toolkit.resources import describe_memory

    return describe_memory(nbytes)
