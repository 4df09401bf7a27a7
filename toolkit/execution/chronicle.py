"""What the engine notes in the log of its sweep: often enough to follow, seldom enough to keep."""

import time
from collections.abc import Callable, Mapping, Sequence

from toolkit.execution.batch_task import BatchSummary
from toolkit.execution.executors import Completed
from toolkit.execution.outlook import Outlook
from toolkit.execution.progress import Progress
from toolkit.resources import Resources
from toolkit.stores.runs.outcomes import Failed
from toolkit.stores.runs.stage_runs import StageRuns

_EVERY_SECONDS = 10.0
_FAILURES = 20  # that are named in such a time; more are counted


class Chronicle:
    """Notes the events of one stage; batches and many failures in summary.

    Parameters
    ----------
    runs
        Of the stage, in the store whose log it is.
    """

    def __init__(self, runs: StageRuns) -> None:
        self._runs = runs
        self._tiers_at = -_EVERY_SECONDS
        self._is_paused = self._is_stopping = False
        self._outlook_at = time.monotonic()
        self._begin()

    def began(self, *, asked: int, todo: int, threads: int, needs: Resources | None) -> None:
        """Note that the stage begins, and what one of its runs holds where they are alike."""
        self._runs.note(
            "stage_started",
            asked=asked,
            todo=todo,
            threads=threads,
            threads_of_run=1 if needs is None else needs.threads,
            gpus_of_run=0 if needs is None else needs.gpus,
        )

    def steered(self, *, paused: bool, stopping: str | None, asked: bool) -> None:
        """Note that the sweep was paused, goes on, or is to stop: for a reason, or as asked."""
        if stopping is not None and not self._is_stopping:
            self._is_stopping = True
            self._runs.note("sweep_stopping", because=stopping, asked=asked)
        elif stopping is None and paused != self._is_paused:
            self._is_paused = paused
            self._runs.note("sweep_paused" if paused else "sweep_resumed")

    def ended(self, progress: Progress, because: str | None) -> None:
        """Note how the stage ended."""
        self._sum_up()
        self._runs.note(
            "stage_ended",
            done=progress.done,
            failed=progress.failed,
            blocked=progress.blocked,
            pending=progress.pending,
            seconds=round(progress.elapsed, 3),
            because=because or "nothing is left",
        )

    def took(self, summary: BatchSummary) -> None:
        """Count a batch that came back."""
        self._batches += 1
        self._done += summary.done
        self._failed += summary.failed
        self._run_seconds += summary.run_seconds
        self._wall_seconds += summary.wall_seconds
        if time.monotonic() - self._since > _EVERY_SECONDS:
            self._sum_up()

    def lost(self, each: Completed, in_progress: set[int]) -> None:
        """Note a batch whose worker died, and which of its runs were in progress."""
        ids = each.task.run_ids()
        self._runs.note(
            "batch_lost",
            runs=len(ids),
            first_run=int(ids[0]) if len(ids) else None,
            attempt=each.task.attempt,
            in_progress=sorted(in_progress.intersection(ids.tolist()))[:_FAILURES],
            error=str(each.error),
            death=None if each.death is None else each.death.describe(),
        )

    def failed(self, failures: Sequence[Failed]) -> None:
        """Note runs that failed."""
        for each in failures:
            self._named += 1
            if self._named > _FAILURES:
                continue
            failure = each.failure
            self._runs.note(
                "run_failed",
                run=failure.run,
                attempt=each.attempt,
                exception=failure.exception,
                message=failure.message,
                host_of_run=failure.host,
            )

    def repeated(self, runs: Sequence[int], attempt: int) -> None:
        """Note runs that are tried once more."""
        if self._named <= _FAILURES:
            self._runs.note("run_retried", runs=list(runs)[:_FAILURES], attempt=attempt)

    def handed_on(self, *, run: int, seconds: float) -> None:
        """Note a run that is ended, for its worker's job would have ended before it."""
        self._runs.note("run_handed_on", run=run, seconds=seconds)

    def climbed(self, *, run: int, reason: str, before: str, after: str) -> None:
        """Note a run that goes to a larger tier."""
        self._runs.note("run_climbed", run=run, reason=reason, before=before, after=after)

    def tiers(
        self, tiers: Callable[[], Mapping[str, Mapping[str, float | str]]], *, now: bool = False
    ) -> None:
        """Note now and then how much waits for each tier, and what it has spent.

        Parameters
        ----------
        tiers
            Called when it is time.
        now
            Whether it is time already.
        """
        if now or time.monotonic() - self._tiers_at > _EVERY_SECONDS:
            self._tiers_at = time.monotonic()
            self._runs.note("tiers", tiers=tiers())

    def outlook(self, look: Callable[[], Outlook | None]) -> None:
        """Note now and then what is expected of the rest.

        Parameters
        ----------
        look
            Called when it is time.
        """
        if time.monotonic() - self._outlook_at < _EVERY_SECONDS:
            return
        found = look()
        self._outlook_at = time.monotonic()
        names = {"low": 1, "high": 1, "core_hours": 4, "gpu_hours": 4}
        self._runs.note(
            "outlook",
            **{
                name: None if found is None else round(getattr(found, name), digits)
                for name, digits in names.items()
            },
        )

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._batches = self._done = self._failed = self._named = 0
        self._run_seconds = self._wall_seconds = 0.0

    def _sum_up(self) -> None:
        if self._batches:
            self._runs.note(
                "batches",
                batches=self._batches,
                done=self._done,
                failed=self._failed,
                run_seconds=round(self._run_seconds, 3),
                wall_seconds=round(self._wall_seconds, 3),
                failures_not_named=max(0, self._named - _FAILURES),
            )
        self._begin()
