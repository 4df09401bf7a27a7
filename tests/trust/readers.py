"""Everything that reads what may come from a stranger, as one call each."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import toolkit as tk
from toolkit.clusters.profile import load_profile
from toolkit.commands.exporting import _as_table
from toolkit.commands.failed import failed_runs, grouped, one_text, table_text
from toolkit.commands.outcome import plain
from toolkit.commands.standing import look
from toolkit.errors import ToolkitError
from toolkit.stores.zarr_store import ZarrStore

QUICK = 1 << 22


def read_store(path: Path, *, thoroughly: bool = False) -> list[ToolkitError]:
    """Read all of a store in every way; return the errors that its user would see.

    Raises
    ------
    Exception
        Whatever is no ToolkitError, or stands for memory that ran out.
    """
    errors: list[ToolkitError] = []

    def attempt(read: object) -> object:
        try:
            return read()
        except ToolkitError as error:
            if isinstance(error.__cause__, MemoryError):
                raise error.__cause__ from error
            errors.append(error)
            return None

    attempt(lambda: _stand(path))
    attempt(lambda: _failures(path))
    names = attempt(lambda: ZarrStore.read(path).stage_names) or ()
    for stage in (None, *names[:3]):
        for flat in (None, True, False) if thoroughly else (None, True):
            for mask in (True, False) if thoroughly else (True,):
                data = attempt(
                    lambda stage=stage, flat=flat, mask=mask: tk.open(
                        path, stage=stage, flat=flat, mask=mask
                    )
                )
                if data is not None:
                    _load(data, attempt)
    return errors


def write_store(path: Path) -> None:
    """Take a store over and let go of it, as a sweep does that has nothing to run."""
    store = ZarrStore.create_or_open(path, heartbeat_s=0.01)
    store.acquire()
    store.release()


def read_profile(path: Path) -> None:
    """Read a profile, as every command that takes one does."""
    found = load_profile(path)
    json.dumps(found.settings.model_dump())


def _stand(path: Path) -> None:
    standing = look(path)
    str(standing)
    standing.in_one_line()
    standing.next_steps()
    json.dumps(plain(standing.document()), allow_nan=False)
    tk.status(path)


def _failures(path: Path) -> None:
    found = failed_runs(path)
    table_text(found, 20, 100)
    grouped(found)
    for each in found[:5]:
        one_text(each)
        json.dumps(plain(each.document()), allow_nan=False)
    tk.failures(path)


def _load(data: object, attempt: object) -> None:
    repr(data)
    for variable in data.variables.values():
        attempt(lambda variable=variable: variable.compute())
    if data.nbytes < QUICK and "run" in data.dims:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            attempt(lambda: _as_table(data))
