"""One point again, here, with the same streams: for a debugger, or for a doubt."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.run_status import Status
from toolkit.spaces.seeds import Streams
from toolkit.spaces.space import Space
from toolkit.stages.batch import run_batch
from toolkit.stages.columns import take
from toolkit.stages.current import Cursor, RunContext
from toolkit.stages.frozen_arguments import thaw
from toolkit.stages.preparing import Prepared, PreparedStage
from toolkit.stages.schema import Columns, Schema
from toolkit.stages.torch_batch import TorchBatch
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.run_labels import labels_of_run
from toolkit.stores.upstream import HAS_VALUE, HeldReader, Ids, Input, Lookup, Reader

if TYPE_CHECKING:
    from toolkit.stores.results import Results


def reproduce(
    prepared: Prepared,
    results: "Results",
    seed: int,
    *,
    stage: str | None,
    run: int | None,
    labels: Mapping[str, object],
) -> Any:
    """Call the function at one point; see :meth:`toolkit.Sweep.reproduce`.

    Raises
    ------
    SweepError
        If ``run`` and ``labels`` do not name one point, or ``stage`` none of the stages.
    """
    target = prepared.stages[-1] if stage is None else prepared.named(stage)
    catalogue, ids = _registered(target, results, run, labels)
    return _Points(prepared, results, seed).call(target, catalogue, ids)


class _Points:
    """Runs single points of stages, with what they need of the stages before them."""

    def __init__(self, prepared: Prepared, results: "Results", seed: int) -> None:
        self.prepared, self.results, self.seed = prepared, results, seed

    def call(self, stage: PreparedStage, catalogue: Catalogue, ids: Ids) -> Any:
        """Return what the function returns at one point."""
        binding = stage.binding
        positions = catalogue.positions(ids)
        values = self._values(stage, catalogue, ids)
        streams = Streams(self.seed, binding.name, catalogue.dims)
        call = thaw(binding.call)
        resources = stage.stage.fixed_resources
        context = RunContext(
            stage=binding.name,
            threads=1 if resources is None else resources.threads,
            labels=partial(labels_of_run, catalogue),
        )
        run_seed = int(streams.run_seeds(positions)[0])
        with Cursor(ids.tolist(), values, [], context, 1, lambda _: run_seed) as cursor:
            # Its folders stay if it raises, as those of a failed run do.
            if call.vectorized == "torch":
                batch = TorchBatch(call)
                arguments = call.arrays(values, 1, streams, positions)
                result = batch.plainly(batch.prepare(arguments), 0)
            elif call.vectorized:
                result = call.positional_function()(*call.arrays(values, 1, streams, positions))
            else:
                row = next(iter(call.rows(values, 1, streams, positions)))
                result = call.positional_function()(*row)
            cursor.close([])
        return result

    def _values(self, stage: PreparedStage, catalogue: Catalogue, ids: Ids) -> Mapping[str, Any]:
        call = stage.binding.call
        held = set(catalogue.names)
        names = [
            argument.source
            for argument in call.arguments
            if argument.kind == "value" and argument.source in held
        ]
        values: Mapping[str, Any] = (
            catalogue.arrays(ids, names) if call.vectorized else catalogue.values(ids, names)
        )
        for each in self._inputs(stage, catalogue, ids):
            values = {**values, **each.values(catalogue.positions(ids))}
        return values

    def _inputs(self, stage: PreparedStage, catalogue: Catalogue, ids: Ids) -> list[Input]:
        made = []
        for name in stage.node.upstream:
            before = self.prepared.named(name)
            known, _ = _catalogue(before, self.results, before.space)
            lookup = Lookup.of(known, catalogue, before.space, stage.whole)
            needed = np.unique(lookup.ids(catalogue.positions(ids)))
            made.append(
                Input(
                    links=tuple(link for link in stage.node.links if link.stage == name),
                    lookup=lookup,
                    reader=self._reader(before, known, needed[needed >= 0]),
                    together=bool(stage.stage.vectorized),
                )
            )
        return made

    def _reader(self, stage: PreparedStage, catalogue: Catalogue, ids: Ids) -> Reader:
        """Return what reads some runs: stored ones, or made here where any is not stored."""
        stored = self.results.look(stage.name)
        if (
            stored is not None
            and (ids < stored.n_runs).all()
            and HAS_VALUE[stored.state.status[ids]].all()
        ):
            return HeldReader(stored)
        result = run_batch(
            thaw(stage.binding.call),
            self._values(stage, catalogue, ids),
            ids.tolist(),
            streams=Streams(self.seed, stage.name, catalogue.dims),
            positions=catalogue.positions(ids),
            context=RunContext(stage=stage.name, labels=partial(labels_of_run, catalogue)),
        )
        if result.errors:
            self.call(stage, catalogue, np.array([result.errors[0].run]))  # raises it here
            raise SweepError(f"Stage {stage.name!r}: {result.errors[0].message}")
        return _Made(ids, result.schema or Schema(), result.columns or [])


class _Made:
    """Outputs of runs that were made for one reproduction."""

    def __init__(self, ids: Ids, schema: Schema, columns: Columns) -> None:
        self._ids, self._schema = ids, schema
        self._columns = dict(zip(schema.names, columns, strict=True))

    def schema(self) -> Schema:
        return self._schema

    def status(self, ids: Ids) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        return np.full(len(ids), Status.DONE, np.uint8)

    def columns(self, names: Sequence[str], ids: Ids) -> Columns:
        return take([self._columns[name] for name in names], np.searchsorted(self._ids, ids))


def _catalogue(
    stage: PreparedStage, results: "Results", space: Space
) -> tuple[Catalogue, "range | Ids"]:
    stored = results.look(stage.name)
    known = Catalogue.empty() if stored is None else stored.catalogue
    return known.register(space, defaults=stage.defaults)


def _registered(
    stage: PreparedStage, results: "Results", run: int | None, labels: Mapping[str, object]
) -> tuple[Catalogue, Ids]:
    catalogue, _ = _catalogue(stage, results, stage.space)
    if run is not None:
        if labels:
            raise SweepError("Give run= or labels to reproduce(), not both.")
        if not 0 <= run < catalogue.n_runs:
            raise SweepError(
                f"run={run} is not a run of this store, which has runs 0 to {catalogue.n_runs - 1}."
            )
        return catalogue, np.array([run])
    space = stage.space.sel(labels) if labels else stage.space
    if len(space) != 1:
        sizes = ", ".join(f"{name}=… ({size} labels)" for name, size in space.sizes.items())
        raise SweepError(
            f"reproduce() needs one point, and this names {len(space):,} runs. Add a label for: "
            f"{sizes}; or give run=."
        )
    catalogue, ids = catalogue.register(space, defaults=stage.defaults)
    return catalogue, np.asarray(ids)
