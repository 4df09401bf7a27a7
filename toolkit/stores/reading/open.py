"""Reading a store by its path alone: ``tk.open``, ``tk.status``, ``tk.failures``.

Nothing here takes a lock, writes, or unpickles anything.
"""

import os
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stores.files.checking import readable
from toolkit.stores.reading.failures import failures_frame, joined
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.runs.state import count_statuses
from toolkit.stores.zarr_store import ZarrStore

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def open(  # noqa: A001 - users write tk.open, as they write xr.open_dataset
    path: str | os.PathLike[str],
    *,
    stage: str | None = None,
    flat: bool | None = None,
    mask: bool = True,
) -> "xr.Dataset":
    """Return everything that a store holds, labelled.

    Values are read where they are used; those of variables up to 100 MB are then kept. Runs that
    are journalled but not folded yet are there too.

    Parameters
    ----------
    path
        Folder of the store.
    stage
        Name of the stage; None for all, each over its own dims, ``status`` and its like named
        ``status_<stage>`` where there are several.
    flat
        True for one ``run`` dim with the labels as coordinates, False for one dim a parameter.
        None: a dim a parameter where at least a tenth of their cells exist.
    mask
        Whether only runs that are done or stale show values, the others NaN, NaT or "". Whole
        numbers then read as floats where some are missing; ``mask=False`` gives what is stored.

    Raises
    ------
    StoreError
        If there is no store at the path, or no such stage in it; or if several stages are asked
        for and two have an output of one name, or one can be read along ``run`` only.
    """
    from toolkit.stores.reading.merged import merged
    from toolkit.stores.reading.view import labelled

    store = ZarrStore.read(os.path.expanduser(path))
    names = store.stage_names if stage is None and len(store.stage_names) > 1 else (stage,)
    found = {}
    for name in names:
        runs = one_stage(store, name)
        with readable(store.path):
            found[runs.name] = labelled(
                runs,
                flat=flat,
                mask=mask,
                load=False,
                attrs={"store": os.fspath(path)},
                qualified=len(names) > 1,
            )
    outputs = [name for data in found.values() for name in data.data_vars]
    twice = sorted({str(name) for name in outputs if outputs.count(name) > 1})
    if twice:
        raise StoreError(
            f"Several stages have an output {', '.join(map(repr, twice))}: say which of "
            f"{', '.join(map(repr, found))} to open, stage={next(iter(found))!r} for example."
        )
    flats = [name for name, data in found.items() if "run" in data.dims]
    if len(found) > 1 and flats:
        raise StoreError(
            f"The runs of stage {flats[0]!r} are read along one dim, and those of other stages are "
            f"others: say which stage to open, stage={flats[0]!r} for example."
        )
    with readable(store.path):
        return merged(found, mask=mask)


def status(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return how many runs of each stage of a store are in which state.

    Returns
    -------
    DataFrame
        A row for each stage: ``runs`` (those left out by the space not counted), a column for
        each state but ``skipped``, and ``seconds``, the wall time of all runs together.

    Raises
    ------
    StoreError
        If there is no store at the path.
    """
    import pandas as pd

    store = ZarrStore.read(os.path.expanduser(path))
    rows = {}
    for name in store.stage_names:
        state = store.stage(name).state
        with readable(store.path):
            counts = count_statuses(state.status)
            seconds = float(np.nansum(state.seconds, dtype=np.float64))
        by_name = {one.name.lower(): int(counts[one]) for one in Status if one != Status.SKIPPED}
        rows[name] = {"runs": sum(by_name.values()), **by_name, "seconds": seconds}
    columns = ["runs", *(one.name.lower() for one in Status if one != Status.SKIPPED), "seconds"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.index.name = "stage"
    return table


def failures(path: str | os.PathLike[str], *, stage: str | None = None) -> "pd.DataFrame":
    """Return the failed runs of a store, a row each: labels, reason, exception, traceback, host.

    Parameters
    ----------
    path
        Folder of the store.
    stage
        Name of the stage; None for all.

    Raises
    ------
    StoreError
        If there is no store at the path, or no such stage in it.
    """
    store = ZarrStore.read(os.path.expanduser(path))
    names = store.stage_names if stage is None else (stage,)
    tables = []
    for name in names:
        runs = one_stage(store, name)
        with readable(store.path):
            failed = np.flatnonzero(runs.state.status == Status.FAILED)
            tables.append(failures_frame(runs, failed))
    with readable(store.path):
        return joined(tables)


def one_stage(store: ZarrStore, name: str | None) -> StageRuns:
    """Return the runs of a stage; without a name, of the only one."""
    names = store.stage_names
    if name is None and len(names) == 1:
        return store.stage(names[0])
    if name is None or name not in names:
        what = "no stage yet" if not names else f"the stages {', '.join(map(repr, names))}"
        wanted = "Say which: stage=" if name is None else f"There is no stage {name!r}: stage="
        remedy = f"{wanted}{names[0]!r}, for example." if names else "Run its sweep first."
        raise StoreError(f"The store at {store.path} holds {what}. {remedy}")
    return store.stage(name)
