"""Blocks of run ids: which cell of the catalogue is which run.

A block gives consecutive ids to its cells and never changes them. `Product` is a box in C order,
so that a cell's id is arithmetic; `Table` lists its cells and finds them by a sorted hash.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stores.catalogues.box import (
    INACTIVE_POSITION,
    Box,
    Ints,
    Positions,
    as_array,
    compact,
    locate,
    outer_sum,
    shape_of,
    strides_of,
    take,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """The cells of a box, in C order.

    Parameters
    ----------
    start
        Run id of the first cell.
    box
        Positions for each dim; ``[-1]`` along a dim that does not matter to these runs.
    kept
        Bits, one a cell (little endian): False for cells that no space has asked for yet. They
        hold an id all the same. None where all are asked for.
    """

    start: int
    box: Box
    kept: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of positions along each dim."""
        return shape_of(self.box)

    @cached_property
    def inactive(self) -> tuple[int, ...]:
        """Numbers of the dims that do not matter to these runs."""
        none = range(INACTIVE_POSITION, INACTIVE_POSITION + 1)
        return tuple(dim for dim, axis in enumerate(self.box) if _same(axis, none))

    def positions(self, offsets: Ints, dims: tuple[int, ...]) -> list[Ints]:
        """Return the positions along these dims of the cells with these offsets."""
        strides = strides_of(self.shape)
        found = []
        for dim in dims:
            length = self.shape[dim]
            if length == 1:
                only = int(self.box[dim][0])
                found.append(np.full(len(offsets), only, dtype=np.int64))
                continue
            index = offsets // strides[dim] if strides[dim] > 1 else offsets
            if any(size > 1 for size in self.shape[:dim]):
                index = index % length
            found.append(take(self.box[dim], index))
        return found

    def fill_outer(self, ids: Ints, wanted: list[Positions], *, stand_in: bool) -> None:
        """Write the ids of this block's cells into the outer product of the wanted positions.

        With ``stand_in``, runs to which a dim does not matter stand for all its positions.
        """
        selections: list[slice | Ints] = []
        parts: list[Ints] = []
        for dim, stride in enumerate(strides_of(self.shape)):
            if stand_in and dim in self.inactive:
                selections.append(slice(None))
                parts.append(np.zeros(len(wanted[dim]), dtype=np.int64))
                continue
            index = locate(self.box[dim], wanted[dim])
            inside = np.flatnonzero(index >= 0)
            if len(inside) == 0:
                return
            among = compact(inside)
            is_run = isinstance(among, range)
            selections.append(slice(among.start, among.stop) if is_run else inside)  # type: ignore[union-attr]
            parts.append(index[inside] * stride)
        if parts:
            parts[0] = parts[0] + self.start
        values = outer_sum(parts) if parts else np.int64(self.start)
        if all(isinstance(selection, slice) for selection in selections):
            ids[tuple(selections)] = values
        else:
            lengths = ids.shape
            grid = [
                np.arange(length)[selection]
                for length, selection in zip(lengths, selections, strict=True)
            ]
            ids[np.ix_(*grid)] = values

    def find_points(self, points: list[Ints], *, stand_in: bool) -> Ints:
        """Return the id of each point, -1 where this block does not hold it."""
        n = len(points[0]) if points else 1
        ids = np.full(n, self.start, dtype=np.int64)
        inside = np.ones(n, dtype=bool)
        for dim, stride in enumerate(strides_of(self.shape)):
            if stand_in and dim in self.inactive:
                continue
            index = locate(self.box[dim], points[dim])
            inside &= index >= 0
            ids += index * stride
        ids[~inside] = -1
        return ids

    def ids_of_box(self, wanted: list[Positions]) -> range | None:
        """Return the ids of a box's cells (C order) where they count up by one, else None."""
        start, open_dim = self.start, False
        strides = strides_of(self.shape)
        for dim, positions in enumerate(wanted):
            if len(positions) == 0:
                return None
            ends = compact([positions[0], positions[-1]] if len(positions) > 1 else positions[:1])
            axis = self.box[dim]
            if isinstance(axis, range) and isinstance(positions, range):
                if positions.start < axis.start or positions.stop > axis.stop:
                    return None
                first = positions.start - axis.start
            else:
                index = locate(axis, positions if len(positions) > 1 else ends)
                counts_up = compact(index)
                if not isinstance(counts_up, range) or counts_up.start < 0:
                    return None
                first = counts_up.start
            if open_dim and len(positions) != self.shape[dim]:
                return None
            open_dim = open_dim or len(positions) > 1
            start += first * strides[dim]
        return range(start, start + math.prod(len(positions) for positions in wanted))

    def with_dim(self) -> "Product":
        """Return the block with a further dim, along which all its cells are at position 0."""
        return replace(self, box=(*self.box, range(1)))

    def joined(self, after: "Product") -> "Product | None":
        """Return both blocks as one, or None where they do not make one box in C order."""
        if self.kept is not None or after.kept is not None:
            return None
        if self.start + len(self) != after.start or self.inactive != after.inactive:
            return None
        differing = [
            dim
            for dim, (mine, its) in enumerate(zip(self.box, after.box, strict=True))
            if not _same(mine, its)
        ]
        if len(differing) != 1 or any(size > 1 for size in self.shape[: differing[0]]):
            return None
        dim = differing[0]
        together = np.concatenate([as_array(self.box[dim]), as_array(after.box[dim])])
        return replace(self, box=(*self.box[:dim], compact(together), *self.box[dim + 1 :]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Cells that are listed one by one.

    Parameters
    ----------
    start
        Run id of the first row.
    rows
        Position of each run along each dim, shape ``(n, n_dims)``; -1 along dims that do not
        matter, the same dims in all rows.
    """

    start: int
    rows: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def inactive(self) -> tuple[int, ...]:
        """Numbers of the dims that do not matter to these runs."""
        return tuple(np.flatnonzero(self.rows[0] == INACTIVE_POSITION).tolist())

    @cached_property
    def _index(self) -> tuple[int, npt.NDArray[np.uint64], Ints]:
        """Salt, hashes in ascending order, row of each hash."""
        for salt in range(64):
            hashes = _hash(list(self.rows.T), len(self.rows), salt)
            order = np.argsort(hashes, kind="stable")
            ordered = hashes[order]
            if bool((ordered[1:] != ordered[:-1]).all()):
                return salt, ordered, order
        raise StoreError(
            "The store's record of its axes is damaged: a table of runs holds the same cell twice. "
            "Restore the store from a copy."
        )

    def positions(self, offsets: Ints, dims: tuple[int, ...]) -> list[Ints]:
        """Return the positions along these dims of the rows with these numbers."""
        return [self.rows[offsets, dim] for dim in dims]

    def find_points(self, points: list[Ints], *, stand_in: bool) -> Ints:
        """Return the id of each point, -1 where this block does not hold it."""
        n = len(points[0]) if points else 1
        if stand_in and self.inactive:
            points = list(points)
            for dim in self.inactive:
                points[dim] = np.full(n, INACTIVE_POSITION, dtype=np.int64)
        salt, ordered, order = self._index
        found = np.searchsorted(ordered, _hash(points, n, salt))
        found[found == len(ordered)] = 0
        row = order[found]
        same = np.ones(n, dtype=bool)
        for dim, wanted in enumerate(points):
            same &= self.rows[row, dim] == wanted
        return np.where(same, row + self.start, -1)

    def fill_outer(self, ids: Ints, wanted: list[Positions], *, stand_in: bool) -> None:
        """Write the ids of these rows into the outer product of the wanted positions."""
        if ids.size * 8 < len(self.rows):
            grids = np.meshgrid(*[as_array(positions) for positions in wanted], indexing="ij")
            found = self.find_points([grid.ravel() for grid in grids], stand_in=stand_in)
            ids[...] = np.where(found >= 0, found, ids.ravel()).reshape(ids.shape)
            return
        free = self.inactive if stand_in else ()
        rows = np.arange(len(self.rows))
        cells: list[Ints] = []
        for dim, positions in enumerate(wanted):
            if dim in free:
                continue
            index = locate(positions, self.rows[rows, dim])
            inside = index >= 0
            rows = rows[inside]
            cells = [cell[inside] for cell in cells]
            cells.append(index[inside])
        view = np.moveaxis(ids, free, range(ids.ndim - len(free), ids.ndim))
        view[tuple(cells)] = (rows + self.start).reshape((-1,) + (1,) * len(free))

    def inside(self, box: Box) -> Ints:
        """Return the numbers of the rows whose cells the box holds."""
        rows = np.arange(len(self.rows))
        for dim, positions in enumerate(box):
            rows = rows[locate(positions, self.rows[rows, dim]) >= 0]
        return rows

    def with_dim(self) -> "Table":
        """Return the block with a further dim, along which all its cells are at position 0."""
        column = np.zeros((len(self.rows), 1), dtype=np.int64)
        return replace(self, rows=np.concatenate([self.rows, column], axis=1))

    def joined(self, after: "Table") -> "Table | None":
        """Return both blocks as one, or None where their ids or inactive dims differ."""
        if self.start + len(self) != after.start or self.inactive != after.inactive:
            return None
        return replace(self, rows=np.concatenate([self.rows, after.rows]))


Block = Product | Table


def _same(one: Positions, other: Positions) -> bool:
    if isinstance(one, range) or isinstance(other, range):
        return isinstance(one, range) and isinstance(other, range) and one == other
    return np.array_equal(one, other)


def _hash(columns: list[Ints], n: int, salt: int) -> npt.NDArray[np.uint64]:
    """Return a 64-bit mixture of the positions of each point."""
    mixed = np.full(n, np.uint64(0x9E3779B97F4A7C15 + salt), dtype=np.uint64)
    for positions in columns:
        mixed ^= positions.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(32)
    return mixed
