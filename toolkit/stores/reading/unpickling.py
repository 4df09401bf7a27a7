"""``tk.load_objects``: the one call that unpickles what a store holds by its path."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from toolkit.errors import SpaceError, StoreError
from toolkit.stores.files.checking import readable
from toolkit.stores.reading.cells import schema_of
from toolkit.stores.reading.open import one_stage
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.zarr_store import ZarrStore

if TYPE_CHECKING:
    import xarray as xr


def load_objects(
    path: str | os.PathLike[str],
    output: str,
    labels: Mapping[str, object] | None = None,
    /,
    *,
    stage: str | None = None,
    flat: bool | None = None,
    **more: object,
) -> "xr.DataArray":
    """Unpickle an output that a store holds as Python objects, and return it labelled.

    **Unpickling runs code that whoever made the store has chosen.** Do it only with a store
    from somebody whose programs you would run. ``tk.open`` and the command line never do:
    they leave such outputs out and name them in ``attrs["objects"]``.

    Parameters
    ----------
    path
        Folder of the store.
    output
        Name of the output.
    labels, **more
        What is unpickled: labels, lists or slices of labels, as ``sel`` takes them. Without
        them all of it.
    stage
        Name of the stage, where there are several.
    flat
        As in :func:`toolkit.open`.

    Returns
    -------
    DataArray
        The objects over the same dims and coordinates as in ``tk.open``, None where a run has
        none; see its coordinate ``status``.

    Raises
    ------
    StoreError
        If there is no store at the path, no such stage or output in it, if the output is no
        object, or if one cannot be unpickled here.
    SpaceError
        If a name or label is not in the store.

    Examples
    --------
    >>> import tempfile, toolkit as tk
    >>> def terms(degree):
    ...     return {f"x^{power}" for power in range(degree)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sweep = tk.Sweep(terms, {"degree": [1, 2]}, store=f"{folder}/a.zarr")
    ...     _ = sweep.run(progress=False)
    ...     found = tk.load_objects(f"{folder}/a.zarr", "terms", degree=1)
    >>> found.item()
    {'x^0'}
    """
    from toolkit.stores.reading.view import labelled

    store = ZarrStore.read(os.path.expanduser(path))
    runs = one_stage(store, stage)
    _check_is_object(runs, output)
    with readable(store.path):
        attrs = {"store": os.fspath(path)}
        data = labelled(runs, flat=flat, load=False, attrs=attrs, unpickle=True)[output]
    chosen = {**(labels or {}), **more}
    if chosen:
        try:
            data = data.sel(chosen)
        except (LookupError, TypeError, ValueError) as error:
            dims = ", ".join(f"{name}=…" for name in data.dims)
            raise SpaceError(
                f"Labels {chosen} cannot be chosen of output {output!r}: {error}. Give labels that "
                f"its runs have, for: {dims}."
            ) from error
    return data.load()


def _check_is_object(runs: StageRuns, output: str) -> None:
    variables = {variable.name: variable for variable in schema_of(runs).variables}
    found = variables.get(output)
    if found is None:
        raise StoreError(
            f"Stage {runs.name!r} has no output {output!r}. Its outputs: "
            f"{', '.join(variables) or 'none yet'}."
        )
    if found.kind != "object":
        raise StoreError(
            f"Output {output!r} is no object but {found.label}: read it with tk.open, which "
            "runs no code."
        )
