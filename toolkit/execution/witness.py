"""What an engine lets others see: one value after each count, which any thread may read."""

import threading
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.demand import Demand
from toolkit.execution.executors import Executor
from toolkit.execution.failure_kinds import FailureKinds
from toolkit.execution.lanes import Lanes
from toolkit.execution.observation import Moment, TierSeen
from toolkit.execution.rate import Rate
from toolkit.execution.tally import Tally
from toolkit.execution.window import Window
from toolkit.resources import Resources
from toolkit.run_status import Status
from toolkit.stores.runs.stage_runs import StageRuns


class Witness:
    """Sees how one stage stands, in the thread of its engine, right after each count.

    Parameters
    ----------
    runs
        Of the stage.
    tally
        Has counted them.
    queue, out
        The runs that wait, and the batches that are out.
    needs
        What each run takes; None where that differs.

    Attributes
    ----------
    kinds
        The runs that failed.
    demands
        What was left for each tier when the cluster was told last.
    waits
        Why workers of a tier were not there, by its name, when that was asked last.
    in_progress
        By journal the runs that its worker was in at the latest look.
    has_outcomes
        Whether runs have ended in this session.
    """

    def __init__(
        self, runs: StageRuns, tally: Tally, queue: Lanes, out: Window, needs: Resources | None
    ) -> None:
        self._runs, self._tally, self._queue, self._out = runs, tally, queue, out
        self._gpus = 0 if needs is None else needs.gpus
        self._threads = 1 if needs is None else needs.threads
        self._rate = Rate()
        self._executor: Executor | None = None
        self._has_begun = False
        self._seen: Moment | None = None
        self._has_seen = threading.Event()
        self.kinds = FailureKinds()
        self.demands: Mapping[int, Demand] = {}
        self.waits: Mapping[str, str] = {}
        self.in_progress: Mapping[str, tuple[int, ...]] = {}
        self.has_outcomes = False

    def moment(self, *, patience: float = 0.0) -> Moment | None:
        """Return how the stage stood at the latest count; called by any thread.

        Parameters
        ----------
        patience
            Seconds to wait for the first count; None comes where there is none by then.
        """
        if self._seen is None and patience:
            self._has_seen.wait(patience)
        return self._seen

    def look(self, executor: Executor | None) -> None:
        """See how the stage stands; without an executor nothing runs any more.

        The runs do not change meanwhile.
        """
        counts = self._tally.counts
        self.kinds.settle(int(counts[Status.FAILED]), lambda: self._tally.ids_of(Status.FAILED))
        n_out = len(self._out)
        self._has_begun = self._has_begun or n_out > 0 or self.has_outcomes
        pending = int(counts[Status.PENDING])
        if executor is not self._executor:  # while others took over, nothing ended
            self._executor, self._rate = executor, Rate()
        self._rate.note(time.monotonic(), int(counts.sum()) - pending)
        cores, gpus = self._out.hours()
        state = self._runs.state
        self._seen = Moment(
            counts=counts,
            running=0 if executor is None else min(n_out, executor.threads, pending),
            has_begun=self._has_begun,
            kinds=self.kinds.kinds(),
            n_kinds=self.kinds.n_kinds,
            earlier=self.kinds.earlier,
            tiers=tuple(self._tiers(executor, counts)),
            core_hours=cores,
            gpu_hours=gpus,
            rate=self._rate.per_second,
            status=state.status,
            seconds=state.seconds if self.has_outcomes else None,
            parts=self._tally.parts,
            in_progress=self.in_progress,
        )
        self._has_seen.set()

    def _tiers(self, executor: Executor | None, counts: NDArray[np.int64]) -> list[TierSeen]:
        placement = self._queue.placement
        if placement is None or not placement.ladder[0].is_tagged:
            return []
        ladder = placement.ladder
        left = int(counts[Status.PENDING])
        found = []
        for at in reversed(range(len(ladder))):
            pending = self._tally.pending_of(placement.tier, at) if at else left
            left -= pending
            cores, gpus = self._out.hours(at)
            room = 0 if executor is None else executor.room(at)
            demand = self.demands.get(at)
            seconds = 0.0 if demand is None or not pending else demand.seconds
            found.append(
                TierSeen(
                    name=ladder[at].name,
                    pending=pending,
                    running=min(self._out.n_out(at), room, pending),
                    at_once=room,
                    core_hours=cores,
                    gpu_hours=gpus,
                    core_hours_left=seconds * self._threads / 3600,
                    gpus_per_core=self._gpus / self._threads,
                    waits=self.waits.get(ladder[at].name, "") if pending else "",
                )
            )
        return found[::-1]
