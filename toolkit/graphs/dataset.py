"""``sweep.lazy()``: stages over a space as a Dataset of dask arrays."""

import warnings
from collections.abc import Mapping

import numpy as np
import xarray as xr

from toolkit import __version__
from toolkit.errors import SweepError
from toolkit.graphs.along import Window, block_lengths
from toolkit.graphs.content import Content, LazyStage
from toolkit.graphs.layer_spec import ContentSource, make_layer, share
from toolkit.graphs.pick import shown_dtype
from toolkit.graphs.shown import Shown
from toolkit.graphs.stored import FolderShelf, MemoryShelf, Shelf
from toolkit.graphs.types import with_types
from toolkit.graphs.variable import LazyVariable, dask_array
from toolkit.run_status import Status
from toolkit.stages.pickling import dumps_function
from toolkit.stages.preparing import Prepared, identities
from toolkit.stores.reading.merged import merged
from toolkit.stores.reading.view import space_coords
from toolkit.stores.results import Results

ERRORS = ("raise", "missing")


def lazy_dataset(
    prepared: Prepared, results: Results, seed: int, *, errors: str = "raise"
) -> xr.Dataset:
    """Return the outputs of a sweep as dask arrays; see :meth:`toolkit.Sweep.lazy`."""
    if errors not in ERRORS:
        raise SweepError(f"errors={errors!r} is not known. Choose among 'raise' and 'missing'.")
    for each in prepared.stages:
        dumps_function(each.stage.function, each.name)
    _warn_of_other_code(prepared, results, seed)
    shelf: Shelf = (
        MemoryShelf(results) if results.folder is None else FolderShelf(str(results.folder))
    )
    stages = {each.name: LazyStage.of(each) for each in prepared.stages}
    lengths = _lengths(stages, shelf)
    content = with_types(Content(stages=stages, lengths=lengths, seed=seed, shelf=shelf))
    source = share(ContentSource(content.token(), content=content))
    store = "in memory" if results.path is None else str(results.path)
    parts = {
        stage.name: _stage_dataset(stage, source, errors, store)
        for stage in content.stages.values()
        if stage.keep
    }
    data = merged(parts)
    for name in ("objects", "ragged"):
        left_out = [each for part in parts.values() for each in part.attrs.get(name, [])]
        if left_out:
            data.attrs[name] = left_out
    return data


def _stage_dataset(
    stage: LazyStage,
    source: ContentSource,
    errors: str,
    store: str,
) -> xr.Dataset:
    layer = make_layer(source, stage.name)
    windows = tuple(map(Window.whole, layer.axes))
    gaps = stage.has_gaps or errors == "missing"
    schema = stage.schema
    assert schema is not None
    variables = {}
    for variable in schema.variables:
        if variable.kind not in ("fixed", "text"):
            continue
        shown = Shown(
            layer=layer,
            windows=windows,
            variable=variable.name,
            dtype=shown_dtype(variable, gaps=gaps),
            shape=variable.shape,
            errors=errors,
        )
        dims = (*stage.dims, *variable.dims)
        variables[variable.name] = LazyVariable(dims, dask_array(shown), dict(variable.attrs))
    inner = {
        name: xr.Variable(coord.dims, coord.values, dict(coord.attrs))
        for name, coord in schema.coords.items()
    }
    attrs: dict[str, object] = {
        "store": store,
        "toolkit_version": __version__,
        "stage": stage.name,
    }
    for kind, word in (("object", "objects"), ("ragged", "ragged")):
        left_out = [each.name for each in schema.variables if each.kind == kind]
        if left_out:
            attrs[word] = left_out
    return xr.Dataset(variables, {**space_coords(stage.space), **inner}, attrs)


def _lengths(stages: Mapping[str, LazyStage], shelf: Shelf) -> dict[str, int]:
    sizes = {axis.dim.name: axis.dim.size for stage in stages.values() for axis in stage.axes}
    together = {
        each.parameter
        for stage in stages.values()
        for each in stage.space.conditions
        if each.parameter is not None
    }
    timed = [(stage.dims, _seconds(shelf, stage.name)) for stage in stages.values()]
    return block_lengths(sizes, timed, together=together)


def _seconds(shelf: Shelf, stage: str) -> float | None:
    """Return the mean seconds of the runs that are stored, None where there are none."""
    runs = shelf.runs(stage)
    if runs is None or not runs.n_runs:
        return None
    status = np.asarray(runs.read("status", slice(0, runs.n_runs)))
    done = (status == Status.DONE) | (status == Status.STALE)
    if not done.any():
        return None
    return float(np.asarray(runs.read("seconds", slice(0, runs.n_runs)))[done].mean())


def _warn_of_other_code(prepared: Prepared, results: Results, seed: int) -> None:
    stored = {each.name: results.look(each.name) for each in prepared.stages}
    if all(runs is None for runs in stored.values()):
        return  # hashing the code takes longer than all the rest
    changed = []
    for name, identity in identities(prepared, seed).items():
        runs = stored[name]
        if runs is not None and (runs.status_under(identity) == Status.STALE).any():
            changed.append(name)
    if changed:
        warnings.warn(
            f"Stored runs of {', '.join(map(repr, changed))} were made before the code changed. "
            "lazy() reads them; sweep.run(rerun='stale') runs them again.",
            stacklevel=4,
        )
