"""Runs that this process makes by itself, many in a millisecond, kept in a store as they happen."""

import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from toolkit.execution.noting import note_outcome
from toolkit.execution.opening import note_opened, open_runs, take_store
from toolkit.execution.sizing import choose_chunks
from toolkit.execution.start import Start
from toolkit.spaces.axis import Dim
from toolkit.spaces.space import Space
from toolkit.stages.batch import BatchResult
from toolkit.stages.preparing import identities
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.journals.added_runs import Described
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.runs.adding import joined
from toolkit.stores.runs.own_outcomes import OwnOutcomes
from toolkit.stores.runs.sink import Sink, open_sink

Ids = npt.NDArray[np.int64]

_APART = 1.0  # seconds until the metadata follow the journal again, at least
_SHARE = 20  # and so many times what the last one took


class Ledger:
    """Takes the store of a sweep of one stage, and the outcomes of runs as they come.

    Each call of :meth:`keep` is one write into the journal of this process: the labels of new runs
    with their outcomes. Now and then the store's metadata, state and chunks follow, so that a run
    costs some microseconds, not the milliseconds that a changed layout takes. Whoever reads the
    store, or takes it over after a kill, finds in the journal what the metadata does not know.

    Use it in a ``with`` block, at whose end everything is folded and the store given back.

    Parameters
    ----------
    start
        Whose store it is.
    runs_to_come
        About how many runs there will be, for the length of chunks.

    Raises
    ------
    StoreError
        If another process runs this store, or it cannot be mapped to the sweep.
    """

    def __init__(self, start: Start, *, runs_to_come: int) -> None:
        self._start, self._to_come = start, runs_to_come
        (self._stage,) = start.prepared.stages
        self._sink: Sink | None = None
        self._described = Described()
        self._rows: list[Dim] = []  # in the journal, and not in the metadata
        self._others: tuple[Dim, ...] = ()
        self._defaults = dict(self._stage.defaults)
        self._seconds = np.full(1, 1e-6, np.float32)  # of the latest runs
        self._n_done = self._n_failed = 0
        self._receipt: Receipt | None = None
        self._own = OwnOutcomes()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        known = identities(self._start.prepared, self._start.seed)
        take_store(self._start, known)
        try:
            note_opened(self._start)
            self.runs = open_runs(self._stage, self._start, known[self._stage.name])
            self._numbers = self._known_numbers()
            self._next = self.runs.n_runs
            self._due = time.monotonic()
        except BaseException:
            self._start.results.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._settle()
            note_outcome(
                self._start,
                done=self._n_done,
                failed=self._n_failed,
                began=self._began,
                because="nothing is left" if error is None else "it was interrupted",
                error=error,
            )
        finally:
            self._start.results.release()

    def keep(self, dims: Sequence[Dim], result: BatchResult) -> None:
        """Keep the outcomes of runs.

        Parameters
        ----------
        dims
            Of the runs: they lie along the first, which numbers them; the others have one label.
        result
            Their outcomes, in the same order.
        """
        rows, *others = dims
        n = rows.size
        is_new = not len(self._numbers) or not np.isin(rows.labels, self._numbers).any()
        added = self._described.payload(dims) if self.runs.schema is not None and is_new else None
        if added is not None:
            ids = np.arange(self._next, self._next + n)
            self._rows.append(rows)
            self._others = tuple(others)
            self._next += n
        else:
            self._register()
            ids = as_array(self.runs.register(Space(tuple(dims)), defaults=self._defaults))
            self._next = max(self._next, int(ids.max()) + 1)
        if self._sink is None:
            self._sink = open_sink(self.runs.sink_spec())
        errors = result.errors
        if errors:
            at = dict(zip(rows.labels.tolist(), ids.tolist(), strict=True))
            errors = [replace(each, run=at[each.run]) for each in errors]
            result = replace(result, errors=errors)
        self._sink.block(ids, result, 1, added=added)
        self._receipt = self._sink.receipt()  # large outcomes are in the journal by then too
        self._own.add(ids, result, self._receipt)
        self._n_failed += len(errors)
        self._n_done += n - len(errors)
        self._seconds = result.seconds
        if time.monotonic() >= self._due:
            self._settle()

    def _known_numbers(self) -> Ids:
        """Return the numbers along the first dim that runs of the store bear already."""
        rows = self._stage.space.dims[0]
        catalogue = self.runs.catalogue
        if rows.name not in catalogue.names or not catalogue.n_runs:
            return np.zeros(0, np.int64)
        every = np.arange(catalogue.n_runs)
        return np.unique(catalogue.labels(every, [rows.name])[rows.name][0]).astype(np.int64)

    def _register(self) -> None:
        """Let the metadata know the runs that only the journal tells of."""
        if not self._rows:
            return
        before, rows = self.runs.n_runs, joined(self._rows)
        self._rows.clear()
        space = Space((rows, *self._others))
        found = as_array(self.runs.register(space, defaults=self._defaults))
        # As the journal says, for none of their numbers was there.
        assert found[0] == before
        assert found[-1] + 1 == self._next

    def _settle(self) -> None:
        """Take what the journal holds into the store's state, and fold what is due."""
        began = time.monotonic()
        self._register()
        if self._receipt is not None:
            self.runs.collect([self._receipt], own=self._own)
            self._receipt = None
        self._settle_schema()
        self.runs.fold()
        now = time.monotonic()
        self._due = now + max(_APART, _SHARE * (now - began))

    def _settle_schema(self) -> None:
        """Fix the outputs' types and the chunk length once they are known; widen them later."""
        schema = self.runs.widest_schema
        if schema is None or schema == self.runs.schema:
            return
        length = self.runs.chunk_length
        if length is None:
            length = choose_chunks(
                n_runs=max(self._to_come, 1),
                seconds_per_run=float(self._seconds.mean()),
                bytes_per_run=max(schema.nbytes_per_run, 8),
                threads=1,
                fixed=schema.is_fixed,
                here=True,
            ).length
        self.runs.set_schema(schema, length)
