"""Zarr arrays that grow along their first dim while what is in them is still computed."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stores.arrays.chunks import Stored, array_name, encode, stored_dtype
from toolkit.stores.arrays.hierarchy import Hierarchy, put_array
from toolkit.stores.arrays.layout import array_document
from toolkit.stores.files.storage import JOURNALS, Folder, reported

Array = npt.NDArray[Any]

COMPLETE = "complete"


class GrowingArrays:
    """A zarr group in a new folder, which anybody may open while it is written.

    Its attribute ``complete`` is false until :meth:`finish`.

    Parameters
    ----------
    path
        A folder that is not there, or empty.
    attributes
        Of the group.

    Raises
    ------
    StoreError
        If there is something already.
    """

    def __init__(self, path: str, attributes: Mapping[str, Any]) -> None:
        try:
            is_taken = bool(os.listdir(path))
        except FileNotFoundError:
            is_taken = False
        except OSError as error:
            raise StoreError(f"{path} cannot be written to: {error}.") from error
        if is_taken:
            raise StoreError(
                f"{path} is there already. Runs are written into a new folder: give another path, "
                "or delete it."
            )
        with reported(path):
            os.makedirs(os.path.join(path, JOURNALS), exist_ok=True)  # of files that are written
        self._hierarchy = Hierarchy(Folder(path))
        self._hierarchy.put_group("", {**attributes, COMPLETE: False})

    def add(
        self,
        name: str,
        dims: Sequence[str],
        dtype: "np.dtype[Any]",
        *,
        inner: Sequence[int],
        chunk: Sequence[int],
    ) -> None:
        """Add an array without values.

        Parameters
        ----------
        name, dims, dtype
            Of the array.
        inner
            Its shape without the first dim, whose length is 0 as yet.
        chunk
            The shape of a chunk.
        """
        stored = Stored(key=array_name(name), dtype=stored_dtype(dtype), chunk=tuple(chunk))
        self._hierarchy.put(stored.key, array_document(stored, (0, *inner), dims, {}))

    def put(self, name: str, values: Array, dims: Sequence[str]) -> None:
        """Add a small array with its values."""
        put_array(self._hierarchy, array_name(name), values, list(dims), {})

    def write(self, name: str, place: Sequence[int], values: Array) -> None:
        """Write one chunk; at the end of a dim it may have fewer values.

        Parameters
        ----------
        name
            Of the array.
        place
            The number of the chunk along each dim.
        values
            What is in it.
        """
        stored = self._hierarchy.array(array_name(name))
        if values.shape != stored.chunk:
            full = stored.blank()
            full[tuple(slice(n) for n in values.shape)] = values
            values = full
        key = f"{stored.key}/c.{'.'.join(map(str, place))}"
        self._hierarchy.storage.put(key, encode(stored, values))

    def grow(self, lengths: Mapping[str, int]) -> None:
        """Show so many rows of arrays to those who open them from now on."""
        for name, length in lengths.items():
            self._hierarchy.resize(array_name(name), length)
        self._hierarchy.commit()

    def finish(self) -> None:
        """Say that all is there."""
        self._hierarchy.set_attributes("", {COMPLETE: True})
        self._hierarchy.commit()
        self._hierarchy.storage.delete_tree(JOURNALS)
