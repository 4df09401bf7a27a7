"""The engine: asks a source for runs, hands them out in batches, and stores what comes back."""

import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from toolkit.clusters.demand import Demand
from toolkit.errors import RunsFailedError
from toolkit.execution.alarm import can_interrupt
from toolkit.execution.batch_task import BatchSummary, BatchTask
from toolkit.execution.chances import Chances
from toolkit.execution.chronicle import Chronicle
from toolkit.execution.executors import Completed, Executor, InProcessExecutor
from toolkit.execution.failing import Failures
from toolkit.execution.foresight import Foresight
from toolkit.execution.grouping import groups_of
from toolkit.execution.lanes import Lanes
from toolkit.execution.learning import SLOW_RUN, Learning
from toolkit.execution.losses import Losses
from toolkit.execution.observation import Moment
from toolkit.execution.outlasting import Outlasting
from toolkit.execution.outlook import Outlook
from toolkit.execution.overdue import Overdue
from toolkit.execution.pace import Pace
from toolkit.execution.progress import Progress
from toolkit.execution.requests import Requests
from toolkit.execution.run_queue import Ids
from toolkit.execution.sizing import (
    ChunkPlan,
    choose_chunks,
    room_for_choices,
    window_size,
)
from toolkit.execution.sources import SpaceSource, runs_left, tell
from toolkit.execution.specs import make_spec
from toolkit.execution.tally import Tally
from toolkit.execution.window import Window
from toolkit.execution.witness import Witness
from toolkit.execution.work import Policy, Work
from toolkit.run_status import Status
from toolkit.stages.needs import needs_of
from toolkit.stages.schema import Schema
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.runs.outcomes import Collected

_IN_PROCESS_SECONDS = 2.0
_LOST_WAVES = 3  # after so many, runs that have killed their workers are tried again first
_WAVE_SECONDS = 0.005
_WAVE_RUNS = 8
_WAVE_PATIENCE = 1.0
_COLLECT_SECONDS = 0.2


class Engine:
    """Runs one sweep, in the thread that calls :meth:`run`.

    Parameters
    ----------
    work
        What to run.
    policy
        Order and limits.
    start_cluster
        Makes the executor that takes over when the first wave, run in this process, shows more
        than about two seconds of work.
    executor
        Where to run from the start; None for this process.
    requests
        What other threads ask for; None makes new ones.
    """

    def __init__(
        self,
        work: Work,
        policy: Policy,
        *,
        start_cluster: Callable[[], Executor],
        executor: Executor | None = None,
        requests: Requests | None = None,
    ) -> None:
        self.work, self.policy = work, policy
        self.runs = work.runs
        self.lock = threading.RLock()
        self._start_cluster = start_cluster
        self._here = executor is None
        self.requests = requests or Requests()
        self.executor: Executor = executor or InProcessExecutor(self.requests)
        self.queue = Lanes(policy.order)
        self._tally = Tally(work.runs, work.binding.name, self.lock, lambda: runs_left(work.source))
        self._pace = Pace()
        self._needs = needs_of(work.binding)
        threads = 1 if self._needs.fixed is None else self._needs.fixed.threads
        gpus = 0 if self._needs.fixed is None else self._needs.fixed.gpus
        self._out = Window(self.queue, self._pace, threads, gpus)
        self._witness = Witness(work.runs, self._tally, self.queue, self._out, self._needs.fixed)
        self._wave = 0  # batches of the first wave
        # A vectorized call holds several runs.
        stage = work.binding.stage
        self._overdue = None if stage.vectorized else Overdue(self._out, self.queue)
        self._failures = Failures(work.runs, policy.max_failures)
        self._walltime = self._needs if self._needs.may_limit_time else None
        self._learning: Learning | None = None
        self._draws: set[str] = set()
        self._settled = self._draining = False
        self._chronicle = Chronicle(work.runs)
        self._chances = Chances(work.runs, stage, self.queue, self._chronicle.climbed)
        self._outlasting = Outlasting(
            work.runs, self.queue, self._chances, self._chronicle.handed_on
        )
        self._losses = Losses(work.runs, self.queue, stage, self._walltime, self._chances)
        self._session = uuid.uuid4().hex
        self._receipts: list[Receipt] = []
        self._in_progress: Mapping[str, tuple[int, ...]] = {}
        self._foresight = Foresight(
            work.runs,
            tally=self._tally,
            queue=self.queue,
            window=self._out,
            pace=self._pace,
            needs=self._needs,
            order=policy.order,
        )
        self._places: tuple[int, ...] = ()
        self._started = time.monotonic()
        self._collected_at = 0.0
        self.stopped_because: str | None = None

    def progress(self) -> Progress:
        """Return counts of the runs asked for, as of the latest look at the journals."""
        return self._tally.progress(
            self._pace.expected / self.executor.threads, time.monotonic() - self._started
        )

    def moment(self, *, patience: float = 0.0) -> Moment | None:
        """Return how the stage stood at the latest count; see :class:`Witness`."""
        return self._witness.moment(patience=patience)

    def count(self, *, is_ended: bool = False) -> None:
        """Count the runs, and let others see how they stand; no worker is asked at the end."""
        self._tally.count()
        self._witness.look(None if is_ended else self.executor)

    def outlook(self) -> Outlook | None:
        """Return what is expected of the rest, None while nothing honest can be said.

        Computed where it is asked for, in any thread, once a second at most.
        """
        places = self._places
        if self.stopped_because is not None or self.requests.paused or not places:
            return None
        began = {} if self._learning is None else self._learning.began
        return self._foresight.look(self.executor.ladder, places, began)

    def follow(self, before: "Engine") -> None:
        """Go on where the engine of another stage ended: the policy's limits hold for both."""
        self._failures.follow(before._failures)
        self._started = before._started

    def run(self) -> None:
        """Run until nothing is left, or a limit or a request stops it.

        Raises
        ------
        RunsFailedError
            If the whole first wave failed and no run ever succeeded, or too many failed.
        StoreError
            If the store cannot be written.
        """
        try:
            self._ask()
            self._place()
            self._chronicle.began(
                asked=self._tally.asked,
                todo=len(self.queue),
                threads=self.executor.threads,
                needs=self._needs.fixed,
            )
            self._apply_requests()
            if len(self.queue):
                if self._walltime is not None and not can_interrupt():
                    self._leave_process()
                self._first_wave()
                self._main()
                self._drain()
        except RunsFailedError:
            self._stop("too many runs failed")
            self._drain()
            raise
        finally:
            self._finish()

    def _ask(self) -> bool:
        """Take points from the source; False where it has none now."""
        threads = self.executor.threads
        wanted = window_size(threads)
        if not isinstance(self.work.source, SpaceSource):  # what it gives depends on what ended
            room = room_for_choices(threads)
            if self._here and not self._wave:  # one run alone would tell little of all others
                room = _WAVE_RUNS
            wanted = room - self._tally.pending
        while wanted > 0 and (space := self.work.source.ask(wanted)) is not None:
            with self.lock:
                found = self.runs.register(space, defaults=dict(self.work.defaults))
                ids = as_array(found)
                asked, todo = self.work.choose(space, ids)
                is_span = isinstance(found, range) and len(asked) == len(ids) > 0
                self._tally.add(slice(ids[0], ids[-1] + 1) if is_span else asked)
            self.count()
            if self.queue.placement is not None:
                self.queue.placement.register(ids, self.runs.catalogue)
            self._enqueue(todo)
            if not isinstance(self.work.source, SpaceSource):
                tell(self.work.source, self.runs, np.setdiff1d(ids, todo))
            if self._pace.expected:
                self._prepare()
            if len(todo):
                return True
            if isinstance(self.work.source, SpaceSource):
                return False
        return False

    def _enqueue(self, ids: Ids) -> None:
        """Queue runs; those that were tried in an earlier session begin their attempts anew."""
        attempts = self.runs.state.attempts[ids]
        if not attempts.any():
            self.queue.add(ids, self.runs.catalogue)
            return
        self.queue.add(ids[attempts == 0], self.runs.catalogue)
        for before in np.unique(attempts[attempts > 0]).tolist():
            again = ids[attempts == before]
            self.queue.repeat(again, before + 1)
            self._chances.note_tried(again, before)

    def _first_wave(self) -> None:
        self._prepare()
        summaries: list[BatchSummary] = []
        most = max(_WAVE_RUNS, 2 * self.executor.threads)
        lost = 0  # waves of which all died with its workers
        while not summaries and self.stopped_because is None and len(self.queue):
            tasks = self.queue.first_wave(
                most,
                at_once=self.executor.threads,
                seconds=_WAVE_SECONDS / 3,
                again_first=lost >= _LOST_WAVES,
            )
            if not tasks:  # each that is left may have killed its worker
                break
            self._submit(tasks)
            summaries = self._wave_summaries()
            self._wave = len(tasks)
            if not summaries:
                lost += 1
                self._failures.check_first_wave(most)
        self._draws = {name for summary in summaries for name in summary.global_draws}
        self._collect(force=True, fold=False)  # the workers have nothing to do meanwhile
        rates = [summary.seconds_per_run for summary in summaries]
        self._pace.expected = float(np.median(rates)) if rates else 0.0
        self._failures.check_first_wave(self._wave)
        self._failures.check_limit()
        left = len(self.queue) + runs_left(self.work.source)
        limit = self.policy.in_process_seconds
        limit = _IN_PROCESS_SECONDS if limit is None else limit
        if self._here and left * self._pace.expected > limit:
            self._leave_process()
        if self._learning is None:
            self._place()
        else:  # what earlier sessions have stored tells at once how long runs take
            self._learning.look(self._pace.expected)
        plan = self._settle_layout()
        self._prepare()
        with self.lock:
            self.queue.use_chunks(
                plan,
                self.runs.state.status,
                self.runs.state.attempts,
                runs_per_batch=self._pace.batch_seconds(self.queue, self.executor)
                / max(self._pace.expected, 1e-9),
            )

    def _leave_process(self) -> None:
        """Go on with workers of our own, unless the runs go to workers already."""
        if self._here:
            self.executor.close()
            self.executor, self._here = self._start_cluster(), False
            self._place()

    def _place(self) -> None:
        """Say for each run on which tier it is run, where runs or workers may differ."""
        ladder = self.executor.ladder
        is_slow = self._pace.expected >= SLOW_RUN
        if not (ladder[0].is_tagged or self._needs.fixed is None or is_slow):
            return
        self._learning = Learning.begin(self.work, ladder, self._needs, self.queue)
        self._learning.look(self._pace.expected)
        self._witness.look(self.executor)

    def _wave_summaries(self) -> list[BatchSummary]:
        """Wait for the first wave; not for all of it, once a slow one has shown a success."""
        summaries: list[BatchSummary] = []
        begun = time.monotonic()
        while len(self._out) and self.stopped_because is None:
            for each in self.executor.completed(_COLLECT_SECONDS):
                if each.summary is not None:
                    summaries.append(each.summary)
                self._take(each)
            self._apply_requests()
            has_succeeded = any(summary.done for summary in summaries)
            if has_succeeded and self._here and time.monotonic() - begun > _COLLECT_SECONDS:
                self._take_back()
            if has_succeeded and time.monotonic() - begun > _WAVE_PATIENCE:
                break
        return summaries

    def _main(self) -> None:
        while True:
            self._apply_requests()
            self._refill()
            if not len(self._out):
                self._collect(force=True)
                self._failures.check_limit()
                if self.stopped_because is not None or not (len(self.queue) or self._ask()):
                    break
                continue
            for each in self.executor.completed(_COLLECT_SECONDS):
                self._take(each)
            self._refill()  # before the driver looks at journals: no worker waits for that
            # What is to come waits for what has ended, where a source chooses.
            chooses = not isinstance(self.work.source, SpaceSource)
            self._collect(force=chooses and len(self._receipts) > 0)

    def _finish(self) -> None:
        try:
            self._collect(force=True)
        finally:
            with self.lock:
                if not isinstance(self.work.source, SpaceSource):
                    self.runs.leave_out(self._tally.pending_ids())
                self.runs.fold(force=True)
            self._tell_tiers(now=True)
            self._chronicle.ended(self.progress(), self.stopped_because)
            self._losses.obituaries.sum_up()
            self.executor.close()
        for name in sorted(self._draws):
            warnings.warn(
                f"The function of stage {self.work.binding.name!r} draws from {name}, a global "
                "generator: its results depend on the order of the runs and cannot be "
                "reproduced. Take an argument `rng` (or `run_seed`) and draw from that.",
                UserWarning,
                stacklevel=2,
            )

    def _prepare(self) -> None:
        """Make a spec with the present catalogue and layout known to the workers."""
        spec = make_spec(
            self.work,
            self.policy,
            session=self._session,
            workers=self.executor.workers,
            walltime=self._walltime,
        )
        self.executor.prepare(spec)
        self.queue.token = spec.token

    def _submit(self, tasks: list[BatchTask]) -> None:
        by_resources: dict[tuple[tuple[str, float], ...], list[BatchTask]] = {}
        for task in tasks:
            self._out.sent(task)
            by_resources.setdefault(self.queue.resources(task), []).append(task)
        for resources, together in by_resources.items():
            self.executor.submit(together, dict(resources))

    def _refill(self) -> None:
        """Fill the window again once half of it is free: one message for many batches."""
        if self.requests.paused and not len(self._out):
            time.sleep(_COLLECT_SECONDS / 4)
        if self.stopped_because is not None or self.requests.paused or self._draining:
            return
        if self._losses.suspect is not None and len(self._out):
            return
        if len(self.queue) == 0:
            self._ask()
        tasks = self._out.next_batches(self.executor, most=1 if self._here else None)
        if not tasks and not len(self._out) and self.queue.has_only_suspects:
            self._losses.suspect = self.queue.next_suspect(
                seconds=self._pace.batch_seconds(self.queue, self.executor),
                expected=self._pace.expected or 1e-3,
            )
            tasks = [self._losses.suspect] if self._losses.suspect is not None else []
        self._submit(tasks)
        if not len(self._out) and len(self.queue):  # the workers that these runs need are to come
            time.sleep(_COLLECT_SECONDS / 2)

    def _take(self, each: Completed) -> None:
        each = replace(each, task=self._out.back(each.task))
        if each.summary is None:
            self._take_lost(each)
            return
        summary = each.summary
        self._losses.in_a_row = 0
        self._chronicle.took(summary)
        self._pace.note(summary)
        self._out.spent(each.task, summary.wall_seconds)
        self._receipts.append(summary.receipt)
        if summary.begun or summary.leaves:
            self.queue.give_back(each.task, summary.begun)
        else:
            self.queue.postpone(each.task)

    def _take_lost(self, each: Completed) -> None:
        """Repeat what a dead worker had not finished; blame only the run that it was in."""
        if not each.lost_worker:
            assert each.error is not None
            raise each.error
        if self.requests.kill:
            return
        with self.lock:
            self._collect(force=True)
            running = {run for runs in self._in_progress.values() for run in runs}
            self._chronicle.lost(each, running)
            self._out.spent(each.task, self._losses.held(each.task, self._in_progress))
            self._receipts += self._losses.take(each, self._in_progress)

    def _collect(self, *, force: bool = False, fold: bool = True) -> None:
        """Read the journals on, and fold what is due."""
        now = time.monotonic()
        if not force and now - self._collected_at < _COLLECT_SECONDS:
            return
        self._collected_at = now
        self._places = self._out.places(self.executor)
        self._chronicle.outlook(self.outlook)
        if self._losses.suspect is None and self._out.is_stranded(self._places):
            self._give_back(self.executor.take_stranded())
        with self.lock:
            receipts, self._receipts = self._receipts, []
            collected = self.runs.collect(receipts)
            self._in_progress = collected.started
            if self._overdue is not None:
                self._overdue.look(self._in_progress)
            self._resettle()
            if fold:
                self.runs.fold()
        self._after_outcomes(collected)
        self._witness.in_progress = collected.started
        self._witness.has_outcomes = self._witness.has_outcomes or len(collected.ids) > 0
        self.count()
        if self._learning is not None:
            self._learning.look(self._pace.expected, self._losses.alive(self._in_progress))
            self._outlasting.look(self._learning.in_progress, self._in_progress, self.executor)

    def _resettle(self) -> None:
        """Widen an output once no batch is out: its array is written anew."""
        if self._settled and self.runs.widest_schema != self.runs.schema:
            self._draining = True
            if len(self._out) == 0:
                self._settle_layout()
                self._prepare()
                self._draining = False

    def _after_outcomes(self, collected: Collected) -> None:
        self._chronicle.failed(collected.failures)
        for failed in collected.failures:
            run = failed.failure.run
            if self._chances.has_another(failed.failure, failed.attempt):
                with self.lock:
                    self.runs.reset(np.array([run]))
                self.queue.repeat(np.array([run]), failed.attempt + 1)
                self._chronicle.repeated([run], failed.attempt + 1)
                continue
            self._failures.add(failed.failure)
            self._witness.kinds.add(failed.failure)
        failures = tuple(each.failure for each in collected.failures)
        tell(self.work.source, self.runs, collected.ids, failures)

    def _settle_layout(self) -> ChunkPlan:
        """Fix the outputs' types and the chunk length, once the first runs have shown them."""
        self._settled = True
        schema = self.runs.widest_schema
        if schema is None:
            return ChunkPlan(length=1, mode="inline")
        plan = choose_chunks(
            n_runs=len(self.queue),
            seconds_per_run=self._pace.expected,
            bytes_per_run=_widest(schema),
            threads=self.executor.threads,
            fixed=schema.is_fixed,
            here=self._here,
        )
        length = self.runs.chunk_length or plan.length
        if schema != self.runs.schema:
            with self.lock:
                self.runs.set_schema(schema, length)
        plan = replace(plan, length=length)
        if not isinstance(self.work.source, SpaceSource):
            return plan  # which runs are neighbors is not known before all were chosen
        groups = groups_of(
            self.runs.catalogue,
            schema,
            plan,
            n_runs=len(self.queue),
            seconds_per_run=self._pace.expected,
            seconds=self._pace.batch_seconds(self.queue, self.executor),
        )
        self.queue.keep_together(groups)
        return plan

    def _apply_requests(self) -> None:
        self._failures.check_limit()
        if self._wave:
            self._failures.check_first_wave(self._wave)
        if (wanted := self.requests.take_focus()) is not None:
            wanted = self.work.within(wanted)
            found = as_array(self.runs.catalogue.find(wanted, defaults=self.work.defaults))
            mask = np.zeros(self.runs.n_runs, bool)
            mask[found[found >= 0]] = True
            self.queue.focus(mask)
        if self.requests.take_retry():
            self._retry_failed()
        limit = self.policy.time_limit
        if limit is not None and time.monotonic() - self._started > limit:
            self._stop(f"the time limit of {limit:g} s was reached")
        if self.requests.stop:
            self._stop("it was asked to stop")
        if self.requests.kill:
            self._end_now()
        requests = self.requests
        self._chronicle.steered(
            paused=requests.paused, stopping=self.stopped_because, asked=requests.stop
        )
        if self.executor.ladder[0].is_tagged:
            self.executor.ask(self._demands)
            self._tell_tiers()

    def _retry_failed(self) -> None:
        """Queue the failed runs of this stage again, with a new attempt each."""
        with self.lock:
            failed = self._tally.ids_of(Status.FAILED)
            attempts = self.runs.state.attempts[failed].copy()
            self.runs.reset(failed)
        for before in np.unique(attempts).tolist():
            again = failed[attempts == before]
            self.queue.repeat(again, before + 1)
            self._chances.note_tried(again, before)
            self._chronicle.repeated(again.tolist(), before + 1)
        self._tally.count()

    def _tell_tiers(self, *, now: bool = False) -> None:
        if self.executor.ladder[0].is_tagged:
            self._chronicle.tiers(self._tiers, now=now)

    def _demands(self) -> Mapping[int, Demand]:
        self._witness.demands = self._out.demands()
        return self._witness.demands

    def _tiers(self) -> Mapping[str, Mapping[str, float | str]]:
        tiers = self._out.tiers(self.executor)
        self._witness.waits = {name: str(each.get("waits", "")) for name, each in tiers.items()}
        return tiers

    def _stop(self, reason: str) -> None:
        if self.stopped_because is None:
            self.stopped_because = reason
            self._take_back()
            self.queue.clear()

    def _take_back(self) -> None:
        self._give_back(self.executor.cancel(now=False))

    def _give_back(self, tasks: list[BatchTask]) -> None:
        for task in tasks:
            self.queue.give_back(self._out.back(task), 0)

    def _end_now(self) -> None:
        for task in self.executor.cancel(now=True):
            self._out.back(task)

    def _drain(self) -> None:
        """Wait for what still runs."""
        while len(self._out):
            for each in self.executor.completed(_COLLECT_SECONDS):
                self._take(each)
            if self.requests.kill:
                self._end_now()


def _widest(schema: Schema) -> int:
    """Bytes of the widest output of one run."""
    return max(
        (replace(schema, variables=(each,)).nbytes_per_run for each in schema.variables), default=8
    )
