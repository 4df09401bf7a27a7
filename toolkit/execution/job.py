"""A sweep that has been started."""

import asyncio
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from toolkit.errors import InterruptedSweepError
from toolkit.execution.chain import Chain, Step
from toolkit.execution.observation import Observation
from toolkit.execution.outlook import Outlook
from toolkit.execution.progress import Progress
from toolkit.execution.workforce import Workforce
from toolkit.markup import bar, legend, link, view

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from distributed import Client

    from toolkit.spaces.space import Space


class Companion(Protocol):
    """Goes along with a job: a view that somebody far away looks at."""

    def begin(self) -> None:
        """Hear that the sweep begins."""

    def end(self) -> None:
        """Hear that it has ended, before those who wait for it do."""

    @property
    def link(self) -> str | None:
        """Where it is to be seen."""


class Job:
    """A sweep that has been started; made by :meth:`toolkit.Sweep.start`.

    ``await job`` is :meth:`result` without blocking the event loop.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        work: Callable[[], None],
        dataset: Callable[[], "xr.Dataset"],
        failures: Callable[[], "pd.DataFrame"],
        select: Callable[[Mapping[str, object]], "Space"],
        client: "Callable[[], Client | None]",
        is_here: Callable[[], bool],
        workforce: Workforce,
        store: Path | None = None,
        again: Callable[[], "Job"] | None = None,
        display: Callable[["Job"], None] | None = None,
    ) -> None:
        self._chain = chain
        self._work = work
        self._dataset, self._failures, self._select = dataset, failures, select
        self._client = client
        self._is_here = is_here
        self._workforce = workforce
        self._store = store
        self._again, self._display = again, display
        self.shown: object = None  # the view that shows it, which is kept as long as it is
        self._error: BaseException | None = None
        self._has_ended = False
        self._finished = threading.Event()
        self._companion: Companion | None = None
        self._told: list[Callable[[], object]] = []
        # Made when it is needed: it refers to this job, which would keep what the sweep holds.
        self._thread: threading.Thread | None = None

    @property
    def progress(self) -> Progress:
        """Counts by state, elapsed seconds and the estimate of those that are left."""
        return self._chain.progress()

    def outlook(self) -> Outlook | None:
        """Return between how many seconds are left, most likely, and what runs still cost.

        Computed here and now, once a second at most. None while nothing honest can be said: before
        10 runs or 5 % of the work are known, while a later stage has not begun, while it is paused
        or stops, and when it is finished.
        """
        return None if self.is_finished else self._chain.outlook()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The stages with their runs, for views; they are only to be looked at."""
        return tuple(self._chain.steps)

    @property
    def chooses_points(self) -> bool:
        """Whether its points are chosen as it goes, on no grid."""
        return self._chain.chooses_points

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs any more, however it ended."""
        return self._has_ended

    @property
    def client(self) -> "Client | None":
        """The Dask client in use, None where runs are executed by this process."""
        return self._client()

    @property
    def store(self) -> str | None:
        """Path of the store, None for results in memory."""
        return None if self._store is None else str(self._store)

    @property
    def error(self) -> str:
        """What ended it before its last run, ``""`` where nothing did."""
        error = self._error
        return "" if error is None else f"{type(error).__name__}: {error}"

    def observe(self) -> Observation:
        """Return how it stands, for views: cheap, and of one moment; any thread may look."""
        is_finished = self.is_finished
        seen = self._chain.observe(is_ended=is_finished)
        if is_finished:
            return seen
        # The workers after what is waited for: there are none while they start.
        return replace(seen, waits_for=self._workforce.waits_for, workers=self._workforce.look())

    @property
    def dashboard_link(self) -> str | None:
        """Address of the Dask dashboard, None while no cluster is in use."""
        client = self.client
        return None if client is None else client.dashboard_link

    @property
    def page_link(self) -> str | None:
        """Address of the page of the sweep on the Dask dashboard; None where there is none.

        Where the dashboard shows nobody what runs were given, it holds the key that opens labels,
        messages and tracebacks: give it to those who may see them.
        """
        return None if self._companion is None else self._companion.link

    def accompany(self, companion: Companion) -> None:
        """Have a view go along. Called before the job begins."""
        self._companion = companion

    def tell_end(self, call: Callable[[], object]) -> None:
        """Have something called when nothing runs any more, at once where that is so.

        It comes from the thread of the sweep and has to be quick; it may come twice.
        """
        self._told.append(call)
        if self._has_ended:
            call()

    def dataset(self) -> "xr.Dataset":
        """Return what is stored of the sweep's space by now; the rest is missing."""
        return self._dataset()

    def failures(self) -> "pd.DataFrame":
        """Return the failed runs so far, one row each."""
        return self._failures()

    def focus(self, **labels: object) -> None:
        """Run this part of the space first: labels, lists or slices, as ``sel`` takes them.

        Raises
        ------
        SpaceError
            If a name or label is not in the space.
        """
        self._chain.requests.focus(self._select(labels))

    def pause(self) -> None:
        """Hand out no further batches; those that run go on to their end."""
        self._chain.requests.pause()

    def resume(self) -> None:
        """Hand out batches again."""
        self._chain.requests.resume()

    def retry(self) -> "Job":
        """Run the failed runs again: at once where it still runs, else in a new job.

        Returns
        -------
        Job
            The one that runs them: this one while it runs.

        Raises
        ------
        SweepError
            If the function was defined anew since the sweep was made: use ``replace``.
        """
        if not self.is_finished:
            self._chain.requests.retry()
            return self
        assert self._again is not None, "made by a sweep"
        return self._again()

    def cancel(self, now: bool = False) -> None:
        """Hand out nothing more; return when what runs has ended.

        Parameters
        ----------
        now
            End the workers of what runs instead of waiting for them. In this process, where
            there is no worker to end, the external program of the run in progress is ended, and
            a function is waited for.
        """
        self.request_stop(now=now)
        if threading.current_thread() is not self._thread:
            self._finished.wait()

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether it was cancelled."""
        return self._chain.requests.stop

    @property
    def is_here(self) -> bool:
        """Whether its runs are executed by this process, and not by workers."""
        return self._is_here()

    def request_stop(self, *, now: bool = False) -> None:
        """Ask for :meth:`cancel` without waiting."""
        self._chain.requests.ask_to_stop(now=now)

    def result(self, timeout: float | None = None) -> "xr.Dataset":
        """Wait for the sweep and return its dataset.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None for ever.

        Raises
        ------
        TimeoutError
            If it is not done by then; it goes on.
        RunsFailedError
            If the whole first wave failed, or more than ``max_failures`` runs did.
        InterruptedSweepError
            If it was cancelled.
        """
        if not self._finished.wait(timeout):
            raise TimeoutError(f"the sweep is not done after {timeout:g} s: {self.progress}")
        if self._error is not None:
            raise self._error
        if self.was_asked_to_stop and self.progress.pending:
            raise InterruptedSweepError(
                f"The sweep was cancelled with {self.progress.pending:,} runs to go. What is "
                "done is stored; run it again to go on."
            )
        return self.dataset()

    def __await__(self) -> Generator[object, None, "xr.Dataset"]:
        """Wait for :meth:`result` in a thread."""
        return asyncio.to_thread(self.result).__await__()

    def __repr__(self) -> str:
        state = "finished" if self.is_finished else "running"
        return f"<Job {state}: {self.progress}>"

    def _repr_html_(self) -> str:
        progress = self.progress
        counts = {"done": progress.done, "failed": progress.failed, "blocked": progress.blocked}
        there = {name: count for name, count in counts.items() if count or name == "done"}
        if progress.pending:
            there["pending"] = progress.pending
        page = self.dashboard_link
        return view(
            "Job",
            f"{'finished' if self.is_finished else 'running'}, {progress}",
            bar(counts, max(progress.total, 1)),
            legend(there),
            f"<div>{link(page, 'Dask dashboard')}</div>" if page and not self.is_finished else "",
        )

    def _ipython_display_(self) -> None:
        """Show it with everything that happens, in Jupyter; elsewhere it prints as a line."""
        if self._display is None:
            raise NotImplementedError
        self._display(self)

    def begin(self) -> "Job":
        """Start the thread that runs the sweep."""
        self._thread = threading.Thread(target=self._run, name="toolkit-sweep", daemon=True)
        self._thread.start()
        return self

    def run_here(self) -> None:
        """Run the sweep in the calling thread; what it raises is raised here."""
        self._run()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            if self._companion is not None:
                self._companion.begin()
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self._error = error
        finally:
            self._chain.stop_clock()
            self._has_ended = True
            for call in self._told:
                call()
            try:
                if self._companion is not None:
                    self._companion.end()
            finally:
                self._finished.set()
