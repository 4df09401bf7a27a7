"""From one returned value to numbers, text or bytes that can be stored, nothing cut or guessed."""

import datetime
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StageError
from toolkit.stages.output import is_dataarray, is_series, plain_attrs
from toolkit.stages.schema import Array, Kind, dtype_text

_INT64 = range(-(2**63), 2**63)


_SCALARS: dict[type, str] = {
    float: "<f8",
    int: "<i8",
    bool: "|b1",
    complex: "<c16",
    str: "",
    np.str_: "",
    np.bool_: "|b1",
    **{
        kind: dtype_text(kind)
        for kind in (
            *(np.float64, np.float32, np.float16, np.complex128, np.complex64),
            *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        )
    },
}


@dataclass
class Leaf:
    """One value in the form in which it is stored; ``dims`` is None where they have no names."""

    kind: Kind
    data: Any
    dims: tuple[str, ...] | None = None
    attrs: dict[str, object] = field(default_factory=dict)


def read_leaf(name: str, value: Any, n: int | None) -> Leaf:
    """Return one value as it is stored.

    Parameters
    ----------
    name
        The output.
    value
        Anything but None.
    n
        None: the value of one run. Else of n runs, along its first dim.

    Raises
    ------
    StageError
        If it cannot be stored, or is not n values.
    """
    dims, attrs = None, {}
    if is_dataarray(value):
        dims, attrs = tuple(map(str, value.dims)), plain_attrs(value.attrs)
        leaf = _array_leaf(name, np.asarray(value.values), n)
    elif is_series(value):
        dims = (str(value.index.name or "index"),)
        leaf = _array_leaf(name, np.asarray(value), n)
    elif n is not None:
        leaf = _array_leaf(name, _as_array(value), n)
    elif isinstance(value, str):
        leaf = Leaf("text", np.array(str(value), dtype=object), ())
    elif isinstance(value, bool | int | float | complex | np.generic):
        leaf = _array_leaf(name, _number(name, value), None)
    elif isinstance(value, datetime.date | datetime.timedelta):
        leaf = _array_leaf(name, _date(name, value), None)
    else:
        array = None if isinstance(value, Mapping) else _array_within(value)
        leaf = Leaf("object", dump(value)) if array is None else _array_leaf(name, array, None)
        if leaf.kind == "object":
            leaf.data = dump(value)
    if n is not None:
        shape = np.shape(leaf.data)[:1] if not isinstance(leaf.data, list) else (len(leaf.data),)
        if shape != (n,):
            found = np.shape(_as_array(value))
            raise StageError(
                f"Output {name!r} of a vectorized stage has shape {found}; a batch of {n} runs "
                f"returns ({n}, …). Return one entry a run along the first dim."
            )
        dims = None if dims is None else dims[1:]
    leaf.attrs = attrs
    leaf.dims = dims
    return leaf


def scalar_dtype(kind: type) -> str | None:
    """Return the numpy type that values of this Python or numpy type are stored in.

    ``""`` for text; None for types that are not scalars, or whose values need a closer look.

    Examples
    --------
    >>> scalar_dtype(float), scalar_dtype(str), scalar_dtype(list)
    ('<f8', '', None)
    """
    return _SCALARS.get(kind)


def dump(value: object) -> npt.NDArray[np.uint8]:
    """Return an object's pickle as bytes; classes of notebooks and scripts travel by value.

    Raises
    ------
    StageError
        If it cannot be pickled.
    """
    try:
        import cloudpickle

        dumps: Callable[..., bytes] = cloudpickle.dumps
    except ImportError:
        dumps = pickle.dumps
    try:
        return np.frombuffer(dumps(value, protocol=5), np.uint8)
    except Exception as error:
        raise StageError(
            f"A {type(value).__name__} cannot be stored, because it cannot be pickled: {error}. "
            "Return numbers, arrays or text made from it."
        ) from error


def to_nanoseconds(name: str, array: Array) -> Array:
    """Return dates or timedeltas in nanoseconds.

    Raises
    ------
    StageError
        If one is outside of what these hold.
    """
    target = np.dtype(f"<{array.dtype.kind}8[ns]")
    if np.datetime_data(array.dtype)[0] == "generic":  # a NaT without a unit
        array = array.astype(target)
    try:
        converted = array.astype(target)
        is_held = np.array_equal(converted.astype(array.dtype), array, equal_nan=True)
    except OverflowError:  # numpy before 2.5 wraps around instead
        is_held = False
    if not is_held:
        raise StageError(
            f"Output {name!r} has a date that nanoseconds cannot hold (1677 to 2262). "
            "Return a number or text."
        )
    return converted


def _array_within(value: Any) -> Array | None:
    """Return the array that an array or a list of numbers is, or None for other objects."""
    if isinstance(value, np.ma.MaskedArray):
        return None
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list | tuple | range):
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, OverflowError):
            return None
        if array.dtype.kind in "US":  # numpy writes numbers among text as text
            array = np.asarray(value, dtype=object)
        plain = array.dtype != object or _is_text(array) or _is_dates(array)
        return array if plain else None
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a torch tensor
        return np.asarray(value.detach().cpu())
    if hasattr(type(value), "__array__"):
        return np.asarray(value)
    return None


def _as_array(value: Any) -> Array:
    array = _array_within(value)
    return np.asarray(value, dtype=object) if array is None else array


def _array_leaf(name: str, array: Array, n: int | None) -> Leaf:
    kind = array.dtype.kind
    if kind in "mM":
        return Leaf("fixed", to_nanoseconds(name, array))
    if kind in "biufc":
        if array.dtype.char in "gG":
            raise StageError(
                f"Output {name!r} has numpy's {array.dtype.name}, which other machines cannot "
                "read. Return np.float64 or np.complex128 values."
            )
        return Leaf("fixed", array.astype(dtype_text(array.dtype)))
    if kind in "UT" or (kind == "O" and array.size and _is_text(array)):
        return Leaf("text", array.astype(str).astype(object))
    if kind == "O" and array.size and _is_dates(array):
        return Leaf(
            "fixed", np.stack([_date(name, item) for item in array.ravel()]).reshape(array.shape)
        )
    if n is not None and array.ndim:
        return Leaf("object", [dump(item) for item in array])
    return Leaf("object", dump(array))


def _is_text(array: Array) -> bool:
    return all(isinstance(item, str) for item in array.ravel())


def _is_dates(array: Array) -> bool:
    items = array.ravel()
    return all(isinstance(item, datetime.date) for item in items) or all(
        isinstance(item, datetime.timedelta) for item in items
    )


def _number(name: str, value: Any) -> Array:
    if isinstance(value, int) and not isinstance(value, bool):
        if int(value) not in _INT64:
            raise StageError(
                f"Output {name!r} is an int beyond 64 bits ({str(value)[:20]}…). "
                "Return float(…) or str(…) of it."
            )
        return np.array(int(value), dtype=np.int64)
    return np.asarray(value)


def _date(name: str, value: Any) -> Array:
    if getattr(value, "tzinfo", None) is not None:
        raise StageError(
            f"Output {name!r} is a date with a time zone. Return it in UTC without one: "
            ".astimezone(datetime.UTC).replace(tzinfo=None)."
        )
    if isinstance(value, datetime.timedelta):
        return to_nanoseconds(name, np.asarray(np.timedelta64(value)))
    if hasattr(value, "to_datetime64"):  # a pandas Timestamp has nanoseconds of its own
        return to_nanoseconds(name, np.asarray(value.to_datetime64()))
    return to_nanoseconds(name, np.asarray(np.datetime64(value)))
