"""The runs of one stage in a store, on the coordinator's side."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stages.columns import cast
from toolkit.stages.identity import Identity
from toolkit.stages.schema import Column, Columns, Schema
from toolkit.stores.arrays.parameters import Parameters
from toolkit.stores.catalogues.box import compact, take
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.makers import Makers
from toolkit.stores.catalogues.matching import SpaceLike
from toolkit.stores.journals.failure_log import last_failures
from toolkit.stores.journals.receipt import Receipt, SinkSpec
from toolkit.stores.journals.records import Added, Record
from toolkit.stores.runs.adding import space_of
from toolkit.stores.runs.fold import Fold
from toolkit.stores.runs.gathering import gather
from toolkit.stores.runs.home import Home, alone
from toolkit.stores.runs.inbox import Inbox
from toolkit.stores.runs.lineage import changes, disown, settled, status_under
from toolkit.stores.runs.outcomes import Collected, Settler
from toolkit.stores.runs.output_reading import read_output
from toolkit.stores.runs.overlay import Overlay
from toolkit.stores.runs.own_outcomes import OwnOutcomes
from toolkit.stores.runs.pending import Part, Pending
from toolkit.stores.runs.stage_layout import StageLayout, coordinate_names
from toolkit.stores.runs.state import FIELDS, State

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

_ALL = slice(None)


class StageRuns:
    """State and values of the runs of one stage; the same on disk and in memory.

    Made by ``ZarrStore.stage`` and ``MemoryStore.stage``.
    """

    def __init__(self, home: Home, name: str, group: str, marker: dict[str, Any]) -> None:
        self.name = name
        self.group = group
        self._home = home
        self._hierarchy = home.hierarchy
        self._pending = Pending()
        self._overlay = Overlay(self._pending)
        self._layout = StageLayout(self._hierarchy, name, group)
        self.catalogue, self._values = self._layout.load()
        self.state = State(self.catalogue.n_runs, self._stored_state)
        self.state.makers = self._layout.load_makers()
        self.incomplete = self._layout.load_incomplete()
        self._parameters = Parameters(self._hierarchy, group, marker.get("parameters"))
        done = marker.get("offsets", {})
        self._fold = Fold(self._hierarchy, group, self.state, self._pending, done)
        self._inbox = Inbox(name, home, self._fold)
        self._settler = Settler(self.state, self._pending, self._check_stored, self._inbox.report)
        self._settler.schema = self.schema
        self._inbox.settler = self._settler
        self._held: set[int] = set()
        self._added: list[Added] = []

    @property
    def n_runs(self) -> int:
        """Number of run ids."""
        return self.catalogue.n_runs

    @property
    def schema(self) -> Schema | None:
        """What is stored of every run; None until ``set_schema``."""
        return None if self._values is None else self._values.schema

    @property
    def widest_schema(self) -> Schema | None:
        """What runs returned by now, journalled ones included; None before the first."""
        return self._settler.schema or self.schema

    @property
    def chunk_length(self) -> int | None:
        """Runs in a chunk; None until ``set_schema``."""
        return None if self._values is None else self._values.chunk_length

    @property
    def folded(self) -> dict[str, int]:
        """How far each journal is folded."""
        return self._fold.folded

    @property
    def parameters_done(self) -> dict[str, int]:
        """Up to which run the arrays of the parameters are written."""
        return self._parameters.done

    @alone
    def register(
        self, space: SpaceLike, *, defaults: dict[str, object] | None = None
    ) -> range | Ids:
        """Add the runs of a space; return the id of each of its runs, in its order.

        New runs are pending; cells that no space asked for are skipped. All arrays get their new
        length, then the metadata is written once.
        """
        catalogue, ids = self.catalogue.register(space, defaults=defaults)
        self._grow(catalogue)
        asked = slice(ids.start, ids.stop) if isinstance(ids, range) else ids
        skipped = np.flatnonzero(self.state.status[asked] == Status.SKIPPED)
        if len(skipped):
            self.state.set_status(take(compact(ids), skipped), Status.PENDING)
        self._layout.lay_out(catalogue, self._values, self._parameters, self.state.names)
        return ids

    @alone
    def know_axes(self, space: SpaceLike) -> None:
        """Let the first runs lie along the dims of a space, before any of its runs is added."""
        if not self.catalogue.dims:
            self._grow(self.catalogue.with_axes(space))
            self._layout.lay_out(self.catalogue, self._values, self._parameters, self.state.names)

    @alone
    def adopt(self, catalogue: Catalogue, makers: Makers) -> None:
        """Take over the runs of other stores; they are pending until ``take_in``."""
        self._grow(catalogue)
        self._layout.lay_out(catalogue, self._values, self._parameters, self.state.names)
        self.state.makers = makers
        self._layout.save_makers(makers, self.n_runs)

    @alone
    def take_in(
        self,
        ids: Ids,
        state: State,
        found: Ids,
        made_by: Array,
        columns: Columns | None = None,
        schema: Schema | None = None,
    ) -> None:
        """Take in outcomes that another store holds, past the journals.

        Parameters
        ----------
        ids
            Runs here, ascending, each once and pending.
        state, found
            The state of the other store, and the runs there, shape ``(n,)``.
        made_by
            Who made them, by the numbers of the makers here.
        columns, schema
            Their values; None for runs without.
        """
        self.state.copy(ids, state, found, made_by)
        if columns is not None and schema is not None and self.schema is not None:
            part = cast(columns, schema, self.schema)
            self._pending.add(Part(ids, part, self.schema, "", 0))
        self.fold()

    @alone
    def set_schema(self, schema: Schema, chunk_length: int | None = None) -> None:
        """Make the arrays of the outputs, or widen those whose type has become wider.

        A widened array is written in full beside the old one, then takes its place; after a
        crash in between the next driver completes the exchange.

        Parameters
        ----------
        schema
            What every run returns.
        chunk_length
            Runs in a chunk, a power of two; fixed by the first call.
        """
        parameters = self._parameters.names(self.catalogue)
        if self._values is None:
            if chunk_length is None or chunk_length < 1 or chunk_length & (chunk_length - 1):
                raise StoreError(
                    f"The chunk length must be a power of two, not {chunk_length}. "
                    "Give one where the outputs of a stage are stored first."
                )
            self._values = self._layout.create_values(schema, chunk_length, self.n_runs, parameters)
        else:
            wide = self._settler.widest(schema)
            if wide != self._values.schema:
                self._values.check(wide)
                self._values.widen(wide, coordinate_names(schema, parameters), self.n_runs)
            schema = wide
        self._settler.schema = schema
        self._recast(schema)
        self._layout.describe(self._values, parameters)
        self._hierarchy.commit()

    def sink_spec(self) -> SinkSpec:
        """Return where workers write runs of this stage."""
        home = self._home
        return SinkSpec(
            path=home.path,
            stage=self.name,
            identity=home.identity,
            epoch=home.epoch,
            group=self.group,
            schema=self.schema,
            chunk_length=self.chunk_length,
            n_runs=self.n_runs,
            durability=home.durability,
        )

    @alone
    def hold(self, chunks: Iterable[int]) -> None:
        """Keep ``fold`` from patching chunks that batches have been given whole."""
        self._held.update(chunks)

    @alone
    def unhold(self, chunks: Iterable[int]) -> None:
        """Let ``fold`` patch these chunks again."""
        self._held.difference_update(chunks)

    @alone
    def collect(
        self, receipts: Iterable[Receipt] = (), *, own: OwnOutcomes | None = None
    ) -> Collected:
        """Read what the journals say since the last time and take it into the state.

        Parameters
        ----------
        receipts
            Of batches that have returned; a store in memory has no other source.
        own
            What this process has written itself: it is taken from there where that is all that
            its journal has to say.
        """
        taken = None if own is None else own.take(self.name, self._home.epoch, time.time())
        if taken is not None and self._home.pass_over(taken[0], taken[1].origin):
            self._inbox.deliver(*taken)
        self._home.pull(receipts)
        self.drain()
        return self._inbox.collected(self.state.status, self._home.marks(self.name))

    def has_begun(self, journal: str, run: int) -> bool:
        """Whether a run in progress has a record of its own: nothing else ran in its time."""
        return self._inbox.begun.has(journal, run)

    def began_at(self, journal: str, run: int) -> float | None:
        """Return when a run in progress began, in seconds since 1970, where a record says it."""
        return self._inbox.begun.since(journal, run)

    @alone
    def in_progress(self) -> dict[int, float | None]:
        """Return the runs that began and are not done, by what was read of the journals.

        Returns
        -------
        dict
            By run id when it began, in seconds since 1970; None where no record says it.
        """
        begun, marks = self._inbox.begun, self._home.marks(self.name)
        return {
            run: begun.since(journal, run)
            for journal, runs in begun.in_progress(self.state.status, marks).items()
            for run in runs
        }

    def deliver(self, journal: str, record: Record) -> None:
        """Take a record; ``drain`` looks at it."""
        if isinstance(record, Added):
            self._added.append(record)
        else:
            self._inbox.deliver(journal, record)

    @alone
    def drain(self) -> None:
        """Take what was delivered into the state."""
        if self._added:
            self._add_runs()
        self._inbox.drain()
        if self._fold.is_full and self._home.is_writable:
            self._patch()

    @alone
    def fold(self, *, force: bool = False) -> None:
        """Bring what was collected into the arrays, as far as it is due.

        Values of complete chunks are patched in at once, others every 5 s or when 64 MB wait;
        then status, attempts, seconds and peak memory are written every 2 s, a piece of the
        parameters, and the marker that says up to where the journals are folded.

        Parameters
        ----------
        force
            Everything is due.
        """
        if not self._home.is_writable:
            raise StoreError("This store was opened for reading only.")
        self._home.check()
        if force and self._needs_schema():
            assert self._settler.schema is not None
            self.set_schema(self._settler.schema, self.chunk_length)
        self._patch(force=force)
        is_written = self._fold.write_state(force=force)
        while self._parameters.write_piece(self.catalogue) and force:
            continue
        if force and self._values is not None:
            self._values.trim()
            self._hierarchy.commit()
        if is_written:
            self._home.failure_log.flush()
            self._home.run_logs.flush()
            self._home.write_marker()

    @alone
    def reset(self, ids: Ids) -> None:
        """Make runs pending for another attempt; attempts are kept.

        It lasts from the next fold on. After a crash before a new outcome, a run may read as it
        was before; nothing is lost.
        """
        self.state.set_status(np.asarray(ids, np.int64), Status.PENDING)

    @alone
    def leave_out(self, ids: Ids) -> None:
        """Make pending runs as if no space had asked for them."""
        if len(ids):
            self.state.set_status(np.asarray(ids, np.int64), Status.SKIPPED)

    def was_run(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which of some runs have an outcome, or had one."""
        status = self.state.status[ids]
        is_open = (status == Status.PENDING) | (status == Status.SKIPPED)
        found: npt.NDArray[np.bool_] = ~is_open | (self.state.attempts[ids] > 0)
        return found

    @alone
    def forget_runs(self, ids: Ids) -> None:
        """Make runs as if they had never been run, on disk at once.

        Their values are not shown any more; their room is given back by ``compact``.
        """
        if not len(ids):
            return
        if self._values is None and self._settler.schema is not None:
            self.set_schema(self._settler.schema, 1 << 10)  # so that journals can be folded
        self.fold(force=True)
        self.state.forget(ids)
        gone = set(ids.tolist())
        self._home.failure_log.keep(
            lambda line: line["stage"] != self.name or line["run"] not in gone
        )
        self.note_incomplete(ids, np.zeros(len(ids), np.int64))
        self.fold(force=True)

    @alone
    def block(self, ids: Ids) -> None:
        """Note that runs cannot be made, for a run that they need has failed."""
        if len(ids):
            self.state.set_status(np.asarray(ids, np.int64), Status.BLOCKED)

    @alone
    def outdate(self, ids: Ids) -> None:
        """Make runs stale for good: what they were made of is not what they would be made of now.

        They keep their values, and no code counts as having made them. It is on disk at once.
        """
        ids = np.asarray(ids, np.int64)
        if not len(ids):
            return
        disown(self.state, ids, lambda makers: self._layout.save_makers(makers, self.n_runs))
        self.state.set_status(ids, Status.STALE)
        self.fold(force=True)

    @alone
    def note_incomplete(self, ids: Ids, counts: npt.NDArray[np.int64]) -> None:
        """Note of runs that are about to be made without how many failed parts, 0 for none."""
        begun = set(ids.tolist())
        noted = {run: n for run, n in self.incomplete.items() if run not in begun}
        noted |= {run: n for run, n in zip(ids.tolist(), counts.tolist(), strict=True) if n}
        if noted != self.incomplete:
            self.incomplete = noted
            self._layout.save_incomplete(noted)

    @alone
    def waiting(self) -> Ids:
        """Return the runs whose values are journalled and not yet in their chunks."""
        return np.concatenate([np.zeros(0, np.int64), *self._pending.ids()])

    @alone
    def drop_values(self) -> None:
        """Forget what runs in memory returned, when nobody needs it any more."""
        self._pending.keep([])
        for key in filter(None, self._hierarchy.documents):
            self._hierarchy.storage.delete_tree(key)

    @alone
    def settle_identity(self, identity: Identity) -> None:
        """Let an identity be the present one: runs made by it are done, those of others stale.

        It is noted on disk before any of its runs is, so that a driver's turn says who made what.
        """
        noted = self.state.makers
        before = (self._home.provenance.get("code") or {}).get(self.name)
        makers = settled(self.state, identity, self._home.epoch, before)
        if makers != noted:
            self._layout.save_makers(makers, self.n_runs)
            self.state.take_over(makers)
            self.fold(force=True)

    @alone
    def status_under(self, identity: Identity | None, ids: Ids | slice = _ALL) -> Array:
        """Return the status of runs where one identity is the valid one; None: the present one."""
        return status_under(self.state, identity, ids)

    @alone
    def changes(self, identity: Identity, ids: Ids | slice = _ALL) -> tuple[str, ...]:
        """Return the names of what has changed since the stale ones of some runs were made."""
        return changes(self.state, identity, ids)

    def note(self, event: str, **fields: object) -> None:
        """Note an event of this stage in the log of the sweep."""
        self._home.events.note(event, stage=self.name, **fields)

    def forget(self, journals: Iterable[str]) -> None:
        """Forget journals that were folded and deleted."""
        gone = list(journals)
        self._fold.forget(gone)
        self._inbox.forget(gone)

    @alone
    def failures(self) -> list[dict[str, Any]]:
        """Return for each failed run what its last attempt died of, by run id.

        Keys: ``run``, ``attempt``, ``exception``, ``message``, ``traceback``, ``host``, ``time``
        and whatever else the worker reported.
        """
        return last_failures(self._home.failure_log.read(self.name), self.state.status)

    def logged_failures(self, ids: Ids) -> list[dict[str, Any]]:
        """Return for runs that have failed what the log of failures says of them, by run id.

        Any thread may call it while the coordinator works, who waits for nobody: it reads a file.
        """
        status = np.zeros(int(ids.max()) + 1 if len(ids) else 0, np.uint8)
        status[ids] = Status.FAILED
        return last_failures(self._home.failure_log.read(self.name), status)

    @alone
    def log(self, run: int) -> str:
        """Return what the last attempt at a run said; "" where that was nothing."""
        return self._home.run_logs.text(self.name, run)

    @alone
    def read(self, variable: str, ids: Ids | slice) -> Column:
        """Return one output, or part of the state, of some runs; what is pending is included.

        Parameters
        ----------
        variable
            Name of an output, or ``status``, ``attempts``, ``seconds``, ``peak_memory``.
        ids
            Run ids in any order, or a slice of step 1.
        """
        if variable in FIELDS:
            state: Array = getattr(self.state, variable)
            return state[ids]
        return read_output(
            variable, ids, self._values, self._settler.schema, self._overlay, self.n_runs, self.name
        )

    @alone
    def gather(self, variable: str, wanted: npt.NDArray[np.bool_], into: Array) -> None:
        """Put an output of one number a run into an array by run id, where a run is wanted."""
        schema = self._settler.schema
        gather(variable, wanted, into, self._values, schema, self._pending, self.name)

    def _grow(self, catalogue: Catalogue) -> None:
        first = self.state.n_runs
        self.catalogue = catalogue
        self.state.grow(catalogue.n_runs)
        left_out = catalogue.left_out(first)
        if len(left_out):
            self.state.set_status(left_out, Status.SKIPPED)

    def _add_runs(self) -> None:
        """Add the runs that journals tell of and the metadata does not know.

        A reader adds them in memory only, as far as its arrays reach nothing is missing.
        """
        added, self._added = self._added, []
        space = space_of(added, self.n_runs)
        if space is None:
            return
        if self._home.is_writable:
            self.register(space)
            return
        self._grow(self.catalogue.register(space)[0])
        if self._values is not None:
            self._values.resize(self.n_runs)

    def _check_stored(self, schema: Schema) -> None:
        if self._values is not None:
            self._values.check(schema)

    def _recast(self, schema: Schema) -> None:
        parts = [
            part._replace(columns=cast(part.columns, part.schema, schema), schema=schema)
            for part in self._pending.parts
        ]
        self._pending.keep(parts)

    def _needs_schema(self) -> bool:
        return self._values is not None and self._settler.schema != self._values.schema

    def _patch(self, *, force: bool = False) -> None:
        """Patch what is due, unless its type is not the stored one yet."""
        if self._values is not None and not self._needs_schema():
            self._fold.patch(self._values, self._held, force=force)

    def _stored_state(self, name: str) -> Array | None:
        return self._layout.load_state(name, self.n_runs, self.state.makers)
