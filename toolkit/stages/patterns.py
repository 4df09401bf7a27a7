"""From the results of many runs to columns, in bulk where runs are alike."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import StageError
from toolkit.stages.columns import cast, empty_columns, take
from toolkit.stages.conform import conform_rows
from toolkit.stages.infer import Reading, Rules
from toolkit.stages.leaves import scalar_dtype
from toolkit.stages.schema import (
    Array,
    Column,
    Columns,
    RaggedColumn,
    Schema,
    SchemaMismatch,
    exact,
    widen,
)

Indices = npt.NDArray[np.int64]
Errors = dict[int, StageError]


@dataclass
class Part:
    """Columns of some runs of a batch, with the schema of these very runs.

    Parameters
    ----------
    schema
        What these runs returned.
    columns
        One column a variable, of ``len(indices)`` runs.
    indices
        Positions of the runs in the batch, ascending.
    """

    schema: Schema
    columns: Columns
    indices: Indices

    def without(self, positions: Collection[int]) -> "Part":
        """Return the part without the runs at these positions of the batch."""
        if not positions:
            return self
        kept = ~np.isin(self.indices, list(positions))
        return Part(self.schema, take(self.columns, kept), self.indices[kept])


class Pattern(Protocol):
    """Packs results that look like the first one; ``accept`` says whether one does."""

    def accept(self, index: int, result: Any) -> bool: ...  # noqa: D102
    def part(self, indices: Indices, rules: Rules) -> tuple[Part, Errors]: ...  # noqa: D102
    def clear(self) -> None: ...  # noqa: D102


class ScalarPattern:
    """Results that are one scalar, or a dict or tuple of scalars, of always the same types.

    Parameters
    ----------
    reading
        The first result as it was read.
    split
        Gives the scalars of a result as a tuple; None where the result is the scalar itself.
    names, types
        Of these scalars.
    """

    def __init__(
        self,
        reading: Reading,
        container: type[Any],
        split: Callable[[Any], tuple[Any, ...]] | None,
        names: Sequence[str],
        types: tuple[type, ...],
    ) -> None:
        self.schema = reading.schema
        self.container = container
        self.split = split
        self.names = names
        self.types = types
        self.rows: list[Any] = []

    def clear(self) -> None:
        """Forget the results; parts that were returned keep theirs."""
        self.rows = []

    def accept(self, index: int, result: Any) -> bool:
        """Keep a result like the first one. Results come in order; others are ``skip``-ped."""
        del index
        if type(result) is not self.container:
            return False
        if self.split is None:
            self.rows.append(result)
            return True
        if len(result) != len(self.types):
            return False
        try:
            row = self.split(result)
        except KeyError:
            return False
        if tuple(map(type, row)) != self.types:
            return False
        self.rows.append(row)
        return True

    def part(self, indices: Indices, rules: Rules) -> tuple[Part, Errors]:
        """Return the columns of the accepted runs, and errors for values that do not fit."""
        lists = [self.rows] if self.split is None else list(zip(*self.rows, strict=True))
        errors: Errors = {}
        arrays: dict[str, Array] = {}
        for name, values, kind in zip(self.names, lists, self.types, strict=True):
            array, wrong = _scalar_array(name, values, kind)
            errors |= {int(indices[row]): error for row, error in wrong.items()}
            arrays[name] = array
        columns, wrong = conform_rows(
            [arrays[name] for name in self.schema.names],
            self.schema,
            is_declared=rules.declared is not None,
        )
        errors |= {int(indices[row]): error for row, error in wrong.items()}
        return Part(self.schema, columns, indices), errors


class ArrayPattern:
    """Results with numpy arrays of one type and shape among their values, written down at once.

    A function may use one buffer for all its runs, so arrays are copied as they come.
    """

    def __init__(
        self,
        reading: Reading,
        container: type[Any],
        split: Callable[[Any], tuple[Any, ...]] | None,
        names: Sequence[str],
        row: Sequence[Any],
        n: int,
    ) -> None:
        self.schema = reading.schema
        self.container = container
        self.split = split
        self.names = names
        self.types = tuple(map(type, row))
        self.stores: list[Any] = [
            np.empty((n, *value.shape), value.dtype)
            if isinstance(value, np.ndarray)
            else [value] * n
            for value in row
        ]

    def clear(self) -> None:
        """Forget the results; parts that were returned keep theirs."""
        self.stores = [
            np.empty_like(store) if isinstance(store, np.ndarray) else list(store)
            for store in self.stores
        ]

    def accept(self, index: int, result: Any) -> bool:
        """Copy a result like the first one."""
        if type(result) is not self.container:
            return False
        row: tuple[Any, ...] = (result,)
        if self.split is not None:
            if len(result) != len(self.types):
                return False
            try:
                row = self.split(result)
            except KeyError:
                return False
        if tuple(map(type, row)) != self.types:
            return False
        for value, store in zip(row, self.stores, strict=True):
            if type(value) is np.ndarray and (
                value.dtype != store.dtype or value.shape != store.shape[1:]
            ):
                return False
        for value, store in zip(row, self.stores, strict=True):
            store[index] = value
        return True

    def part(self, indices: Indices, rules: Rules) -> tuple[Part, Errors]:
        """Return the columns of the accepted runs, and errors for values that do not fit."""
        errors: Errors = {}
        arrays: dict[str, Array] = {}
        for name, store, kind in zip(self.names, self.stores, self.types, strict=True):
            if isinstance(store, np.ndarray):
                arrays[name] = store if len(store) == len(indices) else store[indices]
                continue
            arrays[name], wrong = _scalar_array(name, [store[i] for i in indices], kind)
            errors |= {int(indices[row]): error for row, error in wrong.items()}
        columns, wrong = conform_rows(
            [arrays[name] for name in self.schema.names],
            self.schema,
            is_declared=rules.declared is not None,
        )
        errors |= {int(indices[row]): error for row, error in wrong.items()}
        return Part(self.schema, columns, indices), errors


class EffectsPattern:
    """Results that nobody wants."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def clear(self) -> None:
        """There is nothing to forget."""

    def accept(self, index: int, result: Any) -> bool:
        """Accept anything."""
        del index, result
        return True

    def part(self, indices: Indices, rules: Rules) -> tuple[Part, Errors]:
        """Return no columns."""
        del rules
        return Part(self.schema, [], indices), {}


def pattern_of(result: Any, reading: Reading, rules: Rules, n: int) -> Pattern | None:
    """Return how to pack results like this one in bulk, or None where each must be read alone."""
    declared = rules.declared
    if declared is not None and not declared.outputs:
        return EffectsPattern(reading.schema)
    container = type(result)
    names: list[str]
    split: Callable[[Any], tuple[Any, ...]] | None
    if container is dict and all(type(name) is str for name in result):
        names, row = list(result), tuple(result.values())
        split = itemgetter(*names) if len(names) > 1 else _only(names[0])
    elif container is tuple and declared is not None:
        names, row, split = list(declared.names), result, _itself
    else:
        names, row, split = list(reading.schema.names), (result,), None
    if sorted(names) != sorted(reading.schema.names):
        return None
    types = tuple(map(type, row))
    plain = [variable.kind in ("fixed", "text") for variable in reading.schema.variables]
    if not all(plain):
        return None
    if all(scalar_dtype(kind) is not None for kind in types):
        return ScalarPattern(reading, container, split, names, types)
    kinds = [
        scalar_dtype(type(value)) is not None
        or (type(value) is np.ndarray and value.dtype.kind in "biufc" and value.dtype.isnative)
        for value in row
    ]
    if all(kinds):
        return ArrayPattern(reading, container, split, names, row, n)
    return None


def parts_of(readings: Sequence[tuple[int, Reading]]) -> list[Part]:
    """Return runs that were read one by one, neighbours of one schema together."""
    groups: list[list[tuple[int, Reading]]] = []
    for index, reading in readings:
        if groups and groups[-1][0][1].schema == reading.schema:
            groups[-1].append((index, reading))
        else:
            groups.append([(index, reading)])
    return [_part(group) for group in groups]


def merge(
    parts: Sequence[Part], schema: Schema | None, n: int
) -> tuple[Schema | None, Columns | None, Errors]:
    """Return columns of all n runs in the smallest schema that holds them.

    Parameters
    ----------
    parts
        Runs that succeeded.
    schema
        What is stored already; it comes first, and runs that do not fit it fail.
    n
        Length of the batch; runs in no part are missing.

    Returns
    -------
    schema, columns, errors
        The schema, wider than what is stored where it has to be; None, None if nothing succeeded.
        Errors by position, for the runs that do not fit.
    """
    errors: Errors = {}
    taken: list[Part] = []
    current = schema
    for part in sorted(parts, key=lambda part: int(part.indices[0]) if len(part.indices) else 0):
        if not len(part.indices):
            continue
        try:
            wide = part.schema if current is None else widen(current, part.schema)
            if current is not None and wide is not current:
                for earlier in taken:
                    cast(earlier.columns, earlier.schema, wide)
        except SchemaMismatch as error:
            errors |= dict.fromkeys(part.indices.tolist(), error)
            continue
        fitting, wrong = _fit(part, wide)
        errors |= wrong
        if len(fitting.indices):
            taken.append(fitting)
            current = wide
    if current is None:
        return None, None, errors
    if len(taken) == 1 and len(taken[0].indices) == n:
        return current, cast(taken[0].columns, taken[0].schema, current), errors
    columns = empty_columns(current, n)
    fitted = [(part.indices, cast(part.columns, part.schema, current)) for part in taken]
    for number, column in enumerate(columns):
        if isinstance(column, RaggedColumn):
            columns[number] = _scatter([(i, c[number]) for i, c in fitted], column, n)
        else:
            for indices, cells in fitted:
                column[indices] = cells[number]
    return current, columns, errors


def _part(group: Sequence[tuple[int, Reading]]) -> Part:
    schema = group[0][1].schema
    columns: Columns = []
    for number, variable in enumerate(schema.variables):
        data = [reading.data[number] for _, reading in group]
        if variable.kind in ("ragged", "object"):
            lengths = np.array([len(item) for item in data], dtype=np.int64)
            columns.append(RaggedColumn(lengths, np.concatenate(data)))
        elif variable.kind == "text":
            column = np.empty((len(data), *variable.shape), dtype=object)
            for row, item in enumerate(data):
                column[row] = item if variable.shape else item.item()
            columns.append(column)
        else:
            columns.append(np.stack(data))
    return Part(schema, columns, np.array([index for index, _ in group], dtype=np.int64))


def _fit(part: Part, wide: Schema) -> tuple[Part, Errors]:
    """Return the runs of a part that a wider schema holds exactly, and errors for the others."""
    try:
        cast(part.columns, part.schema, wide)
    except SchemaMismatch as mismatch:
        whole = mismatch
    else:
        return part, {}
    kept = np.ones(len(part.indices), bool)
    targets = {variable.name: variable for variable in wide.variables}
    for variable, column in zip(part.schema.variables, part.columns, strict=True):
        target = targets[variable.name]
        if variable.kind == "fixed" and isinstance(column, np.ndarray):
            kept &= exact(column, target.dtype)[1]
        elif isinstance(column, RaggedColumn) and variable.kind == "ragged":
            single = exact(column.values, target.dtype)[1]
            runs = np.repeat(np.arange(len(kept)), column.lengths)
            kept[runs[~single]] = False
    lost = part.indices[~kept].tolist()
    fitting = Part(part.schema, take(part.columns, kept), part.indices[kept])
    return fitting, dict.fromkeys(lost, whole)


def _scatter(parts: Sequence[tuple[Indices, Column]], empty: RaggedColumn, n: int) -> RaggedColumn:
    lengths = np.zeros(n, np.int64)
    pieces: list[Any] = [None] * n
    dtype = empty.values.dtype
    for indices, column in parts:
        assert isinstance(column, RaggedColumn)
        lengths[indices] = column.lengths
        dtype = column.values.dtype
        for index, piece in zip(
            indices.tolist(), np.split(column.values, column.offsets[1:-1]), strict=True
        ):
            pieces[index] = piece
    present = [piece for piece in pieces if piece is not None]
    return RaggedColumn(lengths, np.concatenate(present) if present else np.zeros(0, dtype))


def _scalar_array(name: str, values: Sequence[Any], kind: type) -> tuple[Array, Errors]:
    dtype = scalar_dtype(kind)
    if dtype == "":
        array = np.empty(len(values), dtype=object)
        array[:] = values if kind is str else [str(value) for value in values]
        return array, {}
    try:
        return np.array(values, dtype=dtype), {}
    except OverflowError:
        pass
    limit = 2**63
    beyond = [row for row, value in enumerate(values) if not -limit <= value < limit]
    error = StageError(
        f"Output {name!r} is an int beyond 64 bits. Return float(…) or str(…) of it."
    )
    held = [0 if not -limit <= value < limit else value for value in values]
    return np.array(held, dtype=dtype), dict.fromkeys(beyond, error)


def _only(name: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda result: (result[name],)


def _itself(result: Any) -> tuple[Any, ...]:
    return result  # type: ignore[no-any-return]
