"""What the engine of a stage knows, asked now and then by whoever wants to look ahead."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.tiers import Ladder
from toolkit.execution.encoding import Encode, encoder
from toolkit.execution.lanes import Lanes
from toolkit.execution.learning import SLOW_RUN
from toolkit.execution.order import Order
from toolkit.execution.outlook import Forecaster, Known, Outlook, Rates
from toolkit.execution.pace import Pace
from toolkit.execution.tally import Tally
from toolkit.execution.window import Window
from toolkit.run_status import Status
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.runs.stage_runs import StageRuns

Ids = NDArray[np.int64]

logger = logging.getLogger("toolkit")

_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 10.0
_SHARE = 0.02  # of the time that may be spent on this where runs differ
_MANY = 20_000  # runs that are alike, of which none decides when the others are done


class Foresight:
    """Looks ahead in the thread that asks; what it says is kept for a second or more.

    Parameters
    ----------
    runs
        Of the stage.
    tally, queue, window, pace, needs, order
        Of its engine.
    """

    def __init__(
        self,
        runs: StageRuns,
        *,
        tally: Tally,
        queue: Lanes,
        window: Window,
        pace: Pace,
        needs: Needs,
        order: Order,
    ) -> None:
        self._runs, self._tally, self._queue = runs, tally, queue
        self._window, self._pace, self._needs, self._order = window, pace, needs, order
        self._forecaster, self._rates = Forecaster(), Rates()
        self._lock = threading.Lock()
        self._said: Outlook | None = None
        self._said_at = self._next = 0.0
        self._useful: float | None = None
        self._encoded: tuple[Catalogue, list[bool], Encode] | None = None

    def look(
        self, ladder: Ladder, places: Sequence[int], began: Mapping[int, float]
    ) -> Outlook | None:
        """Return what is expected of the rest of the stage, None while that cannot be said.

        Parameters
        ----------
        ladder
            The tiers.
        places
            How many runs are done at once on each.
        began
            When the runs in progress began, by id, where that is known.
        """
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._moved_on(now)
            spent = time.thread_time()
            try:
                self._said = self._look(now, ladder, places, began)
            except Exception:
                logger.debug("What is left cannot be estimated.", exc_info=True)
                self._said = None
            spent = time.thread_time() - spent
            self._said_at = now
            self._next = now + min(max(_PAUSE_S, spent / _SHARE), _LONGEST_PAUSE_S)
            return self._said

    def _moved_on(self, now: float) -> Outlook | None:
        """Return what was said, less the time that has passed since."""
        if self._said is None:
            return None
        passed = (now - self._said_at) / max(self._said.high, now - self._said_at, 1e-9)
        return self._said.after(min(passed, 0.9))

    def _look(
        self, now: float, ladder: Ladder, places: Sequence[int], began: Mapping[int, float]
    ) -> Outlook | None:
        counts = self._tally.progress(0.0, 0.0)
        n_ended = counts.done + counts.failed
        placement, expected = self._queue.placement, self._pace.expected
        threads = 1 if self._needs.fixed is None else self._needs.fixed.threads
        gpus = self._gpus(ladder)
        knows_seconds = placement is not None and len(placement.seconds) > 0
        if not knows_seconds and (expected < SLOW_RUN or counts.pending > _MANY):
            return self._rates.look(
                now,
                ended=n_ended,
                pending=counts.pending,
                seconds=expected,
                threads=threads,
                gpus=gpus[0],
            )
        state = self._runs.state
        names = () if placement is None else placement.names
        done, pending = self._tally.ids_of(Status.DONE), self._tally.pending_ids()
        n_runs = self._runs.n_runs
        useful = float(np.nansum(state.seconds[done], dtype=float))
        if self._useful is None:  # of what earlier sessions did
            self._useful = max(0.0, useful - self._window.seconds_spent)
        has_places = placement is not None and len(placement.tier) >= n_runs
        return self._forecaster.look(
            Known(
                at=now,
                pending=pending,
                done=done,
                seconds=state.seconds,
                tier=placement.tier if placement is not None and has_places else None,
                began=began,
                places=places,
                ladder=ladder,
                spent=self._window.seconds_spent,
                useful=useful - self._useful,
                features=lambda ids: self._features(ids, names),
                expected=placement.seconds
                if placement is not None and knows_seconds
                else np.zeros(0, np.float32),
                climbed=placement.climbed
                if placement is not None and has_places
                else np.zeros(n_runs, bool),
                is_longest_first=self._order == "random",
                threads=threads,
                gpus=gpus,
            )
        )

    def _gpus(self, ladder: Ladder) -> list[float]:
        """Return how many GPUs a run holds on each tier."""
        fixed = self._needs.fixed
        if fixed is not None:
            return [float(fixed.gpus)] * len(ladder)
        return [float(tier.gpus) if tier.is_tagged else 0.0 for tier in ladder.tiers]

    def _features(
        self, ids: Ids, names: tuple[str, ...]
    ) -> tuple[list[NDArray[np.float64]], list[bool]]:
        """Return the labels of runs as numbers, and which have an order."""
        catalogue = self._runs.catalogue
        if self._encoded is None or self._encoded[0] is not catalogue:
            _, is_number, encode = encoder(catalogue, names, ids[:1])
            self._encoded = (catalogue, is_number, encode)
            self._forecaster.forget()
        _, is_number, encode = self._encoded
        return (encode(ids) if names else []), is_number
