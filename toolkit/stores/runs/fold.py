"""Folding: pending values into their chunks, the state into its arrays, and how far that went."""

import time
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stores.arrays.hierarchy import Hierarchy, pieces
from toolkit.stores.arrays.layout import state_key
from toolkit.stores.arrays.values import Values
from toolkit.stores.runs.pending import Ids, Part, Pending, merged, split
from toolkit.stores.runs.state import HAS_VALUE, STATE_CHUNK, State

PATCH_S, STATE_S, PENDING_BYTES = 5.0, 2.0, 64 << 20
_STATE_SHARE = 20  # the state is written for one part in so many of the time


class Fold:
    """What of one stage is due to be written, and the writing of it.

    Whatever moment a crash comes at, the journals still hold what the marker does not count as
    folded: values go first, then the state, then the marker.
    """

    def __init__(
        self, hierarchy: Hierarchy, group: str, state: State, pending: Pending, done: dict[str, int]
    ) -> None:
        self.folded = dict(done)
        self.seen = dict(done)
        self._hierarchy = hierarchy
        self._group = group
        self._state = state
        self._pending = pending
        self._last_patch = self._last_state = time.monotonic()
        self._state_cost = 0.0

    @property
    def is_full(self) -> bool:
        """Whether so much is pending that it should not wait."""
        return self._pending.nbytes > PENDING_BYTES

    def patch(self, values: Values, held: Iterable[int], *, force: bool = False) -> None:
        """Put pending values into their chunks: those of complete chunks, or all where it is time.

        Parameters
        ----------
        values
            The arrays.
        held
            Numbers of chunks that batches hold whole; nothing is written into them.
        force
            It is time.
        """
        if not self._pending.parts:
            return
        now = time.monotonic()
        everything = force or now - self._last_patch > PATCH_S
        n_chunks = -(-self._state.n_runs // values.chunk_length)
        if not everything:
            self._patch(values, held, self._complete(values.chunk_length, n_chunks))
            everything = self.is_full
        if everything:
            self._patch(values, held, np.ones(n_chunks, bool))
            self._last_patch = now

    def _patch(self, values: Values, held: Iterable[int], wanted: npt.NDArray[np.bool_]) -> None:
        """Put what waits for the wanted chunks into them."""
        wanted[[chunk for chunk in held if chunk < len(wanted)]] = False
        if not wanted.any():
            return
        chosen, others = split(self._pending.parts, wanted, values.chunk_length)
        if chosen:
            ids, columns = merged(chosen, values.schema)
            blank = values.patch(ids, columns, self._state.n_runs)
            self._lose(blank, ids, others, values.chunk_length)
            # Until now these runs were written as pending.
            self._state.touch(ids)
        self._pending.keep(others)

    def _lose(self, blank: set[int], ids: Ids, others: list[Part], length: int) -> None:
        """Make runs pending that a chunk which is gone held: these are not lost without a word."""
        lost = []
        for number in sorted(blank):
            first = number * length
            has_value = HAS_VALUE[self._state.status[first : first + length]]
            if has_value.any():
                lost.append(first + np.flatnonzero(has_value))
        if not lost:
            return
        gone = np.concatenate(lost)
        gone = gone[~np.isin(gone, np.concatenate([ids, *(part.ids for part in others)]))]
        if len(gone):
            self._state.set_status(gone, Status.PENDING)
            warnings.warn(
                f"Stored values of {len(gone):,} runs are lost: their chunks are damaged or gone. "
                "These runs are pending again, and the next run makes them.",
                stacklevel=2,
            )

    def write_state(self, *, force: bool = False) -> bool:
        """Write the state arrays if it is time; return whether the marker may go on."""
        begin = time.monotonic()
        if not force and begin - self._last_state < max(STATE_S, _STATE_SHARE * self._state_cost):
            return False
        if self._state.dirty:
            arrays = self._arrays()
            if self._state.moved:
                # A crash now must not leave an old value under a new number, so they are pending
                # until their number is there; the journals still hold their outcomes.
                between = np.array(arrays["status"])
                between[np.concatenate(self._state.moved)] = Status.PENDING
                self._write_array("status", between)
                self._state.moved.clear()
            for name in self._state.names:
                self._write_array(name, arrays[name])
            self._state.dirty.clear()
        firsts = self._pending.first_offsets()
        self.folded = {
            journal: min(offset, firsts.get(journal, offset))
            for journal, offset in self.seen.items()
        }
        self._last_state = time.monotonic()
        self._state_cost = self._last_state - begin
        return True

    def forget(self, journals: Iterable[str]) -> None:
        """Forget journals that are deleted."""
        for journal in journals:
            self.folded.pop(journal, None)
            self.seen.pop(journal, None)

    def _complete(self, length: int, n_chunks: int) -> npt.NDArray[np.bool_]:
        """Return which chunks wait as a whole, where they are worth sorting the rest for."""
        waiting = np.zeros(n_chunks, np.int64)
        ids = np.concatenate(list(self._pending.ids()))
        waiting += np.bincount(ids // length, minlength=n_chunks)
        sizes = np.full(n_chunks, length)
        sizes[-1] = self._state.n_runs - (n_chunks - 1) * length
        wanted = waiting >= sizes
        if 4 * int(waiting[wanted].sum()) < len(ids):
            wanted[:] = False
        return wanted

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state as the arrays hold it: runs whose values still wait are pending."""
        status = self._state.status
        if self._pending.parts:
            status = np.array(status)
            for ids in self._pending.ids():
                status[ids] = Status.PENDING
        others = {name: getattr(self._state, name) for name in self._state.names}
        return {**others, "status": status}

    def _write_array(self, name: str, values: npt.NDArray[Any]) -> None:
        key = state_key(self._group, name)
        length = self._hierarchy.array(key).chunk[0]
        for piece in sorted(self._state.dirty):
            first = piece * STATE_CHUNK
            last = min(first + STATE_CHUNK, self._state.n_runs)
            for number, rows, _ in pieces(first, last, length):
                part = values[first:last][rows]
                is_blank = name == "peak_memory" and bool(np.isnan(part).all())
                if not is_blank or self._hierarchy.read_chunk(key, number) is not None:
                    self._hierarchy.write_chunk(key, number, part)
