"""From journal records to the state of runs and the values that wait for their chunks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stages.columns import cast, take
from toolkit.stages.failure import RunFailure, type_name
from toolkit.stages.schema import Columns, Schema, SchemaMismatch, widen
from toolkit.stores.journals.records import Block
from toolkit.stores.runs.pending import Part, Pending, merged
from toolkit.stores.runs.state import MOST_ATTEMPTS, State

Ids = npt.NDArray[np.int64]
_FIELDS = tuple(one.name for one in fields(RunFailure))

_LARGE = 1 << 14


class Failed(NamedTuple):
    """A failure of one attempt of a run."""

    failure: RunFailure
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a look at the journals brought.

    Parameters
    ----------
    ids, statuses, seconds
        Of the runs with a new outcome, shape ``(n,)``.
    parts
        Their values as far as the journals hold them.
    failures
        Failures among them.
    started
        The runs in progress by journal: with one thread a worker, one or none.
    schema
        The widest schema seen; where it is wider than the stored one, ``set_schema`` is due.
    """

    ids: Ids
    statuses: npt.NDArray[np.uint8]
    seconds: npt.NDArray[np.float32]
    parts: tuple[Part, ...] = ()
    failures: tuple[Failed, ...] = ()
    started: dict[str, tuple[int, ...]] = field(default_factory=dict)
    schema: Schema | None = None

    def columns(self) -> tuple[Ids, Columns]:
        """Return the runs whose values came through the journals, ascending, and these values."""
        if not self.parts or self.schema is None:
            return np.zeros(0, np.int64), []
        return merged(list(self.parts), self.schema)


class Settler:
    """Takes blocks of outcomes into the state of a stage and keeps their values pending.

    Parameters
    ----------
    state, pending
        Of the stage; both are changed.
    check_stored
        Raises ``SchemaMismatch`` where stored values cannot be held by a wider schema.
    report
        Takes failures that are found here: outcomes whose type fits no other run's.
    """

    def __init__(
        self,
        state: State,
        pending: Pending,
        check_stored: Callable[[Schema], None],
        report: Callable[[int, float, list[dict[str, Any]]], None],
    ) -> None:
        self.schema: Schema | None = None
        self._state = state
        self._pending = pending
        self._check_stored = check_stored
        self._report = report
        # By id, for comparing schemas costs more than a block; held, for ids are given anew.
        self._same: dict[int, tuple[Schema, Schema]] = {}

    def settle(
        self, sent: Sequence[tuple[str, Block, bool]]
    ) -> tuple[list[Ids], list[npt.NDArray[np.uint8]], list[npt.NDArray[np.float32]], list[Part]]:
        """Take in blocks in the order in which they came.

        Parameters
        ----------
        sent
            Journal, block, and whether its outcomes count for runs without one only.

        Returns
        -------
        ids, statuses, seconds, parts
            Of the outcomes that count.
        """
        blocks = [item for item in sent if self.is_inside(item[1])]
        ids, statuses, seconds, parts = [], [], [], list[Part]()
        for group in self._groups(blocks):
            taken = self._settle_group(group, parts)
            ids.append(taken[0])
            statuses.append(taken[1])
            seconds.append(taken[2])
        for part in parts:
            self._pending.add(part)
        return ids, statuses, seconds, parts

    def widest(self, schema: Schema) -> Schema:
        """Return the smallest schema that holds what was seen and this one.

        Raises
        ------
        SchemaMismatch
            If there is none, or if it could not hold a value that is stored.
        """
        if self.schema is None or schema is self.schema:
            return schema
        wide = widen(self.schema, schema)
        if wide is not self.schema and wide != self.schema:
            self._check_stored(wide)
            for part in self._pending.parts:
                cast(part.columns, part.schema, wide)
        return wide

    def is_inside(self, block: Block) -> bool:
        """Whether all runs of a block are runs of the stage, each once."""
        n_runs = self._state.n_runs
        if block.ids is None:
            return block.lo >= 0 and block.lo + block.n <= n_runs and block.n > 0
        inside = len(block.ids) > 0 and int(block.ids.min()) >= 0 and int(block.ids.max()) < n_runs
        return inside and _is_unique(block.ids)

    def _groups(
        self, blocks: list[tuple[str, Block, bool]]
    ) -> Iterable[list[tuple[str, Block, bool]]]:
        """Cut the blocks into groups in which no run comes twice."""
        group: list[tuple[str, Block, bool]] = []
        n = 0
        for item in blocks:
            if item[1].n >= _LARGE:  # its runs are next to each other
                yield from _without_repeats(group)
                yield [item]
                group, n = [], 0
                continue
            group.append(item)
            n += item[1].n
            if n > 1 << 17:
                yield from _without_repeats(group)
                group, n = [], 0
        yield from _without_repeats(group)

    def _settle_group(
        self, group: list[tuple[str, Block, bool]], parts: list[Part]
    ) -> tuple[Ids, npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        columns = [self._fitted(block) for _, block, _ in group]
        blocks = [block for _, block, _ in group]
        counts = [block.n for block in blocks]
        if len(blocks) == 1:
            ids = blocks[0].run_ids()
        else:
            ids = np.concatenate([block.run_ids() for block in blocks])
        status = np.concatenate([found[1] for found in columns])
        seconds = np.concatenate([block.seconds for block in blocks])
        peak = np.concatenate(
            [np.full(b.n, np.nan, "f4") if b.peak_memory is None else b.peak_memory for b in blocks]
        )
        tried = [min(block.origin.attempt, MOST_ATTEMPTS) for block in blocks]
        attempts = np.repeat(np.array(tried, np.uint8), counts)
        is_late = [late for _, _, late in group]
        only_pending = np.repeat(np.array(is_late), counts) if any(is_late) else False
        made_by = None
        if self._state.makers.is_varied:
            numbers = [self._state.makers.at(block.origin.epoch) for block in blocks]
            made_by = np.repeat(np.array(numbers, np.uint16), counts)
        taken = self._state.settle(ids, status, seconds, peak, attempts, only_pending, made_by)
        at = 0
        for (journal, block, _), (found, _) in zip(group, columns, strict=True):
            mask = taken[at : at + block.n]
            if found is not None and self.schema is not None and mask.any():
                rows = ids[at : at + block.n]
                if not mask.all():
                    chosen = np.flatnonzero(mask)
                    rows, found = rows[chosen], take(found, chosen)
                parts.append(Part(rows, found, self.schema, journal, block.origin.start))
            at += block.n
        if taken.all():
            return ids, status, seconds
        return ids[taken], status[taken], seconds[taken]

    def _fitted(self, block: Block) -> tuple[Columns | None, npt.NDArray[np.uint8]]:
        """Return a block's columns in the widest schema, and its status with misfits failed."""
        schema = block.schema
        if schema is None or (block.columns is None and not block.in_chunk):
            return None, block.status
        if schema is self.schema or self._same.get(id(schema), (schema, schema))[1] is self.schema:
            return block.columns, block.status
        try:
            wide = self.widest(schema)
            columns = None if block.columns is None else cast(block.columns, schema, wide)
        except SchemaMismatch as error:
            if block.n > 1 and block.columns is not None:
                return self._fitted_singly(block)
            return None, self._failed(block, error)
        if wide != self.schema:
            self.schema = wide
        if schema == self.schema:
            self._same[id(schema)] = (schema, self.schema)
        return columns, block.status

    def _fitted_singly(self, block: Block) -> tuple[Columns | None, npt.NDArray[np.uint8]]:
        """Do the same run by run, so that those that fit are kept."""
        assert block.columns is not None
        assert block.schema is not None
        status = np.array(block.status)
        ids = block.run_ids()
        for at in range(block.n):
            if status[at] != Status.DONE:
                continue
            one = slice(at, at + 1)
            single = block._replace(
                lo=int(ids[at]), n=1, ids=None, status=status[one], columns=take(block.columns, one)
            )
            status[one] = self._fitted(single)[1]
        keep = np.flatnonzero(status == Status.DONE)
        if self.schema is None or not len(keep):
            return None, status
        try:
            kept = cast(take(block.columns, keep), block.schema, self.schema)
        except SchemaMismatch:
            return None, status
        rows = np.zeros(block.n, np.int64)
        rows[keep] = np.arange(len(keep))
        return take(kept, rows), status

    def _failed(self, block: Block, error: SchemaMismatch) -> npt.NDArray[np.uint8]:
        status = np.where(block.status == Status.DONE, np.uint8(Status.FAILED), block.status)
        ids = block.run_ids()[block.status == Status.DONE]
        kind = type_name(SchemaMismatch)
        found = [
            {"run": run, "exception": kind, "message": str(error), "traceback": ""}
            for run in ids.tolist()
        ]
        self._report(block.origin.attempt, block.origin.time, found)
        return status.astype(np.uint8)


def failed(attempt: int, found: dict[str, Any]) -> Failed:
    """Return a failure as a journal has it."""
    known = {name: found[name] for name in _FIELDS if name in found}
    blank = {"exception": "", "message": "", "traceback": ""}
    return Failed(RunFailure(**{**blank, **known}), attempt)


def _is_unique(ids: Ids) -> bool:
    if bool((ids[1:] > ids[:-1]).all()):
        return True
    ordered = np.sort(ids)
    return not bool((ordered[1:] == ordered[:-1]).any())


def _are_apart(blocks: list[Block]) -> bool:
    """Whether no two blocks overlap between their lowest and highest ids: no run comes twice."""
    bounds = sorted(
        (block.lo, block.lo + block.n)
        if block.ids is None
        else (int(block.ids.min()), int(block.ids.max()) + 1)
        for block in blocks
    )
    return all(end <= begin for (_, end), (begin, _) in pairwise(bounds))


def _without_repeats(
    group: list[tuple[str, Block, bool]],
) -> Iterable[list[tuple[str, Block, bool]]]:
    if len(group) > 1 and not _are_apart([block for _, block, _ in group]):
        ids = np.concatenate([block.run_ids() for _, block, _ in group])
        ids.sort()
        if bool((ids[1:] == ids[:-1]).any()):
            yield from ([item] for item in group)
            return
    if group:
        yield group
