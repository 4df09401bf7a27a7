"""Metadata of zarr v3 as this package writes it: documents, names, CF attributes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from toolkit.errors import StoreError
from toolkit.run_status import FLAG_MEANINGS, Status
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.arrays.chunks import (
    ZSTD_LEVEL,
    Stored,
    array_name,
    fill_of,
    join,
    stored_variable,
)
from toolkit.stores.catalogues.makers import MADE_BY
from toolkit.stores.files.checking import CHUNK_KEYS
from toolkit.stores.files.packing import element_dtype

RUN = "run"
FORMAT_VERSION = 1
ATTRIBUTE = "toolkit"
RAGGED_CHUNK = 1 << 17

Document = dict[str, Any]

_UNITS = {
    "ns": "nanoseconds",
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "D": "days",
}

STATE_ATTRIBUTES: dict[str, Document] = {
    "status": {
        "long_name": "state of the run",
        "flag_values": [int(status) for status in Status],
        "flag_meanings": FLAG_MEANINGS,
    },
    "attempts": {"long_name": "number of attempts"},
    "seconds": {"long_name": "wall time of the run", "units": "s"},
    "peak_memory": {"long_name": "peak memory of the worker during the run", "units": "byte"},
    MADE_BY: {"long_name": "number of the code that made the run, see the stage's attributes"},
}


def state_key(group: str, name: str) -> str:
    """Return the key of an array of the state; who made a run is no coordinate of it."""
    return join(group, f"axes/~{name}" if name == MADE_BY else name)


def array_document(
    array: Stored,
    shape: Iterable[int],
    dims: Iterable[str],
    attributes: Mapping[str, Any],
    fill: Any = None,
) -> Document:
    """Return the ``zarr.json`` of an array."""
    codecs: list[Document] = []
    if array.dtype is None:
        data_type = "string"
        codecs.append({"name": "vlen-utf8", "configuration": {}})
    else:
        data_type = array.dtype.name
        wide = array.dtype.itemsize > 1
        codecs.append({"name": "bytes"} | ({"configuration": {"endian": "little"}} if wide else {}))
    if array.compressed:
        configuration = {"level": ZSTD_LEVEL, "checksum": True}
        codecs.append({"name": "zstd", "configuration": configuration})
    return {
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(array.chunk)}},
        "chunk_key_encoding": CHUNK_KEYS,
        "fill_value": _json_fill(array.fill if fill is None else fill),
        "codecs": codecs,
        "attributes": dict(attributes),
        "dimension_names": list(dims),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def group_document(attributes: Mapping[str, Any]) -> Document:
    """Return the ``zarr.json`` of a group."""
    return {"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"}


def stored_of(key: str, document: Mapping[str, Any]) -> Stored:
    """Return how an array lies in the store, from its document.

    Raises
    ------
    ValueError
        If it is none that this package writes.
    """
    try:
        text = document["data_type"] == "string"
        dtype = None if text else np.dtype(document["data_type"]).newbyteorder("<")
        chunk = tuple(int(n) for n in document["chunk_grid"]["configuration"]["chunk_shape"])
        compressed = any(codec["name"] == "zstd" for codec in document["codecs"])
        keys = document["chunk_key_encoding"]
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"array {key} is none of ours: {error}") from error
    if dtype is not None and (dtype.hasobject or dtype.kind not in "biufc"):
        raise ValueError(f"array {key} has type {dtype}")
    if keys != CHUNK_KEYS:
        raise ValueError(f"array {key} names its chunks by {keys}")
    if not chunk or min(chunk) < 1:
        raise ValueError(f"array {key} has chunks of {chunk}")
    return Stored(key=key, dtype=dtype, chunk=chunk, compressed=compressed)


def output_documents(
    schema: Schema, group: str, chunk_length: int, n_runs: int, coordinates: str, compressed: bool
) -> dict[str, Document]:
    """Return the documents of all arrays of a schema, by key."""
    documents: dict[str, Document] = {}
    for variable in schema.variables:
        for array, shape, dims, attributes, fill in _arrays_of(
            variable, group, chunk_length, n_runs, compressed
        ):
            attributes = attributes | ({"coordinates": coordinates} if dims[0] == RUN else {})
            documents[array.key] = array_document(array, shape, dims, attributes, fill)
    return documents


def ragged_keys(group: str, name: str) -> tuple[Stored, Stored, str]:
    """Return the arrays of starts and lengths, and the key of the values, of a ragged output."""
    key = f"{group}/{array_name(name)}" if group else array_name(name)
    eight = np.dtype("<i8")
    start = Stored(key=f"{key}.start", dtype=eight, chunk=(1,))
    return start, Stored(key=f"{key}.length", dtype=eight, chunk=(1,)), key


def cf_attributes(dtype: np.dtype[Any]) -> Document:
    """Return units and calendar that make int64 numbers the dates of this type."""
    if dtype.kind not in "mM":
        return {}
    unit, count = np.datetime_data(dtype)
    if unit not in _UNITS or count != 1:
        raise StoreError(
            f"Dates of type {dtype} cannot be stored. Return them as datetime64[ns] or "
            "timedelta64[ns]."
        )
    if dtype.kind == "m":
        return {"units": _UNITS[unit], "dtype": f"timedelta64[{unit}]"}
    return {"units": f"{_UNITS[unit]} since 1970-01-01", "calendar": "proleptic_gregorian"}


def plain_attributes(attrs: Mapping[str, object]) -> Document:
    """Return attributes as JSON holds them; what it cannot hold becomes text."""
    return {str(name): _plain(value) for name, value in attrs.items()}


def power_of_two(n: int) -> int:
    """Return the smallest power of two that is at least ``n``."""
    return 1 << max(n - 1, 0).bit_length()


def check_names(names: Iterable[str], taken: Iterable[str]) -> None:
    """Refuse outputs whose arrays would have a name that the store uses itself."""
    used = set(taken)
    for name in names:
        if array_name(name) in used:
            raise StoreError(
                f"Output {name!r} bears a name that the store uses for something else (taken: "
                f"{', '.join(sorted(used))}). Name the output otherwise in outputs=."
            )
        used.add(array_name(name))


def _arrays_of(
    variable: Variable, group: str, chunk_length: int, n_runs: int, compressed: bool
) -> list[tuple[Stored, tuple[int, ...], tuple[str, ...], Document, Any]]:
    attributes = plain_attributes(variable.attrs)
    if variable.kind in ("fixed", "text"):
        array = stored_variable(variable, group, chunk_length, compressed=compressed)
        if variable.kind == "fixed":
            attributes |= cf_attributes(element_dtype(variable))
        shape, dims = (n_runs, *variable.shape), (RUN, *variable.dims)
        return [(array, shape, dims, attributes, fill_of(variable))]
    start, length, key = ragged_keys(group, variable.name)
    dim = variable.dims[0] if variable.dims else "byte"
    name = array_name(variable.name)
    along = f"{name}.{dim}"
    how = "pickled objects, one a run" if variable.kind == "object" else "values of all runs"
    attributes |= {
        "ragged": f"{how}: those of run i are the {name}.length[i] from {name}.start[i] on",
        "ragged_dim": dim,
    }
    if variable.kind == "object":
        attributes["encoding"] = "pickle: loading it runs code, do so only if you trust its author"
    else:
        attributes |= cf_attributes(element_dtype(variable))
    element = element_dtype(variable)
    stored = np.dtype("<i8") if element.kind in "mM" else element
    values = Stored(key=key, dtype=stored, chunk=(RAGGED_CHUNK,), compressed=compressed)
    rows = []
    for array, words in ((start, f"first element of {name}"), (length, f"elements of {name}")):
        array = Stored(
            key=array.key, dtype=array.dtype, chunk=(chunk_length,), compressed=compressed
        )
        rows.append((array, (n_runs,), (RUN,), {"long_name": words}, 0))
    return [(values, (0,), (along,), attributes, None), *rows]


def _json_fill(fill: Any) -> Any:
    if isinstance(fill, str):
        return fill
    value = fill.item() if isinstance(fill, np.generic) else fill
    if isinstance(value, complex):
        return [_json_fill(value.real), _json_fill(value.imag)]
    if isinstance(value, float):
        return "NaN" if value != value else value
    return value


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and value != value:
        return "NaN"
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
