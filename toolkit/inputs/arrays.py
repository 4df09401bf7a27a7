"""Arrays among frozen inputs: any order, dtype and subclass, read-only when they come back."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def reduce(array: Array, store: Callable[[Array, bool], Any]) -> Any:
    """Return how an array is pickled.

    Parameters
    ----------
    array
        The array; its subclass is kept, but a memory map becomes a plain array.
    store
        Takes the array's bytes, uint8 of shape ``(n_bytes,)``, and whether they may be written.
    """
    kind = type(array)
    if isinstance(array, np.ma.MaskedArray):
        parts = array.data, np.ma.getmask(array), array.fill_value, bool(array.hardmask)
        return masked, (kind, *parts)
    if kind is not np.ndarray and not issubclass(kind, np.memmap):
        if kind.__reduce__ is not np.ndarray.__reduce__:
            return NotImplemented  # it knows how to be pickled
        return subclass, (kind, array.view(np.ndarray), dict(getattr(array, "__dict__", {})))
    plain = np.asarray(array)
    if plain.dtype.hasobject or plain.dtype.itemsize == 0:
        return sealed, tuple(plain.__reduce__())
    is_fortran = plain.flags.f_contiguous and not plain.flags.c_contiguous
    if plain.dtype.names is not None:
        plain = _without_gaps(plain)
    contiguous = np.ascontiguousarray(plain.T if is_fortran else plain)
    data = contiguous.reshape(-1).view(np.uint8)
    return mapped, (store(data, False), plain.dtype, plain.shape, "F" if is_fortran else "C")


def mapped(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> Array:
    """Return the array over a buffer, read-only as the buffer is."""
    return np.ndarray(shape, dtype, buffer=data, order=order)


def sealed(function: Callable[..., Array], arguments: Any, state: Any) -> Array:
    """Return an array of objects or text of any length, read-only."""
    array = function(*arguments)
    array.__setstate__(state)
    array.flags.writeable = False
    return array.view()  # of a view the flag cannot be set back


def subclass(kind: type[Array], array: Array, attributes: dict[str, object]) -> Array:
    """Return the array as a view of its subclass, with the attributes that it had."""
    view = array.view(kind)
    vars(view).update(attributes) if attributes else None
    return view


def masked(kind: Any, data: Array, mask: Any, fill_value: Any, is_hard: bool) -> Array:
    """Return a masked array over read-only data."""
    return kind(data, mask=mask, fill_value=fill_value, hard_mask=is_hard, copy=False)  # type: ignore[no-any-return]


def _without_gaps(records: Array) -> Array:
    """Return a copy with zeros between the fields, where else anything may be."""
    copy = np.zeros_like(records, order="K", subok=False)
    _copy_fields(copy, records)
    return copy


def _copy_fields(to: Array, source: Array) -> None:
    if to.dtype.names is None:
        to[...] = source
    else:
        for name in to.dtype.names:
            _copy_fields(to[name], source[name])


def same(value: object) -> object:
    """Return the value itself."""
    return value
