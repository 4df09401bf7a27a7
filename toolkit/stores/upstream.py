"""What a stage takes from the stages before it: which runs each of its runs needs, and values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.inputs.frozen import Frozen, freeze
from toolkit.run_status import Status
from toolkit.spaces.axis import Dim, Field
from toolkit.spaces.projection import ascending
from toolkit.spaces.space import Space
from toolkit.stages.columns import concatenate, empty_columns, take
from toolkit.stages.passing import everything, passed, passed_together, passed_whole
from toolkit.stages.schema import Array, Column, Columns, Schema
from toolkit.stages.wiring import Link
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.matching import Source, align
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.zarr_store import ZarrStore

Ids = npt.NDArray[np.int64]
Positions = Sequence[Ids]
Mask = npt.NDArray[np.bool_]

HAS_VALUE = np.isin(np.arange(256), [Status.DONE, Status.STALE])


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Which runs of one stage the runs of another one need.

    Parameters
    ----------
    catalogue
        The runs of the stage before.
    sources
        Where each of its dims finds its positions among the dims of the stage after; None for
        the dims that are taken whole.
    whole
        By number of its dim: the positions that are taken whole.
    labels
        By name: the labels of these.
    left_out
        By run id: which runs the space leaves out, though a former one may have asked for them;
        None for none.
    """

    catalogue: Catalogue
    sources: tuple[Source | None, ...]
    whole: Mapping[int, Ids] = field(default_factory=dict)
    labels: Mapping[str, Array] = field(default_factory=dict)
    left_out: Mask | None = None

    @classmethod
    def of(cls, before: Catalogue, after: Catalogue, space: Space, over: Sequence[str]) -> "Lookup":
        """Return the lookup between two catalogues.

        Parameters
        ----------
        before, after
            The runs of the two stages.
        space
            That of the stage before: it says which labels are taken whole.
        over
            The dims that the stage after takes whole.
        """
        numbers = {n for n, dim in enumerate(before.dims) if _taken(dim, over)}
        shared = [dim for n, dim in enumerate(before.dims) if n not in numbers]
        names = {column.name for dim in shared for column in dim.columns}
        bare = {dim.name for dim in shared if not dim.columns}
        places = [
            n
            for n, dim in enumerate(after.dims)
            if any(column.name in names for column in dim.columns) or dim.name in bare
        ]
        offered = _Dims(tuple(_only(after.dims[n], names) for n in places))
        found = iter(align(tuple(shared), (), offered, {}).sources)
        sources = [
            None if n in numbers else _renumbered(next(found), places)
            for n in range(len(before.dims))
        ]
        whole, labels = {}, {}
        for n in sorted(numbers):
            held = before.dims[n]
            asked = ascending(next(dim for dim in space.dims if dim.name == held.name))
            whole[n] = align((held,), (), _Dims((asked,)), {}).sources[0].positions
            labels[held.name] = asked.labels
        left_out = None
        if whole and space.conditions:
            kept = as_array(before.find(space))
            left_out = np.ones(before.n_runs, bool)
            left_out[kept[kept >= 0]] = False
        return cls(
            catalogue=Catalogue(blocks=before.blocks),
            sources=tuple(sources),
            whole=whole,
            labels=labels,
            left_out=left_out,
        )

    @property
    def width(self) -> int:
        """How many runs of the stage before each run of the stage after takes."""
        return int(np.prod([len(at) for at in self.whole.values()], dtype=np.int64))

    def ids(self, positions: Positions) -> Ids:
        """Return ids of the runs needed, shape ``(n, width)``, -1 where there is none.

        Parameters
        ----------
        positions
            Of n runs of the stage after, one array of shape ``(n,)`` for each dim of its
            catalogue.
        """
        n = len(positions[0]) if len(positions) else 1
        grids = np.meshgrid(*self.whole.values(), indexing="ij") if self.whole else []
        taken = {number: grid.ravel() for number, grid in zip(self.whole, grids, strict=True)}
        points = []
        for number, source in enumerate(self.sources):
            if source is None:
                points.append(np.tile(taken[number], n))
            else:
                points.append(
                    np.repeat(source.at(positions) if positions else _zeros(n), self.width)
                )
        if not points:
            return np.zeros((n, 1), np.int64)
        found = self.catalogue.lookup(points, pointwise=True)
        if self.left_out is not None:
            found[(found >= 0) & self.left_out[found]] = -1
        return found.reshape(n, self.width)


def readiness(
    lookup: Lookup, positions: Positions, status: npt.NDArray[np.uint8], *, allows: bool
) -> tuple[Mask, Mask]:
    """Return which runs have what they need of a stage, and which of the others never will.

    Parameters
    ----------
    lookup, positions
        Which runs are needed, and by which.
    status
        Of all runs of the stage before.
    allows
        Whether a run that takes a dim whole goes on without its failed parts.
    """
    needed = lookup.ids(positions)
    there = needed >= 0
    found = np.where(there, status[np.where(there, needed, 0)], Status.SKIPPED)
    has = HAS_VALUE[found]
    never = (found == Status.FAILED) | (found == Status.BLOCKED)
    counts = there & (found != Status.SKIPPED)
    if allows and lookup.whole:
        ready = (has | never | ~counts).all(axis=1) & has.any(axis=1)
        return ready, (never | ~counts).all(axis=1)
    return (has | ~counts).all(axis=1) & has.any(axis=1), never.any(axis=1)


class Reader(Protocol):
    """Reads what runs of a stage returned, on whatever worker."""

    def schema(self) -> Schema:
        """Return what each run returned."""

    def status(self, ids: Ids) -> npt.NDArray[np.uint8]:
        """Return the status of runs."""

    def columns(self, names: Sequence[str], ids: Ids) -> Columns:
        """Return outputs of runs with ascending ids."""


@dataclass(frozen=True, kw_only=True)
class StoredReader:
    """Reads from the store's folder, which every worker sees.

    Parameters
    ----------
    path
        Folder of the store.
    stage
        Name of the stage.
    version
        Identity and epoch of the store: what was read under another is not taken for it.
    """

    path: str
    stage: str
    version: tuple[str, int]

    def schema(self) -> Schema:
        """Return what each run returned."""
        return self._opened.runs.widest_schema or Schema()

    def status(self, ids: Ids) -> npt.NDArray[np.uint8]:
        """Return the status of runs."""
        return self._opened.runs.state.status[ids]

    def columns(self, names: Sequence[str], ids: Ids) -> Columns:
        """Return outputs of runs with ascending ids."""
        return [self._opened.column(name, ids) for name in names]

    @property
    def _opened(self) -> "_Opened":
        if self not in _open_stores:
            while len(_open_stores) >= _MOST_OPENED:
                _open_stores.pop(next(iter(_open_stores)))
            _open_stores[self] = _Opened(ZarrStore.read(self.path).stage(self.stage))
        return _open_stores[self]


class _Opened:
    """The runs of a stage that has ended; small outputs are read once."""

    def __init__(self, runs: StageRuns) -> None:
        self.runs = runs
        self._kept: dict[str, Column] = {}

    def column(self, name: str, ids: Ids) -> Column:
        if name not in self._kept:
            schema = self.runs.widest_schema or Schema()
            variable = schema.variables[schema.names.index(name)]
            width = math.prod(variable.shape) * 8 if variable.kind == "fixed" else math.inf
            if width * self.runs.n_runs > _KEPT_BYTES:
                return self.runs.read(name, ids)
            self._kept[name] = self.runs.read(name, slice(0, self.runs.n_runs))
        return take([self._kept[name]], ids)[0]


_open_stores: dict[StoredReader, _Opened] = {}
_MOST_OPENED = 8
_KEPT_BYTES = 32 * 2**20


class HeldReader:
    """Reads from runs in memory; what travels to workers are their columns, frozen if large."""

    def __init__(self, runs: StageRuns) -> None:
        self.runs = runs
        self._frozen: Frozen | None = None

    def schema(self) -> Schema:
        """Return what each run returned."""
        return self.runs.widest_schema or Schema()

    def status(self, ids: Ids) -> npt.NDArray[np.uint8]:
        """Return the status of runs."""
        return self.runs.state.status[ids]

    def columns(self, names: Sequence[str], ids: Ids) -> Columns:
        """Return outputs of runs with ascending ids."""
        return [self.runs.read(name, ids) for name in names]

    def freeze(self) -> Frozen | None:
        """Freeze the columns, to reach each machine once; None where they are small."""
        if self._frozen is None:
            held = self._held()
            if sum(column.nbytes for column in held[2]) > _FROZEN_BYTES:
                self._frozen = freeze(held, f"results of {self.runs.name}")
        return self._frozen

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as columns."""
        return _Sent, (self.freeze() or self._held(),)

    def _held(self) -> "_Held":
        schema = self.schema()
        every = np.arange(self.runs.n_runs)
        return schema, np.array(self.runs.state.status), self.columns(schema.names, every)


_Held = tuple[Schema, npt.NDArray[np.uint8], Columns]
_FROZEN_BYTES = 2**20


class _Sent:
    """Columns that came with the batch's description, or as a frozen input."""

    def __init__(self, given: "Frozen | _Held") -> None:
        self._given = given

    def schema(self) -> Schema:
        return self._held[0]

    def status(self, ids: Ids) -> npt.NDArray[np.uint8]:
        return self._held[1][ids]

    def columns(self, names: Sequence[str], ids: Ids) -> Columns:
        schema, _, columns = self._held
        return take([columns[schema.names.index(name)] for name in names], ids)

    @property
    def _held(self) -> _Held:
        held: _Held = self._given.get() if isinstance(self._given, Frozen) else self._given
        return held


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a stage takes from one stage before it.

    Parameters
    ----------
    links
        Its arguments that this stage gives.
    lookup
        Which runs.
    reader
        Their values.
    together
        Whether the stage is vectorized.
    """

    links: tuple[Link, ...]
    lookup: Lookup
    reader: Reader
    together: bool = False

    def frozen(self) -> Frozen | None:
        """Return what travels as a frozen input, if anything does."""
        return self.reader.freeze() if isinstance(self.reader, HeldReader) else None

    def values(self, positions: Positions) -> dict[str, Any]:
        """Return the arguments of n runs by what they ask for, a sequence of n each."""
        ids = self.lookup.ids(positions)
        schema = self.reader.schema()
        found: dict[str, Any] = {}
        by_output: dict[str, Any] = {}
        wanted = {link.output for link in self.links}
        names = (
            schema.names if None in wanted else [name for name in schema.names if name in wanted]
        )
        for name, column in zip(names, self._columns(names, ids, schema), strict=True):
            variable = schema.variables[schema.names.index(name)]
            if self.lookup.whole:
                by_output[name] = self._whole(variable, schema, column, ids)
            elif self.together:
                by_output[name] = passed_together(variable, schema, column)
            else:
                by_output[name] = passed(variable, schema, column)
        for link in self.links:
            if link.output is not None:
                found[link.source] = by_output[link.output]
            elif list(schema.names) == [link.stage]:
                found[link.source] = by_output[link.stage]
            elif not schema.names:
                found[link.source] = [None] * len(ids)
            else:
                found[link.source] = everything(by_output)
        return found

    def _columns(self, names: Sequence[str], ids: Ids, schema: Schema) -> Columns:
        flat = ids.ravel()
        unique, back = np.unique(flat, return_inverse=True)
        first = int(np.searchsorted(unique, 0))
        columns = self.reader.columns(names, unique[first:])
        if first:  # -1 stands first, for runs that are not there
            only = [schema.variables[schema.names.index(name)] for name in names]
            columns = concatenate([empty_columns(Schema(variables=tuple(only)), 1), columns])
        return take(columns, back)

    def _whole(self, variable: Any, schema: Schema, column: Any, ids: Ids) -> list[Any]:
        there = ids >= 0
        there[there] = HAS_VALUE[self.reader.status(ids[there])]
        width = self.lookup.width
        parts = [take([column], slice(at * width, (at + 1) * width))[0] for at in range(len(ids))]
        return [
            passed_whole(variable, schema, part, self.lookup.labels, has)
            for part, has in zip(parts, there, strict=True)
        ]


@dataclass(frozen=True)
class _Dims:
    """Some dims, for aligning them."""

    dims: tuple[Dim, ...]
    fields: tuple[Field, ...] = ()


def _taken(dim: Dim, over: Sequence[str]) -> bool:
    return dim.name in over or any(column.name in over for column in dim.columns)


def _only(dim: Dim, names: set[str]) -> Dim:
    return replace(dim, columns=tuple(c for c in dim.columns if c.name in names))


def _renumbered(source: Source, places: Sequence[int]) -> Source:
    dims = tuple(places[number] for number in source.dims)
    return Source(dims=dims, sizes=source.sizes, positions=source.positions)


def _zeros(n: int) -> Ids:
    return np.zeros(n, np.int64)
