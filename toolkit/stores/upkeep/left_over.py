"""What kills leave behind in a store and nobody reads: temporary files, folders of no array."""

import os
import re
from collections.abc import Iterator

from toolkit.stores.arrays.chunks import chunk_key
from toolkit.stores.arrays.hierarchy import METADATA, SWAP, Hierarchy
from toolkit.stores.files.storage import JOURNALS
from toolkit.stores.upkeep.damage import chunk_numbers

_CHUNK_FILE = re.compile(r"c(?:\.[0-9]+)+")


def left_overs(folder: str, hierarchy: Hierarchy) -> Iterator[tuple[str, str]]:
    """Yield place and kind of what is left over in the folder of a store that nobody writes to."""
    for name in sorted(_listed(os.path.join(folder, JOURNALS))):
        if name.endswith(".tmp"):
            yield f"{JOURNALS}/{name}", "is a temporary file that a kill left"
    if hierarchy.storage.get(f"{SWAP}.json") in (None, b"", b"null") and os.path.isdir(
        os.path.join(folder, SWAP)
    ):
        yield SWAP, "is an array that was being written anew when its writer was killed"
    for key in _orphans(folder, hierarchy):
        yield key, "is a folder of chunks that the metadata does not name"
    for key, document in hierarchy.documents.items():
        if "shape" in document:
            array, length = hierarchy.array(key), hierarchy.length(key)
            for number in chunk_numbers(hierarchy, key):
                if number * array.chunk[0] >= length:
                    yield chunk_key(array, number), "lies beyond the end of its array"


def _orphans(folder: str, hierarchy: Hierarchy) -> Iterator[str]:
    """Yield the folders that look like arrays of ours and are in no metadata."""
    groups = [
        key for key, document in hierarchy.documents.items() if document["node_type"] == "group"
    ]
    for group in sorted(groups):
        for name in sorted(_listed(os.path.join(folder, group))):
            key = f"{group}/{name}" if group else name
            path = os.path.join(folder, key)
            if name.startswith(".") or key in hierarchy.documents or not os.path.isdir(path):
                continue
            inside = _listed(path)
            if METADATA in inside or any(_CHUNK_FILE.fullmatch(each) for each in inside):
                yield key


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
