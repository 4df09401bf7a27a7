"""The catalogue of a stage in its store: structure in the attributes, labels as arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stores.arrays.chunks import array_name, join
from toolkit.stores.arrays.hierarchy import LONGEST, Hierarchy, put_array
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.storage import JOURNALS

AXES = "axes"
_MOST_CHUNKS = 4  # of the labels of one axis; with more it is written anew, in one

Array = npt.NDArray[Any]


def save_catalogue(
    hierarchy: Hierarchy, group: str, catalogue: Catalogue, before: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Put a catalogue's arrays into the hierarchy, to be committed by the caller.

    An array that only grew is written on in place. One that changed, or that has grown to many
    chunks, gets a new name, so that a crash before the commit leaves the old catalogue whole.

    Parameters
    ----------
    hierarchy, group
        Where it goes.
    catalogue
        What goes there.
    before
        Name of each array as the last call returned it.

    Returns
    -------
    document, outdated
        What belongs in the attributes, and the keys of arrays to be deleted after the commit.
    """
    folder = join(group, AXES)
    if folder not in hierarchy.documents:
        hierarchy.put_group(folder, {})
    names: dict[str, str] = {}
    outdated = []
    for name, values in catalogue.stored_arrays().items():
        known = before.get(name)
        if known is not None and _grows(hierarchy, join(folder, known), values):
            key = join(folder, known)
            first = hierarchy.length(key)
            if len(values) > first:
                hierarchy.write(key, first, _storable(values[first:]))
                hierarchy.resize(key, len(values))
            names[name] = known
            continue
        new = array_name(name)
        if known is not None:
            base, _, number = known.rpartition("~")
            new = f"{base}~{int(number) + 1}" if base else f"{known}~2"
            outdated.append(join(folder, known))
        dims = [new] if values.ndim == 1 else [f"{new}_{i}" for i in range(values.ndim)]
        put_array(hierarchy, join(folder, new), values, dims, {})
        names[name] = new
    outdated += [join(folder, name) for key, name in before.items() if key not in names]
    for key in outdated:
        hierarchy.remove(key)
    return {"structure": catalogue.to_json(), "arrays": names}, outdated


def load_catalogue(hierarchy: Hierarchy, group: str, document: dict[str, Any]) -> Catalogue:
    """Return the catalogue that ``save_catalogue`` saved."""
    arrays = {}
    for name, stored in document["arrays"].items():
        key = join(join(group, AXES), stored)
        values = hierarchy.read(key, 0, hierarchy.length(key), whole=True)
        if values.dtype == object:
            longest = max(map(len, values.flat), default=0)
            require_room(4 * longest * values.size, f"The labels {key!r} as fixed-width text")
            values = np.array(values.tolist(), dtype=str).reshape(values.shape)
        arrays[str(name)] = values
    return Catalogue.from_json(document["structure"], arrays)


def delete_outdated(hierarchy: Hierarchy, keys: list[str]) -> None:
    """Delete the files of arrays that the metadata does not name any more."""
    for key in keys:
        if key and not key.startswith(JOURNALS):
            hierarchy.storage.delete_tree(key)


def _grows(hierarchy: Hierarchy, key: str, values: Array) -> bool:
    """Whether stored values are the first ones of these, in the same type and chunks of a size."""
    if key not in hierarchy.documents:
        return False
    dtype, length = hierarchy.array(key).dtype, hierarchy.length(key)
    wanted = None if values.dtype.kind in "UO" else values.dtype.newbyteorder("<")
    if values.ndim != 1 or dtype != wanted or length > len(values):
        return False
    chunk = hierarchy.array(key).chunk[0]
    if chunk < LONGEST and len(values) > _MOST_CHUNKS * chunk:
        return False
    stored = hierarchy.read(key, 0, length)
    if dtype is None:
        return bool(stored.tolist() == values[:length].tolist())
    return bool(stored.tobytes() == values[:length].astype(dtype).tobytes())


def _storable(values: Array) -> Array:
    return values.astype(object) if values.dtype.kind == "U" else values
