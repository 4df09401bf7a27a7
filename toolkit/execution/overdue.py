"""Batches of the first wave that are in one long run: their other runs need not wait for it."""

import time
from collections.abc import Mapping
from itertools import chain

from toolkit.execution.batch_task import BatchTask
from toolkit.execution.lanes import Lanes
from toolkit.execution.window import Window

_PATIENCE = 1.0


class Overdue:
    """Takes the rest of a batch back while its worker is in the first of its runs.

    A batch of the first wave holds neighbors of its first run, for the case that this is quick. A
    worker that is in the first for longer than the batch should take hands back all others when it
    ends: they can be had at once. Nothing else would be known of them for as long as that run
    lasts, which may be hours.

    Parameters
    ----------
    window
        Batches that are out.
    queue
        Where runs go that are taken back.
    """

    def __init__(self, window: Window, queue: Lanes) -> None:
        self._window, self._queue = window, queue
        self._since: dict[BatchTask, float] = {}

    def look(self, in_progress: Mapping[str, tuple[int, ...]]) -> None:
        """Take back what has waited for a second.

        Parameters
        ----------
        in_progress
            By journal, the runs that its worker is in.
        """
        tasks = self._window.first_batches()
        if not tasks:
            self._since.clear()
            return
        running = set(chain.from_iterable(in_progress.values()))
        now = time.monotonic()
        for task in tasks:
            if task.first not in running:
                self._since.pop(task, None)
            elif now - self._since.setdefault(task, now) > _PATIENCE:
                self._window.shorten(task)
                self._queue.give_back(task, 1)
