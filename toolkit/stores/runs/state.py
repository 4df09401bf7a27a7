"""Status, attempts, seconds and peak memory of every run of a stage, as arrays over run ids."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.stores.catalogues.makers import MADE_BY, Makers, Numbers
from toolkit.stores.files.limits import require_room

FIELDS: dict[str, tuple[np.dtype[Any], float]] = {
    "status": (np.dtype("u1"), 0),
    "attempts": (np.dtype("u1"), 0),
    "seconds": (np.dtype("<f4"), np.nan),
    "peak_memory": (np.dtype("<f4"), np.nan),
}
NUMBERS: tuple[np.dtype[Any], float] = (np.dtype("<u2"), 0)
MOST_ATTEMPTS = 255
HAS_VALUE = np.isin(np.arange(256), [Status.DONE, Status.STALE])
STATE_CHUNK = 1 << 20
_FEW = 1 << 12

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class State:
    """The state of the runs of one stage; arrays are read from the store when first asked for.

    Parameters
    ----------
    n_runs
        Number of run ids.
    load
        Returns a stored array by its name, of at most ``n_runs`` values; None: nothing stored.

    Attributes
    ----------
    makers
        Which code made which run. While there was one only, runs have no numbers.
    moved
        Runs that have a value on disk and have got another number since: parts of shape ``(n,)``.
    """

    def __init__(self, n_runs: int = 0, load: Callable[[str], Array | None] | None = None) -> None:
        self.n_runs = n_runs
        self._load = load
        self._arrays: dict[str, Array] = {}
        self.dirty: set[int] = set()
        self.makers = Makers()
        self.moved: list[npt.NDArray[np.int64]] = []

    @property
    def status(self) -> npt.NDArray[np.uint8]:
        """Status of each run, as ``Status``; shape ``(n_runs,)``."""
        status: npt.NDArray[np.uint8] = self._get("status")
        return status

    @property
    def attempts(self) -> npt.NDArray[np.uint8]:
        """How often each run was tried, 255 standing for more; shape ``(n_runs,)``."""
        attempts: npt.NDArray[np.uint8] = self._get("attempts")
        return attempts

    @property
    def seconds(self) -> npt.NDArray[np.float32]:
        """Wall time of each run's last attempt, NaN if none; shape ``(n_runs,)``."""
        seconds: npt.NDArray[np.float32] = self._get("seconds")
        return seconds

    @property
    def peak_memory(self) -> npt.NDArray[np.float32]:
        """Peak memory of each run's last attempt in bytes, NaN if unknown; shape ``(n_runs,)``."""
        peak_memory: npt.NDArray[np.float32] = self._get("peak_memory")
        return peak_memory

    @property
    def made_by(self) -> Numbers | None:
        """Number of the code that made each run, shape ``(n_runs,)``; None: 0 for all."""
        return self._get(MADE_BY) if self.makers.is_varied else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in the order in which they are to be written.

        Numbers come before statuses: a run that reads as done was made by whom its number says.
        """
        return (*((MADE_BY,) if self.makers.is_varied else ()), *FIELDS)

    def grow(self, n_runs: int) -> None:
        """Make room for more runs; they are pending."""
        if n_runs > self.n_runs:
            first = self.n_runs
            for name in self.names:
                self._get(name)
            self.n_runs = n_runs
            for name in self.names:
                self._get(name)
            self.touch_range(first, n_runs)

    def take_over(self, makers: Makers) -> None:
        """Let other code be the present one: what it made is done, what others made is stale."""
        self.makers = makers
        status = makers.seen(self.status, self.made_by)
        changed = np.flatnonzero(status != self.status)
        self.status[changed] = status[changed]
        self.touch(changed)

    def settle(
        self,
        ids: npt.NDArray[np.int64],
        status: npt.NDArray[np.uint8],
        seconds: npt.NDArray[np.float32],
        peak_memory: npt.NDArray[np.float32],
        attempts: npt.NDArray[np.uint8],
        only_pending: Mask | bool = False,
        made_by: Numbers | None = None,
    ) -> Mask:
        """Take in outcomes of runs, no run twice; return which were taken.

        A run that is done stays so until it is reset; of others, the outcome of the latest
        attempt counts. A repeated record therefore changes nothing.

        Parameters
        ----------
        ids, status, seconds, peak_memory, attempts
            Shape ``(n,)``.
        only_pending
            Where an outcome counts only if the run has none.
        made_by
            Numbers of the code that made them, shape ``(n,)``; None where runs have none.
        """
        where = _as_slice(ids)
        had, tried = self.status[where], self.attempts[where]
        is_pending = had == Status.PENDING
        is_open = is_pending | (had == Status.BLOCKED)
        is_again = (had == Status.FAILED) | (had == Status.STALE)
        taken: Mask = (is_open & (attempts >= tried)) | (is_again & (attempts > tried))
        if made_by is not None:
            # What an older driver's worker brought late gives way to what this one's makes.
            is_present = made_by == self.makers.present
            taken |= (had == Status.STALE) & is_present & (attempts >= tried)
            is_old = (status == Status.DONE) & ~is_present
            status = np.where(is_old, np.uint8(Status.STALE), status)
        taken &= (attempts == MOST_ATTEMPTS) | (attempts >= tried)
        if only_pending is not False:
            taken &= is_pending | ~np.asarray(only_pending)
        # Runs of a chunk that the space leaves out are recorded as skipped and change nothing.
        taken &= (status != Status.SKIPPED) & (status != Status.PENDING)
        chosen: Any = slice(None) if taken.all() else taken
        target = where if chosen is not taken else ids[taken]
        if made_by is not None:
            self._get(MADE_BY)[target] = made_by[chosen]
            again = ids[chosen][tried[chosen] > 0]
            if len(again):
                self.moved.append(again)
        self.status[target] = status[chosen]
        self.attempts[target] = attempts[chosen]
        self.seconds[target] = seconds[chosen]
        self.peak_memory[target] = peak_memory[chosen]
        if isinstance(target, slice):
            self.touch_range(target.start, target.stop)
        else:
            self.touch(target)
        return taken

    def set_status(self, ids: npt.NDArray[np.int64] | slice, status: Status) -> None:
        """Set the status of runs and leave the rest."""
        self.status[ids] = status
        if isinstance(ids, slice):
            first, last, _ = ids.indices(self.n_runs)
            self.touch_range(first, last)
        else:
            self.touch(ids)

    def copy(
        self,
        ids: npt.NDArray[np.int64],
        other: "State",
        found: npt.NDArray[np.int64],
        made_by: Numbers,
    ) -> None:
        """Let runs be as some are in another state, made by whom these numbers say."""
        status = self.makers.seen(other.status[found], made_by)
        if self.made_by is not None:
            self._get(MADE_BY)[ids] = made_by
        self.attempts[ids] = other.attempts[found]
        self.seconds[ids] = other.seconds[found]
        self.peak_memory[ids] = other.peak_memory[found]
        self.status[ids] = status
        self.touch(ids)

    def forget(self, ids: npt.NDArray[np.int64]) -> None:
        """Make runs as if they had never been run."""
        self.set_status(ids, Status.PENDING)
        self.attempts[ids] = 0
        self.seconds[ids] = np.nan
        self.peak_memory[ids] = np.nan

    def touch(self, ids: npt.NDArray[np.int64]) -> None:
        """Note which chunks of the stored arrays have to be written."""
        if len(ids):
            first, last = int(ids.min()) // STATE_CHUNK, int(ids.max()) // STATE_CHUNK
            if first == last:
                self.dirty.add(first)
            else:
                is_touched = np.zeros(last - first + 1, bool)
                is_touched[ids // STATE_CHUNK - first] = True
                self.dirty.update((first + np.flatnonzero(is_touched)).tolist())

    def touch_range(self, first: int, last: int) -> None:
        """Note that a range of runs has to be written."""
        if last > first:
            self.dirty.update(range(first // STATE_CHUNK, (last - 1) // STATE_CHUNK + 1))

    def _get(self, name: str) -> Any:
        array = self._arrays.get(name)
        if array is None:
            stored = self._load(name) if self._load is not None else None
            array = np.zeros(0, FIELDS.get(name, NUMBERS)[0]) if stored is None else stored
            if name == "status" and len(array) and array.max() >= len(Status):
                array = np.where(array < len(Status), array, np.uint8(Status.PENDING))
        if len(array) < self.n_runs:
            # Half more room than needed: a source that adds few runs at a time stays linear.
            dtype, fill = FIELDS.get(name, NUMBERS)
            room = array.base if isinstance(array.base, np.ndarray) else array
            if len(room) < self.n_runs or room.dtype != dtype or room.ndim != 1:
                length = self.n_runs if not len(array) else max(self.n_runs, 3 * len(array) // 2)
                require_room(dtype.itemsize * length, f"The {name} of {self.n_runs:,} runs")
                room = np.full(length, fill, dtype)
                room[: len(array)] = array
            array = room[: self.n_runs]
        self._arrays[name] = array
        return array


def _as_slice(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | slice:
    """Return many ids that count up as a slice, which is several times as fast to index with."""
    if len(ids) < _FEW or ids[-1] - ids[0] != len(ids) - 1 or not (np.diff(ids) == 1).all():
        return ids
    return slice(int(ids[0]), int(ids[-1]) + 1)


def count_statuses(status: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return how many runs have each status, by its number, shape ``(len(Status),)``.

    Comparing bytes is ten times as fast as a bincount, which makes int64 of them.
    """
    return np.array([np.count_nonzero(status == each) for each in range(len(Status))])
