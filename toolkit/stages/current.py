"""The run in progress, as the function that is run may ask for it."""

import logging
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.stages.said import Said


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a batch tells its runs beyond their arguments.

    Parameters
    ----------
    stage
        Name of the stage.
    scratch_folder
        Where scratch folders are made; None: the machine's temporary folder.
    checkpoint_folder
        Where checkpoint folders are made; it must outlive the attempt. None: as for scratch.
    threads
        Threads that one run may use.
    labels
        Gives the labels of a run from its id; None: the arguments are the labels.
    log_level
        From which level on records of ``logging`` are kept.
    session, log_characters
        Name of the sweep's session, and how much a process keeps in it of what its runs say.
    """

    stage: str = "stage"
    scratch_folder: str | None = None
    checkpoint_folder: str | None = None
    threads: int = 1
    labels: Callable[[int], Mapping[str, object]] | None = None
    log_level: int = logging.WARNING
    session: str = ""
    log_characters: int = 1 << 22


class CurrentRun:
    """The run in progress; outside of a run a stand-in, so that functions can be called by hand.

    Examples
    --------
    >>> current_run().id, current_run().labels
    (-1, {})
    """

    def __init__(self, batch: "Cursor | None", index: int) -> None:
        self._batch = batch
        self._index = index

    @property
    def labels(self) -> dict[str, object]:
        """The run's place in the space: a label for each parameter; {} in the stand-in."""
        return {} if self._batch is None else self._batch.labels(self._index)

    @property
    def id(self) -> int:
        """The run's id in its store, -1 in the stand-in; the first id of a vectorized batch."""
        return -1 if self._batch is None else int(self._batch.runs[self._index])

    @property
    def seed(self) -> int:
        """What ``run_seed`` would be, below 2**63; 0 in the stand-in."""
        return 0 if self._batch is None else self._batch.seed(self._index)

    @property
    def attempt(self) -> int:
        """1 for the first attempt at this run."""
        return 1 if self._batch is None else self._batch.attempt(self._index)

    @property
    def threads(self) -> int:
        """How many threads the run may use."""
        return 1 if self._batch is None else self._batch.context.threads

    @property
    def scratch(self) -> Path:
        """A folder of this attempt's own, made now; removed when the run has succeeded.

        Of runs that fail a process keeps the folders of the first 20 for each stage.
        """
        return _stand_in("scratch") if self._batch is None else self._batch.scratch(self._index)

    @property
    def keeps_scratch(self) -> bool:
        """Whether ``scratch`` stays if the run fails."""
        return self._batch is None or self._batch.keeps_scratch()

    @property
    def checkpoint(self) -> Path:
        """A folder of this run's own, made now or by an earlier attempt; gone when it succeeds."""
        if self._batch is None:
            return _stand_in("checkpoint")
        return self._batch.checkpoint(self._index)

    def __repr__(self) -> str:
        if self._batch is None:
            return "<no run in progress>"
        return f"<run {self.id} of {self._batch.context.stage!r}, attempt {self.attempt}>"


def current_run() -> CurrentRun:
    """Return the run in progress in this thread, or in this process if it is the only one.

    Threads that a run starts see their run as long as the process works on one batch at a time.
    """
    cursor = _active.get(threading.get_ident())
    if cursor is None and len(_active) == 1:
        cursor = next(iter(_active.values()), None)
    return CurrentRun(cursor, 0 if cursor is None else cursor.index)


def speaking() -> "Cursor | None":
    """Return the batch whose run speaks in this thread, if any.

    Threads that a run has started speak for it, as long as the process works on one batch; the
    process's main thread and those of Dask and of this package never do.
    """
    cursor = _active.get(threading.get_ident())
    if cursor is None and len(_active) == 1:
        thread = threading.current_thread()
        if thread is not threading.main_thread() and not thread.name.startswith(_OTHERS):
            cursor = next(iter(_active.values()), None)
    return cursor


class Cursor:
    """Which run of a batch is in progress, known without telling anybody at each run.

    Parameters
    ----------
    runs
        Ids of the runs of the batch.
    values
        Arguments by parameter, a sequence of n each.
    done
        A list that grows by one as each run ends; its length is the position of the next.
    attempts
        Number of the attempt, one for all or one a run.
    seeds
        Gives ``run_seed`` of the run at a position; None: the run's id.
    """

    def __init__(
        self,
        runs: Sequence[int],
        values: Mapping[str, Any],
        done: Sized,
        context: RunContext,
        attempts: int | Sequence[int],
        seeds: Callable[[int], int] | None,
    ) -> None:
        self.runs = runs
        self.values = values
        self.done = done
        self.context = context
        self.attempts = attempts
        self.seeds = seeds
        self.failed: set[int] = set()
        self.said: Said | None = None
        self._scratch: dict[int, Path] = {}
        self._checkpoints: dict[int, Path] = {}

    def __enter__(self) -> "Cursor":
        self._outer = _active.get(threading.get_ident())
        _active[threading.get_ident()] = self
        return self

    def __exit__(self, *_: object) -> None:
        if self._outer is None:
            _active.pop(threading.get_ident(), None)
        else:
            _active[threading.get_ident()] = self._outer

    @property
    def index(self) -> int:
        """Position in the batch of the run in progress."""
        return min(len(self.done), len(self.runs) - 1)

    def labels(self, index: int) -> dict[str, object]:
        """Return the labels of the run at a position."""
        if self.context.labels is not None:
            return dict(self.context.labels(int(self.runs[index])))
        return {name: column[index] for name, column in self.values.items()}

    def seed(self, index: int) -> int:
        """Return the integer seed of the run at a position."""
        return int(self.runs[index]) if self.seeds is None else self.seeds(index)

    def attempt(self, index: int) -> int:
        """Return the number of the attempt at the run at a position."""
        return self.attempts if isinstance(self.attempts, int) else int(self.attempts[index])

    def scratch(self, index: int) -> Path:
        """Return the scratch folder of the run at a position, made at the first call."""
        if index not in self._scratch:
            # The folders of earlier runs go now: a long batch must not fill the disk.
            self._remove(self._scratch, (i for i in list(self._scratch) if i < index))
            prefix = f"{self.context.stage}-{self.runs[index]}-"
            self._scratch[index] = _temporary(prefix, self.context.scratch_folder)
        return self._scratch[index]

    def checkpoint(self, index: int) -> Path:
        """Return the checkpoint folder of the run at a position, made at the first call."""
        if index not in self._checkpoints:
            folder = self.context.checkpoint_folder or self.context.scratch_folder
            home = Path(folder or tempfile.gettempdir())
            path = home / f"{self.context.stage}-{self.runs[index]}-checkpoint"
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._checkpoints[index] = path
        return self._checkpoints[index]

    def close(self, failed: Iterable[int]) -> None:
        """Remove the folders of the runs that succeeded; ``failed`` are positions."""
        self.failed.update(failed)
        self._remove(self._scratch, list(self._scratch))
        self._remove(self._checkpoints, list(self._checkpoints))

    def keeps_scratch(self) -> bool:
        """Whether the scratch folder of one more run would be kept if the run failed."""
        return _kept[self.context.stage] < MOST_KEPT

    def _remove(self, folders: dict[int, Path], positions: Iterable[int]) -> None:
        for index in positions:
            path = folders.pop(index)
            if index in self.failed and (folders is self._checkpoints or self.keeps_scratch()):
                _kept[self.context.stage] += folders is self._scratch
            else:
                shutil.rmtree(path, ignore_errors=True)


MOST_KEPT = 20
"""Scratch folders of failed runs that a process keeps for each stage; those of later ones go."""

_kept: Counter[str] = Counter()
# Threads whose names begin so belong to no run.
_OTHERS = ("Dask-", "Profile", "TCP-Executor", "IO loop", "asyncio", "toolkit-", "store-lock")

# By thread: a worker with several threads works on one batch in each.
_active: dict[int, Cursor] = {}
_stand_ins: dict[str, tempfile.TemporaryDirectory[str]] = {}


def _temporary(prefix: str, folder: str | None) -> Path:
    if folder is not None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))


def _stand_in(name: str) -> Path:
    if name not in _stand_ins:
        _stand_ins[name] = tempfile.TemporaryDirectory(
            prefix=f"toolkit-{name}-", ignore_cleanup_errors=True
        )
    return Path(_stand_ins[name].name)
