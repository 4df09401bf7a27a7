"""A lazy variable: a dask Array whose indexing by labels makes the runs that are asked for."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
from dask.array.slicing import normalize_index
from dask.highlevelgraph import HighLevelGraph

from toolkit.graphs.along import Along, Window
from toolkit.graphs.layer_spec import ContentSource, LayerSpec, make_layer
from toolkit.graphs.layers import PickLayer, StageLayer
from toolkit.graphs.shown import dtype_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a lazy variable shows of a stage.

    Parameters
    ----------
    source
        The content that the stage is part of.
    lengths
        Positions in a block, by dim of the space.
    layer
        The stage's blocks.
    windows
        What is shown along each dim of the layer.
    variable, dtype, shape, errors
        As for ``pick``.
    """

    source: ContentSource
    lengths: dict[str, int]
    layer: LayerSpec
    windows: tuple[Window, ...]
    variable: str
    dtype: str
    shape: tuple[int, ...]
    errors: str

    def array(self) -> "LazyArray":
        """Return the dask array."""
        name = self._name()
        pick = PickLayer(
            name,
            self.layer,
            self.windows,
            self.variable,
            self.dtype,
            self.shape,
            self.errors,
        )
        layers: dict[str, Any] = {name: pick}
        needs: dict[str, set[str]] = {name: {self.layer.name}}
        _add(self.layer, layers, needs)
        outer = tuple(window.chunks for window in self.windows if not window.hidden)
        chunks = (*outer, *((size,) for size in self.shape))
        graph = HighLevelGraph(layers, needs)
        array: LazyArray = LazyArray(graph, name, chunks, dtype=dtype_of(self.dtype))  # type: ignore[no-untyped-call]
        array.shown = self
        return array

    def at(self, index: tuple[Any, ...]) -> "Shown | None":
        """Return what is shown at integers, lists and slices; None where dask has to do it."""
        seen = [number for number, window in enumerate(self.windows) if not window.hidden]
        windows = list(self.windows)
        for number, wanted in zip(seen, index, strict=True):
            window: Window | None = windows[number]
            assert window is not None
            if isinstance(wanted, slice):
                start, stop, step = wanted.indices(window.size)
                if step != 1 or stop <= start:
                    return None
                window = window.between(start, stop)
            elif isinstance(wanted, (int, np.integer)):
                window = window.at(int(wanted))
            elif isinstance(wanted, np.ndarray) and wanted.ndim == 1 and wanted.dtype.kind in "iu":
                window = window.among(wanted.astype(np.int64)) if len(wanted) else None
            else:
                return None
            if window is None:
                return None
            windows[number] = window
        return self._with(windows)

    def _with(self, windows: list[Window]) -> "Shown":
        if all(new.along is old.along for new, old in zip(windows, self.windows, strict=True)):
            return replace(self, windows=tuple(windows))
        cuts: dict[str, Along] = {window.along.name: window.along for window in windows}
        layer = make_layer(self.source, self.layer.stage, self.lengths, cuts)
        return replace(self, layer=layer, windows=tuple(windows))

    def _name(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.layer.name} {self.variable} {self.dtype} {self.errors} ".encode())
        for window in self.windows:
            digest.update(window.identity())
        return f"{self.variable}-{digest.hexdigest()}"


class LazyArray(da.Array):
    """A dask Array that makes exactly the runs at integers and lists of positions.

    Slices keep the blocks. Everything else is what a dask Array does.
    """

    shown: Shown

    def __getitem__(self, index: Any) -> Any:
        """Return part of the array."""
        cut = self._cut(index)
        return super().__getitem__(index) if cut is None else cut  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what is shown, with the content."""
        return _shown_array, (self.shown,)

    def _cut(self, index: Any) -> Any:
        whole = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, str) or _is_collection(part) for part in whole):
            return None
        if isinstance(index, list) and index and isinstance(index[0], str):
            return None
        parts = normalize_index(whole, self.shape)
        if len(parts) != self.ndim or any(part is None for part in parts):
            return None
        if sum(isinstance(part, (list, np.ndarray)) for part in parts) > 1:
            return None
        n_outer = self.ndim - len(self.shown.shape)
        outer, inner = parts[:n_outer], parts[n_outer:]
        if all(_is_all(part) for part in outer):
            return None
        shown = self.shown.at(outer)
        if shown is None:
            return None
        array = shown.array()
        if all(_is_all(part) for part in inner):
            return array
        return array[(..., *inner)]


def _shown_array(shown: Shown) -> LazyArray:
    return shown.array()


def _add(layer: LayerSpec, layers: dict[str, Any], needs: dict[str, set[str]]) -> None:
    layers[layer.name] = StageLayer(layer)
    needs[layer.name] = {each.name for each in layer.before}
    for each in layer.before:
        _add(each, layers, needs)


def _is_all(part: Any) -> bool:
    return isinstance(part, slice) and part == slice(None)


def _is_collection(part: Any) -> bool:
    return hasattr(part, "__dask_graph__")
