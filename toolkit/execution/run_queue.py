"""The runs that wait, cut into batches when a batch is asked for."""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.batch_task import BatchTask
from toolkit.execution.order import Order, arrange
from toolkit.execution.sizing import ChunkPlan
from toolkit.run_status import Status
from toolkit.stores.catalogue import Catalogue

Ids = NDArray[np.int64]


class RunQueue:
    """Pending run ids in the order in which they are handed out.

    Runs wait in four places: groups to be repeated (each with its attempt), whole chunks, single
    runs, and suspects. The first are handed out first; suspects last, and one group at a time.
    """

    def __init__(self, token: str, order: Order) -> None:
        self.token = token
        self.order = order
        self._singles: deque[Ids] = deque()
        self._unbegun: list[Ids] = []  # neighbors that the first wave took along
        self._chunks: deque[tuple[int, int]] = deque()
        self._repeats: deque[tuple[Ids, int, bool]] = deque()
        self._suspects: deque[tuple[Ids, int]] = deque()
        self._wanted: NDArray[np.bool_] | None = None
        self._catalogue = Catalogue.empty()
        self._seed = 0
        self._together = 0

    def __len__(self) -> int:
        return (
            sum(map(len, self._singles))
            + sum(map(len, self._unbegun))
            + sum(hi - lo for lo, hi in self._chunks)
            + sum(len(each[0]) for each in self._repeats)
            + sum(len(each[0]) for each in self._suspects)
        )

    def add(self, ids: Ids, catalogue: Catalogue) -> None:
        """Add runs that have never been handed out, in the queue's order."""
        self._catalogue = catalogue
        if len(ids):
            self._unbegun.append(ids)
            if self.order != "random":
                self._take_in()

    def repeat(self, ids: Ids, attempt: int, *, alone: bool = False, careful: bool = False) -> None:
        """Hand these out again, before anything new.

        ``alone``: each in a batch of its own; ``careful``: each recorded by itself.
        """
        if alone:
            self._repeats.extend((ids[i : i + 1], attempt, careful) for i in range(len(ids)))
        elif len(ids):
            self._repeats.append((ids, attempt, careful))

    def suspect(self, ids: Ids, attempt: int) -> None:
        """Keep for the end a group in which one run, it is not known which, kills its worker."""
        if len(ids):
            self._suspects.append((ids, attempt))

    def next_suspect(self, *, seconds: float, expected: float) -> BatchTask | None:
        """Cut the next group of suspects, to be run with nothing beside it; None without one."""
        if not self._suspects:
            return None
        ids, attempt = self._suspects.popleft()
        return self._task(ids, attempt, seconds, expected, careful=len(ids) == 1)

    def give_back(self, task: BatchTask, begun: int) -> None:
        """Take back what a batch has not begun."""
        left = task.run_ids()[begun:]
        if not len(left):
            return
        if task.whole:
            self._chunks.appendleft((int(left[0]), task.hi))
        elif task.attempt > 1 or task.careful:
            self._repeats.append((left, task.attempt, task.careful))
        elif task.first_wave:
            self._unbegun.append(left)
        else:
            self._singles.appendleft(left)

    def keep_together(self, n_runs: int) -> None:
        """Shuffle from now on so many neighboring runs among themselves, and such groups."""
        self._together = n_runs
        if self.order == "random" and self._singles:
            self._unbegun.append(np.concatenate(self._singles))
            self._singles.clear()

    def use_chunks(
        self,
        plan: ChunkPlan,
        status: NDArray[np.uint8],
        attempts: NDArray[np.uint8],
        *,
        runs_per_batch: float,
    ) -> None:
        """Move to whole chunks what may be handed out so: chunks none of whose runs has a record.

        Parameters
        ----------
        plan
            The chunk length and whether workers may write whole chunks.
        status, attempts
            Of all runs of the stage, shape ``(n_runs,)``.
        runs_per_batch
            Neighboring chunks are handed out together up to this many runs.
        """
        pieces = [*self._singles, *self._unbegun]
        if plan.mode != "whole" or not pieces:
            return
        waiting = np.zeros(len(status), bool)
        for ids in pieces:
            waiting[ids] = True
        starts = np.arange(0, len(status), plan.length)
        fresh = (waiting & (attempts == 0)) | (status == Status.SKIPPED)
        whole = np.logical_and.reduceat(fresh, starts) & np.logical_or.reduceat(waiting, starts)
        if not whole.any():
            return
        waiting &= ~np.repeat(whole, plan.length)[: len(status)]
        size = max(1, int(runs_per_batch))
        spans = [
            (int(group[0]) * plan.length, min((int(group[-1]) + 1) * plan.length, len(status)))
            for group in _neighbors(np.flatnonzero(whole), max(1, size // plan.length))
        ]
        # What is left of chunks that were begun goes by neighbors too: a range of runs costs a
        # tenth of as many scattered ones, in the journal as in the driver.
        left = np.flatnonzero(waiting)
        rests = np.split(left, range(size, len(left), size)) if len(left) else []
        if self.order != "given":
            rng = np.random.default_rng(self._seed)
            spans = [spans[i] for i in rng.permutation(len(spans))]
            rests = [rests[i] for i in rng.permutation(len(rests))]
        self._singles, self._unbegun = deque(rests), []
        self._chunks.extend(spans)

    def focus(self, wanted: NDArray[np.bool_]) -> None:
        """Hand out first the runs for which ``wanted``, of shape ``(n_runs,)``, is true."""
        self._wanted = wanted
        first: deque[Ids] = deque()
        last: deque[Ids] = deque()
        for ids in self._singles:
            chosen = wanted[ids]
            first.append(ids[chosen])
            last.append(ids[~chosen])
        self._singles = deque(ids for ids in (*first, *last) if len(ids))
        chunks = sorted(self._chunks, key=lambda span: not wanted[slice(*span)].any())
        self._chunks = deque(chunks)

    def first_wave(self, n_batches: int, *, seconds: float) -> list[BatchTask]:
        """Cut the smoke test: each batch is one run and, where that is quick, its neighbors."""
        tasks: list[BatchTask] = []
        if not self._singles and not self._unbegun:
            while len(tasks) < n_batches and self._repeats:
                ids, attempt, careful = self._repeats.popleft()
                if len(ids) > 1:
                    self._repeats.appendleft((ids[1:], attempt, careful))
                tasks.append(self._task(ids[:1], attempt, seconds, 0.0, first_wave=True))
            return tasks
        ids = _joined([*self._singles, *self._unbegun])
        if self.order == "random":
            chosen = np.random.default_rng(self._seed).choice(
                len(ids), min(n_batches, len(ids)), replace=False
            )
            starts = ids[chosen]
        else:
            starts = ids[:n_batches]
        waiting = np.zeros(int(ids.max()) + 1, bool)
        waiting[ids] = True
        waiting[starts] = False
        for start in starts.tolist():
            neighbors = start + 1 + np.flatnonzero(waiting[start + 1 : start + _WAVE_RUNS])
            waiting[neighbors] = False
            runs = np.concatenate([[start], neighbors])
            tasks.append(self._task(runs, 1, seconds, 0.0, first_wave=True))
        self._singles.clear()
        self._unbegun = _kept(ids, waiting[ids])
        return tasks

    def next_batch(self, *, seconds: float, expected: float) -> BatchTask | None:
        """Cut the next batch, of about ``seconds``; None where nothing waits."""
        self._take_in()
        size = max(1, int(seconds / max(expected, 1e-9)))
        if self._repeats:
            ids, attempt, careful = self._repeats.popleft()
            if len(ids) > size:
                self._repeats.appendleft((ids[size:], attempt, careful))
            return self._task(ids[:size], attempt, seconds, expected, careful=careful)
        if self._chunks:
            lo, hi = self._chunks.popleft()
            return BatchTask(self.token, lo, hi, None, True, 1, seconds, expected, first_wave=False)
        while self._singles:
            ids = self._singles.popleft()
            if len(ids) > size:
                self._singles.appendleft(ids[size:])
            if len(ids):
                return self._task(ids[:size], 1, seconds, expected)
        return None

    def clear(self) -> None:
        """Drop everything that waits."""
        self._singles.clear()
        self._unbegun.clear()
        self._chunks.clear()
        self._repeats.clear()
        self._suspects.clear()

    def _take_in(self) -> None:
        """Put what the first wave has not begun back among the others, in the queue's order."""
        if self._unbegun:
            everything = _joined([*self._singles, *self._unbegun])
            self._unbegun.clear()
            if self.order == "given":
                everything = np.sort(everything)
            self._singles = deque([self._arranged(everything)])
            if self._wanted is not None:
                self.focus(self._wanted)

    def _arranged(self, ids: Ids) -> Ids:
        positions = self._catalogue.positions(ids) if self.order == "coarse" else ()
        self._seed += 1
        return arrange(ids, self.order, positions, seed=self._seed, together=self._together)

    def _task(
        self,
        ids: Ids,
        attempt: int,
        seconds: float,
        expected: float,
        *,
        first_wave: bool = False,
        careful: bool = False,
    ) -> BatchTask:
        task = BatchTask(
            self.token, 0, 0, None, False, attempt, seconds, expected, first_wave, careful
        )
        lo = int(ids[0])
        if int(ids[-1]) - lo == len(ids) - 1 and bool((np.diff(ids) == 1).all()):
            return task._replace(lo=lo, hi=lo + len(ids))
        return task._replace(runs=np.ascontiguousarray(ids, np.int64).tobytes())


def _neighbors(numbers: Ids, most: int) -> Iterator[Ids]:
    """Yield ascending numbers in groups that count up by one, of at most ``most`` each."""
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    for group in np.split(numbers, cuts) if len(numbers) else ():
        yield from np.split(group, range(most, len(group), most))


def _joined(pieces: list[Ids]) -> Ids:
    """Return the pieces as one; the only one as it is, for a sweep's ids take 8 bytes a run."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _kept(ids: Ids, is_kept: NDArray[np.bool_]) -> list[Ids]:
    """Return what is kept: as views, where it is a few stretches."""
    cuts = np.flatnonzero(is_kept[1:] != is_kept[:-1]) + 1
    if len(cuts) > _STRETCHES:
        return [ids[is_kept]]
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(ids)]
    return [
        ids[start:end] for start, end in zip(starts, ends, strict=True) if is_kept[start:][:1].any()
    ]


_WAVE_RUNS = 4096
_STRETCHES = 1000
