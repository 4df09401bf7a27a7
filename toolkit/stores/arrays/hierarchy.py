"""The arrays of a store: their metadata, and rows of them, over any storage."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stores.arrays.chunks import Stored, chunk_key, decode, encode, join
from toolkit.stores.arrays.layout import Document, array_document, group_document, stored_of
from toolkit.stores.files.checking import check_document, checked_key
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.storage import JOURNALS, Storage

METADATA = "zarr.json"
_FEW = 64  # chunks that are looked for one by one; of more, those that are there are listed
LONGEST = 1 << 20  # rows of a chunk of a small array
SWAP = f"{JOURNALS}/swap"

Array = npt.NDArray[Any]


class DamagedChunk(StoreError):  # noqa: N818  (what was found, not an error of the user)
    """A chunk is there and cannot be decoded."""


class Hierarchy:
    """Groups and arrays of one store.

    Documents change in memory; ``commit`` writes those that changed and then the root's, which
    holds all of them (consolidated metadata), in one rename. Only the coordinator commits.
    """

    def __init__(self, storage: Storage, documents: Mapping[str, Document] | None = None) -> None:
        self.storage = storage
        self.documents: dict[str, Document] = dict(documents or {})
        self._changed: set[str] = set()
        self._swapped = ""

    @classmethod
    def load(cls, storage: Storage) -> "Hierarchy | None":
        """Return the hierarchy as it was last committed, None where there is none.

        Raises
        ------
        ValueError
            If the root's document is not one of a zarr v3 group with consolidated metadata, or
            describes what no store holds.
        """
        raw = storage.get(METADATA)
        if raw is None:
            return None
        root = json.loads(raw)
        if not isinstance(root, dict) or root.get("node_type") != "group":
            raise ValueError("no group")
        consolidated = root.pop("consolidated_metadata", None) or {}
        inside = consolidated.get("metadata", {}) if isinstance(consolidated, dict) else None
        if not isinstance(inside, dict) or not all(isinstance(d, dict) for d in inside.values()):
            raise ValueError("no consolidated metadata")
        for document in inside.values():
            document.pop("consolidated_metadata", None)
        documents = {"": root, **{checked_key(key): doc for key, doc in inside.items()}}
        for key, document in documents.items():
            check_document(key, document)
        return cls(storage, documents)

    def attributes(self, key: str) -> Document:
        """Return the attributes of a group or array."""
        found: Document = self.documents[key]["attributes"]
        return found

    def put_group(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Add a group, or replace its attributes."""
        self.put(key, group_document(attributes))

    def put(self, key: str, document: Document) -> None:
        """Add or replace the document of a group or array."""
        if self.documents.get(key) != document:
            self.documents[key] = document
            self._changed.add(key)

    def set_attributes(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Add or replace some attributes."""
        document = self.documents[key]
        self.put(key, document | {"attributes": document["attributes"] | dict(attributes)})

    def resize(self, key: str, length: int) -> None:
        """Set the length of an array's first dim. Edge chunks are full on disk already."""
        document = self.documents[key]
        self.put(key, document | {"shape": [length, *document["shape"][1:]]})

    def remove(self, key: str) -> None:
        """Take an array out of the metadata; its files go with ``delete_tree``."""
        if self.documents.pop(key, None) is not None:
            self._changed.add(key)

    def commit(self) -> None:
        """Write what changed."""
        if not self._changed:
            return
        for key in sorted(self._changed - {""}):
            if key in self.documents:
                self.storage.put(join(key, METADATA), _dumps(self.documents[key]))
        inside = {key: self.documents[key] for key in sorted(self.documents) if key}
        consolidated = {"kind": "inline", "must_understand": False, "metadata": inside}
        root = self.documents[""] | {"consolidated_metadata": consolidated}
        self.storage.put(METADATA, _dumps(root))
        self._changed.clear()

    def array(self, key: str) -> Stored:
        """Return how an array is stored.

        Raises
        ------
        StoreError
            If its metadata is damaged, or of another version of this package.
        """
        try:
            return stored_of(key, self.documents[key])
        except ValueError as error:
            raise StoreError(
                f"The metadata of the store is damaged, or of another version: {error}. "
                "Restore the store from a copy, or run the sweep into a new one."
            ) from error

    def length(self, key: str) -> int:
        """Return the length of an array's first dim."""
        return int(self.documents[key]["shape"][0])

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self.documents[key]["shape"])

    def fill(self, key: str) -> Any:
        """Return the fill value of an array."""
        value = self.documents[key]["fill_value"]
        if isinstance(value, list):
            value = complex(*(float(part) for part in value))
        dtype = self.array(key).dtype
        return value if dtype is None else np.array(value, dtype)[()]

    def read_chunk(self, key: str, number: int) -> Array | None:
        """Return one chunk at its full length, None where nothing was written."""
        array = self.array(key)
        place = chunk_key(array, number)
        if key == self._swapped and self.storage.get(f"{SWAP}/{key}/{METADATA}"):
            place = f"{SWAP}/{place}"
        raw = self.storage.get(place)
        if raw is None:
            return None
        try:
            return decode(array, raw)
        except ValueError as error:
            raise DamagedChunk(
                f"Chunk {chunk_key(array, number)} of the store cannot be read: {error}. "
                "`toolkit check` names all damage, `toolkit retry --damaged` makes it anew."
            ) from error

    def write_chunk(self, key: str, number: int, values: Array) -> None:
        """Write one chunk, filled up where there are fewer values than its length."""
        array = self.array(key)
        if len(values) < array.chunk[0]:
            full = array.blank(self.fill(key))
            full[: len(values)] = values
            values = full
        self.storage.put(chunk_key(array, number), encode(array, values))

    def read(self, key: str, first: int, last: int, *, whole: bool = False) -> Array:
        """Return rows ``first … last - 1``; ``whole``: every chunk has to be there."""
        array = self.array(key)
        inner = tuple(self.documents[key]["shape"][1:])
        dtype = object if array.dtype is None else array.dtype
        values = self._empty(key, (last - first, *inner), dtype)
        length = array.chunk[0]
        if last - first > _FEW * length:
            # Most may never have been written: time goes with the files that there are.
            values[...] = self.fill(key)
            numbers = _numbers(array, self.storage.names(key))
            found = pieces_of(first, last, length, numbers)
        else:
            found = pieces(first, last, length)
        for number, rows, inside in found:
            chunk = self.read_chunk(key, number)
            if chunk is None and whole:
                raise DamagedChunk(
                    f"Chunk {chunk_key(array, number)} of the store is gone, and cannot be made "
                    "again. Restore it from a copy of the store."
                )
            if chunk is None:
                values[rows] = self.fill(key)
            else:
                values[rows] = _cut(chunk[inside], inner)
        return values

    def take(self, key: str, ids: npt.NDArray[np.int64]) -> Array:
        """Return rows in any order."""
        array = self.array(key)
        inner = tuple(self.documents[key]["shape"][1:])
        values = self._empty(
            key, (len(ids), *inner), object if array.dtype is None else array.dtype
        )
        length = array.chunk[0]
        for number, rows in _by_chunk(ids // length):
            chunk = self.read_chunk(key, number)
            if chunk is None:
                values[rows] = self.fill(key)
            else:
                values[rows] = _cut(chunk[ids[rows] - number * length], inner)
        return values

    def _empty(self, key: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        require_room(nbytes, f"What is asked for of array {key!r}, of shape {shape},")
        return np.empty(shape, dtype)

    def write(self, key: str, first: int, values: Array) -> None:
        """Write rows from ``first`` on; chunks that are covered in part are read first."""
        length = self.array(key).chunk[0]
        for number, rows, inside in pieces(first, first + len(values), length):
            part = values[rows]
            if len(part) < length and (inside.start or inside.stop < length):
                chunk = self.read_chunk(key, number)
                if chunk is None:
                    chunk = self.array(key).blank(self.fill(key))
                chunk = np.array(chunk)
                chunk[inside] = part
                part = chunk
            self.write_chunk(key, number, part)

    def replace(self, key: str, document: Document, chunks: Iterator[tuple[int, Array]]) -> None:
        """Put an array of another type or chunk length in the place of one, and commit.

        The new one is written in full beside the old one. Then its metadata is put down as an
        intention, from which ``finish_replacing`` completes the exchange after a crash.
        """
        self.storage.delete_tree(SWAP)
        place = f"{SWAP}/{key}"
        writer = Hierarchy(self.storage, {place: document})
        for number, values in chunks:
            writer.write_chunk(place, number, values)
        self.storage.put(f"{place}/{METADATA}", _dumps(document))
        self.storage.put(f"{SWAP}.json", _dumps({"key": key, "document": document}))
        self.finish_replacing()

    def see_replacing(self) -> None:
        """Read as if an exchange that was interrupted were complete; nothing is written."""
        intention = self._intention()
        if intention is not None:
            self._swapped, document = intention
            self.documents[self._swapped] = document

    def finish_replacing(self) -> None:
        """Complete an exchange that ``replace`` has begun; do nothing where there is none."""
        intention = self._intention()
        if intention is None:
            return
        key, document = intention
        self.storage.replace_tree(key, f"{SWAP}/{key}")
        self.put(key, document)
        self.commit()
        self.storage.put(f"{SWAP}.json", b"null")
        self.storage.delete_tree(SWAP)

    def _intention(self) -> tuple[str, Document] | None:
        raw = self.storage.get(f"{SWAP}.json")
        if not raw or raw == b"null":
            return None
        try:
            intention = json.loads(raw)
            key, document = checked_key(str(intention["key"])), intention["document"]
            check_document(key, document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"{SWAP}.json of the store, which says how to go on after a crash, is damaged "
                f"({error}). Restore the store from a copy."
            ) from error
        return key, document


def put_array(
    hierarchy: Hierarchy, key: str, values: Array, dims: list[str], attributes: Mapping[str, Any]
) -> None:
    """Add a small array in one chunk along its first dim, or several of 2**20 rows."""
    if values.dtype.kind in "UO":
        dtype, values = None, values.astype(object)
    else:
        dtype = values.dtype.newbyteorder("<")
    length = min(max(1024, 1 << max(len(values) - 1, 0).bit_length()), LONGEST)
    chunk = (length, *(max(n, 1) for n in values.shape[1:]))
    array = Stored(key=key, dtype=dtype, chunk=chunk, compressed=hierarchy.storage.compresses)
    hierarchy.put(key, array_document(array, values.shape, dims, attributes))
    hierarchy.write(key, 0, values)


def pieces(first: int, last: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield chunk number, rows of the range, and rows of the chunk, for each chunk of a range."""
    at = first
    while at < last:
        number = at // length
        stop = min((number + 1) * length, last)
        yield (
            number,
            slice(at - first, stop - first),
            slice(at - number * length, stop - number * length),
        )
        at = stop


def pieces_of(
    first: int, last: int, length: int, numbers: Iterable[int]
) -> Iterator[tuple[int, slice, slice]]:
    """Yield the same for those chunks only that have one of these numbers."""
    for number in sorted(numbers):
        begin, stop = max(number * length, first), min((number + 1) * length, last)
        if begin < stop:
            at = number * length
            yield number, slice(begin - first, stop - first), slice(begin - at, stop - at)


def _numbers(array: Stored, names: Iterable[str]) -> list[int]:
    """Return the numbers of the chunks whose files have these names."""
    end = ".0" * (len(array.chunk) - 1)
    found = []
    for name in names:
        number = name.removeprefix("c.").removesuffix(end)
        if number.isascii() and number.isdecimal() and len(number) < 19:
            n = int(number)
            if chunk_key(array, n) == f"{array.key}/{name}":
                found.append(n)
    return found


def _by_chunk(numbers: npt.NDArray[np.int64]) -> Iterator[tuple[int, Any]]:
    """Yield each number of a chunk with the rows that lie in it: a slice where numbers ascend."""
    steps = np.diff(numbers)
    order = None if (steps >= 0).all() else np.argsort(numbers, kind="stable")
    if order is not None:
        steps = np.diff(numbers[order])
    bounds = [0, *(np.flatnonzero(steps) + 1).tolist(), len(numbers)] if len(numbers) else []
    for first, last in pairwise(bounds):
        rows = slice(first, last) if order is None else order[first:last]
        yield int(numbers[first if order is None else order[first]]), rows


def _cut(values: Array, inner: tuple[int, ...]) -> Array:
    """Cut inner dims of length 0, which are stored as 1, back to their length."""
    if values.shape[1:] == inner:
        return values
    return values[(slice(None), *(slice(n) for n in inner))]


def _dumps(document: object) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a file name, such as that of a script, need not be text
        return json.dumps(document, separators=(",", ":")).encode()
