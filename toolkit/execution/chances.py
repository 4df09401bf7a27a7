"""Whether a run that failed is tried again, and on which tier: by the reason of its failure."""

import os
from collections import Counter
from collections.abc import Callable

from toolkit.clusters.tiers import Need
from toolkit.execution.lanes import Lanes
from toolkit.execution.run_queue import Ids
from toolkit.stages.failure import RunFailure
from toolkit.stages.stage import Stage
from toolkit.stores.runs.stage_runs import StageRuns

CHECKPOINTS = os.path.join(".journal", "checkpoints")
NOBODYS_FAULT = ("preempted", "cancelled", "node lost")
_MOST_LOSSES = 20  # of a run by nobody's fault

Note = Callable[..., None]


class Chances:
    """Decides about the next attempt of each run of a stage.

    Too little memory and too little time send a run to the next tier that has more of it, which
    counts as no attempt of the ``max_attempts`` that it has; nor does an end that was nobody's
    fault, nor one before which it wrote its checkpoint.

    Parameters
    ----------
    runs, stage
        Of the sweep.
    queue
        Knows the tiers.
    note
        Called with the run, both tiers and the reason where a run climbs.
    """

    def __init__(self, runs: StageRuns, stage: Stage, queue: Lanes, note: Note) -> None:
        self._runs, self._stage, self._queue, self._note = runs, stage, queue, note
        self._tried_before: dict[int, int] = {}
        self._free: Counter[int] = Counter()  # attempts that do not count
        self._lost: Counter[int] = Counter()
        self._checkpoints: dict[int, float] = {}

    def note_tried(self, ids: Ids, attempts: int) -> None:
        """Note how often runs were tried in earlier sessions: they begin anew."""
        self._tried_before.update(dict.fromkeys(ids.tolist(), attempts))

    def are_left(self, run: int, attempt: int) -> bool:
        """Whether a run whose attempt has failed may be tried once more."""
        counted = attempt - self._tried_before.get(run, 0) - self._free[run]
        return counted < self._stage.max_attempts

    def has_another(self, failure: RunFailure, attempt: int, tier: int | None = None) -> bool:
        """Whether a run that failed is tried once more; where, its placement says from then on.

        Parameters
        ----------
        failure
            Why it failed.
        attempt
            Which attempt that was.
        tier
            Of the worker, None for the one where the run belongs.
        """
        run = failure.run
        if failure.reason in NOBODYS_FAULT:
            self._lost[run] += 1
            return self._is_free(run) if self._lost[run] <= _MOST_LOSSES else False
        if failure.reason == "memory" or failure.exception == "MemoryError":
            if self._climbs(run, "memory", failure.reason, tier):
                return self._is_free(run)
        elif failure.reason == "time limit":
            if self._gets_further(run) or self._climbs(run, "walltime", failure.reason, tier):
                return self._is_free(run)
        elif failure.reason == "walltime":
            # It would exceed its own limit again, unless it goes on from a checkpoint.
            return (failure.retryable or self._gets_further(run)) and self.are_left(run, attempt)
        return failure.retryable and self.are_left(run, attempt)

    def _is_free(self, run: int) -> bool:
        self._free[run] += 1
        return True

    def _climbs(self, run: int, of: Need, reason: str, tier: int | None) -> bool:
        placement = self._queue.placement
        if placement is None:
            return False
        before = int(placement.tier[run]) if tier is None else tier
        # What was learned while it ran may have sent it on already.
        if not (placement.is_above(run, of, before) or placement.climb(run, of, before)):
            return False
        names = [placement.ladder[at].name for at in (before, int(placement.tier[run]))]
        self._note(run=run, reason=reason, before=names[0], after=names[1])
        return True

    def _gets_further(self, run: int) -> bool:
        """Whether a run has written its checkpoint since its last end."""
        latest = self._checkpoint_at(run)
        before = self._checkpoints.get(run, 0.0)
        self._checkpoints[run] = latest
        return latest > before

    def has_checkpoint(self, run: int) -> bool:
        """Whether there is something from which the next attempt of a run goes on."""
        return self._checkpoint_at(run) > 0.0

    def _checkpoint_at(self, run: int) -> float:
        """Return when a run wrote its checkpoint last, 0 where it never did."""
        path = self._runs.sink_spec().path
        if path is None:
            return 0.0
        folder = os.path.join(path, CHECKPOINTS, f"{self._stage.name}-{run}-checkpoint")
        try:
            return max(
                (entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(folder)),
                default=0.0,
            )
        except OSError:
            return 0.0
