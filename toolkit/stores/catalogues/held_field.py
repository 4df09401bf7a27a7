"""Parameters over several dims, as a catalogue holds them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.spaces.axis import INACTIVE, Dim, Field
from toolkit.spaces.labels import SAME, kind_of, scalars
from toolkit.stores.catalogues.box import Ints
from toolkit.stores.catalogues.matching import Source


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldField:
    """A parameter over several dims of a catalogue.

    Parameters
    ----------
    name
        The parameter.
    dims
        Numbers of the catalogue's dims.
    values
        Values seen so far, shape: the sizes of these dims; None where values have inner dims,
        which stay in the space that gave them.
    known
        Where a value has been seen, of the same shape.
    source
        The field of the last space, for values with inner dims.
    places
        Position in ``source`` for each position along each dim, -1 where it has none.
    """

    name: str
    dims: tuple[int, ...]
    values: npt.NDArray[Any] | None = None
    known: npt.NDArray[np.bool_] | None = None
    source: Field | None = None
    places: tuple[Ints, ...] = ()

    def take(self, positions: tuple[Ints, ...], n: int) -> Sequence[Any]:
        """Return what n runs receive at these positions (one array for each dim)."""
        inactive = self.inactive(positions, n)
        if self.values is None:
            field, places = self._in_source(positions)
            sliced = field.sliced(places)
            if places and not inactive.any():
                return sliced
            taken = list(sliced) * (1 if places else n)
        else:
            taken = list(scalars(self.values[positions]))
        for at in np.flatnonzero(inactive).tolist():
            taken[at] = INACTIVE
        return taken

    def array(self, positions: tuple[Ints, ...], n: int) -> npt.NDArray[Any]:
        """Return the same for vectorized stages, shape ``(n, …)``."""
        if self.inactive(positions, n).any():
            out = np.empty(n, dtype=object)
            out[:] = self.take(positions, n)
            return out
        if self.values is None:
            field, places = self._in_source(positions)
            array = field.array(places)
            return array if places else np.broadcast_to(array, (n, *array.shape))
        found: npt.NDArray[Any] = self.values[positions]
        return found

    def inactive(self, positions: tuple[Ints, ...], n: int) -> npt.NDArray[np.bool_]:
        """Return at which of n points some dim, and so the parameter, does not matter."""
        inactive = np.zeros(n, dtype=bool)
        for at in positions:
            inactive |= at < 0
        return inactive

    def _in_source(self, positions: tuple[Ints, ...]) -> tuple[Field, tuple[Ints, ...]]:
        if self.source is not None:
            places = tuple(p[at] for p, at in zip(self.places, positions, strict=True))
            if all(bool((at >= 0).all()) for at in places):
                return self.source, places
        raise StoreError(
            f"The values of parameter {self.name!r} are not stored, for they have dims of their "
            "own: they are there for the runs of the space that gives them only."
        )


def hold(
    held: Sequence[HeldField],
    field: Field,
    asked: tuple[Dim, ...],
    dims: tuple[Dim, ...],
    sources: tuple[Source, ...],
) -> HeldField:
    """Return a space's field in the dims of a catalogue, checked against what is held.

    Raises
    ------
    StoreError
        If a value differs from the one held, or the field's dims are others.
    """
    before = next((one for one in held if one.name == field.name), None)
    numbers, places = _homes(field, asked, sources)
    shape = tuple(dims[number].size for number in numbers)
    if before is not None and set(before.dims) != set(numbers):
        there = ", ".join(dims[number].name for number in before.dims)
        raise StoreError(
            f"Parameter {field.name!r} lies along {there} in the store and along "
            f"{', '.join(field.dims)} in this space, so its runs cannot be mapped to the store's. "
            "Use another store."
        )
    if field.inner:
        back = []
        for size, at in zip(shape, places, strict=True):
            place = np.full(size, -1, dtype=np.int64)
            place[at] = np.arange(len(at))
            back.append(place)
        return HeldField(name=field.name, dims=numbers, source=field, places=tuple(back))
    given = np.asarray(field.data.values)
    if before is None or before.values is None or before.known is None:
        values, known = np.zeros(shape, dtype=given.dtype), np.zeros(shape, dtype=bool)
    else:
        moved = [before.dims.index(number) for number in numbers]
        values = _padded(before.values.transpose(moved), shape)
        known = _padded(before.known.transpose(moved), shape)
    cells = np.ix_(*places)
    if known.any():
        _check_same(field, values[cells], given, known[cells])
    dtype = values.dtype
    if values.dtype != given.dtype:
        dtype = np.result_type(values.dtype, given.dtype)
    values = values.astype(dtype)
    fresh = ~known[cells]
    values[cells] = np.where(fresh, given, values[cells])
    known[cells] = True
    return HeldField(name=field.name, dims=numbers, values=values, known=known)


def unite(
    held: Sequence[HeldField],
    other: HeldField,
    asked: tuple[Dim, ...],
    dims: tuple[Dim, ...],
    sources: tuple[Source, ...],
) -> HeldField:
    """Return another catalogue's field in the dims of a catalogue, with what that holds of it.

    Raises
    ------
    StoreError
        If a value differs from the one held, or the field's dims are others.
    """
    names = tuple(asked[number].name for number in other.dims)
    before = next(one for one in held if one.name == other.name)
    numbers, places = _homes_of(other.name, names, asked, sources)
    if set(before.dims) != set(numbers):
        raise StoreError(f"Parameter {other.name!r} lies along other dims there: {names}.")
    shape = tuple(dims[number].size for number in numbers)
    if other.values is None or before.values is None:
        return HeldField(name=other.name, dims=numbers)
    assert before.known is not None
    assert other.known is not None
    moved = [before.dims.index(number) for number in numbers]
    values = _padded(before.values.transpose(moved), shape)
    known = _padded(before.known.transpose(moved), shape)
    values = values.astype(np.result_type(values.dtype, other.values.dtype))
    cells = np.ix_(*places)
    both = known[cells] & other.known
    here, there = values[cells][both], other.values[both]
    is_same = (here == there) | ((here != here) & (there != there))
    if kind_of(here) == "number" == kind_of(there):
        with np.errstate(invalid="ignore"):
            near = np.abs(here - there) <= SAME * np.maximum(np.abs(here), np.abs(there))
        is_same |= near
    if not is_same.all():
        raise StoreError(
            f"Parameter {other.name!r} has other values there under the same labels: "
            f"{there[~is_same][0]!r}, and {here[~is_same][0]!r} here "
            f"({int((~is_same).sum())} such cells)."
        )
    values[cells] = np.where(known[cells], values[cells], other.values)
    known[cells] |= other.known
    return HeldField(name=other.name, dims=numbers, values=values, known=known)


def without_source(field: HeldField) -> HeldField:
    """Return the field as a store on disk knows it."""
    return replace(field, source=None, places=())


def _homes(
    field: Field, asked: tuple[Dim, ...], sources: tuple[Source, ...]
) -> tuple[tuple[int, ...], list[Ints]]:
    """Return the catalogue's dims of a field and the positions there along each."""
    return _homes_of(field.name, field.dims, asked, sources)


def _homes_of(
    parameter: str, along: Sequence[str], asked: tuple[Dim, ...], sources: tuple[Source, ...]
) -> tuple[tuple[int, ...], list[Ints]]:
    names = [dim.name for dim in asked]
    numbers, places = [], []
    for name in along:
        dim = names.index(name)
        homes = [
            number
            for number, source in enumerate(sources)
            if source.varying() == (dim,) or (asked[dim].size == 1 and source.dims == (dim,))
        ]
        if len(homes) != 1:
            raise StoreError(
                f"Parameter {parameter!r} lies along {name!r}, which is no single dim of the "
                "store, so its runs cannot be mapped to the store's. Use another store."
            )
        numbers.append(homes[0])
        places.append(sources[homes[0]].positions)
    return tuple(numbers), places


def _padded(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    padded = np.zeros(shape, dtype=array.dtype)
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded


def _check_same(
    field: Field,
    held: npt.NDArray[Any],
    given: npt.NDArray[Any],
    known: npt.NDArray[np.bool_],
) -> None:
    if given.dtype != object and kind_of(held) == "number" == kind_of(given):
        with np.errstate(invalid="ignore"):
            near = np.abs(held - given) <= SAME * np.maximum(np.abs(held), np.abs(given))
        equal = near | (held == given) | (np.isnan(held) & np.isnan(given))
    else:
        equal = held == given
    wrong = np.argwhere(known & ~equal)
    if len(wrong) == 0:
        return
    cell = tuple(wrong[0].tolist())
    labels = []
    for dim, index in zip(field.dims, cell, strict=True):
        coordinate = field.data.coords.get(dim)
        label = index if coordinate is None else coordinate.values[index]
        labels.append(f"{dim}={label}")
    raise StoreError(
        f"Parameter {field.name!r} differs from what the store holds at {', '.join(labels)}: "
        f"{given[cell]!r} here, {held[cell]!r} there ({len(wrong)} such cells). Results under "
        "these labels belong to the old values: use another store, or other labels."
    )
