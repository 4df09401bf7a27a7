"""How long runs take, as measured so far, and how long batches should."""

from toolkit.execution.batch_task import BatchSummary
from toolkit.execution.executors import Executor
from toolkit.execution.lanes import Lanes
from toolkit.execution.sizing import batch_seconds

_UNKNOWN = 1e-3
_NEWS = 0.3  # weight of the latest batch


class Pace:
    """Follows the batches of one stage.

    Attributes
    ----------
    expected
        Seconds of a run, 0 while that is unknown.
    """

    def __init__(self) -> None:
        self.expected = 0.0
        self._wanted = 0  # runs that a batch of a vectorized stage should hold at least

    def note(self, summary: BatchSummary) -> None:
        """Take in how long a batch took, once the first wave has shown it of a run."""
        self._wanted = summary.wanted
        if summary.begun and self.expected:
            rate = summary.run_seconds / summary.begun
            self.expected += _NEWS * (rate - self.expected)

    def batch_seconds(self, queue: Lanes, executor: Executor, tier: int = 0) -> float:
        """Return how long the next batch for a tier should take."""
        return batch_seconds(
            workers=executor.workers,
            threads=max(1, executor.room(tier)),
            seconds_left=queue.n_waiting(tier) * self.expected,
        )

    def rate(self, queue: Lanes, executor: Executor, tier: int = 0) -> float:
        """Seconds of a run by which batches are cut, less where a batch is to hold more runs."""
        expected = self.expected or _UNKNOWN
        if not self._wanted:
            return expected
        share = max(-(-queue.n_waiting(tier) // max(1, executor.room(tier))), self._wanted // 16)
        together = max(1, min(self._wanted, share))
        return min(expected, self.batch_seconds(queue, executor, tier) / together)
