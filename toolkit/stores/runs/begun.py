"""Runs that have begun and not ended, as the journals and their pages say."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stages.columns import take
from toolkit.stores.journals.records import Block


class Begun:
    """By journal: the runs that began and have no outcome yet."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[int, float]] = {}

    def begin(self, journal: str, run: int, time: float) -> None:
        """Note a run that a journal says has begun, and when, in seconds since 1970."""
        self._runs.setdefault(journal, {})[run] = time

    def end(self, journal: str, block: Block) -> None:
        """Note the runs of a block as ended."""
        begun = self._runs.get(journal)
        if begun:
            for run in block.run_ids().tolist():
                begun.pop(run, None)

    def has(self, journal: str, run: int) -> bool:
        """Whether a record of a journal says that a run has begun, and none that it ended."""
        return run in self._runs.get(journal, {})

    def since(self, journal: str, run: int) -> float | None:
        """Return when a run in progress began, None where no record says it."""
        return self._runs.get(journal, {}).get(run)

    def forget(self, journal: str) -> None:
        """Forget a journal that was folded and deleted."""
        self._runs.pop(journal, None)

    def counting(self, block: Block) -> Block | None:
        """Return what counts of a block that an older driver's worker wrote: runs not begun again.

        Values that it put into a chunk may have been overwritten since, so these never count.
        """
        if block.in_chunk:
            return None
        again = {run for runs in self._runs.values() for run in runs}
        ids = block.run_ids()
        keep = np.flatnonzero([run not in again for run in ids.tolist()])
        if len(keep) == len(ids):
            return block
        if not len(keep):
            return None
        return block._replace(
            n=len(keep),
            ids=ids[keep],
            status=block.status[keep],
            seconds=block.seconds[keep],
            peak_memory=None if block.peak_memory is None else block.peak_memory[keep],
            columns=None if block.columns is None else take(block.columns, keep),
        )

    def in_progress(
        self, status: npt.NDArray[np.uint8], marks: Mapping[str, set[int]]
    ) -> dict[str, tuple[int, ...]]:
        """Return by journal the runs in progress, ascending.

        Parameters
        ----------
        status
            Of all runs.
        marks
            By journal: the runs that its page notes as in progress.
        """
        runs = {journal: set(found) for journal, found in self._runs.items() if found}
        for journal, marked in marks.items():
            # Where a page notes a run, others that were begun have ended and wait to be written.
            if any(0 <= run < len(status) and status[run] != Status.DONE for run in marked):
                runs[journal] = set(marked)
        found = {}
        for journal, begun in runs.items():
            left = [run for run in begun if 0 <= run < len(status) and status[run] != Status.DONE]
            if left:
                found[journal] = tuple(sorted(left))
        return found
