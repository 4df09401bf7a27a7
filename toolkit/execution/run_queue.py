"""The runs that wait, cut into batches when a batch is asked for."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.batch_task import BatchTask
from toolkit.execution.order import Order, arrange
from toolkit.execution.sizing import ChunkPlan
from toolkit.run_status import Status
from toolkit.stores.catalogues.catalogue import Catalogue

Ids = NDArray[np.int64]
Group = Callable[[Ids], Ids]


class RunQueue:
    """Pending run ids in the order in which they are handed out.

    Runs wait in five places: groups to be repeated (each with its attempt), whole chunks, single
    runs, those that a worker had no time for, and suspects. The first are handed out first;
    suspects last, and one group at a time.

    Attributes
    ----------
    costs
        Seconds that each run of the stage is expected to take, NaN where that is not known; empty
        while they are taken to be alike.
    """

    def __init__(self, token: str, order: Order) -> None:
        self.token = token
        self.order = order
        self._singles: deque[Ids] = deque()
        self._unbegun: list[Ids] = []  # neighbors that the first wave took along
        self._postponed: list[Ids] = []
        self._chunks: deque[tuple[int, int]] = deque()
        self._repeats: deque[tuple[Ids, int, bool]] = deque()
        self._suspects: deque[tuple[Ids, int]] = deque()
        self._wanted: NDArray[np.bool_] | None = None
        self._catalogue = Catalogue.empty()
        self._seed = 0
        self._group: Group | None = None
        self.costs: NDArray[np.float32] = np.zeros(0, np.float32)

    def __len__(self) -> int:
        return (
            sum(map(len, self._singles))
            + sum(map(len, self._unbegun))
            + sum(map(len, self._postponed))
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

    @property
    def has_only_suspects(self) -> bool:
        """Whether nothing waits but groups in which a run kills its worker."""
        return len(self) == sum(len(each[0]) for each in self._suspects)

    def seconds(self, expected: float) -> float:
        """Return how long all that waits takes one after the other."""
        if not len(self.costs):
            return len(self) * expected
        again: list[Ids] = [each[0] for each in self._repeats]
        again += [each[0] for each in self._suspects]
        ids = _joined(
            [np.zeros(0, np.int64), *self._singles, *self._unbegun, *self._postponed, *again]
        )
        known = self.costs[ids]
        whole = sum(hi - lo for lo, hi in self._chunks) * expected
        return whole + float(np.where(np.isnan(known), expected, known).sum(dtype=float))

    def like(self) -> "RunQueue":
        """Return an empty queue that cuts its batches as this one does."""
        other = RunQueue(self.token, self.order)
        other._catalogue, other._group, other._wanted = (
            self._catalogue,
            self._group,
            self._wanted,
        )
        return other

    def move_out(self, leaves: Callable[[Ids], NDArray[np.bool_]]) -> Ids:
        """Take out those single runs that nobody has begun and for which ``leaves`` is true."""
        moved = []
        for kept in (self._singles, self._unbegun, self._postponed):
            pieces = list(kept)
            kept.clear()
            for ids in pieces:
                goes = leaves(ids)
                moved.append(ids[goes])
                if not goes.all():
                    kept.append(ids[~goes])
        return np.concatenate([np.zeros(0, np.int64), *moved])

    def repeat(self, ids: Ids, attempt: int, *, careful: bool = False) -> None:
        """Hand these out again, before anything new; ``careful``: each recorded by itself."""
        if len(ids):
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

    def postpone(self, task: BatchTask) -> None:
        """Take back a batch for which a worker had no time, which may have some for shorter ones.

        It waits until :meth:`readmit`, or until nothing else does.
        """
        if task.insists:
            self.give_back(task, 0)
        else:
            self._postponed.append(task.run_ids())

    def readmit(self) -> None:
        """Let those wait with the others again that workers had no time for: others may have."""
        self._singles.extendleft(self._postponed)
        self._postponed.clear()

    def keep_together(self, group: "Group | None") -> None:
        """Shuffle from now on the runs of a group among themselves, and groups as wholes.

        Parameters
        ----------
        group
            Returns the number of the group of each run, from 0 on; None: all are one group.
        """
        self._group = group
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

    def longest_first(self, *, over: float, expected: float) -> None:
        """Hand out first what takes more than some seconds, the longest at the very first.

        Where the end is near, a long run that begins last keeps all others waiting. Only runs in
        random order, of which it is known that they differ, are moved.

        Parameters
        ----------
        over
            Seconds.
        expected
            Seconds of a run of which nothing more is known.
        """
        if self.order != "random" or not len(self.costs):
            return
        self._take_in()
        ids = _joined([np.zeros(0, np.int64), *self._singles])
        costs = np.where(np.isnan(self.costs[ids]), expected, self.costs[ids])
        is_long = costs > over
        if is_long.any():
            longest = np.argsort(-costs[is_long], kind="stable")
            self._singles = deque([ids[is_long][longest], ids[~is_long]])
            if self._wanted is not None:
                self.focus(self._wanted)

    def seconds_of_next(self, expected: float) -> float:
        """Return how long the run takes that is handed out next; 0 where it may be any.

        Parameters
        ----------
        expected
            Seconds of a run of which nothing more is known.
        """
        self._take_in()
        pieces = [*(each[0] for each in self._repeats), *self._singles]
        run = next((int(ids[0]) for ids in pieces if len(ids)), None)
        if run is None or not len(self.costs):
            return 0.0
        known = float(self.costs[run])
        return expected if np.isnan(known) else known

    def first_wave(
        self, n_batches: int, *, at_once: int, seconds: float, again_first: bool = False
    ) -> list[BatchTask]:
        """Cut the smoke test: each batch is one run and, where that is quick, its neighbors.

        What waits behind a long run keeps its neighbors from all other workers, so that only the
        first batches, ``at_once`` of them, have many.
        Runs that are to be repeated wait for others to show how long one takes, unless
        ``again_first``.
        """
        tasks: list[BatchTask] = []
        if (again_first and self._repeats) or not (self._singles or self._unbegun):
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
        for at, start in enumerate(starts.tolist()):
            most = _WAVE_RUNS if at < at_once else _BEHIND_RUNS
            neighbors = start + 1 + np.flatnonzero(waiting[start + 1 : start + most])
            waiting[neighbors] = False
            runs = np.concatenate([[start], neighbors])
            tasks.append(self._task(runs, 1, seconds, 0.0, first_wave=True))
        self._singles.clear()
        self._unbegun = _kept(ids, waiting[ids])
        return tasks

    def next_batch(self, *, seconds: float, expected: float) -> BatchTask | None:
        """Cut the next batch, of about ``seconds``; None where nothing waits."""
        self._take_in()
        if self._repeats:
            ids, attempt, careful = self._repeats.popleft()
            size, expected = self._size(ids, seconds, expected)
            if len(ids) > size:
                self._repeats.appendleft((ids[size:], attempt, careful))
            return self._task(ids[:size], attempt, seconds, expected, careful=careful)
        if self._chunks:
            lo, hi = self._chunks.popleft()
            return BatchTask(self.token, lo, hi, None, True, 1, seconds, expected, first_wave=False)
        while self._singles:
            ids = self._singles.popleft()
            if len(ids):
                size, expected = self._size(ids, seconds, expected)
                if len(ids) > size:
                    self._singles.appendleft(ids[size:])
                task = self._task(ids[:size], 1, seconds, expected)
                return task._replace(insists=not len(self.costs))
        if self._postponed:
            ids = self._postponed.pop()
            size, expected = self._size(ids, seconds, expected)
            if len(ids) > size:
                self._postponed.append(ids[size:])
            return self._task(ids[:size], 1, seconds, expected)
        return None

    def _size(self, ids: Ids, seconds: float, expected: float) -> tuple[int, float]:
        """Return how many of these runs make a batch, and how long each of them takes.

        Runs that belong together are not parted where they fit: the folds of a light point.
        """
        size = max(1, int(seconds / max(expected, 1e-9)))
        if len(self.costs):
            first = ids[: max(_LOOKED_AT, size)]
            costs = self.costs[first]
            costs = np.where(np.isnan(costs), expected, costs).astype(float)
            size = max(1, int(np.searchsorted(np.cumsum(costs), seconds, side="right")))
            expected = float(costs[:size].mean())
        if self._group is not None and 0 < size < len(ids):
            groups = self._group(ids[: size + 1])
            whole = int(np.argmax(groups == groups[-1]))
            if groups[-1] == groups[-2] and whole:
                size = whole
        return size, expected

    def clear(self) -> None:
        """Drop everything that waits."""
        self._singles.clear()
        self._unbegun.clear()
        self._postponed.clear()
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
        groups = None if self._group is None or self.order != "random" else self._group(ids)
        return arrange(ids, self.order, positions, seed=self._seed, groups=groups)

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
_BEHIND_RUNS = 4  # of which the first may be slow, for it is the first
_LOOKED_AT = 256  # runs whose costs are summed for a batch, at least
_STRETCHES = 1000
