"""What a worker writes results through: its journal, and whole chunks."""

import contextlib
import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Column, RaggedColumn, Schema
from toolkit.stores.arrays.chunks import as_stored, fill_of, stored_variable, write_chunk
from toolkit.stores.arrays.writer import LARGE, Pending, writer
from toolkit.stores.files.epoch import StaleWorker, TurnFile
from toolkit.stores.files.packing import Buffer
from toolkit.stores.files.storage import Folder, reported
from toolkit.stores.journals import record_bytes, records
from toolkit.stores.journals.receipt import Outcomes, Receipt, SinkSpec
from toolkit.stores.journals.shared_journal import (
    SharedJournal,
    close_journals,
    forget_journal,
    shared_journal,
)

IDLE = -1


class Sink:
    """Writes outcomes of one stage; made by ``open_sink``, one for each thread that runs.

    ``mark`` is one int64: the run in progress, -1 where there is none. It lies in the journal's
    page, so that it is known even of a process that was killed.
    """

    mark: memoryview

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self._turn = None if spec.path is None else TurnFile(spec.path)
        self._writer, self._pending = writer(), Pending()
        self._use(shared_journal(spec, self._turn))

    def check(self) -> None:
        """Make sure, before a batch, that the store is still there and still ours.

        Raises
        ------
        StoreGone, StaleWorker
            If the store was deleted or made again, or if another driver has taken over.
        """
        if self._turn is None:
            return
        self._turn.require(self.spec.identity, self.spec.epoch, thoroughly=True)
        if self._is_cut_off():
            self._renew()

    def started(self, run: int, attempt: int) -> None:
        """Record that a run begins."""
        self._do(lambda: self._append([(records.STARTED, 0, 1, run, [])], None, attempt), 0)

    def block(
        self,
        runs: npt.NDArray[np.int64],
        result: Outcomes,
        attempt: int,
        *,
        begins: int | None = None,
        added: Sequence[Buffer] | None = None,
    ) -> None:
        """Record the outcomes of runs, values included; large ones while others are computed.

        Parameters
        ----------
        runs
            Run ids, shape ``(n,)``.
        result
            Their outcomes.
        attempt
            Which attempt this was, 1 for the first.
        begins
            The run that begins next, recorded as by ``started`` with the same write.
        added
            The labels of these runs, as ``dims_payload`` returns them, where the store's metadata
            does not know them yet; the runs are then consecutive.

        Raises
        ------
        StaleWorker
            After the record is written, if another driver has taken over: it accepts what
            nobody has begun again.
        """
        nbytes = self._size(result)
        if nbytes:
            result = _copied(result)
        ids = np.asarray(runs, np.int64)
        self._do(lambda: self._turned_block(ids, result, attempt, begins, added), nbytes)
        self.mark[0] = IDLE

    def _turned_block(
        self,
        runs: npt.NDArray[np.int64],
        result: Outcomes,
        attempt: int,
        begins: int | None,
        added: Sequence[Buffer] | None,
    ) -> None:
        if self._turn is not None:
            try:
                self._turn.require(self.spec.identity, self.spec.epoch)
            except StaleWorker:
                self._block(runs, result, attempt, added=added)
                raise
        self._block(runs, result, attempt, begins=begins, added=added)

    def chunk(self, lo: int, hi: int, result: Outcomes, attempt: int) -> None:
        """Write runs ``lo … hi - 1``, a whole chunk, into the arrays; then record them.

        The arrays' last chunk may be shorter. Where the schema of the result is not the stored
        one, or this is no whole chunk, values go into the journal as by ``block``.
        """
        if not self._is_chunk(lo, hi, result):
            self.block(np.arange(lo, hi), result, attempt)
            return
        nbytes = self._size(result)
        if nbytes:
            result = _copied(result)
        self._do(lambda: self._recorded_chunk(lo, hi, result, attempt), nbytes)
        self.mark[0] = IDLE

    def _recorded_chunk(self, lo: int, hi: int, result: Outcomes, attempt: int) -> None:
        try:
            self._write_chunk(lo, result)
        except StaleWorker:
            self._block(np.arange(lo, hi), result, attempt)
            raise
        self._block(np.arange(lo, hi), result, attempt, in_chunk=True)

    @property
    def is_saving(self) -> bool:
        """Whether outcomes of this batch are unwritten: a receipt would have to wait."""
        return self._pending.count > 0

    def _do(self, job: Callable[[], None], nbytes: int) -> None:
        """Write now, or leave it to the writer: large outcomes, and what must come after them."""
        if nbytes or self._pending.count or (self._turn is not None and self._writer.is_busy):
            self._writer.put(self._pending, job, nbytes)
        else:
            job()

    def _size(self, result: Outcomes) -> int:
        """Bytes of outcomes that are worth a hand-over, else 0."""
        if self._turn is None or result.columns is None:
            return 0
        size = sum(column.nbytes for column in map(_values, result.columns))
        return size if size >= LARGE else 0

    def receipt(self) -> Receipt:
        """Return where the records are; in memory, they leave with the receipt."""
        if self._pending.count or self._pending.error is not None:
            self._writer.wait(self._pending)
        shared = self._shared
        if shared.journal is not None:
            return Receipt(journal=shared.journal.name, offset=shared.journal.offset)
        with shared.lock:
            pending, shared.pending = shared.pending, []
            # A receipt may get lost or overtaken: each says again what its columns are.
            shared.said.clear()
        return Receipt(journal="", offset=0, records=b"".join(pending))

    def _use(self, shared: SharedJournal) -> None:
        self._shared = shared
        self._slot = shared.slot()
        self._slot[1] = shared.number(self.spec.stage)
        self.mark = self._slot[:1]
        if shared.journal is not None and self.spec.stage not in shared.said:
            # Says what the slot's number stands for, before there is a run to note in it.
            self._append([], self.spec.schema, 0)

    def _block(
        self,
        runs: npt.NDArray[np.int64],
        result: Outcomes,
        attempt: int,
        *,
        in_chunk: bool = False,
        begins: int | None = None,
        added: Sequence[Buffer] | None = None,
    ) -> None:
        if not len(runs):
            return
        lo, n = int(runs[0]), len(runs)
        is_range = int(runs[-1]) - lo == n - 1 and (
            n < 3 or bool((runs[1:] - runs[:-1] == 1).all())
        )
        columns = None if in_chunk else result.columns
        flags, payload = record_bytes.block_payload(
            None if is_range else runs,
            result.status,
            result.seconds,
            result.peak_memory,
            result.schema,
            columns,
        )
        parts: list[tuple[int, int, int, int, list[Buffer]]] = []
        if added is not None:
            parts.append((records.ADDED, 0, n, lo, list(added)))
        if result.errors:
            parts.append((records.ERRORS, 0, len(result.errors), lo, [_errors_json(result.errors)]))
        if result.logs:
            parts.append(
                (records.LOGS, 0, len(result.logs), lo, [json.dumps(result.logs).encode()])
            )
        if in_chunk:
            flags |= records.IN_CHUNK
        parts.append((records.BLOCK, flags, n, lo, payload))
        if begins is not None:
            parts.append((records.STARTED, 0, 1, begins, []))
        self._append(parts, result.schema, attempt)

    def _append(
        self,
        parts: list[tuple[int, int, int, int, list[Buffer]]],
        schema: Schema | None,
        attempt: int,
    ) -> None:
        if self._is_cut_off():
            self._renew()
        self._write(parts, schema, attempt)
        if self._is_cut_off():
            # A driver has folded and deleted the journal, perhaps before it saw these records.
            self._renew()
            self._write(parts, schema, attempt)

    def _is_cut_off(self) -> bool:
        """Whether our journal has lost its name, or was closed for another driver's."""
        journal = self._shared.journal
        return journal is not None and not journal.is_linked

    def _renew(self) -> None:
        """Begin another journal; that of a worker whose driver is gone is for the next driver."""
        assert self._turn is not None
        with contextlib.suppress(StaleWorker):
            self._turn.require(self.spec.identity, self.spec.epoch, thoroughly=True)
        forget_journal(self.spec, self._shared)
        self._use(shared_journal(self.spec, None))

    def _write(
        self,
        parts: list[tuple[int, int, int, int, list[Buffer]]],
        schema: Schema | None,
        attempt: int,
    ) -> None:
        spec, shared, now = self.spec, self._shared, time.time()
        number = shared.number(spec.stage)
        buffers: list[Buffer] = []
        with shared.lock, reported(spec.path or "in memory"):
            said = shared.said.get(spec.stage)
            is_new = schema is not None and schema is not said and schema != said
            if spec.stage not in shared.said or is_new:
                buffers += record_bytes.record(
                    records.SCHEMA,
                    record_bytes.schema_payload(spec.stage, schema),
                    stage=number,
                    epoch=spec.epoch,
                    time=now,
                )
            for kind, flags, n, lo, payload in parts:
                buffers += record_bytes.record(
                    kind,
                    payload,
                    stage=number,
                    epoch=spec.epoch,
                    time=now,
                    attempt=attempt,
                    flags=flags,
                    n=n,
                    lo=lo,
                )
            shared.append(buffers)
            if spec.stage not in shared.said or is_new:
                shared.said[spec.stage] = schema

    def _is_chunk(self, lo: int, hi: int, result: Outcomes) -> bool:
        spec = self.spec
        length = spec.chunk_length
        if spec.path is None or spec.schema is None or length is None or result.columns is None:
            return False
        is_whole = lo % length == 0 and hi == min(lo + length, spec.n_runs)
        return is_whole and spec.schema.is_fixed and result.schema == spec.schema

    def _write_chunk(self, lo: int, result: Outcomes) -> None:
        spec = self.spec
        length = spec.chunk_length
        assert spec.path is not None
        assert spec.schema is not None
        assert length is not None
        assert result.columns is not None
        assert self._turn is not None
        storage = Folder(spec.path, spec.durability)
        for variable, column in zip(spec.schema.variables, result.columns, strict=True):
            self._turn.require(spec.identity, spec.epoch)
            array = stored_variable(variable, spec.group, length)
            values = as_stored(np.asarray(column))
            write_chunk(storage, array, lo // length, values, fill_of(variable))


def _values(column: Column) -> npt.NDArray[Any]:
    return column.values if isinstance(column, RaggedColumn) else column


def _copied(result: Outcomes) -> Outcomes:
    """Return outcomes that the next run cannot change: a function may use its arrays again."""
    assert result.columns is not None
    columns = [
        RaggedColumn(column.lengths.copy(), column.values.copy())
        if isinstance(column, RaggedColumn)
        else column.copy()
        for column in result.columns
    ]
    copied = copy.copy(result)
    copied.columns = columns
    return copied


def open_sink(spec: SinkSpec) -> Sink:
    """Return a sink for this thread; all sinks of a process share one journal for each store.

    Raises
    ------
    StoreGone, StaleWorker
        If the store is not there any more, or another driver has taken it over.
    """
    return Sink(spec)


def close_sinks() -> None:
    """Close all journals of this process."""
    close_journals()


def _errors_json(errors: Sequence[Any]) -> bytes:
    return json.dumps([vars(error) for error in errors]).encode()
