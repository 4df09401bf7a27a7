"""Which runs took longest, and what is usual: looked at seldom, for it is a look at all runs."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.observation import Moment, SlowRun
from toolkit.run_status import Status

MOST_SLOW = 10
_PAUSE = 1.0  # seconds between two looks, at least
_SHARE = 0.002  # of the time that may be spent on it
_BLOCK = 4096
_MOST_TIMES = 2**18  # of which the median is taken


class Times:
    """Run times of one stage, by arrays that its engine goes on changing."""

    def __init__(self) -> None:
        self._next = 0.0
        self._first_seen: dict[int, float] = {}
        self._was_last = False
        self.median: float | None = None
        self._ended: tuple[SlowRun, ...] = ()
        self._running: tuple[SlowRun, ...] = ()

    @property
    def slowest(self) -> tuple[SlowRun, ...]:
        """The runs that took longest, and those that have taken long by now."""
        return (*self._running, *self._ended)

    def look(
        self, moment: Moment, began_at: Callable[[str, int], float | None], *, is_last: bool = False
    ) -> None:
        """Look at them again, where that is due.

        Parameters
        ----------
        moment
            Of the stage.
        began_at
            Returns when a run began in which the worker of a journal is, in seconds since 1970.
        is_last
            Whether nothing will change any more.
        """
        begun = time.monotonic()
        if self._was_last or (begun < self._next and not is_last):
            return
        self._was_last = is_last
        self._running = self._in_progress(moment, began_at)
        if moment.seconds is not None:
            self.median, self._ended = _ended(moment.seconds, moment)
        took = time.monotonic() - begun
        self._next = begun + max(_PAUSE, took / _SHARE)

    def _in_progress(
        self, moment: Moment, began_at: Callable[[str, int], float | None]
    ) -> tuple[SlowRun, ...]:
        """Return the runs in progress: for how long, or at least since they were first seen."""
        now = time.time()
        seen: dict[int, float] = {}
        for journal, runs in moment.in_progress.items():
            for run in runs:
                if moment.status[run] == Status.PENDING:
                    since = began_at(journal, run)
                    seen[run] = self._first_seen.get(run, now) if since is None else since
        self._first_seen = seen
        longest_first = sorted(seen, key=lambda run: seen[run])[:MOST_SLOW]
        return tuple(
            SlowRun(run=run, seconds=max(0.0, now - seen[run]), is_running=True)
            for run in longest_first
        )


def longest(seconds: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return where the longest times are, the longest first; what is not finite is left out.

    Examples
    --------
    >>> longest(np.array([1.0, np.nan, 3.0, 2.0], np.float32), 2).tolist()
    [2, 3]
    """
    if len(seconds) > 4 * _BLOCK * most:
        seconds, inside = _slowest_blocks(seconds, most)
        return inside[longest(seconds, most)]
    known = np.flatnonzero(np.isfinite(seconds))
    if len(known) > most:
        known = known[np.argpartition(seconds[known], len(known) - most)[-most:]]
    found: NDArray[np.int64] = known[np.argsort(-seconds[known], kind="stable")]
    return found


def _slowest_blocks(
    seconds: NDArray[np.float32], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the times of the blocks that have the longest ones, and where these are."""
    starts = np.arange(0, len(seconds), _BLOCK)
    peaks = np.nan_to_num(np.fmax.reduceat(seconds, starts), nan=-1.0)
    blocks = np.argpartition(peaks, len(peaks) - most)[-most:]
    inside = (starts[np.sort(blocks)][:, None] + np.arange(_BLOCK)).reshape(-1)
    inside = inside[inside < len(seconds)]
    return seconds[inside], inside


def median(seconds: NDArray[np.float32]) -> float | None:
    """Return the median of what is finite, None where nothing is; of very many runs, of some."""
    known = seconds[:: -(-len(seconds) // _MOST_TIMES) or 1]
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None


def _ended(
    seconds: NDArray[np.float32], moment: Moment
) -> tuple[float | None, tuple[SlowRun, ...]]:
    parts = []
    for ids in moment.parts:
        took = seconds[ids]
        if moment.pending:
            took = np.where(moment.status[ids] == Status.PENDING, np.float32(np.nan), took)
        parts.append(took)
    took = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])
    slow = [
        SlowRun(run=_run(moment, at), seconds=float(took[at]))
        for at in longest(took, MOST_SLOW).tolist()
    ]
    return median(took), tuple(slow)


def _run(moment: Moment, at: int) -> int:
    """Return the id of the run at a position among those that were asked for."""
    for ids in moment.parts:
        size = ids.stop - ids.start if isinstance(ids, slice) else len(ids)
        if at < size:
            return int(ids.start + at) if isinstance(ids, slice) else int(ids[at])
        at -= size
    raise IndexError(at)
