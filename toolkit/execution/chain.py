"""The stages of a sweep, run one after the other: what each is to run, and what is blocked."""

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from toolkit.execution.choosing import is_due
from toolkit.execution.engine import Engine
from toolkit.execution.observation import Observation
from toolkit.execution.observing import StageWatch
from toolkit.execution.outdated import (
    failed_parts,
    lack_mended_parts,
    mark_made_of,
    mark_made_of_stale,
)
from toolkit.execution.outlook import Outlook
from toolkit.execution.progress import Progress
from toolkit.execution.requests import Requests
from toolkit.execution.reuse import Reuse
from toolkit.execution.run_queue import Ids
from toolkit.execution.sources import Source, SpaceSource
from toolkit.execution.work import Work
from toolkit.run_status import Status
from toolkit.spaces.space import Space
from toolkit.stages.preparing import PreparedStage
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.upstream import (
    HAS_VALUE,
    HeldReader,
    Input,
    Lookup,
    Mask,
    StoredReader,
    readiness,
)


@dataclass(kw_only=True)
class Step:
    """One stage of a sweep that has been started.

    Parameters
    ----------
    prepared
        The stage and its space.
    runs
        Its runs: in the store, or in memory where its results are not kept.
    """

    prepared: PreparedStage
    runs: StageRuns
    engine: Engine | None = None
    lookups: dict[str, Lookup] = field(default_factory=dict)
    ids: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    wanted: Mask | None = None  # by run id; None for all that the space asks for
    outdated: Mask | None = None  # by run id: to be made anew, for what it was made of is
    reuse: Reuse | None = None  # what other stores hold, for stages that are kept
    let_go: Callable[[], None] | None = None  # drops what its runs returned, if that is not kept

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.prepared.name

    @property
    def asked(self) -> Ids:
        """Its runs, without those that nobody needs."""
        return self.ids if self.wanted is None else self.ids[self.wanted[self.ids]]

    @property
    def is_kept(self) -> bool:
        """Whether its results are stored."""
        return self.prepared.stage.keep


class Chain:
    """Runs stages in order, each when those before it have ended.

    Parameters
    ----------
    steps
        Each after those that it needs.
    rerun
        What to run again: ``"failed"``, ``"stale"``, ``"all"``.
    make_engine
        Makes the engine of a step from its work.
    seed
        Of all streams.
    source
        Where the points of a single stage come from; None for its space.
    """

    def __init__(
        self,
        steps: list[Step],
        *,
        rerun: frozenset[str],
        make_engine: Callable[[Step, Work, Requests], Engine],
        seed: int,
        source: Source | None = None,
    ) -> None:
        self.steps = steps
        self.requests = Requests()
        self._by_name = {step.name: step for step in steps}
        self._rerun, self._make_engine, self._seed = rerun, make_engine, seed
        self._source = source
        self._started = time.monotonic()
        self._took: float | None = None  # seconds, once it has ended
        self._clock = threading.Lock()  # nobody reads more than it took while it ends
        self._current = steps[0]
        self._watches = [StageWatch(step) for step in steps]
        if len(steps) > 1:
            self._plan()
        else:
            self._prepare_engine(steps[0])

    @property
    def chooses_points(self) -> bool:
        """Whether the points come from a source that chooses them."""
        return self._source is not None

    def run(self) -> None:
        """Run each stage until nothing is left, or a limit or a request stops it.

        Raises
        ------
        RunsFailedError
            If the whole first wave of a stage failed and none of its runs ever succeeded, or too
            many failed.
        StoreError
            If the store cannot be written.
        """
        before: Engine | None = None
        for step in self.steps:
            self._current = step
            engine = step.engine or self._prepare_engine(step)
            if before is not None:
                engine.follow(before)
                self.requests.focus_again()
            try:
                engine.run()
            finally:
                mark_made_of_stale(step.runs, step.ids, self._before(step))
            if engine.stopped_because is not None:
                break
            before = engine
            self._let_go(step)

    @property
    def elapsed(self) -> float:
        """Seconds from its start to its end, or to now."""
        with self._clock:
            return time.monotonic() - self._started if self._took is None else self._took

    def stop_clock(self) -> None:
        """Note that it has ended."""
        with self._clock:
            self._took = time.monotonic() - self._started

    def progress(self) -> Progress:
        """Return the counts of all stages, as of the latest look at the journals."""
        parts: list[Progress] = []
        counts = np.zeros(4, np.int64)
        waiting = 0
        for step in self.steps:
            found = step.engine.progress() if step.engine is not None else None
            if found is not None and found.total:
                parts.append(found)
                counts += _counts(found)
            else:  # it has not begun, or has not counted its runs yet
                states = self._waiting(step)
                waiting += int(states[3])
                counts += states
        done, failed, blocked, pending = (int(count) for count in counts)
        left = parts[-1].seconds_left if parts and not waiting else None
        return Progress(
            done=done,
            failed=failed,
            blocked=blocked,
            pending=pending,
            total=done + failed + blocked + pending,
            elapsed=self.elapsed,
            seconds_left=left,
            stage=self._current.name,
        )

    def observe(self, *, is_ended: bool = False) -> Observation:
        """Return how all stages stand, for a view; any thread may call it often.

        Parameters
        ----------
        is_ended
            Whether nothing runs any more.
        """
        # The last first: what is blocked there is so by what has failed before.
        seen = [watch.look(is_ended=is_ended) for watch in reversed(self._watches)]
        stopped = [step.engine.stopped_because for step in self.steps if step.engine is not None]
        return Observation(
            stages=tuple(reversed(seen)),
            elapsed=self.elapsed,
            is_ended=is_ended,
            is_paused=self.requests.paused,
            is_stopping=self.requests.stop or any(stopped),
            stopped_because=next(filter(None, stopped), None) or "",
        )

    def recount(self) -> None:
        """Count the runs of all stages once more, after the last has ended."""
        for step in self.steps:
            if step.engine is not None:
                step.engine.count(is_ended=True)

    def outlook(self) -> Outlook | None:
        """Return what is expected of the rest, None while nothing honest can be said.

        Before the last stage with runs to go has begun, nothing is known of these.
        """
        at = self.steps.index(self._current)
        engine = self._current.engine
        if engine is None or any(self._waiting(step)[3] for step in self.steps[at + 1 :]):
            return None
        return engine.outlook()

    def _let_go(self, ended: Step) -> None:
        """Drop what is not kept and has no consumer left."""
        later = self.steps[self.steps.index(ended) + 1 :]
        needed = {name for step in later for name in step.lookups}
        for name in ended.lookups:
            before = self._by_name[name]
            if name not in needed and before.let_go is not None:
                before.let_go()

    def _plan(self) -> None:
        """Register all runs and find out which runs of stages that are not kept are needed."""
        for step in self.steps:
            prepared = step.prepared
            found = step.runs.register(prepared.space, defaults=dict(prepared.defaults))
            step.ids = as_array(found)
        for step in self.steps:
            for name in step.prepared.node.upstream:
                before = self._by_name[name]
                step.lookups[name] = Lookup.of(
                    before.runs.catalogue,
                    step.runs.catalogue,
                    before.prepared.space,
                    step.prepared.whole,
                )
        for step in self.steps:  # left so by a driver that died
            mark_made_of_stale(step.runs, step.ids, self._before(step))
        for step in reversed(self.steps):
            if not step.is_kept and step.wanted is None:
                step.wanted = np.zeros(step.runs.n_runs, bool)
            todo = step.asked
            due = self._is_due(step, todo)
            if step.reuse is not None and due.any():
                due &= ~step.reuse.held(step.prepared.space, step.runs)
            todo = todo[due]
            for name, lookup in step.lookups.items():
                before = self._by_name[name]
                if before.is_kept:
                    continue
                if before.wanted is None:
                    before.wanted = np.zeros(before.runs.n_runs, bool)
                needed = lookup.ids(step.runs.catalogue.positions(todo)).ravel()
                before.wanted[needed[needed >= 0]] = True

    def _is_due(self, step: Step, ids: Ids) -> Mask:
        """Return which runs are to be run, if what they need is there."""
        status = step.runs.state.status[ids]
        due = is_due(status, self._rerun)
        if all(self._by_name[name].is_kept for name in step.lookups):
            due |= status == Status.BLOCKED  # what it needs may have been mended since
        if step.outdated is not None:
            due |= step.outdated[ids]
        return due | self._lacks(step, ids)

    def _lacks(self, step: Step, ids: Ids) -> Mask:
        """Return which runs went on without failed parts that are there now, or are made again."""
        if not step.runs.incomplete:
            return np.zeros(len(ids), bool)
        before = self._before(step)
        if all(self._by_name[name].is_kept for name in step.lookups):
            return lack_mended_parts(step.runs, ids, before)
        # What is not kept does not tell any more whether it failed.
        return np.isin(ids, list(step.runs.incomplete)) & ("failed" in self._rerun)

    def _before(self, step: Step) -> list[tuple[Lookup, StageRuns]]:
        return [(lookup, self._by_name[name].runs) for name, lookup in step.lookups.items()]

    def _outdate_after(self, step: Step, again: Ids) -> None:
        """Let later stages make anew what they made of runs that are to have other values."""
        for later in self.steps:
            if len(again) and step.name in later.lookups:
                found = mark_made_of(again, later.lookups[step.name], later.runs, later.ids)
                if later.outdated is None:
                    later.outdated = np.zeros(later.runs.n_runs, bool)
                later.outdated[found] = True

    def _prepare_engine(self, step: Step) -> Engine:
        prepared, name = step.prepared, step.name
        chain = weakref.proxy(self)  # no circle: what a sweep holds is let go with it
        work = Work(
            binding=prepared.binding,
            runs=step.runs,
            source=self._source or SpaceSource(prepared.space),
            seed=self._seed,
            defaults=dict(prepared.defaults),
            choose=lambda space, ids: chain._choose(name, space, ids),
            inputs=self._inputs(step),
            within=_within(prepared),
        )
        step.engine = self._make_engine(step, work, self.requests)
        return step.engine

    def _choose(self, name: str, space: Space, ids: Ids) -> tuple[Ids, Ids]:
        """Return the runs that are asked for, and those to run now; note which are blocked."""
        step = self._by_name[name]
        asked = ids if step.wanted is None else ids[step.wanted[ids]]
        due = self._is_due(step, asked)
        todo = asked if due.all() else asked[due]
        status = step.runs.state.status[todo]
        again = todo[status != Status.PENDING]
        if len(again):
            other = self._lacks(step, again)
            if step.outdated is not None:
                other |= step.outdated[again]
            self._outdate_after(step, again[other])
            step.runs.reset(again)
        if step.reuse is not None:
            todo = step.reuse.take(step.runs, space, ids, todo)
        if not step.lookups:
            return asked, todo
        is_ready, is_blocked = self._readiness(step, todo)
        step.runs.block(todo[is_blocked])
        todo = todo[is_ready]
        if step.prepared.stage.missing == "allow":
            step.runs.note_incomplete(todo, failed_parts(step.runs, todo, self._before(step)))
        return asked, todo

    def _readiness(self, step: Step, todo: Ids) -> tuple[Mask, Mask]:
        """Return which runs have what they need, and which of the others never will."""
        ready, blocked = np.ones(len(todo), bool), np.zeros(len(todo), bool)
        allows = step.prepared.stage.missing == "allow"
        for name, lookup in step.lookups.items():
            status = self._by_name[name].runs.state.status
            if HAS_VALUE[status].all():
                continue
            positions = step.runs.catalogue.positions(todo)
            is_ready, is_blocked = readiness(lookup, positions, status, allows=allows)
            ready &= is_ready
            blocked |= is_blocked
        return ready, blocked

    def _inputs(self, step: Step) -> tuple[Input, ...]:
        made = []
        for name, lookup in step.lookups.items():
            runs = self._by_name[name].runs
            sink = runs.sink_spec()
            made.append(
                Input(
                    links=tuple(link for link in step.prepared.node.links if link.stage == name),
                    lookup=lookup,
                    reader=HeldReader(runs)
                    if sink.path is None
                    else StoredReader(
                        path=sink.path, stage=name, version=(sink.identity, sink.epoch)
                    ),
                    together=bool(step.prepared.stage.vectorized),
                )
            )
        return tuple(made)

    def _waiting(self, step: Step) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Return done, failed, blocked and pending of a step that has not begun."""
        status = step.runs.state.status[step.asked]
        count = {each: int(np.count_nonzero(status == each)) for each in Status}
        done = count[Status.DONE] + count[Status.STALE]
        known = done + count[Status.FAILED] + count[Status.BLOCKED]
        return np.array(
            [done, count[Status.FAILED], count[Status.BLOCKED], len(status) - known], np.int64
        )


def _within(prepared: PreparedStage) -> Callable[[Space], Space]:
    """Return what takes the part of a sweep's space that a stage runs over."""
    from toolkit.spaces.projection import project

    held: Mapping[str, str] = {
        dim.name.removeprefix("over_"): str(dim.labels[0])
        for dim in prepared.space.dims
        if dim.name.startswith("over_")
    }
    names = {dim.name for dim in prepared.space.dims}

    def within(space: Space) -> Space:
        if {dim.name for dim in space.dims} == names:
            return space
        return project(space, names, taken=held)

    return within


def _counts(progress: Progress) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([progress.done, progress.failed, progress.blocked, progress.pending], np.int64)
