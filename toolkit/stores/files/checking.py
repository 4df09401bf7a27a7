"""What a store says of itself, checked before anything is believed."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from toolkit.errors import StoreError, ToolkitError

CHUNK_KEYS = {"name": "default", "configuration": {"separator": "."}}
_LARGEST = 1 << 62
_MOST_DIMS = 32
_CODECS = (["bytes"], ["bytes", "zstd"], ["vlen-utf8"], ["vlen-utf8", "zstd"])
_TYPES = re.compile(r"bool|string|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")


@contextmanager
def readable(path: object) -> Iterator[None]:
    """Turn whatever a store that is damaged, or made up, brings about into one that names it.

    What can be checked at a price is checked where it is read; this is for all that is left.
    """
    try:
        yield
    except ToolkitError:
        raise
    except MemoryError as error:
        raise StoreError(
            f"Store {path} cannot be read with the memory there is ({error}). Select a part of "
            "it, or read it on a machine with more memory."
        ) from error
    except (
        ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError,
        ValueError,
    ) as error:  # fmt: skip
        raise StoreError(
            f"Store {path} cannot be read: what it says does not fit together "
            f"({type(error).__name__}: {str(error)[:500]}). Restore it from a copy."
        ) from error


def checked_key(key: str) -> str:
    """Return the key of a group or array; refuse one that leads out of the store.

    Raises
    ------
    ValueError
        If it has a part that no array of a store has: an empty one, one that begins with a dot
        (so ``..`` and the journals too), a backslash or an unprintable character.
    """
    if any(part == "" or part.startswith(".") for part in key.split("/")) or re.search(
        r"[\x00-\x1f\x7f\\\ud800-\udfff]", key
    ):
        raise ValueError(f"an array under {key[:200]!r}")
    return key


def check_document(key: str, document: Mapping[str, Any]) -> None:
    """Refuse the document of a group or an array that no store has.

    Raises
    ------
    ValueError
        If a size is none, the chunks do not fit the shape, or a type is not stored.
    """
    if not isinstance(document.get("attributes"), dict):
        raise ValueError(f"{key or 'the root'} has no attributes")
    if document.get("node_type") == "group":
        return
    if document.get("node_type") != "array":
        raise ValueError(f"{key} is neither group nor array")
    shape, data_type = document.get("shape"), document.get("data_type")
    if not isinstance(data_type, str) or not _TYPES.fullmatch(data_type):
        raise ValueError(f"array {key} has type {str(data_type)[:80]!r}")
    grid = document.get("chunk_grid")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    chunk = configuration.get("chunk_shape") if isinstance(configuration, dict) else None
    if not are_sizes(shape) or not are_sizes(chunk):
        raise ValueError(f"array {key} has shape {str(shape)[:80]} in chunks of {str(chunk)[:80]}")
    assert isinstance(shape, list)
    assert isinstance(chunk, list)
    fits = len(shape) == len(chunk) >= 1 and min(chunk) >= 1
    if not fits or any(c != max(n, 1) for c, n in zip(chunk[1:], shape[1:], strict=True)):
        raise ValueError(f"array {key} has shape {shape} in chunks of {chunk}")
    if document.get("chunk_key_encoding") != CHUNK_KEYS:
        raise ValueError(f"array {key} names its chunks in a way of its own")
    codecs = document.get("codecs")
    if not isinstance(codecs, list) or not all(isinstance(codec, dict) for codec in codecs):
        raise ValueError(f"array {key} has no codecs")
    if [codec.get("name") for codec in codecs] not in _CODECS:
        raise ValueError(f"array {key} has codecs that no store has: {str(codecs)[:200]}")
    fill, is_text = document.get("fill_value"), data_type == "string"
    if is_text != isinstance(fill, str) and not (isinstance(fill, str) and fill == "NaN"):
        raise ValueError(f"array {key} is filled with {str(fill)[:80]}")
    if not is_text:
        _check_fill(key, fill, np.dtype(data_type))


def are_sizes(value: object) -> bool:
    """Whether a value from JSON is a list of lengths that an array can have."""
    return (
        isinstance(value, list)
        and len(value) <= _MOST_DIMS
        and all(type(n) is int and 0 <= n < _LARGEST for n in value)
    )


def _check_fill(key: str, fill: object, dtype: np.dtype[Any]) -> None:
    parts = fill if isinstance(fill, list) else [fill]
    is_number = all(type(part) in (int, float, bool) or part == "NaN" for part in parts)
    if not is_number or (isinstance(fill, list) and (dtype.kind != "c" or len(fill) != 2)):
        raise ValueError(f"array {key} is filled with {str(fill)[:80]}")
    try:
        np.array(complex(*map(float, parts)) if dtype.kind == "c" else fill, dtype)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"array {key} of {dtype} is filled with {str(fill)[:80]}") from None
