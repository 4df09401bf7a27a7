"""The runs of a space in the positions of a catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stores.catalogues.block import Block
from toolkit.stores.catalogues.box import (
    Box,
    Ints,
    Positions,
    compact,
    locate,
    n_cells,
    shape_of,
    strides_of,
)
from toolkit.stores.catalogues.growth import SPARSE
from toolkit.stores.catalogues.matching import MAX_EXPANDED, Alignment, SpaceLike
from toolkit.stores.catalogues.search import find_outer, find_points, range_of_box


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What a space asks for: one box, or points.

    Parameters
    ----------
    box
        Positions along each dim of the catalogue, if all cells of their product are runs of the
        space; else None.
    order
        Numbers of the catalogue's dims in the order in which the space has them.
    points
        Else the position of each run along each dim, -1 where the dim does not matter.
    n_runs
        Number of runs of the space.
    is_crossed
        Whether each varying dim of the space is one dim of the catalogue.
    """

    box: Box | None
    order: tuple[int, ...]
    points: list[Ints]
    n_runs: int
    is_crossed: bool = True

    @classmethod
    def of(cls, space: SpaceLike, alignment: Alignment) -> "Request":
        """Return what a space asks for; raise StoreError if that has no place in the catalogue."""
        runs = space.points()
        plain = runs.cells is None and not runs.inactive
        if plain and alignment.is_one_to_one():
            box = tuple(compact(source.positions) for source in alignment.sources)
            home = [source.varying() or (-1,) for source in alignment.sources]
            order = tuple(int(n) for n in np.argsort([dims[0] for dims in home], kind="stable"))
            return cls(box=box, order=order, points=[], n_runs=len(runs))
        if len(runs) > MAX_EXPANDED and not alignment.is_one_to_one():
            raise StoreError(
                f"The store holds this space's parameters in another structure (crossed where "
                f"the space has them together, or the other way round), and {len(runs):,} runs "
                f"are more than the {MAX_EXPANDED:,} that can be matched one by one. Use another "
                "store, or a part of the space."
            )
        inactive = {number for number, off in runs.inactive.items() if off.any()}
        for dim, source in zip(alignment.dims, alignment.sources, strict=True):
            off = [space.dims[n].name for n in source.dims if n in inactive]
            if off and len(source.dims) > 1:
                raise StoreError(
                    f"Parameter {off[0]!r} does not matter in some runs of this space, but the "
                    f"store holds it together with others along {dim.name!r}, so these runs "
                    "cannot be mapped to the store's. Use another store, or leave out when()."
                )
        at = runs.positions(slice(None))
        points = [source.at(at) for source in alignment.sources]
        crossed = alignment.is_one_to_one()
        return cls(box=None, order=(), points=points, n_runs=len(runs), is_crossed=crossed)

    def boxes(self) -> "list[tuple[Box, npt.NDArray[np.bool_] | None]]":
        """Return boxes with the cells that are asked for in them (None for all)."""
        if self.box is not None:
            return [(tuple(_sorted(axis) for axis in self.box), None)]
        return [part for part in self._parts if isinstance(part, tuple)]

    def tables(self) -> list[Ints]:
        """Return tables of cells that fill no box, shape ``(n, n_dims)`` each."""
        if self.box is not None:
            return []
        return [part for part in self._parts if not isinstance(part, tuple)]

    @property
    def _parts(self) -> "list[tuple[Box, npt.NDArray[np.bool_] | None] | Ints]":
        if self.n_runs == 0:
            return []
        off = [dim for dim, at in enumerate(self.points) if (at < 0).any()]
        if not off:
            return [_bounded(self.points, may_mask=self.is_crossed)]
        pattern = np.zeros(self.n_runs, dtype=np.int64)
        for dim in off:
            pattern = pattern * 2 + (self.points[dim] < 0)
        kinds = np.unique(pattern)
        return [
            _bounded([at[pattern == kind] for at in self.points], may_mask=self.is_crossed)
            for kind in kinds
        ]

    def ids(self, blocks: Sequence[Block]) -> "range | Ints":
        """Return the id of each run, -1 where no block holds it."""
        if self.box is None:
            return _counting_up(find_points(blocks, self.points, stand_in=False))
        box = list(self.box)
        varying = [dim for dim in self.order if len(box[dim]) > 1]
        if varying == sorted(varying):
            found = range_of_box(blocks, box)
            if found is not None:
                return found
        unique, back = [], []
        for axis in box:
            only, inverse = (
                (axis, None) if isinstance(axis, range) else np.unique(axis, return_inverse=True)
            )
            unique.append(compact(only))
            back.append(inverse)
        ids = find_outer(blocks, unique, stand_in=False)
        for dim, inverse in enumerate(back):
            if inverse is not None:
                ids = np.take(ids, inverse, axis=dim)
        return _counting_up(ids.transpose(self.order).ravel())


def _bounded(
    points: list[Ints], *, may_mask: bool
) -> "tuple[Box, npt.NDArray[np.bool_] | None] | Ints":
    """Return the smallest box around points with a mask, or the rows where they are sparse."""
    axes = [_used(at) for at in points]
    cells = n_cells(axes)
    n = len(points[0])
    if n * SPARSE < cells or (n < cells and not may_mask):
        return np.unique(np.stack(points, axis=1), axis=0)
    flat = np.zeros(n, dtype=np.int64)
    for axis, at, stride in zip(axes, points, strides_of(shape_of(axes)), strict=True):
        if len(axis) > 1:
            flat += locate(axis, at) * stride
    asked = np.zeros(cells, dtype=bool)
    asked[flat] = True
    return tuple(axes), None if asked.all() else asked.reshape(shape_of(axes))


def _used(at: Ints) -> Positions:
    """Return the positions that occur, ascending."""
    lowest, highest = int(at.min()), int(at.max())
    if lowest == highest:
        return range(lowest, lowest + 1)
    if highest - lowest > 4 * len(at):
        return compact(np.unique(at))
    seen = np.zeros(highest - lowest + 1, dtype=bool)
    seen[at - lowest] = True
    return compact(np.flatnonzero(seen) + lowest)


def _sorted(axis: Positions) -> Positions:
    return axis if isinstance(axis, range) else compact(np.unique(axis))


def _counting_up(ids: Ints) -> "range | Ints":
    counted = compact(ids)
    return counted if isinstance(counted, range) and counted.start >= 0 else ids
