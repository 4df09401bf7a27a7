"""How the dims of a Dataset lead to run ids: frames, which are asked for the runs of some cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.spaces.axis import Dim
from toolkit.spaces.labels import kind_of
from toolkit.stores.catalogues.block import Product
from toolkit.stores.catalogues.box import Ints, outer_sum, strides_of
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.matching import SpaceLike

NEVER = -1
"""Stands for the id of a cell that is in no block: its run is pending."""

LEFT_OUT = -2
"""Stands for the id of a cell that the space leaves out."""

RUN = "run"


class Frame(Protocol):
    """The outer dims of a Dataset, and the run of each of its cells."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Their sizes."""

    @property
    def whole(self) -> range | None:
        """The ids of all cells, where they count up by one."""

    def ids(self, indices: Sequence[Ints]) -> Ints:
        """Return the ids of the product of these indices: ``NEVER``, ``LEFT_OUT`` or 0 and up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AlongDim:
    """A dim as it is read: its positions in the order of reading.

    Parameters
    ----------
    dim
        The dim.
    order
        Position of each index, shape ``(size,)``; None where that is the index.
    """

    dim: Dim
    order: Ints | None

    @classmethod
    def of(cls, dim: Dim) -> "AlongDim":
        """Return the dim with numbers, dates and durations ascending, others as they were given."""
        labels = dim.labels
        is_sorted = kind_of(labels) not in ("number", "date", "duration") or bool(
            (labels[1:] >= labels[:-1]).all()
        )
        return cls(dim=dim, order=None if is_sorted else np.argsort(labels, kind="stable"))

    def positions(self, indices: Ints) -> Ints:
        """Return the positions at these indices."""
        return indices if self.order is None else self.order[indices]

    def ordered(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values along the dim in the order of reading."""
        return values if self.order is None else values[self.order]


@dataclass(frozen=True, kw_only=True, eq=False)
class SpaceFrame:
    """The cells of a space, found in a catalogue."""

    axes: tuple[AlongDim, ...]
    strides: tuple[int, ...]
    found: range | Ints
    owner: Ints | None

    @classmethod
    def of(
        cls, catalogue: Catalogue, space: SpaceLike, defaults: Mapping[str, object]
    ) -> "SpaceFrame":
        """Return the frame of a space's visible dims."""
        found = catalogue.find(space, defaults=defaults)
        strides = strides_of([dim.size for dim in space.dims])
        visible = [number for number, dim in enumerate(space.dims) if not dim.hidden]
        return cls(
            axes=tuple(AlongDim.of(space.dims[number]) for number in visible),
            strides=tuple(strides[number] for number in visible),
            found=found,
            owner=space.points().owner,
        )

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims."""
        return tuple(axis.dim.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Their sizes."""
        return tuple(axis.dim.size for axis in self.axes)

    @property
    def whole(self) -> range | None:
        """The ids of all cells, where they count up by one."""
        if self.owner is not None or any(axis.order is not None for axis in self.axes):
            return None
        return self.found if isinstance(self.found, range) else None

    def ids(self, indices: Sequence[Ints]) -> Ints:
        """Return the ids of the product of these indices."""
        parts = [
            axis.positions(index) * stride
            for axis, index, stride in zip(self.axes, indices, self.strides, strict=True)
        ]
        runs: Ints = outer_sum(parts)
        if self.owner is not None:
            runs = self.owner[runs]
        found = self.found
        ids = runs + found.start if isinstance(found, range) else found[runs]
        if self.owner is not None:
            ids[runs < 0] = LEFT_OUT
        return ids


@dataclass(frozen=True, kw_only=True, eq=False)
class StoreFrame:
    """All cells of a catalogue; dims of one constant are not seen."""

    catalogue: Catalogue

    @cached_property
    def axes(self) -> tuple[AlongDim, ...]:
        """The dims that are seen."""
        return tuple(AlongDim.of(dim) for dim in self.catalogue.dims if dim.kind != "constant")

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims."""
        return tuple(axis.dim.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Their sizes."""
        return tuple(axis.dim.size for axis in self.axes)

    @property
    def whole(self) -> range | None:
        """The ids of all cells, where they count up by one."""
        blocks = self.catalogue.blocks
        if len(blocks) != 1 or any(axis.order is not None for axis in self.axes):
            return None
        (block,) = blocks
        if not isinstance(block, Product) or block.shape != self.catalogue.shape:
            return None
        return block.ids_of_box([range(size) for size in self.catalogue.shape])

    def ids(self, indices: Sequence[Ints]) -> Ints:
        """Return the ids of the product of these indices."""
        seen = iter(zip(self.axes, indices, strict=True))
        positions: list[Ints] = []
        for dim in self.catalogue.dims:
            if dim.kind == "constant":
                positions.append(np.zeros(1, dtype=np.int64))
            else:
                axis, index = next(seen)
                positions.append(axis.positions(index))
        ids = self.catalogue.lookup(positions)
        ids = np.where(ids < 0, LEFT_OUT, ids)
        return ids.reshape([len(index) for index in indices])


@dataclass(frozen=True, kw_only=True, eq=False)
class FlatFrame:
    """Runs one after the other."""

    runs: range | Ints

    @property
    def dims(self) -> tuple[str, ...]:
        """The one dim."""
        return (RUN,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of runs."""
        return (len(self.runs),)

    @property
    def whole(self) -> range | None:
        """The ids of all runs, where they count up by one."""
        return self.runs if isinstance(self.runs, range) else None

    def ids(self, indices: Sequence[Ints]) -> Ints:
        """Return the ids at these indices."""
        (index,) = indices
        if isinstance(self.runs, range):
            return index + self.runs.start
        return self.runs[index]


def is_dense(catalogue: Catalogue, status: npt.NDArray[np.uint8], *, share: int = 10) -> bool:
    """Return whether at least one cell in ``share`` of the catalogue's product exists."""
    cells = 1
    for size in catalogue.shape:
        cells *= size
    known = -int(np.count_nonzero(status == Status.SKIPPED))
    for block in catalogue.blocks:
        stands_for = 1
        for dim in block.inactive:
            stands_for *= catalogue.shape[dim]
        known += len(block) * stands_for
    return known * share >= cells
