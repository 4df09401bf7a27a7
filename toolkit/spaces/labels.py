"""Labels: the canonical form of parameter values, by which runs are known."""

import datetime
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError

Array: TypeAlias = npt.NDArray[Any]

SAME: Final = 1e-12
"""Relative distance within which two floats are the same label."""

NEAR: Final = 1e-9
"""Relative distance within which a float that is asked for finds its label."""

_DIGITS: Final = 12
_POWERS: Final = 10.0 ** np.arange(309.0)
_NUMBERS: Final = (int, float, np.integer, np.floating)
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def as_labels(values: object) -> Array:
    """Return the canonical labels of some values.

    Numbers become int64 or float64 (snapped, see :func:`snap`; minus zero is zero), texts a ``U``
    array, dates and durations datetime64[ns] and timedelta64[ns]. What has no such form (None,
    mixed types, objects, integers beyond 64 bits) is labelled by its ``__name__`` or ``str``.

    Parameters
    ----------
    values
        A sequence of values or a one-dimensional array.

    Returns
    -------
    ndarray
        Labels, shape ``(n,)``.

    Examples
    --------
    >>> as_labels([0.1 + 0.2, 1]).tolist()
    [0.3, 1.0]
    >>> as_labels([None, 3, "auto"]).tolist()
    ['None', '3', 'auto']
    """
    return labelled(values)[0]


def labelled(values: object) -> tuple[Array, tuple[object, ...] | None]:
    """Return canonical labels and the objects they stand for, None where labels are the values."""
    if isinstance(values, range):
        return np.arange(values.start, values.stop, values.step, dtype=np.int64), None
    if hasattr(values, "__array__") and not isinstance(values, (list, tuple)):
        array = np.asarray(values)
        plain = _plain_array(array)
        if plain is not None:
            return plain, None
        values = list(array) if array.dtype.kind in "OT" else array.tolist()
    items = list(values)  # type: ignore[call-overload]
    plain = _plain_list(items)
    if plain is not None:
        return plain, None
    objects = tuple(_python(item) for item in items)
    return _texts([text_label(item) for item in objects]), objects


def text_label(value: object) -> str:
    """Return the text that labels a value which has no other label: its ``__name__`` or ``str``."""
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else str(_python(value))


def has_address(label: str) -> bool:
    """Whether a text names a place in memory, which differs in every process."""
    return _ADDRESS.search(label) is not None


def without_address(label: str) -> str:
    """Return a text without the places in memory that it names."""
    return _ADDRESS.sub("", label)


def snap(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return floats of which those within 4 ulp of a decimal of at most 12 digits are that decimal.

    Parameters
    ----------
    values
        Floats of any shape; all others, and what is not finite, are kept bit by bit.

    Examples
    --------
    >>> snap([0.1 * 3, 1 / 3]).tolist() == [0.3, 1 / 3]
    True
    """
    given = np.asarray(values, dtype=np.float64)
    flat = given.ravel()
    out = flat + 0.0
    size = np.abs(flat)
    at = ((size >= 1e-290) & (size < 1e290)).nonzero()[0]
    x, size = flat[at], size[at]
    exponent = np.floor(np.log10(size)).astype(np.int64) - (_DIGITS - 1)
    down, up = _POWERS[np.maximum(-exponent, 0)], _POWERS[np.maximum(exponent, 0)]
    with np.errstate(over="ignore"):
        decimal = np.rint(x * down / up) / down * up  # one of the two powers is 1
    ulp = np.spacing(size)
    off = np.abs(decimal - x)
    rough = off <= 64 * ulp
    if not rough.any():  # as of most that is drawn
        return out.reshape(given.shape)
    # Within 22 powers of ten both factors are exact, so that one division is the nearest float.
    for index in np.flatnonzero(rough & (np.abs(exponent) > 22)):
        decimal[index] = float(f"{x[index]:.{_DIGITS - 1}e}")
    near = np.abs(decimal - x) <= 4 * ulp
    out[at[near]] = decimal[near]
    return out.reshape(given.shape)


def kind_of(labels: Array) -> str:
    """Return number, bool, text, date or duration: labels of two kinds never match."""
    return _KINDS[labels.dtype.kind]


def same(a: Array, b: Array, rtol: float = SAME) -> npt.NDArray[np.bool_]:
    """Return where labels are the same, element by element; floats within ``rtol``."""
    a, b = np.asarray(a), np.asarray(b)
    if kind_of(a) != kind_of(b):
        return np.zeros(np.broadcast_shapes(a.shape, b.shape), dtype=bool)
    equal: npt.NDArray[np.bool_] = np.asarray(a == b)
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            equal |= np.abs(a - b) <= rtol * np.maximum(np.abs(a), np.abs(b))
    return equal


def match(known: Array, wanted: Array, rtol: float = SAME) -> npt.NDArray[np.int64]:
    """Return where each wanted label stands among the known ones.

    Parameters
    ----------
    known, wanted
        Canonical labels, shapes ``(n,)`` and ``(m,)``. Integers and floats compare as numbers; a
        bool is never a number.
    rtol
        Relative distance within which floats are the same.

    Returns
    -------
    ndarray
        Positions in ``known``, shape ``(m,)``, -1 where a label is absent. Of several known labels
        within ``rtol`` the nearest.
    """
    known, wanted = np.asarray(known), np.asarray(wanted)
    found = np.full(wanted.shape, -1, dtype=np.int64)
    if known.size == 0 or wanted.size == 0 or kind_of(known) != kind_of(wanted):
        return found
    if kind_of(known) == "text" and known.size * 8 < wanted.size:
        table = {label: index for index, label in enumerate(known.tolist())}
        return np.array([table.get(label, -1) for label in wanted.tolist()], dtype=np.int64)
    if known.dtype.kind != wanted.dtype.kind and kind_of(known) == "number":
        known, wanted = known.astype(np.float64), wanted.astype(np.float64)
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    right = np.searchsorted(ordered, wanted)
    if known.dtype.kind == "f":
        above = np.minimum(right, known.size - 1)
        below = np.maximum(right - 1, 0)
        with np.errstate(invalid="ignore"):
            nearest = np.where(
                np.abs(ordered[below] - wanted) < np.abs(ordered[above] - wanted), below, above
            )
    else:
        nearest = np.minimum(right, known.size - 1)
    hit = same(ordered[nearest], wanted, rtol)
    found[hit] = order[nearest[hit]]
    return found


def duplicates(labels: Array) -> list[object]:
    """Return up to five labels that occur more than once (floats within 1e-12)."""
    if labels.size < 2:
        return []
    if labels.dtype.kind != "U" and bool(np.all(labels[1:] > labels[:-1])):
        ordered = labels
        if labels.dtype.kind != "f":
            return []
    else:
        ordered = np.sort(labels)
    twice = same(ordered[1:], ordered[:-1])
    return list(dict.fromkeys(ordered[1:][twice].tolist()))[:5]


def not_finite(labels: Array) -> npt.NDArray[np.int64]:
    """Return the positions of labels that are NaN, infinite or not a time."""
    if labels.dtype.kind == "f":
        return np.flatnonzero(~np.isfinite(labels))
    if labels.dtype.kind in "mM":
        return np.flatnonzero(np.isnat(labels))
    return np.empty(0, dtype=np.int64)


def scalars(labels: Array) -> list[Any]:
    """Return labels as Python scalars; dates and durations as NumPy's, which keep nanoseconds."""
    return list(labels) if labels.dtype.kind in "mM" else labels.tolist()


def digests(name: str, labels: Array) -> npt.NDArray[np.uint64]:
    """Return a digest of a parameter's name with each of its labels.

    An integral float digests as the integer, so that an axis may change from one to the other.

    Parameters
    ----------
    name
        The parameter.
    labels
        Canonical labels, shape ``(n,)``.

    Returns
    -------
    ndarray
        Shape ``(n, 2)``: two words of 64 bits a label.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        whole = (np.rint(labels) == labels) & (np.abs(labels) < 2.0**63)
        out = _mixed(name, "float", labels.view(np.uint64))
        integers = labels[whole].astype(np.int64)
        out[whole] = _mixed(name, "int", integers.view(np.uint64))
        return out
    if labels.dtype.kind in "imMb":
        tag = {"i": "int", "m": "duration", "M": "date", "b": "bool"}[labels.dtype.kind]
        return _mixed(name, tag, labels.astype(np.int64).view(np.uint64))
    known: dict[str, tuple[int, int]] = {}
    rows = []
    for label in labels.tolist():
        if label not in known:
            known[label] = hashed(name, "text", label)
        rows.append(known[label])
    return np.array(rows, dtype=np.uint64).reshape(-1, 2)


def hashed(*texts: str) -> tuple[int, int]:
    """Return two words of 64 bits made of some texts by blake2b."""
    # Lengths go in as well: ("ab", "c") and ("a", "bc") are two things.
    message = b"".join(
        len(raw).to_bytes(8, "little") + raw
        for raw in (t.encode("utf-8", "surrogatepass") for t in texts)
    )
    digest = hashlib.blake2b(message, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return 64-bit words scattered one to one over all words (the finaliser of SplitMix64)."""
    words = words ^ (words >> np.uint64(30))
    words = words * np.uint64(0xBF58476D1CE4E5B9)
    words = words ^ (words >> np.uint64(27))
    words = words * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def require_names(names: Iterable[str]) -> None:
    """Raise SpaceError for a name that a parameter or a dim may not have."""
    for name in names:
        if not isinstance(name, str) or not name or "/" in name:
            raise SpaceError(
                f"{name!r} cannot name a parameter: names are texts that are not empty and "
                "hold no '/'.\n"
                "Rename it."
            )
        if name in RESERVED:
            raise SpaceError(
                f"{name!r} cannot name a parameter: the toolkit keeps this name for itself "
                f"(so it does with {', '.join(sorted(RESERVED - {name}))}).\n"
                f"Rename it, for example to '{name}_'."
            )


RESERVED: Final = frozenset(
    {"run", "status", "attempts", "seconds", "peak_memory", "rng", "run_seed"}
)

_KINDS: Final = {
    "f": "number",
    "i": "number",
    "b": "bool",
    "U": "text",
    "M": "date",
    "m": "duration",
}


def _python(value: object) -> object:
    """Return NumPy's scalars as Python's, floats snapped; all else as it is."""
    if isinstance(value, np.generic) and value.dtype.kind not in "mMV":
        value = value.item()
    return float(snap(value)) if type(value) is float else value


def _mixed(name: str, tag: str, bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    keys = np.array(hashed(name, tag), dtype=np.uint64)
    first = mix(bits + keys[:1])
    second = mix((bits ^ (first >> np.uint64(1))) + keys[1:])
    return np.stack([first, second], axis=-1)


def _plain_array(array: Array) -> Array | None:
    if array.ndim != 1:
        raise SpaceError(
            f"labels must lie along one dimension, found an array of shape {array.shape}.\n"
            "Give each of its parts a label ({label: array}), or make a Dataset and use "
            "tk.space(dataset, dims=...)."
        )
    kind = array.dtype.kind
    if kind == "f":
        return snap(array)
    if kind == "b":
        return array.copy()
    if kind == "i" or (kind == "u" and (array.size == 0 or int(array.max()) < 2**63)):
        return array.astype(np.int64)
    if kind == "U":
        return _texts(array.tolist())
    if kind in "mM":
        return _nanoseconds(array)
    return None


def _nanoseconds(array: Array) -> Array | None:
    fine = array.astype(f"{array.dtype.kind}8[ns]")
    unit = np.datetime_data(array.dtype)[0]
    if unit != "generic" and not np.array_equal(fine.astype(array.dtype), array, equal_nan=True):
        return None
    return fine


def _plain_list(items: Sequence[object]) -> Array | None:
    types = set(map(type, items))
    if not types:
        return np.empty(0, dtype=np.float64)
    if types <= {bool, np.bool_}:
        return np.array(items, dtype=bool)
    if types <= {str, np.str_}:
        return _texts(items)
    if all(issubclass(t, (datetime.timedelta, np.timedelta64)) for t in types):
        return _exact_times(items, np.timedelta64)  # before numbers: numpy counts it among its ints
    if all(t in (int, float) or issubclass(t, (np.integer, np.floating)) for t in types):
        return _plain_numbers(items, types)
    if all(issubclass(t, (datetime.date, np.datetime64)) for t in types):
        if any(getattr(item, "tzinfo", None) is not None for item in items):
            return None
        return _exact_times(items, np.datetime64)
    return None


def _texts(items: Sequence[Any]) -> Array:
    """Return labels of text, as every store and file format can hold them.

    Raises
    ------
    SpaceError
        If one holds a NUL character, which numpy drops at its end, or is no valid Unicode.
    """
    try:
        if b"\0" not in "".join(items).encode("utf-8"):
            return np.array(items, dtype=np.str_)
        [wrong, *_] = [item for item in items if "\0" in item]
    except UnicodeEncodeError:
        [wrong, *_] = [item for item in items if any("\ud800" <= c <= "\udfff" for c in item)]
    raise SpaceError(
        f"the text {str(wrong)[:80]!r} cannot be a label: it has a NUL character or a half of a "
        "surrogate pair, which no file format keeps.\nGive it a label of its own: "
        "x={'label': value}."
    )


def _plain_numbers(items: Sequence[Any], types: set[type]) -> Array | None:
    try:
        if all(issubclass(t, (int, np.integer)) for t in types):
            return np.array(items, dtype=np.int64)
        whole = [item for item in items if isinstance(item, (int, np.integer))]
        if any(abs(int(item)) > 2**53 for item in whole):
            return None
        return snap(np.array(items, dtype=np.float64))
    except OverflowError:
        return None


def _exact_times(
    items: Sequence[Any], time: type[np.datetime64] | type[np.timedelta64]
) -> Array | None:
    # pandas' own times know their nanoseconds; datetime's are exact in microseconds.
    coarse = [item.asm8 if hasattr(item, "asm8") else time(item) for item in items]
    parts = [_nanoseconds(np.array([item])) for item in coarse]
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
