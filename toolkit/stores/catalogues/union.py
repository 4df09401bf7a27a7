"""Two catalogues as one: what each run of the second is among the runs of the first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.spaces.points import Points
from toolkit.stores.catalogues.block import Product
from toolkit.stores.catalogues.box import Ints
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.growth import add_box, add_rows
from toolkit.stores.catalogues.held_field import unite
from toolkit.stores.catalogues.matching import align
from toolkit.stores.catalogues.request import Request

if TYPE_CHECKING:
    from toolkit.spaces.axis import Dim, Field


@dataclass(frozen=True)
class _Cells:
    """The runs of a catalogue as the points of a space, for aligning them with another's."""

    at: tuple[Ints, ...]
    n_runs: int
    cells: tuple[()] = ()  # not None: they fill no product

    def __len__(self) -> int:
        return self.n_runs

    @property
    def inactive(self) -> Mapping[int, Any]:
        return {number: at < 0 for number, at in enumerate(self.at) if (at < 0).any()}

    def positions(self, runs: slice) -> tuple[Ints, ...]:
        return tuple(at[runs] for at in self.at)


@dataclass(frozen=True)
class _SpaceOf:
    """A catalogue's runs as a space."""

    dims: "tuple[Dim, ...]"
    fields: "tuple[Field, ...]"
    runs: Any

    def points(self) -> Any:
        return self.runs


def united(one: Catalogue, other: Catalogue) -> tuple[Catalogue, Ints, Ints]:
    """Return a catalogue of the runs of two.

    Returns
    -------
    catalogue, ids, found
        Runs of the first keep their ids; run ``ids[i]`` of the second is run ``found[i]`` now.
        Cells that no space asked for are left out.

    Raises
    ------
    StoreError
        If the parameters of the second cannot be mapped to those of the first.
    """
    is_left_out = np.zeros(other.n_runs, bool)
    is_left_out[other.left_out()] = True
    ids = np.flatnonzero(~is_left_out)
    if not one.n_runs:
        return other, ids, ids
    if not len(ids):
        return one, ids, ids
    space = _SpaceOf(other.dims, other.fields, _points(other, ids))  # type: ignore[arg-type]
    alignment = align(one.dims, [field.name for field in one.fields], space, {})
    fields = tuple(
        unite(one.fields, field, other.dims, alignment.dims, alignment.sources)
        for field in other.fields
    )
    blocks = list(one.blocks)
    request = Request.of(space, alignment)
    for box, asked in request.boxes():
        add_box(blocks, box, asked)
    for rows in request.tables():
        add_rows(blocks, rows)
    grown = Catalogue(dims=alignment.dims, blocks=tuple(blocks), fields=fields)
    found = np.asarray(request.ids(grown.blocks), np.int64)
    return grown.keeping(found), ids, found


def _points(catalogue: Catalogue, ids: Ints) -> "Points | _Cells":
    """Return the runs as a product where they are one in the order of their ids."""
    blocks = catalogue.blocks
    if len(blocks) == 1 and isinstance(blocks[0], Product) and blocks[0].kept is None:
        whole = tuple(range(size) for size in catalogue.shape)
        if blocks[0].box == whole:
            return Points(catalogue.shape)
    return _Cells(catalogue.positions(ids), len(ids))
