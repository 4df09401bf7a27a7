"""The catalogue of a store: which run id is which point. It grows; ids never change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.spaces.axis import Column, Dim
from toolkit.stores.catalogues import serial
from toolkit.stores.catalogues.block import Block, Product
from toolkit.stores.catalogues.box import Ints, compact
from toolkit.stores.catalogues.growth import add_box, add_rows
from toolkit.stores.catalogues.held_field import HeldField, hold
from toolkit.stores.catalogues.matching import NOT_STORED, Alignment, SpaceLike, align
from toolkit.stores.catalogues.request import Request
from toolkit.stores.catalogues.search import find_outer, find_points


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
        request = Request.of(space, alignment)
        blocks = list(known.blocks)
        for box, asked in request.boxes():
            add_box(blocks, box, asked)
        for rows in request.tables():
            add_rows(blocks, rows)
        grown = replace(known, blocks=tuple(blocks))
        ids = request.ids(grown.blocks)
        return grown.keeping(ids), ids

    def with_axes(self, space: SpaceLike) -> "Catalogue":
        """Return the catalogue with the labels of a space and none of its runs."""
        return self._aligned(space, {})[1]

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
        return Request.of(space, alignment).ids(known.blocks)

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
            return find_points(self.blocks, points, stand_in=True)
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
        ids = find_outer(self.blocks, unique, stand_in=True)
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
    ) -> dict[str, Sequence[Any]]:
        """Return what runs receive, by parameter: n scalars or objects.

        ``INACTIVE`` where a parameter does not matter to a run. Values with inner dims are read
        when they are asked for.

        Raises
        ------
        StoreError
            If a label stands for an object that is not in memory.
        """
        found: dict[str, Sequence[Any]] = {}
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

    def keeping(self, ids: "range | Ints") -> "Catalogue":
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
