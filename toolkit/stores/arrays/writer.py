"""One thread a process that writes large outcomes while the next runs are computed."""

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LARGE = 1 << 20  # bytes; below, handing over costs more than it hides
_MOST_BYTES = 64 << 20


@dataclass(eq=False)
class Pending:
    """What one batch has handed over: how much is unwritten, and the first error."""

    count: int = 0
    error: BaseException | None = field(default=None)


class Writer:
    """Does jobs in the order in which they are handed over.

    Holds at most 64 MB, or one job: who brings more waits. After an error, the other jobs of the
    same batch are left out, and the batch hears of it when it hands over more or waits.
    """

    def __init__(self) -> None:
        self._jobs: deque[tuple[Pending, Callable[[], None], int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything is unwritten."""
        return bool(self._jobs)

    def put(self, pending: Pending, job: Callable[[], None], nbytes: int) -> None:
        """Hand a job over.

        Raises
        ------
        BaseException
            What an earlier job of the same batch raised.
        """
        with self._changed:
            while self._jobs and self._bytes + nbytes > _MOST_BYTES and pending.error is None:
                self._changed.wait()
            _raise(pending)
            pending.count += 1
            self._bytes += nbytes
            self._jobs.append((pending, job, nbytes))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="toolkit-writer", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def wait(self, pending: Pending) -> None:
        """Wait until all of a batch is written.

        Raises
        ------
        BaseException
            What a job of the batch raised.
        """
        with self._changed:
            while pending.count:
                self._changed.wait()
            _raise(pending)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                pending, job, nbytes = self._jobs[0]
            if pending.error is None:
                try:
                    job()
                except BaseException as error:  # noqa: BLE001  (the batch that handed it over raises it)
                    pending.error = error
            del job
            with self._changed:
                self._jobs.popleft()
                self._bytes -= nbytes
                pending.count -= 1
                self._changed.notify_all()


def writer() -> Writer:
    """Return the writer of this process; a fork has one of its own."""
    with _lock:
        pid = os.getpid()
        if pid not in _writers:
            _writers.clear()
            _writers[pid] = Writer()
        return _writers[pid]


def _raise(pending: Pending) -> None:
    if pending.error is not None:
        error, pending.error = pending.error, None
        raise error


_writers: dict[int, Writer] = {}
_lock = threading.Lock()
