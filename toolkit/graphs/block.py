"""Make one block of a stage: what is stored is read, the rest is run, failures are values."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.graphs.along import Ints
from toolkit.graphs.content import LazyStage
from toolkit.graphs.layer_spec import BlockNumber, LayerSpec
from toolkit.graphs.stored import StoredRuns
from toolkit.run_status import Status
from toolkit.spaces.seeds import Streams
from toolkit.spaces.space import Space
from toolkit.stages.batch import run_batch
from toolkit.stages.columns import cast, concatenate, empty_columns, take
from toolkit.stages.current import RunContext
from toolkit.stages.schema import Columns, Schema, widen
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.run_labels import labels_of_run
from toolkit.stores.reading.cells import read_column
from toolkit.stores.upstream import HAS_VALUE, Input, Lookup, readiness

_MESSAGES = 20


@dataclass(kw_only=True)
class Block:
    """Outcomes of the runs of a block.

    Parameters
    ----------
    shape
        Of its cells, along the dims that are seen.
    owner
        Which run each cell has, in C order, -1 where the space leaves it out; None where run i is
        that of cell i.
    status
        Done, stale, failed, blocked; pending where a run lacks what the space leaves out.
    schema, columns
        What the runs returned.
    messages
        Of some of the runs that failed or are blocked: why, by number of the run.
    """

    shape: tuple[int, ...]
    owner: Ints | None
    status: npt.NDArray[np.uint8]
    schema: Schema
    columns: Columns
    messages: Mapping[int, str] = field(default_factory=dict)

    def __sizeof__(self) -> int:
        """Return bytes, so that Dask knows what a block weighs."""
        held = [self.status, *([] if self.owner is None else [self.owner]), *self.columns]
        return 1_000 + sum(each.nbytes for each in held)


def make_block(layer: LayerSpec, number: BlockNumber, before: Sequence[Block] = ()) -> Block:
    """Return a block of a layer, from the blocks that ``layer.needed`` names."""
    content = layer.source.content
    stage = content.stages[layer.stage]
    runs = _Runs(stage, layer.indices(number))
    stored = content.shelf.runs(stage.name)
    if stored is not None:
        runs.read(stored)
    todo = np.flatnonzero(runs.status == Status.PENDING)
    if len(todo) and stage.links and not layer.before:
        raise StoreError(
            f"Stored results of stage {stage.name!r} are gone since the lazy Dataset was made. "
            "Make it again with sweep.lazy()."
        )
    if len(todo):
        given = dict(zip(layer.needed(number), before, strict=True))
        inputs = []
        for each in layer.before:
            blocks = {key[1:]: block for key, block in given.items() if key[0] == each.name}
            inputs.append(_input(stage, content.stages[each.stage], each, runs, blocks))
        todo = runs.settle(todo, inputs)
    if len(todo):
        runs.run(todo, [one.given for one in inputs], content.seed)
    return runs.block(tuple(len(at) for at in layer.indices(number).values()))


class _Runs:
    """The runs of one block, in the order of its cells."""

    def __init__(self, stage: LazyStage, indices: Mapping[str, Ints]) -> None:
        self.stage, self.indices = stage, indices
        self.space: Space = stage.part(indices)
        self.catalogue, ids = Catalogue.empty().register(self.space)
        self.ids = np.asarray(ids, dtype=np.int64)
        self.status = np.zeros(len(self.ids), np.uint8)
        self.messages: dict[int, str] = {}
        self.parts: list[tuple[Ints, Columns, Schema]] = []

    def read(self, stored: StoredRuns) -> None:
        """Take what is stored; failed runs stay failed."""
        known = as_array(stored.catalogue.find(self.space, defaults=self.stage.defaults))
        there = np.flatnonzero((known >= 0) & (known < stored.n_runs))
        if not len(there):
            return
        status = np.asarray(stored.read("status", known[there]))
        schema = stored.widest_schema
        has = there[HAS_VALUE[status]]
        if len(has) and schema is not None:
            columns = [read_column(stored, name, known[has]) for name in schema.names]  # type: ignore[arg-type]
            self.parts.append((has, columns, schema))
            self.status[has] = status[HAS_VALUE[status]]
        failed = there[status == Status.FAILED]
        self.status[failed] = Status.FAILED
        if len(failed):
            why = {line["run"]: line for line in stored.failures()}
            for at in failed[:_MESSAGES].tolist():
                line = why.get(int(known[at]), {})
                self._note(
                    at,
                    f"{line.get('exception', 'an error')}: {line.get('message', '')}",
                    str(line.get("traceback", "")),
                    "is stored as failed",
                )

    def settle(self, todo: Ints, inputs: "Sequence[_Given]") -> Ints:
        """Return the runs that have what they need; the others are blocked, or lack something."""
        if not inputs or not len(todo):
            return todo
        ready = np.ones(len(todo), bool)
        positions = self.catalogue.positions(self.ids[todo])
        for one in inputs:
            is_ready, is_blocked = readiness(
                one.given.lookup,
                positions,
                one.status,
                allows=self.stage.missing == "allow",
            )
            ready &= is_ready
            blocked = todo[is_blocked]
            self.status[blocked] = Status.BLOCKED
            for at in blocked[:_MESSAGES].tolist():
                self.messages.setdefault(at, one.message)
        return todo[ready]

    def run(self, todo: Ints, inputs: Sequence[Input], seed: int) -> None:
        """Run some runs."""
        stage, catalogue = self.stage, self.catalogue
        ids = self.ids[todo]
        positions = catalogue.positions(ids)
        held = set(catalogue.names)
        names = [
            argument.source
            for argument in stage.call.arguments
            if argument.kind == "value" and argument.source in held
        ]
        values: Mapping[str, Any] = (
            catalogue.arrays(ids, names) if stage.call.vectorized else catalogue.values(ids, names)
        )
        for each in inputs:
            values = {**values, **each.values(positions)}
        numbers = self._numbers(todo)
        at = dict(zip(numbers, todo.tolist(), strict=True))
        folder = os.path.join(tempfile.gettempdir(), f"toolkit-lazy-{uuid.uuid4().hex[:12]}")
        context = RunContext(
            stage=stage.name,
            checkpoint_folder=folder,
            threads=stage.threads,
            labels=lambda run: labels_of_run(catalogue, int(self.ids[at[run]])),
        )
        try:
            result = run_batch(
                stage.ready,
                values,
                numbers,
                streams=Streams(seed, stage.name, catalogue.dims),
                positions=positions,
                schema=stage.schema,
                context=context,
                trial=stage.trial,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.status[todo] = result.status
        if result.schema is not None and result.columns is not None:
            done = np.flatnonzero(result.status == Status.DONE)
            columns = result.columns if len(done) == len(todo) else take(result.columns, done)
            self.parts.append((todo[done], columns, result.schema))
        for failure in result.errors[:_MESSAGES]:
            what = f"{failure.exception}: {failure.message}"
            self._note(at[failure.run], what, failure.traceback, "failed")

    def block(self, shape: tuple[int, ...]) -> Block:
        """Return the outcomes."""
        schema, columns = self._columns()
        return Block(
            shape=shape,
            owner=self.space.points().owner,
            status=self.status,
            schema=schema,
            columns=columns,
            messages=self.messages,
        )

    def _columns(self) -> tuple[Schema, Columns]:
        """Return all that was read and made, in the order of the runs."""
        n = len(self.status)
        parts = [part for part in self.parts if len(part[0])]
        schema = reduce(widen, [part[2] for part in parts]) if parts else self.stage.schema
        schema = schema or (self.parts[0][2] if self.parts else Schema())
        if len(parts) == 1 and len(parts[0][0]) == n:
            return schema, parts[0][1]
        row = np.full(n, sum(len(part[0]) for part in parts))
        row[[at for part in parts for at in part[0].tolist()]] = np.arange(row[0] if n else 0)
        joined = [cast(columns, own, schema) for _, columns, own in parts]
        return schema, take(concatenate([*joined, empty_columns(schema, 1)]), row)

    def _numbers(self, todo: Ints) -> list[int]:
        """Return by which number each run is known: that of its cell in the whole space."""
        whole = self.stage.positions(self.indices)
        flat = np.zeros(len(todo), np.int64)
        at = self.space.points().positions(todo)
        for dim, position in zip(self.stage.space.dims, at, strict=True):
            place = np.maximum(position, 0)
            flat = flat * dim.size + (whole[dim.name][place] if dim.name in whole else place)
        return [int(number) for number in flat]

    def _note(self, at: int, what: str, traceback: str, how: str) -> None:
        self.messages[at] = f"{self.stage.name} {how} at {self.labels(at)}: {what}\n{traceback}"

    def labels(self, at: int) -> str:
        """Return the labels of a run as text."""
        return labels_text(labels_of_run(self.catalogue, int(self.ids[at])))


def labels_text(labels: Mapping[str, object]) -> str:
    """Return labels as messages name them.

    Examples
    --------
    >>> labels_text({"beta": 0.3, "over_fold": "5 labels", "model": "sir"})
    "beta=0.3, model='sir'"
    """
    shown = {name: each for name, each in labels.items() if not name.startswith("over_")}
    return ", ".join(f"{name}={each!r}" for name, each in shown.items())


@dataclass(kw_only=True)
class _Given:
    """What a block takes from one stage before it."""

    given: Input
    status: npt.NDArray[np.uint8]
    message: str


def _input(
    stage: LazyStage,
    before: LazyStage,
    layer: LayerSpec,
    runs: _Runs,
    blocks: Mapping[BlockNumber, Block],
) -> _Given:
    """Return what a block takes from blocks of one layer before it."""
    narrow = {name: at for name, at in runs.indices.items() if name in before.dims}
    whole = before.part(narrow)
    catalogue, ids = Catalogue.empty().register(whole)
    ids = np.asarray(ids, dtype=np.int64)
    if len(blocks) == 1 and not stage.whole:
        numbers = [ids]
    else:
        numbers = [as_array(catalogue.find(before.part(layer.indices(at)))) for at in blocks]
    reader = _BlockReader(catalogue.n_runs, list(zip(numbers, blocks.values(), strict=True)))
    messages = [text for block in blocks.values() for text in block.messages.values()]
    return _Given(
        given=Input(
            links=tuple(link for link in stage.links if link.stage == before.name),
            lookup=Lookup.of(catalogue, runs.catalogue, whole, stage.whole),
            reader=reader,
            together=bool(stage.call.vectorized),
        ),
        status=reader.every_status,
        message=messages[0] if messages else f"A run of {before.name} failed.",
    )


class _BlockReader:
    """Reads what runs of a stage returned from its blocks."""

    def __init__(self, n_runs: int, blocks: Sequence[tuple[Ints, Block]]) -> None:
        schemas = [block.schema for _, block in blocks if block.schema.names]
        self._schema = reduce(widen, schemas) if schemas else Schema()
        self._blocks = [block for _, block in blocks]
        self._row = np.full(n_runs, -1, np.int64)
        self.every_status = np.full(n_runs, Status.SKIPPED, np.uint8)
        first = 0
        for ids, block in blocks:
            self._row[ids] = np.arange(first, first + len(ids))
            self.every_status[ids] = block.status
            first += len(ids)

    def schema(self) -> Schema:
        """Return what each run returned."""
        return self._schema

    def status(self, ids: Ints) -> npt.NDArray[np.uint8]:
        """Return the status of runs."""
        return self.every_status[ids]

    def columns(self, names: Sequence[str], ids: Ints) -> Columns:
        """Return outputs of runs."""
        chosen = [self._schema.names.index(name) for name in names]
        parts = [cast(block.columns, block.schema, self._schema) for block in self._blocks]
        joined = concatenate([[part[at] for at in chosen] for part in parts])
        return take(joined, self._row[ids])


def evaluate(layer: LayerSpec, number: BlockNumber, memory: dict[Any, Block]) -> Block:
    """Return a block, made here and now with all that it needs; ``memory`` keeps what was made."""
    key = (layer.name, *number)
    if key not in memory:
        layers = {each.name: each for each in layer.before}
        before = [
            evaluate(layers[needed[0]], needed[1:], memory) for needed in layer.needed(number)
        ]
        memory[key] = make_block(layer, number, before)
    return memory[key]
