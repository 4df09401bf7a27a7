"""The outputs of a stage in their arrays: create, resize, widen, patch, read."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stages.columns import cast
from toolkit.stages.schema import Column, Columns, RaggedColumn, Schema, Variable, exact
from toolkit.stores.arrays.chunks import array_name, as_stored, join, stored_dtype
from toolkit.stores.arrays.hierarchy import DamagedChunk, Hierarchy, pieces, put_array
from toolkit.stores.arrays.layout import cf_attributes, output_documents, plain_attributes
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.packing import element_dtype

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


class Values:
    """The arrays of one stage's outputs along ``run``.

    A ragged output is three arrays: its values one after the other in the order in which they
    came, and for each run where its values begin and how many they are. Values of a run that is
    run again are appended; the old ones stay until the store is compacted.
    """

    def __init__(self, hierarchy: Hierarchy, group: str, schema: Schema, chunk_length: int) -> None:
        self.schema = schema
        self.chunk_length = chunk_length
        self._hierarchy = hierarchy
        self._group = group
        self._used: dict[str, int] = {}

    @classmethod
    def create(
        cls,
        hierarchy: Hierarchy,
        group: str,
        schema: Schema,
        chunk_length: int,
        n_runs: int,
        coordinates: str,
    ) -> "Values":
        """Add the arrays to the hierarchy, which is to be committed by the caller."""
        compressed = hierarchy.storage.compresses
        documents = output_documents(schema, group, chunk_length, n_runs, coordinates, compressed)
        for key, document in documents.items():
            hierarchy.put(key, document)
        for name, coord in schema.coords.items():
            key = join(group, array_name(name))
            attributes = plain_attributes(coord.attrs)
            values = coord.values
            if values.dtype.kind in "mM":
                attributes |= cf_attributes(values.dtype)
                values = values.view(np.int64)
            put_array(hierarchy, key, values, list(coord.dims), attributes)
        return cls(hierarchy, group, schema, chunk_length)

    def reconcile(self) -> None:
        """Take over types that were widened just before a crash; refuse arrays that do not fit.

        Raises
        ------
        ValueError
            If an array has not the dims, shape or chunks that the schema says.
        """
        variables = []
        for variable in self.schema.variables:
            is_number = variable.kind in ("fixed", "ragged")
            if is_number and element_dtype(variable).kind not in "mM":
                found = self._hierarchy.array(self.key(variable)).dtype
                if found is not None and found != element_dtype(variable):
                    variable = replace(variable, dtype=found.str)
            variables.append(variable)
            self._check_arrays(variable)
        if tuple(variables) != self.schema.variables:
            self.schema = replace(self.schema, variables=tuple(variables))

    def key(self, variable: Variable) -> str:
        """Return the key of an output's array."""
        return join(self._group, array_name(variable.name))

    def keys_along_run(self) -> Iterator[str]:
        """Yield the keys of the arrays that have a row for each run."""
        for variable in self.schema.variables:
            if variable.kind in ("fixed", "text"):
                yield self.key(variable)
            else:
                yield f"{self.key(variable)}.start"
                yield f"{self.key(variable)}.length"

    def resize(self, n_runs: int) -> None:
        """Give every array a row for each run."""
        for key in self.keys_along_run():
            self._hierarchy.resize(key, n_runs)

    def check(self, schema: Schema) -> None:
        """Raise ``SchemaMismatch`` if a stored value cannot be held by a wider schema."""
        for old, new in zip(self.schema.variables, schema.variables, strict=True):
            if old.dtype == new.dtype or element_dtype(old).kind not in "iu":
                continue
            one, other = replace(self.schema, variables=(old,)), replace(schema, variables=(new,))
            for values in self._stored_pieces(old):
                cast([values], one, other)

    def widen(self, schema: Schema, coordinates: str, n_runs: int) -> None:
        """Rewrite the outputs whose type is another one in a wider schema."""
        hierarchy = self._hierarchy
        documents = output_documents(
            schema,
            self._group,
            self.chunk_length,
            n_runs,
            coordinates,
            hierarchy.storage.compresses,
        )
        for old, new in zip(self.schema.variables, schema.variables, strict=True):
            if old.dtype == new.dtype:
                continue
            key = self.key(old)
            document = documents[key]
            if old.kind == "ragged":
                document = document | {"shape": hierarchy.documents[key]["shape"]}
            hierarchy.replace(key, document, self._converted(key, new))
        self.schema = schema

    def patch(self, ids: Ids, columns: Columns, n_runs: int) -> set[int]:
        """Put values into their chunks; the parts of a chunk that are not given stay.

        Parameters
        ----------
        ids
            Ascending, each once.
        columns
            Their values, in the stored schema.
        n_runs
            Runs there are; the last chunk may be shorter.

        Returns
        -------
        set of int
            Chunks that were not there or could not be decoded: of other runs they hold nothing.
        """
        blank: set[int] = set()
        for variable, column in zip(self.schema.variables, columns, strict=True):
            key = self.key(variable)
            if isinstance(column, RaggedColumn):
                starts = self._append(key, column)
                blank |= self._patch(f"{key}.start", ids, starts, n_runs)
                blank |= self._patch(f"{key}.length", ids, column.lengths, n_runs)
            else:
                blank |= self._patch(key, ids, as_stored(column), n_runs)
        return blank

    def read(self, variable: Variable, ids: Ids | slice) -> Column:
        """Return one output of some runs, as stored; a slice must be of step 1."""
        key = self.key(variable)
        if variable.kind in ("fixed", "text"):
            return self._as_type(variable, self._rows(key, ids))
        starts = self._rows(f"{key}.start", ids)
        lengths = np.array(self._rows(f"{key}.length", ids))
        if len(lengths) and min(int(lengths.min()), int(starts.min())) < 0:
            raise StoreError(
                f"Output {variable.name!r} has runs whose values lie nowhere in its array. "
                "Find all damaged parts of the store with `toolkit check`."
            )
        ends = np.cumsum(lengths)
        total = int(lengths.sum(dtype=np.float64))
        if not total:
            return RaggedColumn(lengths, np.zeros(0, element_dtype(variable)))
        require_room(32 * total, f"Output {variable.name!r} of {len(lengths):,} runs")
        within = np.arange(total) - np.repeat(ends - lengths, lengths)
        values = self._hierarchy.take(key, np.repeat(starts, lengths) + within)
        return RaggedColumn(lengths, self._as_type(variable, values))

    def _check_arrays(self, variable: Variable) -> None:
        """Refuse arrays that do not fit what the schema says of an output."""
        hierarchy, key = self._hierarchy, self.key(variable)
        element = element_dtype(variable) if variable.kind != "text" else None
        stored = None if element is None else stored_dtype(element)
        if variable.kind in ("fixed", "text"):
            wanted = {key: (stored, variable.shape, self.chunk_length)}
        else:
            row = (np.dtype("<i8"), (), self.chunk_length)
            wanted = {key: (stored, (), 0), f"{key}.start": row, f"{key}.length": row}
        for name, (dtype, inner, length) in wanted.items():
            array = hierarchy.array(name)
            fits = hierarchy.shape(name)[1:] == inner and array.chunk[0] == (
                length or array.chunk[0]
            )
            if array.dtype != dtype or not fits:
                raise ValueError(f"array {name} is not as the outputs are described")

    def trim(self) -> None:
        """Cut the room that ragged values were given in advance."""
        for variable in self.schema.variables:
            key = self.key(variable)
            if variable.kind in ("ragged", "object") and key in self._used:
                self._hierarchy.resize(key, self._used[key])

    def _rows(self, key: str, ids: Ids | slice) -> Array:
        if isinstance(ids, slice):
            first, last, _ = ids.indices(self._hierarchy.length(key))
            return self._hierarchy.read(key, first, max(first, last))
        return self._hierarchy.take(key, ids)

    def _as_type(self, variable: Variable, values: Array) -> Array:
        if variable.kind == "text":
            return values
        dtype = element_dtype(variable)
        return values.view(dtype) if dtype.kind in "mM" else values

    def _patch(self, key: str, ids: Ids, values: Array, n_runs: int) -> set[int]:
        length, blank = self.chunk_length, set[int]()
        numbers = ids // length
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        bounds = [0, *cuts.tolist(), len(ids)]
        for first, last in pairwise(bounds):
            if first == last:
                continue
            number = int(numbers[first])
            rows, part = ids[first:last] - number * length, values[first:last]
            if len(rows) < min(length, n_runs - number * length):
                found = self._sound_chunk(key, number)
                array = self._hierarchy.array(key)
                if found is None:
                    blank.add(number)
                    chunk = array.blank(self._hierarchy.fill(key))
                else:
                    chunk = np.array(found)
                at: Any = (rows, *(slice(n) for n in part.shape[1:]))
                chunk[at] = part
                part = chunk
            elif 0 in part.shape[1:]:
                continue
            self._hierarchy.write_chunk(key, number, part)
        return blank

    def _append(self, key: str, column: RaggedColumn) -> Array:
        hierarchy = self._hierarchy
        if key not in self._used:
            self._used[key] = self._first_free(key)
        used = self._used[key]
        needed = used + len(column.values)
        if needed > hierarchy.length(key):
            # Half more than needed: the metadata is written a few times only, whatever comes.
            hierarchy.resize(key, needed + needed // 2)
            hierarchy.commit()
        values = as_stored(column.values)
        hierarchy.write(key, used, values)
        self._used[key] = needed
        return used + column.offsets[:-1]

    def _first_free(self, key: str) -> int:
        """Return from where on ragged values may be appended."""
        hierarchy = self._hierarchy
        n, length = hierarchy.length(f"{key}.start"), hierarchy.array(key).chunk[0]
        try:
            ends = hierarchy.read(f"{key}.start", 0, n) + hierarchy.read(f"{key}.length", 0, n)
            used = int(ends.max()) if n else 0
        except DamagedChunk:
            used = hierarchy.length(key)
        if used % length and self._sound_chunk(key, used // length) is None:
            used += length - used % length
        return used

    def _sound_chunk(self, key: str, number: int) -> Array | None:
        """Return a chunk, None where it is not there or cannot be decoded."""
        try:
            return self._hierarchy.read_chunk(key, number)
        except DamagedChunk:
            return None

    def _stored_pieces(self, variable: Variable) -> Iterator[Array]:
        key = self.key(variable)
        for number, _, _ in pieces(
            0, self._hierarchy.length(key), self._hierarchy.array(key).chunk[0]
        ):
            chunk = self._hierarchy.read_chunk(key, number)
            if chunk is not None:
                yield chunk

    def _converted(self, key: str, new: Variable) -> Iterator[tuple[int, Array]]:
        hierarchy = self._hierarchy
        for number, _, _ in pieces(0, hierarchy.length(key), hierarchy.array(key).chunk[0]):
            chunk = hierarchy.read_chunk(key, number)
            if chunk is not None:
                yield number, exact(chunk, stored_dtype(element_dtype(new)).str)[0]
