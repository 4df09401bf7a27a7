"""A variable of a lazy Dataset: a dask array, and selections that reach the runs themselves."""

from typing import Any

import dask.array as da
import xarray as xr
from dask.highlevelgraph import HighLevelGraph
from xarray.core.indexing import BasicIndexer, OuterIndexer

from toolkit.graphs.layer_spec import LayerSpec
from toolkit.graphs.layers import PickLayer, StageLayer
from toolkit.graphs.pick import dtype_of
from toolkit.graphs.shown import Shown


def dask_array(shown: Shown) -> da.Array:
    """Return what is shown as a dask array."""
    layers: dict[str, Any] = {shown.name: PickLayer(shown)}
    needs: dict[str, set[str]] = {shown.name: {shown.layer.name}}
    _add(shown.layer, layers, needs)
    graph = HighLevelGraph(layers, needs)
    return da.Array(graph, shown.name, shown.chunks, dtype=dtype_of(shown.dtype))


def shown_by(data: object) -> Shown | None:
    """Return what an array shows, None where it is not, or not any more, an output of a stage."""
    if not isinstance(data, da.Array):
        return None
    layer = data.dask.layers.get(data.name)
    return layer.shown if isinstance(layer, PickLayer) and layer.only is None else None


class LazyVariable(xr.Variable):
    """An xarray variable of which a label or a list of labels is taken without its neighbors.

    The data is a plain dask array; xarray would refuse to mix a subclass of it with others. So
    the selection is made here. Whatever is computed from the variable is a plain variable.
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Return part of the variable."""
        shown = shown_by(self._data)
        if shown is not None:
            _, indexer, new_order = self._broadcast_indexes(key)  # type: ignore[no-untyped-call]
            if isinstance(indexer, BasicIndexer | OuterIndexer) and not new_order:
                found = self._cut(shown, tuple(indexer.tuple))
                if found is not None:
                    return found
        return super().__getitem__(key)

    def _cut(self, shown: Shown, index: tuple[Any, ...]) -> Any:
        n_outer = len(shown.seen)
        outer, inner = index[:n_outer], index[n_outer:]
        if all(_is_all(part) for part in outer):
            return None
        narrowed = shown.at(outer)
        if narrowed is None:
            return None
        kept = [dim for dim, part in zip(self.dims, outer, strict=False) if not _is_one(part)]
        found = LazyVariable(
            (*kept, *self.dims[n_outer:]), dask_array(narrowed), self._attrs, fastpath=True
        )
        if all(_is_all(part) for part in inner):
            return found
        return xr.Variable.__getitem__(found, (*(slice(None) for _ in kept), *inner))


def _add(layer: LayerSpec, layers: dict[str, Any], needs: dict[str, set[str]]) -> None:
    layers[layer.name] = StageLayer(layer)
    needs[layer.name] = {each.name for each in layer.before}
    for each in layer.before:
        _add(each, layers, needs)


def _is_all(part: Any) -> bool:
    return isinstance(part, slice) and part == slice(None)


def _is_one(part: Any) -> bool:
    return not isinstance(part, slice) and not getattr(part, "ndim", 0)
