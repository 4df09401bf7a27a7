"""What one run has printed, warned of and logged: ``tk.log_of``, and the same of a sweep."""

import math
import os
from collections.abc import Mapping

import numpy as np

from toolkit.errors import StoreError, SweepError
from toolkit.run_status import Status
from toolkit.spaces.selection import by_label
from toolkit.spaces.space import Space
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.reading.open import one_stage
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.zarr_store import ZarrStore

_MOST_CELLS = 1 << 20  # that labels may leave open; with more they name one run hardly


def log_of(
    path: str | os.PathLike[str],
    labels: Mapping[str, object] | None = None,
    /,
    *,
    run: int | None = None,
    stage: str | None = None,
    **more: object,
) -> str:
    """Return what one run of a store printed, warned of and logged.

    Parameters
    ----------
    path
        Folder of the store.
    labels, **more
        The run's labels, as many as it takes to tell it from others.
    run
        The run id, as ``tk.failures`` shows it, instead of labels.
    stage
        Name of the stage, where there are several.

    Returns
    -------
    str
        The first and the last 2,000 characters of what its last attempt said; of a run that failed
        without a word, the last that its program or its worker wrote; ``""`` where that is
        nothing.

    Raises
    ------
    StoreError
        If there is no store at the path or no such stage in it, or if the labels do not name one
        run.
    SpaceError
        If a name or label is not in the store.
    """
    return said(*find_run(path, {**(labels or {}), **more}, run=run, stage=stage))


def find_run(
    path: str | os.PathLike[str],
    labels: Mapping[str, object],
    *,
    run: int | None = None,
    stage: str | None = None,
) -> tuple[StageRuns, int]:
    """Return the runs of a stage and the one of them that labels or a number name.

    Raises
    ------
    StoreError, SpaceError
        See :func:`log_of`.
    """
    runs = one_stage(ZarrStore.read(os.path.expanduser(path)), stage)
    _check_one_way(run, labels, StoreError)
    return runs, _find(runs.catalogue, labels) if run is None else _checked(run, runs)


def said(runs: StageRuns, run: int) -> str:
    """Return what the last attempt at a run said; else what its failure knows of it.

    The latter is what an external program or a worker that died wrote last.
    """
    text = runs.log(run)
    if text or runs.state.status[run] != Status.FAILED:
        return text
    return next((str(each.get("log", "")) for each in runs.failures() if each["run"] == run), "")


def log_of_point(
    runs: StageRuns | None,
    space: Space,
    defaults: Mapping[str, object],
    *,
    run: int | None,
    labels: Mapping[str, object],
) -> str:
    """Return the same of one point of a space; see :meth:`toolkit.Sweep.log_of`."""
    _check_one_way(run, labels, SweepError)
    if run is not None:
        return "" if runs is None else said(runs, _checked(run, runs))
    point = space.sel(dict(labels)) if labels else space
    if len(point) != 1:
        sizes = ", ".join(f"{name}=… ({size} labels)" for name, size in point.sizes.items())
        raise SweepError(
            f"log_of() needs one run, and this names {len(point):,}. Add a label for: {sizes}; "
            "or give run=."
        )
    if runs is None:
        return ""
    [found] = np.asarray(runs.catalogue.find(point, defaults=dict(defaults))).tolist()
    return said(runs, found) if found >= 0 else ""


def _find(catalogue: Catalogue, labels: Mapping[str, object]) -> int:
    """Return the one run with these labels."""
    for name in labels:
        if name not in [dim.name for dim in catalogue.dims]:
            by_label(catalogue, name, None)  # says which dims there are
    positions = [
        by_label(catalogue, dim.name, labels[dim.name])[0]
        if dim.name in labels
        else np.arange(dim.size)
        for dim in catalogue.dims
    ]
    left = [dim.name for dim in catalogue.dims if dim.name not in labels and dim.size > 1]
    count = math.prod(len(each) for each in positions)
    if count <= _MOST_CELLS:
        ids = catalogue.lookup(positions).ravel()
        ids = np.unique(ids[ids >= 0])
        if len(ids) == 1:
            return int(ids[0])
        count = len(ids)
    if not count:
        raise StoreError("No run has these labels. Its sweep has not been run, or left it out.")
    raise StoreError(
        f"log_of() needs one run, and this names {count:,}. Add a label for "
        f"{', '.join(left)}; or give run=."
    )


def _check_one_way(
    run: int | None, labels: Mapping[str, object], error: type[StoreError | SweepError]
) -> None:
    if run is not None and labels:
        raise error("Give run= or labels to log_of(), not both.")


def _checked(run: int, runs: StageRuns) -> int:
    if not 0 <= run < runs.n_runs:
        raise StoreError(
            f"run={run} is not a run of stage {runs.name!r}, which has runs 0 to {runs.n_runs - 1}."
        )
    return run
