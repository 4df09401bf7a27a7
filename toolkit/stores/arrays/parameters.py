"""The parameters of every run as arrays along ``run``, written in pieces from the catalogue."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.stores.arrays.chunks import NAT, Stored, array_name, join
from toolkit.stores.arrays.hierarchy import Hierarchy, pieces
from toolkit.stores.arrays.layout import (
    RUN,
    array_document,
    cf_attributes,
    plain_attributes,
    power_of_two,
)
from toolkit.stores.catalogues.catalogue import Catalogue

SMALLEST, LARGEST = 1 << 12, 1 << 20
_STEP = 1 << 17

Array = npt.NDArray[Any]


class Block(Protocol):
    """A block of runs, as far as it is asked here."""

    @property
    def inactive(self) -> tuple[int, ...]:
        """Numbers of the dims that do not matter to its runs."""


class Parameters:
    """Writes what every run's parameters are, chunk by chunk, while nothing else is to be done.

    Where a parameter does not matter to a run it is NaN, NaT or "", whole numbers and bools then
    being stored as floats. Parameters whose values have dims of their own are not written.
    """

    def __init__(
        self, hierarchy: Hierarchy, group: str, done: dict[str, int] | None = None
    ) -> None:
        self._hierarchy = hierarchy
        self._group = group
        self.done = dict(done or {})

    def names(self, catalogue: Catalogue) -> list[str]:
        """Return the parameters that are written."""
        return list(catalogue.labels(np.zeros(0, np.int64)))

    def lay_out(self, catalogue: Catalogue) -> None:
        """Give every parameter an array of the right length and type."""
        n_runs = catalogue.n_runs
        for name, (labels, _) in catalogue.labels(np.zeros(0, np.int64)).items():
            key = join(self._group, array_name(name))
            dtype, attributes = self._type(catalogue, name, labels)
            known = self._hierarchy.documents.get(key)
            length = chunk_for(n_runs)
            array = Stored(
                key=key, dtype=dtype, chunk=(length,), compressed=self._hierarchy.storage.compresses
            )
            if known is not None:
                was = self._hierarchy.array(key)
                is_fine = was.dtype == dtype and not is_too_fine(n_runs, was.chunk[0])
                if is_fine:
                    self._hierarchy.resize(key, n_runs)
                    continue
            fill = NAT if labels.dtype.kind in "mM" else None
            document = array_document(array, (n_runs,), (RUN,), attributes, fill)
            if known is None:
                self._hierarchy.put(key, document)
                self.done[name] = 0
            else:
                chunks = (
                    (number, self._rows(catalogue, name, rows.start, rows.stop))
                    for number, rows, _ in pieces(0, n_runs, length)
                )
                self._hierarchy.replace(key, document, chunks)
                self.done[name] = n_runs

    def write_piece(self, catalogue: Catalogue) -> bool:
        """Write one chunk of one parameter; return whether there was one left to write."""
        n_runs = catalogue.n_runs
        for name in self.names(catalogue):
            done = self.done.get(name, 0)
            if done >= n_runs:
                continue
            key = join(self._group, array_name(name))
            length = self._hierarchy.array(key).chunk[0]
            number = done // length
            last = min((number + 1) * length, n_runs)
            values = self._rows(catalogue, name, number * length, last)
            self._hierarchy.write_chunk(key, number, values)
            self.done[name] = last
            return True
        return False

    def _type(
        self, catalogue: Catalogue, name: str, labels: Array
    ) -> tuple[np.dtype[Any] | None, dict[str, Any]]:
        attributes: dict[str, Any] = {}
        number = None
        for at, dim in enumerate(catalogue.dims):
            for column in dim.columns:
                if column.name == name:
                    attributes, number = plain_attributes(column.attrs), at
        if labels.dtype.kind in "UO":
            return None, attributes
        if labels.dtype.kind in "mM":
            return np.dtype("<i8"), attributes | cf_attributes(labels.dtype)
        if labels.dtype.kind in "biu" and (number is None or _is_partial(catalogue, number)):
            return np.dtype("<f8"), attributes
        return labels.dtype.newbyteorder("<"), attributes

    def _rows(self, catalogue: Catalogue, name: str, first: int, last: int) -> Array:
        labels, _ = catalogue.labels(np.zeros(0, np.int64), [name])[name]
        dtype, _ = self._type(catalogue, name, labels)
        rows = np.empty(last - first, object if dtype is None else dtype)
        for at in range(first, last, _STEP):
            stop = min(at + _STEP, last)
            labels, inactive = catalogue.labels(np.arange(at, stop), [name])[name]
            if dtype is None:
                labels = labels.astype(object)
            elif labels.dtype.kind in "mM":
                labels = labels.view(np.int64)
            rows[at - first : stop - first] = labels
            if inactive.any():
                missing = "" if dtype is None else NAT if dtype.kind == "i" else np.nan
                rows[at - first : stop - first][inactive] = missing
        return rows


def chunk_for(n_runs: int) -> int:
    """Return the chunk length of an array that the coordinator alone writes."""
    return min(max(power_of_two(n_runs), SMALLEST), LARGEST)


def is_too_fine(n_runs: int, length: int) -> bool:
    """Whether an array has grown to so many chunks that it should be written anew."""
    return length < LARGEST and n_runs > 16 * length


def _is_partial(catalogue: Catalogue, number: int) -> bool:
    blocks: tuple[Block, ...] = catalogue.blocks
    return any(number in block.inactive for block in blocks)
