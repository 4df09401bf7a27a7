"""What a lazy variable shows of a stage, and how that is narrowed: no run that nobody asked for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from toolkit.graphs.along import Window
from toolkit.graphs.layer_spec import LayerSpec, make_layer


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """One output of a stage at some positions.

    Parameters
    ----------
    layer
        The blocks of the stage.
    windows
        What is shown along each dim of the layer.
    variable, dtype, shape, errors
        As for ``pick``.
    """

    layer: LayerSpec
    windows: tuple[Window, ...]
    variable: str
    dtype: str
    shape: tuple[int, ...]
    errors: str

    @cached_property
    def name(self) -> str:
        """The name that all keys of the variable begin with."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.layer.name} {self.variable} {self.dtype} {self.errors} ".encode())
        for window in self.windows:
            digest.update(window.identity())
        return f"{self.variable}-{digest.hexdigest()}"

    @property
    def seen(self) -> tuple[int, ...]:
        """Numbers of the layer's dims that are shown as dims."""
        return tuple(n for n, window in enumerate(self.windows) if not window.hidden)

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the blocks along each dim, inner ones included."""
        outer = tuple(self.windows[n].chunks for n in self.seen)
        return (*outer, *((size,) for size in self.shape))

    @property
    def numblocks(self) -> tuple[int, ...]:
        """Number of blocks along each dim, inner ones included."""
        return (*(self.windows[n].n_blocks for n in self.seen), *(1 for _ in self.shape))

    def at(self, index: Sequence[Any]) -> "Shown | None":
        """Return what is shown at some positions; None where the blocks are made whole anyway.

        Integers and lists make exactly the runs that are there; slices keep the blocks, so that
        neighbors share them.

        Parameters
        ----------
        index
            For each dim that is seen an integer, a slice or an array of integers.
        """
        windows = list(self.windows)
        for number, wanted in zip(self.seen, index, strict=True):
            narrowed = _narrowed(windows[number], wanted)
            if narrowed is None:
                return None
            windows[number] = narrowed
        if all(new.along is old.along for new, old in zip(windows, self.windows, strict=True)):
            return replace(self, windows=tuple(windows))
        cuts = {window.along.name: window.along for window in windows}
        layer = make_layer(self.layer.source, self.layer.stage, cuts)
        return replace(self, layer=layer, windows=tuple(windows))


def _narrowed(window: Window, wanted: Any) -> Window | None:
    if isinstance(wanted, slice):
        start, stop, step = wanted.indices(window.size)
        return window.between(start, stop) if step == 1 and stop > start else None
    if isinstance(wanted, (int, np.integer)):
        return window.at(int(wanted) % window.size)
    if isinstance(wanted, np.ndarray) and wanted.ndim == 1 and wanted.dtype.kind in "iu":
        return window.among(wanted.astype(np.int64) % window.size) if len(wanted) else None
    return None
