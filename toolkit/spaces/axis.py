"""What a space is made of: columns of labels along dims, and fields over several dims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.spaces import labels as lb
from toolkit.spaces.sliced import Sliced

if TYPE_CHECKING:
    import xarray as xr

Array: TypeAlias = npt.NDArray[Any]
Positions: TypeAlias = npt.NDArray[np.int64]
Kind: TypeAlias = Literal["axis", "rows", "constant", "replicates"]


class Inactive:
    """The one value of a parameter that does not matter in a run."""

    def __reduce__(self) -> str:
        """Pickle as the name of the one value."""
        return "INACTIVE"

    def __repr__(self) -> str:
        """Return its name."""
        return "INACTIVE"


INACTIVE: Final = Inactive()


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One parameter along one dim.

    Parameters
    ----------
    name
        The parameter.
    labels
        Canonical labels, shape ``(size,)``.
    objects
        What runs receive, where that is not the label itself.
    attrs
        Attributes such as ``units`` and ``long_name``.
    required
        Whether something must use it; not so for what only labels a dim.
    """

    name: str
    labels: Array
    objects: tuple[object, ...] | None = None
    attrs: Mapping[str, object] = field(default_factory=dict)
    required: bool = True

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.labels)

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same name, labels and objects."""
        if not isinstance(other, Column):
            return NotImplemented
        return (
            self.name == other.name
            and self.labels.shape == other.labels.shape
            and bool(np.all(lb.same(self.labels, other.labels)))
            and _same_objects(self.objects, other.objects)
        )

    __hash__ = None  # type: ignore[assignment]

    def take(self, positions: Positions) -> "Column":
        """Return the column of some positions, shape ``(n,)``, in their order."""
        objects = (
            None if self.objects is None else tuple(self.objects[p] for p in positions.tolist())
        )
        return Column(
            name=self.name,
            labels=self.labels[positions],
            objects=objects,
            attrs=self.attrs,
            required=self.required,
        )

    def values(self, positions: Positions) -> list[Any]:
        """Return what runs receive: Python scalars, np.datetime64, or the labelled objects.

        Parameters
        ----------
        positions
            Shape ``(n,)``; -1 gives ``INACTIVE``.
        """
        positions = np.asarray(positions, dtype=np.int64)
        if self.objects is not None:
            objects = (*self.objects, INACTIVE)
            return [objects[p] for p in positions.tolist()]
        values = lb.scalars(self.labels[positions])
        if positions.size and positions.min() < 0:
            for at in np.flatnonzero(positions < 0).tolist():
                values[at] = INACTIVE
        return values

    def array(self, positions: Positions) -> Array:
        """Return the same as an array, shape ``(n,)``, of objects for objects and ``INACTIVE``."""
        positions = np.asarray(positions, dtype=np.int64)
        if self.objects is None and not (positions < 0).any():
            return self.labels[positions]
        out = np.empty(positions.shape, dtype=object)
        out[:] = self.values(positions) if positions.size else []
        return out

    @property
    def is_written_out(self) -> bool:
        """Whether the labels are made from the objects, and not given with them."""
        return self.objects is not None and self.labels.tolist() == [
            lb.text_label(o) for o in self.objects
        ]

    def digests(self) -> npt.NDArray[np.uint64]:
        """Return a digest of the name with each label, shape ``(size, 2)``.

        A number among mixed values digests as the number, so that an axis that is later
        extended by None or a text keeps its streams.
        """
        out = lb.digests(self.name, self.labels)
        if self.objects is not None and self.is_written_out:
            for at, value in enumerate(self.objects):
                if value is None:
                    out[at] = lb.hashed(self.name, "none")
                    continue
                labels, objects = lb.labelled([value])
                if objects is None and not lb.not_finite(labels).size:
                    out[at] = lb.digests(self.name, labels)[0]
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Dim:
    """A dim of a space with the parameters that vary together along it.

    Parameters
    ----------
    name
        The dim. A column of the same name labels it.
    size
        Number of positions.
    columns
        The parameters, each with ``size`` labels.
    kind
        ``axis``: one column named like the dim, its labels unique. ``rows``: a zip, sample or
        table. ``constant``: one column of size 1, hidden on reading. ``replicates``: labels are
        the numbers of the repetitions.
    common
        Whether all points share the streams of these replicates.
    hidden
        Whether the dim is left out on reading: constants, and what was selected by one label.
    numbers
        Labels of rows that no column labels, shape ``(size,)``; None for 0 … size-1.
    copies
        Which of several equal rows each is, shape ``(size,)``; None where no two are equal.
    """

    name: str
    size: int
    columns: tuple[Column, ...]
    kind: Kind
    common: bool = False
    hidden: bool = False
    numbers: Positions | None = None
    copies: Positions | None = None

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same labels under the same names."""
        if not isinstance(other, Dim):
            return NotImplemented
        return (
            (self.name, self.size, self.kind, self.common, self.hidden)
            == (other.name, other.size, other.kind, other.common, other.hidden)
            and self.columns == other.columns
            and bool(np.array_equal(self.labels, other.labels))
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def labels(self) -> Array:
        """Labels, shape ``(size,)``: those of the column of the dim's name, else row numbers."""
        named = self.label_column
        if named is not None:
            return named.labels
        return np.arange(self.size, dtype=np.int64) if self.numbers is None else self.numbers

    @property
    def label_column(self) -> Column | None:
        """The column that bears the name of the dim, if there is one."""
        return next((column for column in self.columns if column.name == self.name), None)

    def take(self, positions: Positions, *, hidden: bool | None = None) -> "Dim":
        """Return the dim at some positions, shape ``(n,)``, in their order."""
        numbers = (
            self.labels[positions] if self.kind == "rows" and self.label_column is None else None
        )
        copies = None if self.copies is None else self.copies[positions]
        hide = self.hidden if hidden is None else hidden
        return Dim(
            name=self.name,
            size=len(positions),
            columns=tuple(column.take(positions) for column in self.columns),
            kind="constant" if self.kind == "axis" and hide else self.kind,
            common=self.common,
            hidden=hide,
            numbers=numbers,
            copies=copies if copies is not None and copies.any() else None,
        )

    def digests(self, names: frozenset[str] | None = None) -> npt.NDArray[np.uint64]:
        """Return the sum of the digests of the columns, shape ``(size, 2)``.

        Parameters
        ----------
        names
            The parameters that count; None for all. What labels the rows counts with any of them.
        """
        out = np.zeros((self.size, 2), dtype=np.uint64)
        for column in self.columns:
            if (
                names is None
                or column.name in names
                or (self.kind == "rows" and column.name == self.name)
            ):
                out += column.digests()
        if self.copies is not None:
            again = self.copies > 0
            out[again] += lb.digests("\0copy", self.copies[again])
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A parameter over two or more dims of the space, or whose values have inner dims.

    Parameters
    ----------
    name
        The parameter.
    dims
        The dims of the space that it lies along, the first dims of ``data``.
    data
        All values. What is lazy is read a slice at a time.
    """

    name: str
    dims: tuple[str, ...]
    data: "xr.DataArray"
    required: bool = True

    @property
    def inner(self) -> tuple[str, ...]:
        """Dims that stay inside of the values."""
        return tuple(str(dim) for dim in self.data.dims[len(self.dims) :])

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same values under the same name."""
        if not isinstance(other, Field):
            return NotImplemented
        if (self.name, self.dims) != (other.name, other.dims):
            return False
        return self.data is other.data or bool(self.data.identical(other.data))

    __hash__ = None  # type: ignore[assignment]

    def take(self, dim: str, positions: Positions) -> "Field":
        """Return the field at some positions along one of its dims."""
        return Field(
            name=self.name,
            dims=self.dims,
            data=self.data.isel({dim: positions}),
            required=self.required,
        )

    def values(self, positions: tuple[Positions, ...]) -> list[Any]:
        """Return what runs receive: Python scalars, or DataArrays in memory with the inner dims.

        Parameters
        ----------
        positions
            One array of shape ``(n,)`` per dim in ``dims``.
        """
        if not self.inner:
            return lb.scalars(self.array(positions))
        return list(self.sliced(positions))

    def sliced(self, positions: tuple[Positions, ...]) -> Sequence[Any]:
        """Return values with inner dims of runs, each read when it is asked for."""
        return Sliced(self._slice, positions) if positions else [self._slice()]

    def array(self, positions: tuple[Positions, ...]) -> Array:
        """Return the values for a vectorized stage, shape ``(n, *inner shape)``."""
        import xarray as xr

        pointwise = {
            dim: xr.DataArray(p, dims="_point") for dim, p in zip(self.dims, positions, strict=True)
        }
        chosen = self.data.isel(pointwise)
        if pointwise:
            chosen = chosen.transpose("_point", ...)
        return np.asarray(chosen.compute(scheduler="synchronous").values)

    def _slice(self, *at: int) -> "xr.DataArray":
        chosen = self.data.isel(dict(zip(self.dims, at, strict=True)))
        return chosen.compute(scheduler="synchronous")


def _same_objects(a: tuple[object, ...] | None, b: tuple[object, ...] | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(x is y or (type(x) is type(y) and _equal(x, y)) for x, y in zip(a, b, strict=True))


def _equal(x: object, y: object) -> bool:
    try:
        return bool(np.all(x == y))
    except (TypeError, ValueError):
        return False
