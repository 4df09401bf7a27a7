"""The catalogue of a store: which run id is which point. It grows; ids never change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.spaces.axis import Column, Dim
from toolkit.stores import serial
from toolkit.stores.block import Block, Product, Table
from toolkit.stores.box import (
    Box,
    Ints,
    Positions,
    as_array,
    compact,
    locate,
    n_cells,
    shape_of,
    strides_of,
    subtract_box,
)
from toolkit.stores.held_field import HeldField, hold
from toolkit.stores.matching import (
    MAX_EXPANDED,
    NOT_STORED,
    Alignment,
    SpaceLike,
    align,
)

SPARSE = 10
"""A block lists its cells where it would keep fewer than one in this many of a box."""

MAX_PIECES = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """Which run id is which point.

    Runs lie in blocks: boxes of cells, whose ids are arithmetic, and tables of cells, found by a
    sorted hash. The catalogue is immutable, holds nothing for each run of a box, and pickles.

    Parameters
    ----------
    dims
        The dims in the order of their first appearance, each with all labels ever seen.
    blocks
        Blocks of consecutive ids. Where two hold the same cell, the first one's id counts.
    fields
        Parameters over several dims, with the values seen so far.
    """

    dims: tuple[Dim, ...] = ()
    blocks: tuple[Block, ...] = ()
    fields: tuple[HeldField, ...] = ()

    @classmethod
    def empty(cls) -> "Catalogue":
        """Return a catalogue of no runs."""
        return cls()

    @property
    def n_runs(self) -> int:
        """Number of run ids given so far; they count from 0."""
        return self.blocks[-1].start + len(self.blocks[-1]) if self.blocks else 0

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters, in the order of their dims; those over several dims last."""
        columns = [column.name for dim in self.dims for column in dim.columns]
        return (*columns, *(field.name for field in self.fields))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of labels along each dim."""
        return tuple(dim.size for dim in self.dims)

    def register(
        self, space: SpaceLike, *, defaults: Mapping[str, object] | None = None
    ) -> "tuple[Catalogue, range | Ints]":
        """Return the catalogue with the runs of a space added, and the id of each of its runs.

        Runs whose labels are known keep their ids; new ones follow the last.

        Parameters
        ----------
        space
            The space.
        defaults
            What runs of older spaces are said to have had, by the name of a parameter that the
            catalogue may lack.

        Returns
        -------
        catalogue, ids
            Ids in the order of the space's runs, shape ``(n_runs,)``; a range where they count
            up by one.

        Raises
        ------
        StoreError
            If the space's parameters cannot be mapped to the catalogue's, or a field's values
            differ from those held.
        """
        alignment, known = self._aligned(space, defaults or {})
        request = _Request.of(space, alignment)
        blocks = list(known.blocks)
        for box, asked in request.boxes():
            _add(blocks, box, asked)
        for rows in request.tables():
            _add_rows(blocks, rows)
        grown = replace(known, blocks=tuple(blocks))
        ids = request.ids(grown)
        return grown._keeping(ids), ids

    def find(
        self, space: SpaceLike, *, defaults: Mapping[str, object] | None = None
    ) -> "range | Ints":
        """Return the id of each run of a space, -1 where it has none yet.

        Raises
        ------
        StoreError
            As for :meth:`register`.
        """
        alignment, known = self._aligned(space, defaults or {})
        return _Request.of(space, alignment).ids(known)

    def lookup(
        self, positions: Sequence[npt.ArrayLike | range], *, pointwise: bool = False
    ) -> Ints:
        """Return the ids of cells, -1 where there are none.

        A cell that has no run of its own gets the run that stands for it, where there is one.

        Parameters
        ----------
        positions
            Positions for each dim of the catalogue, each of shape ``(n_d,)``; -1 where the dim
            does not matter.
        pointwise
            Whether the positions go together, as points, instead of forming their product.

        Returns
        -------
        ndarray
            Ids, shape ``(n_0, n_1, …)``, or ``(n,)`` pointwise.
        """
        if pointwise:
            points = [np.asarray(at, dtype=np.int64) for at in positions]
            return _find_points(self.blocks, points, stand_in=True)
        unique, back = [], []
        for at in positions:
            axis = compact(at)
            inverse: Ints | None = None
            if not isinstance(axis, range):
                only, inverse = np.unique(axis, return_inverse=True)
                if len(only) == len(axis):
                    inverse = None
                else:
                    axis = compact(only)
            unique.append(axis)
            back.append(inverse)
        ids = _find_outer(self.blocks, unique, stand_in=True)
        for dim, inverse in enumerate(back):
            if inverse is not None:
                ids = np.take(ids, inverse, axis=dim)
        return ids

    def positions(
        self, ids: npt.ArrayLike | range, dims: Sequence[int] | None = None
    ) -> tuple[Ints, ...]:
        """Return where runs lie along each dim (or these dims), shape ``(n,)`` each.

        -1 where the dim does not matter to a run.
        """
        chosen = tuple(range(len(self.dims))) if dims is None else tuple(dims)
        wanted = _as_ids(ids)
        if len(wanted) == 0:
            return tuple(np.empty(0, dtype=np.int64) for _ in chosen)
        lowest, highest = int(wanted.min()), int(wanted.max())
        if lowest < 0 or highest >= self.n_runs:
            raise StoreError(
                f"Run {lowest if lowest < 0 else highest} is not in this store, which holds runs "
                f"0 to {self.n_runs - 1}."
            )
        starts = np.array([block.start for block in self.blocks])
        first, last = np.searchsorted(starts, [lowest, highest], side="right") - 1
        if first == last:
            block = self.blocks[first]
            return tuple(block.positions(wanted - block.start, chosen))
        number = np.searchsorted(starts, wanted, side="right") - 1
        found = tuple(np.empty(len(wanted), dtype=np.int64) for _ in chosen)
        for at in np.unique(number):
            block, where = self.blocks[at], np.flatnonzero(number == at)
            parts = block.positions(wanted[where] - block.start, chosen)
            for out, part in zip(found, parts, strict=True):
                out[where] = part
        return found

    def values(
        self, ids: npt.ArrayLike | range, names: Iterable[str] | None = None
    ) -> dict[str, list[Any]]:
        """Return what runs receive, by parameter: lists of n scalars or objects.

        ``INACTIVE`` where a parameter does not matter to a run.

        Raises
        ------
        StoreError
            If a label stands for an object that is not in memory.
        """
        found: dict[str, list[Any]] = {}
        for holder, positions in self._holders(ids, names):
            if isinstance(holder, Column):
                found[holder.name] = _checked(holder, holder.values(positions[0]))
            else:
                found[holder.name] = holder.take(positions, len(_as_ids(ids)))
        return found

    def arrays(
        self, ids: npt.ArrayLike | range, names: Iterable[str] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the same for vectorized stages: arrays of shape ``(n,)``."""
        found: dict[str, npt.NDArray[Any]] = {}
        for holder, positions in self._holders(ids, names):
            if isinstance(holder, Column):
                array = holder.array(positions[0])
                if holder.objects is not None:
                    _checked(holder, array.tolist())
                found[holder.name] = array
            else:
                found[holder.name] = holder.array(positions, len(_as_ids(ids)))
        return found

    def labels(
        self, ids: npt.ArrayLike | range, names: Iterable[str] | None = None
    ) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
        """Return the labels of runs by parameter, and where the parameter does not matter.

        Unlike values these never need an object; where a parameter does not matter, some label
        stands in its place.
        """
        found = {}
        for holder, positions in self._holders(ids, names):
            if isinstance(holder, Column):
                found[holder.name] = (holder.labels[positions[0]], positions[0] < 0)
            elif holder.values is not None:
                inactive = holder.inactive(positions, len(_as_ids(ids)))
                found[holder.name] = (holder.values[positions], inactive)
        return found

    def left_out(self, start: int = 0) -> Ints:
        """Return the ids from ``start`` on that no space asked for: cells left out of a box."""
        found = [np.empty(0, dtype=np.int64)]
        for block in self.blocks:
            if isinstance(block, Product) and block.kept is not None:
                if block.start + len(block) <= start:
                    continue
                kept = np.unpackbits(block.kept, count=len(block), bitorder="little")
                found.append(np.flatnonzero(kept == 0) + block.start)
        ids = np.concatenate(found)
        return ids[ids >= start]

    def to_json(self) -> dict[str, Any]:
        """Return names, sizes, attributes and blocks; see :meth:`stored_arrays`."""
        return serial.to_json(self.dims, self.blocks, self.fields)

    def stored_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what belongs beside :meth:`to_json`: labels, irregular positions, masks.

        Keys are file names. Dtypes are float64, int64, bool, uint8 and text (``U``). Of objects
        the labels alone are stored.
        """
        return serial.stored_arrays(self.dims, self.blocks, self.fields)

    @classmethod
    def from_json(
        cls, document: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> "Catalogue":
        """Return the catalogue that :meth:`to_json` and :meth:`stored_arrays` describe.

        Raises
        ------
        StoreError
            If they do not describe one.
        """
        dims, blocks, fields = serial.from_json(document, arrays)
        return cls(dims=dims, blocks=blocks, fields=fields)

    def _aligned(
        self, space: SpaceLike, defaults: Mapping[str, object]
    ) -> "tuple[Alignment, Catalogue]":
        """Return where the space's labels lie, and this catalogue with them added."""
        alignment = align(self.dims, [field.name for field in self.fields], space, defaults)
        blocks = self.blocks
        for _ in range(len(self.dims), len(alignment.dims)):
            blocks = tuple(block.with_dim() for block in blocks)
        fields = tuple(
            hold(self.fields, field, space.dims, alignment.dims, alignment.sources)
            for field in space.fields
        )
        return alignment, Catalogue(dims=alignment.dims, blocks=blocks, fields=fields)

    def _holders(
        self, ids: npt.ArrayLike | range, names: Iterable[str] | None
    ) -> "Iterable[tuple[Column | HeldField, tuple[Ints, ...]]]":
        wanted = self.names if names is None else tuple(names)
        homes = {c.name: (n, c) for n, dim in enumerate(self.dims) for c in dim.columns}
        fields = {field.name: field for field in self.fields}
        for name in wanted:
            if name not in homes and name not in fields:
                raise StoreError(
                    f"There is no parameter {name!r} in this store; it has {list(self.names)}."
                )
        needed = sorted(
            {homes[name][0] for name in wanted if name in homes}
            | {dim for name in wanted if name in fields for dim in fields[name].dims}
        )
        at = dict(zip(needed, self.positions(ids, needed), strict=True))
        for name in wanted:
            if name in homes:
                number, column = homes[name]
                yield column, (at[number],)
            else:
                yield fields[name], tuple(at[dim] for dim in fields[name].dims)

    def _keeping(self, ids: "range | Ints") -> "Catalogue":
        """Return the catalogue with these ids marked as asked for."""
        blocks = list(self.blocks)
        for number, block in enumerate(blocks):
            if not isinstance(block, Product) or block.kept is None:
                continue
            inside = np.asarray(_as_ids(ids)) - block.start
            inside = inside[(inside >= 0) & (inside < len(block))]
            if len(inside) == 0:
                continue
            bits = np.unpackbits(block.kept, count=len(block), bitorder="little")
            if bits[inside].all():
                continue
            bits[inside] = 1
            kept = None if bits.all() else np.packbits(bits, bitorder="little")
            blocks[number] = replace(block, kept=kept)
        return replace(self, blocks=tuple(blocks))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Request:
    """The runs of a space in the positions of a catalogue: one box, or points."""

    box: Box | None
    order: tuple[int, ...]
    points: list[Ints]
    n_runs: int
    is_crossed: bool = True

    @classmethod
    def of(cls, space: SpaceLike, alignment: Alignment) -> "_Request":
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

    def ids(self, catalogue: Catalogue) -> "range | Ints":
        blocks = catalogue.blocks
        if self.box is None:
            return _counting_up(_find_points(blocks, self.points, stand_in=False))
        box = list(self.box)
        varying = [dim for dim in self.order if len(box[dim]) > 1]
        if varying == sorted(varying):
            found = _range_of_box(blocks, box)
            if found is not None:
                return found
        unique, back = [], []
        for axis in box:
            only, inverse = (
                (axis, None) if isinstance(axis, range) else np.unique(axis, return_inverse=True)
            )
            unique.append(compact(only))
            back.append(inverse)
        ids = _find_outer(blocks, unique, stand_in=False)
        for dim, inverse in enumerate(back):
            if inverse is not None:
                ids = np.take(ids, inverse, axis=dim)
        return _counting_up(ids.transpose(self.order).ravel())


def _add(blocks: list[Block], box: Box, asked: npt.NDArray[np.bool_] | None) -> None:
    """Append blocks for the cells of a box (those asked for) that no block holds."""
    pieces = [box]
    for block in blocks:
        if isinstance(block, Product):
            pieces = [rest for piece in pieces for rest in subtract_box(piece, block.box)]
        if not pieces:
            return
        if len(pieces) > MAX_PIECES:
            _add_left(blocks, box, asked)
            return
    for piece in pieces:
        part = None
        if asked is not None:
            part = asked[np.ix_(*[locate(a, p) for a, p in zip(box, piece, strict=True)])]
        for block in list(blocks):
            if isinstance(block, Table):
                rows = block.rows[block.inside(piece)]
                if len(rows):
                    part = np.ones(shape_of(piece), dtype=bool) if part is None else part
                    part[tuple(locate(a, r) for a, r in zip(piece, rows.T, strict=True))] = False
        _append_box(blocks, piece, part)


def _append_box(blocks: list[Block], box: Box, asked: npt.NDArray[np.bool_] | None) -> None:
    """Append the cells of a box that are asked for, none of which any block holds."""
    if asked is None:
        _append(blocks, Product(start=_end(blocks), box=box))
        return
    if not asked.any():
        return
    for dim in range(asked.ndim):
        used = np.flatnonzero(asked.any(axis=tuple(d for d in range(asked.ndim) if d != dim)))
        if len(used) < asked.shape[dim]:
            asked = np.take(asked, used, axis=dim)
            axis = compact(as_array(box[dim])[used])
            box = (*box[:dim], axis, *box[dim + 1 :])
    count = int(np.count_nonzero(asked))
    if count == asked.size:
        _append(blocks, Product(start=_end(blocks), box=box))
    elif count * SPARSE >= asked.size:
        kept = np.packbits(asked.ravel(), bitorder="little")
        _append(blocks, Product(start=_end(blocks), box=box, kept=kept))
    else:
        index = np.nonzero(asked)
        rows = np.stack([as_array(a)[i] for a, i in zip(box, index, strict=True)], axis=1)
        _append(blocks, Table(start=_end(blocks), rows=rows))


def _add_rows(blocks: list[Block], rows: Ints) -> None:
    """Append the rows that no block holds."""
    found = _find_points(blocks, list(rows.T), stand_in=False)
    rows = rows[found < 0]
    if len(rows):
        _append(blocks, Table(start=_end(blocks), rows=np.ascontiguousarray(rows)))


def _add_left(blocks: list[Block], box: Box, asked: npt.NDArray[np.bool_] | None) -> None:
    """Append what is left of a box that is cut into very many pieces, cell by cell."""
    missing = _find_outer(blocks, list(box), stand_in=False) < 0
    if asked is not None:
        missing &= asked
    index = np.nonzero(missing)
    if len(index[0]):
        rows = np.stack([as_array(a)[i] for a, i in zip(box, index, strict=True)], axis=1)
        _append(blocks, Table(start=_end(blocks), rows=rows))


def _append(blocks: list[Block], block: Block) -> None:
    """Append a block, joined to the last one where both make one.

    Tables are joined while the last is at most twice as long: as many tables stay as the number
    of runs has binary digits, however many runs come one by one.
    """
    while blocks:
        last = blocks[-1]
        joined: Block | None = None
        if isinstance(last, Product):
            joined = last.joined(block) if isinstance(block, Product) else None
        elif isinstance(block, Table) and len(last) <= 2 * len(block):
            joined = last.joined(block)
        if joined is None:
            break
        blocks.pop()
        block = joined
    blocks.append(block)


def _end(blocks: Sequence[Block]) -> int:
    return blocks[-1].start + len(blocks[-1]) if blocks else 0


def _by_priority(blocks: Sequence[Block], *, stand_in: bool) -> list[Block]:
    """Return the blocks, those first whose ids count: active before standing in, older first."""
    if not stand_in:
        return list(blocks)
    return sorted(blocks, key=lambda block: len(block.inactive))


def _find_outer(blocks: Sequence[Block], wanted: list[Positions], *, stand_in: bool) -> Ints:
    ids = np.full(shape_of(wanted), -1, dtype=np.int64)
    if ids.size:
        for block in reversed(_by_priority(blocks, stand_in=stand_in)):
            block.fill_outer(ids, wanted, stand_in=stand_in)
    return ids


def _find_points(blocks: Sequence[Block], points: list[Ints], *, stand_in: bool) -> Ints:
    n = len(points[0]) if points else 1
    ids = np.full(n, -1, dtype=np.int64)
    open_ = np.arange(n)
    for block in _by_priority(blocks, stand_in=stand_in):
        if len(open_) == 0:
            break
        found = block.find_points([at[open_] for at in points], stand_in=stand_in)
        there = found >= 0
        ids[open_[there]] = found[there]
        open_ = open_[~there]
    return ids


def _range_of_box(blocks: Sequence[Block], box: list[Positions]) -> range | None:
    """Return the ids of a box that lies in one block, in a row; else None."""
    for block in blocks:
        if isinstance(block, Table):
            if len(block.inside(tuple(box))):
                return None
            continue
        found = block.ids_of_box(box)
        if found is not None:
            return found
        if all((locate(a, w) >= 0).any() for a, w in zip(block.box, box, strict=True)):
            return None
    return None


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


def _as_ids(ids: npt.ArrayLike | range) -> Ints:
    if isinstance(ids, range):
        return np.arange(ids.start, ids.stop, ids.step, dtype=np.int64)
    return np.atleast_1d(np.asarray(ids, dtype=np.int64))


def _checked(column: Column, values: list[Any]) -> list[Any]:
    if column.objects is not None:
        for at, value in enumerate(values):
            if value is NOT_STORED:
                raise StoreError(
                    f"The object behind a label of parameter {column.name!r} is not stored "
                    f"(value {at} of {len(values)}): stores keep labels, not objects. Register a "
                    "space that holds the object."
                )
    return values
