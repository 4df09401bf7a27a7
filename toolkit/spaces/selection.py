"""Positions along a dim from labels, slices and integers."""

import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Dim
from toolkit.spaces.build import unknown

if TYPE_CHECKING:
    from toolkit.spaces.space import Space

Chosen: TypeAlias = tuple[npt.NDArray[np.int64], bool]
"""Positions along a dim, and whether one label was asked for, which hides the dim."""


class HasDims(Protocol):
    """What has dims with labels: a space, or the catalogue of a store."""

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The dims in their order."""


def by_label(space: "HasDims", name: str, wanted: object, method: str | None = None) -> Chosen:
    """Return the positions of labels along a dim of a space.

    Parameters
    ----------
    space, name
        The space and its dim (for a constant, its parameter).
    wanted
        One label, a list of labels, or a slice of labels that includes both ends.
    method
        ``"nearest"`` for the nearest number or date.
    """
    dim = _dim(space, name)
    if method not in (None, "nearest"):
        raise SpaceError(
            f"sel: the method {method!r} is not known.\nUse method='nearest', or none."
        )
    if isinstance(wanted, slice):
        return _slice(dim, wanted), False
    one = _is_one(wanted)
    asked = [wanted] if one else wanted
    labels = _canonical(dim, asked)
    found = _nearest(dim, labels) if method else lb.match(dim.labels, labels, rtol=lb.NEAR)
    if found.size == 0:
        raise SpaceError(f"sel({name}=[]) leaves nothing.\nGive at least one label.")
    if (found < 0).any():
        raise _absent(dim, labels[found < 0])
    if len(set(found.tolist())) < found.size:
        raise SpaceError(f"sel({name}=...) asks for a label more than once.\nGive each label once.")
    return found, one


def by_position(space: "Space", name: str, wanted: Any) -> Chosen:
    """Return positions along a dim of a space from an integer, a list or booleans, or a slice."""
    dim = _dim(space, name)
    everything = np.arange(dim.size, dtype=np.int64)
    try:
        found = np.asarray(
            everything[np.asarray(wanted) if isinstance(wanted, list) and wanted else wanted]
        )
    except (IndexError, TypeError, ValueError):
        raise SpaceError(
            f"isel({name}={wanted!r}) does not fit: {name!r} has {dim.size} positions, 0 to "
            f"{dim.size - 1}."
        ) from None
    one = found.ndim == 0
    found = found.reshape(-1).astype(np.int64)
    if found.size == 0:
        raise SpaceError(
            f"isel({name}={wanted!r}) leaves nothing: {name!r} has {dim.size} positions."
        )
    if len(set(found.tolist())) < found.size:
        raise SpaceError(
            f"isel({name}=...) asks for a position more than once.\nGive each position once."
        )
    return found, one


def _dim(space: "HasDims", name: str) -> Dim:
    for dim in space.dims:
        if dim.name == name:
            return dim
        if any(column.name == name for column in dim.columns):
            raise SpaceError(
                f"{name!r} varies together with others along {dim.name!r} and does not label it.\n"
                f"Use where(lambda {name}: ...), or select by {dim.name}."
            )
    raise unknown("the dim", name, [dim.name for dim in space.dims])


def _is_one(wanted: object) -> bool:
    if isinstance(wanted, (str, bytes)) or wanted is None:
        return True
    if hasattr(wanted, "__array__") and hasattr(wanted, "shape"):
        return np.ndim(wanted) == 0
    return not isinstance(wanted, (list, tuple, set, range))


def _canonical(dim: Dim, wanted: Any) -> lb.Array:
    """Return labels of the kind that the dim has."""
    if hasattr(wanted, "__array__") and np.ndim(wanted) > 1:
        raise SpaceError(
            f"sel({dim.name}=...) takes one dimension of labels, found shape {np.shape(wanted)}."
        )
    items = [
        item.item() if isinstance(item, np.ndarray) and item.dtype.kind not in "mM" else item
        for item in wanted
    ]
    items = [item[()] if isinstance(item, np.ndarray) else item for item in items]
    kind = lb.kind_of(dim.labels)
    column = dim.label_column
    if kind == "text" and column is not None and column.objects is not None:
        return np.array([lb.without_address(lb.text_label(item)) for item in items], dtype=np.str_)
    if kind in ("date", "duration"):
        return (
            np.concatenate([_time(dim, item, kind) for item in items]) if items else dim.labels[:0]
        )
    return lb.as_labels(items)


def _time(dim: Dim, item: object, kind: str) -> lb.Array:
    try:
        if isinstance(item, str):
            item = np.datetime64(item) if kind == "date" else item
        return lb.as_labels([item])
    except ValueError:
        raise SpaceError(
            f"sel({dim.name}={item!r}): this is not a date.\nWrite '2020-01-31' or a datetime."
        ) from None


def _nearest(dim: Dim, labels: lb.Array) -> npt.NDArray[np.int64]:
    known = dim.labels
    if lb.kind_of(known) not in ("number", "date", "duration") or lb.kind_of(labels) != lb.kind_of(
        known
    ):
        raise SpaceError(
            f"sel({dim.name}=..., method='nearest') needs numbers or dates, found "
            f"{lb.kind_of(known)}."
        )
    return np.array([int(np.argmin(np.abs(known - label))) for label in labels], dtype=np.int64)


def _slice(dim: Dim, wanted: slice) -> npt.NDArray[np.int64]:
    known = dim.labels
    kind = lb.kind_of(known)
    if kind in ("text", "bool"):
        first = 0 if wanted.start is None else int(_positions(dim, wanted.start)[0])
        last = dim.size - 1 if wanted.stop is None else int(_positions(dim, wanted.stop)[0])
        inside = np.arange(first, last + 1, dtype=np.int64)
    else:
        keep = np.ones(dim.size, dtype=bool)
        if wanted.start is not None:
            low = _bound(dim, wanted.start)
            keep &= (known >= low) | lb.same(known, low, rtol=lb.NEAR)
        if wanted.stop is not None:
            high = _bound(dim, wanted.stop, upper=True)
            keep &= (known <= high) | lb.same(known, high, rtol=lb.NEAR)
        inside = np.flatnonzero(keep)
    inside = inside[:: wanted.step]
    if inside.size == 0:
        raise SpaceError(
            f"sel({dim.name}=slice({wanted.start!r}, {wanted.stop!r})) leaves nothing.\n"
            f"{dim.name!r} has {_some(known)}."
        )
    return inside


def _bound(dim: Dim, value: Any, *, upper: bool = False) -> lb.Array:
    """Return an end of a slice, shape ``(1,)``; the upper end "2020" is that year's last moment."""
    if upper and isinstance(value, str) and lb.kind_of(dim.labels) == "date":
        coarse = np.datetime64(value)
        unit: Any = np.datetime_data(coarse.dtype)[0]
        value = (coarse + np.timedelta64(1, unit)).astype("M8[ns]") - np.timedelta64(1, "ns")
    elif upper and type(value) is datetime.date:
        value = np.datetime64(value).astype("M8[ns]")
    bound = _canonical(dim, [value])
    if lb.kind_of(bound) != lb.kind_of(dim.labels):
        raise SpaceError(
            f"sel({dim.name}=slice(...)): {value!r} cannot be compared with {_some(dim.labels)}."
        )
    return bound


def _positions(dim: Dim, label: object) -> npt.NDArray[np.int64]:
    labels = _canonical(dim, [label])
    found = lb.match(dim.labels, labels)
    if (found < 0).any():
        raise _absent(dim, labels)
    return found


def _absent(dim: Dim, labels: lb.Array) -> SpaceError:
    missing = ", ".join(repr(label) for label in lb.scalars(labels)[:5])
    return SpaceError(
        f"{dim.name!r} has no label {missing}.\nIt has {_some(dim.labels)}; "
        "use method='nearest' or a slice for numbers, or extend the space."
    )


def _some(labels: lb.Array) -> str:
    shown = [str(label) for label in lb.scalars(labels[:6])]
    if len(labels) > 6:
        shown[5:] = ["…", str(lb.scalars(labels[-1:])[0])]
    return ", ".join(shown)
