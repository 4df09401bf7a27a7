"""Everything that reads what may come from a stranger, as one call each."""

import io
import itertools
import json
import random
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import toolkit as tk
from toolkit.clusters.job_script import job_options
from toolkit.clusters.profile import load_profile
from toolkit.commands.clusters import _with_origins
from toolkit.commands.exporting import _as_table
from toolkit.commands.failed import failed_runs, grouped, one_text, table_text
from toolkit.commands.standing import look
from toolkit.errors import ToolkitError
from toolkit.stores.zarr_store import ZarrStore
from toolkit.views.plain import plain
from toolkit.views.report.report import report_of_store
from toolkit.views.stored import snapshot_of_store

QUICK = 1 << 22


def read_store(path: Path, rng: random.Random | None = None) -> list[ToolkitError]:
    """Read all of a store in every way (``rng``: in some); return the errors that its user sees.

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

    if rng is None or rng.randrange(3) == 0:
        attempt(lambda: _stand(path))
    if rng is None or rng.randrange(3) == 0:
        attempt(lambda: _failures(path))
    if rng is not None and rng.randrange(30) == 0:
        attempt(lambda: report_of_store(path, snapshot_of_store(path)))
    names = attempt(lambda: ZarrStore.read(path).stage_names) or ()
    ways = [*itertools.product((None, *names[:3]), (None, True, False), (True, False))]
    for stage, flat, mask in ways if rng is None else rng.sample(ways, 2):
        data = attempt(partial(tk.open, path, stage=stage, flat=flat, mask=mask))
        if data is not None:
            _load(data, attempt, is_shown=rng is None or rng.randrange(4) == 0)
    return errors


def write_store(path: Path) -> None:
    """Take a store over and let go of it, as a sweep does that has nothing to run."""
    store = ZarrStore.create_or_open(path, heartbeat_s=0.01)
    store.acquire()
    store.release()


def read_profile(path: Path) -> None:
    """Read a profile, as every command that takes one does."""
    found = load_profile(path)
    dumped = found.settings.model_dump()
    json.dumps(dumped)
    _with_origins(found, dumped)
    if found.settings.kind != "local":
        found.settings.ladder()
        for tier in found.queue.tiers:
            job_options(found.queue, tier)


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


def _load(data: object, attempt: object, *, is_shown: bool) -> None:
    if is_shown:
        attempt(lambda: repr(data))
    for variable in data.variables.values():
        attempt(lambda variable=variable: variable.compute())
    if is_shown and data.nbytes < QUICK and "run" in data.dims:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            attempt(lambda: _as_table(data))
