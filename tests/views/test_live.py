"""How a sweep stands while this process runs it, and that all who tell of it say the same."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

import toolkit as tk
from tests.views.schema import assert_described
from tests.views.test_stored import counts_of_dataset, wait_for
from toolkit.execution.failure_kinds import FailureKinds
from toolkit.execution.job import Job
from toolkit.execution.rate import Rate
from toolkit.stages.failure import RunFailure
from toolkit.views.live import snapshot_of
from toolkit.views.snapshot import Snapshot
from toolkit.views.stored import snapshot_of_store


def divide(x, y):
    time.sleep(0.001)
    if x % 7 == 3:
        raise ValueError(f"no {x}")
    if x == 5:
        raise KeyError(x)
    return x / (1 + y)


def double(divide):
    time.sleep(0.001)
    return 2 * divide


SPACE = tk.grid(x=range(60), y=range(5))


def stages(kind: str) -> list[object]:
    return {
        "one": [divide],
        "two": [divide, double],
        "not kept": [tk.stage(divide, keep=False), double],
    }[kind]


class Watch:
    """Looks at a job again and again, in a thread of its own."""

    def __init__(self, job: Job) -> None:
        self.seen: list[Snapshot] = []
        self.error: BaseException | None = None
        self._job = job
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            while True:
                is_last = self._job.is_finished
                self.seen.append(snapshot_of(self._job))
                if is_last:
                    break
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001 - shown by end()
            self.error = error

    def end(self) -> list[Snapshot]:
        """Return all that was seen."""
        self._thread.join(60)
        if self.error is not None:
            raise self.error
        return self.seen


def assert_possible(seen: list[Snapshot], total: int) -> None:
    """Check that each state may have been, and that nothing went back."""
    assert len(seen) > 3
    for snapshot in seen:
        assert_described(snapshot.document())
        assert snapshot.counts.total == total
        assert sum(group.count for group in snapshot.failures) == snapshot.counts.failed
        for stage in snapshot.stages:
            assert 0 <= stage.counts.running <= stage.counts.pending
            tiers = [each for each in snapshot.tiers if each.stage == stage.name]
            if tiers:
                assert sum(each.pending for each in tiers) == stage.counts.pending
            failed = sum(each.count for each in snapshot.failures if each.stage == stage.name)
            assert failed == stage.counts.failed
    for before, after in pairwise(seen):
        for name in ("done", "failed", "blocked"):
            for stage, later in zip(before.stages, after.stages, strict=True):
                assert getattr(stage.counts, name) <= getattr(later.counts, name), name
        assert before.elapsed <= after.elapsed


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Two workers on this machine."""
    with tk.cluster("local", workers=2, threads=1) as started:
        yield started


@pytest.mark.parametrize("kind", ["one", "two", "not kept"])
@pytest.mark.parametrize("place", ["memory", "store"])
@pytest.mark.parametrize("where", ["here", "workers"])
def test_all_who_count_agree_at_the_end_and_never_go_back(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, place: str, where: str
) -> None:
    store = tmp_path / "s.zarr" if place == "store" else None
    sweep = tk.Sweep(stages(kind), SPACE, store=store)
    client = request.getfixturevalue("cluster") if where == "workers" else None
    job = sweep.start(client)
    watch = Watch(job)
    data = job.result(timeout=120)
    seen = watch.end()
    assert_possible(seen, total=300 * len(stages(kind)))
    last = snapshot_of(job)
    assert last.stages == seen[-1].stages
    progress = job.progress
    counts = last.counts
    assert (counts.done + counts.stale, counts.failed) == (progress.done, progress.failed)
    assert (counts.blocked, counts.pending) == (progress.blocked, progress.pending)
    assert counts.failed == 45 + 5
    assert (last.state, last.message, last.is_live) == ("done", "", True)
    of_stage = {each.name: each.counts for each in last.stages}
    names = ["double"] if kind == "not kept" else ["divide", "double"][: len(stages(kind))]
    for name in names:
        status = "status" if len(names) == 1 else f"status_{name}"
        assert counts_of_dataset(data, status) == of_stage[name]
    if store is not None:
        stored = {each.name: each.counts for each in snapshot_of_store(store).stages}
        table = tk.status(store)
        for name in names:
            assert stored[name] == of_stage[name]
            for state in ("done", "failed", "blocked", "stale", "pending"):
                assert table.loc[name, state] == getattr(of_stage[name], state)
        assert last.store == str(store)


def test_failures_of_a_job_are_those_of_its_store(tmp_path: Path) -> None:
    sweep = tk.Sweep([divide, double], SPACE, store=tmp_path / "s.zarr")
    job = sweep.start()
    job.result(timeout=120)
    live, stored = snapshot_of(job), snapshot_of_store(tmp_path / "s.zarr")
    of_live = [(each.stage, each.exception, each.where, each.count) for each in live.failures]
    of_store = [(each.stage, each.exception, each.where, each.count) for each in stored.failures]
    assert of_live == of_store
    assert live.n_failure_kinds == stored.n_failure_kinds == 2
    first = live.failures[0]
    assert first.labels["x"] % 7 == 3
    assert f"no {first.labels['x']}" == first.message
    with pytest.raises(ValueError, match=first.message):
        eval(first.reproduce, {"sweep": sweep})
    assert [each.run for each in live.slowest] == [each.run for each in stored.slowest]
    assert live.stages[0].seconds == pytest.approx(stored.stages[0].seconds)


def test_what_failed_in_an_earlier_session_is_among_the_groups(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    tk.Sweep(divide, tk.grid(x=range(30), y=[0]), store=path).run(progress=False)
    sweep = tk.Sweep(divide, tk.grid(x=range(60), y=[0]), store=path)
    job = sweep.start()
    watch = Watch(job)
    job.result(timeout=60)
    assert_possible(watch.end(), total=60)
    first, second = snapshot_of(job).failures
    assert (first.exception, first.count) == ("ValueError", 9)
    assert (second.exception, second.count, second.labels) == ("KeyError", 1, {"x": 5, "y": 0})
    again = sweep.start(rerun="failed")
    again.result(timeout=60)
    assert [each.count for each in snapshot_of(again).failures] == [9, 1]
    (path / ".journal" / "failures.jsonl").write_text("")
    forgotten = sweep.start()
    forgotten.result(timeout=60)
    [unknown] = snapshot_of(forgotten).failures
    assert (unknown.exception, unknown.count) == ("", 10)
    assert "not known" in unknown.message


# ---- how it stands as a whole


@contextmanager
def gated(gate: Path) -> Iterator[Job]:
    """Start a sweep in this process whose runs go on once there is a file; its store is beside."""

    def passes(x):
        while not gate.exists():
            time.sleep(0.01)
        return x

    store = gate.with_suffix(".zarr")
    job = tk.Sweep(passes, {"x": range(40)}, store=store).start()
    try:
        yield job
    finally:
        gate.touch()
        job.cancel()


def test_a_job_runs_is_paused_and_stops(tmp_path: Path) -> None:
    with gated(tmp_path / "first") as job:
        assert snapshot_of(job).state == "starting"
        job.pause()
        (tmp_path / "first").touch()
        wait_for(lambda: snapshot_of(job).state == "paused")
        wait_for(lambda: snapshot_of_store(job.store).state == "paused")
        job.resume()
        wait_for(lambda: job.is_finished)
        assert snapshot_of(job).state == "done"
    with gated(tmp_path / "second") as job:
        job.request_stop()
        assert snapshot_of(job).state == "stopping"
        (tmp_path / "second").touch()
        wait_for(lambda: job.is_finished)
        ended = snapshot_of(job)
        assert (ended.state, ended.message) == ("cancelled", "it was asked to stop")
        assert ended.counts.pending > 0
        assert snapshot_of_store(job.store).state == "cancelled"
        elapsed = ended.elapsed
        time.sleep(0.05)
        assert snapshot_of(job).elapsed == job.progress.elapsed == elapsed


def test_a_job_that_ends_with_an_error_tells_it() -> None:
    def fails(x):
        raise ValueError("never")

    job = tk.Sweep(fails, {"x": range(100)}).start()
    wait_for(lambda: job.is_finished)
    ended = snapshot_of(job)
    assert ended.state == "error"
    assert ended.message == job.error
    assert ended.message.startswith("RunsFailedError: Every run of the first wave")
    limited = tk.Sweep(divide, SPACE).start(time_limit=0.1)
    wait_for(lambda: limited.is_finished)
    assert snapshot_of(limited).state == "idle"
    assert snapshot_of(limited).message == "the time limit of 0.1 s was reached"


def test_a_run_that_takes_long_is_among_the_slowest_while_it_runs(
    tmp_path: Path, cluster: object
) -> None:
    gate, path = tmp_path / "gate", tmp_path / "s.zarr"

    def waits(x):
        time.sleep(0.005)
        while x in (0, 50) and not gate.exists():
            time.sleep(0.01)
        return x

    job = tk.Sweep(waits, {"x": range(60)}, store=path).start(cluster, order="given")
    try:
        # Of the first nobody knows when it began, for nobody knew that it would take long.
        wait_for(lambda: sum(each.is_running for each in snapshot_of(job).slowest) == 2)
        wait_for(lambda: snapshot_of(job).slowest[1].seconds > 1.0)
        assert {each.run for each in snapshot_of(job).slowest[:2]} == {0, 50}
        [stored] = [each for each in snapshot_of_store(path).slowest if each.is_running]
        assert (stored.run, stored.labels) == (50, {"x": 50})
        assert 1.0 < stored.seconds < 60
        assert snapshot_of_store(path).counts.running == snapshot_of(job).counts.running == 2
    finally:
        gate.touch()
    job.result(timeout=60)
    assert not any(each.is_running for each in snapshot_of(job).slowest)
    assert {each.run for each in snapshot_of(job).slowest[:2]} == {0, 50}


# ---- parts


def failure(run: int, text: str = "no", kind: str = "ValueError") -> RunFailure:
    line = f'  File "study.py", line {len(text)}, in f\n'
    return RunFailure(run, kind, text, f"Traceback\n{line}{kind}: {text}\n")


def test_groups_add_up_to_the_runs_that_have_failed() -> None:
    import numpy as np

    kinds = FailureKinds()
    for run in (3, 4, 5, 70_000):
        kinds.add(failure(run))
    kinds.add(failure(9, kind="KeyError"))
    kinds.settle(5, lambda: pytest.fail("they add up"))
    assert [(each.exception, each.count) for each in kinds.kinds()] == [
        ("ValueError", 4),
        ("KeyError", 1),
    ]
    kinds.add(failure(4, kind="KeyError"))  # another attempt, another error
    assert [each.count for each in kinds.kinds()] == [3, 2]
    left = np.array([1, 4, 5, 9])  # two were mended, and one failed of which nothing was said
    kinds.settle(4, lambda: left)
    assert [(each.exception, each.count, each.runs) for each in kinds.kinds()] == [
        ("KeyError", 2, (9, 4)),
        ("ValueError", 1, (5,)),
    ]
    assert kinds.earlier.tolist() == [1]


def test_kinds_beyond_a_number_are_one() -> None:
    kinds = FailureKinds()
    for run in range(1100):
        kinds.add(failure(run, kind=f"Error{run}"))
    assert kinds.n_kinds == 1001
    assert sum(each.count for each in kinds.kinds()) == 100 + 19
    assert kinds.kinds()[0].exception == "other kinds of errors"


def test_the_rate_is_that_of_lately() -> None:
    rate = Rate()
    assert rate.per_second is None
    for second in range(100):
        rate.note(float(second), 0 if second < 50 else 10 * (second - 50))
    assert rate.per_second == pytest.approx(10.0)
    rate.note(100.0, 3)  # most are run again
    assert rate.per_second is None
    rate.note(110.0, 5)
    assert rate.per_second == pytest.approx(0.2)
