"""Who is blamed for a dead worker, decided without one."""

import math
import signal
import time

import numpy as np
import pytest

import toolkit as tk
from toolkit.execution.chances import Chances
from toolkit.execution.death import Death
from toolkit.execution.executors import Completed
from toolkit.execution.lanes import Lanes
from toolkit.execution.losses import Losses
from toolkit.stages.batch import BatchResult
from toolkit.stages.needs import Needs
from toolkit.stages.schema import Schema, Variable
from toolkit.stages.stage import as_stage
from toolkit.stores.runs.sink import open_sink
from toolkit.stores.zarr_store import ZarrStore

SEGFAULT = Death(exit_code=-signal.SIGSEGV)
TOO_LONG = Death(exit_code=-signal.SIGALRM)


def model(x):
    return x


class Scene:
    """A store of 40 runs, a batch of the first 20 that is lost, and what is decided of it."""

    def __init__(self, path, **stage):
        self.store = ZarrStore.create_or_open(path)
        self.store.acquire()
        self.runs = self.store.stage("model", create=True)
        self.runs.register(tk.grid(x=range(40)))
        self.queue = Lanes("given")
        stage = tk.stage(model, max_attempts=2, **stage)
        limit = Needs(stage="model", fixed=tk.Resources(walltime=5.0))
        self.climbed = []
        chances = Chances(
            self.runs, as_stage(stage), self.queue, lambda **note: self.climbed.append(note)
        )
        self.losses = Losses(self.runs, self.queue, as_stage(stage), limit, chances)
        self.queue.repeat(np.arange(20), 1)
        self.task = self.queue.next_batch(seconds=1, expected=1e-3)

    def begin(self, run, *, recorded):
        sink = open_sink(self.runs.sink_spec())
        if recorded:
            sink.started(run, 1)
        sink.mark[0] = run
        return sink

    def write_done(self, ids):
        n = len(ids)
        result = BatchResult(
            status=np.full(n, tk.Status.DONE, np.uint8),
            seconds=np.zeros(n, np.float32),
            peak_memory=np.full(n, np.nan, np.float32),
            columns=[np.zeros(n)],
            schema=Schema(variables=(Variable(name="model", dtype="<f8"),)),
            errors=[],
        )
        open_sink(self.runs.sink_spec()).block(ids, result, 1)

    def lose(self, death, task=None, begun=None):
        found = self.runs.collect([]).started if begun is None else begun
        lost = Completed(task=task or self.task, summary=None, lost_worker=True, death=death)
        return self.losses.take(lost, found)

    def handed_out(self):
        tasks = []
        while task := self.queue.next_batch(seconds=1, expected=1e-3):
            tasks.append(task)
        return {tuple(each.run_ids().tolist()): (each.attempt, each.careful) for each in tasks}

    def failures(self, receipts):
        return [each.failure for each in self.runs.collect(receipts).failures]


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path / "s.zarr")
    yield made
    made.store.release()


def test_a_run_with_a_record_of_its_own_is_blamed_and_the_others_are_repeated(scene):
    scene.begin(7, recorded=True)
    assert scene.lose(SEGFAULT) == []
    rest = tuple(run for run in range(20) if run != 7)
    assert scene.handed_out() == {(7,): (2, True), rest: (1, False)}


def test_those_that_a_fast_batch_had_begun_are_repeated_run_by_run(scene):
    scene.begin(7, recorded=False)
    assert scene.lose(SEGFAULT) == []
    assert scene.handed_out() == {
        (7,): (2, True),
        tuple(range(7)): (1, True),
        tuple(range(8, 20)): (1, False),
    }


def test_a_fast_batch_that_took_too_long_blames_nobody_yet(scene):
    scene.begin(7, recorded=False)
    assert scene.lose(TOO_LONG) == []
    assert scene.handed_out() == {tuple(range(8)): (1, True), tuple(range(8, 20)): (1, False)}


def test_a_run_over_its_walltime_fails_at_once(scene):
    scene.begin(7, recorded=True)
    [failure] = scene.failures(scene.lose(TOO_LONG))
    assert (failure.run, failure.reason, failure.exit_code) == (7, "walltime", -signal.SIGALRM)
    assert "walltime of 5 s" in failure.message


def test_a_lost_batch_took_its_worker_as_long_as_its_runs_did(scene):
    def held():
        return scene.losses.held(scene.task, scene.runs.collect([]).started)

    assert held() == 0.0
    scene.write_done(np.arange(5))
    scene.runs.collect([])
    scene.runs.state.seconds[:5] = 2.0
    scene.begin(7, recorded=True)
    time.sleep(0.3)
    assert 10.3 <= held() < 60.0
    scene.lose(SEGFAULT)
    assert held() == 10.0  # that death has been counted


def test_a_worker_that_was_in_no_run_blames_nobody(scene):
    assert scene.lose(SEGFAULT) == []
    assert scene.handed_out() == {tuple(range(20)): (1, False)}


def test_a_death_counts_once_though_the_run_waits_behind_another(scene):
    scene.begin(7, recorded=True)
    scene.lose(SEGFAULT)
    again = scene.queue.next_batch(seconds=1, expected=1e-3)
    assert again.run_ids().tolist() == [7]
    assert scene.lose(SEGFAULT, task=again) == []  # its worker died before it began
    assert scene.handed_out()[7,] == (2, True)


def test_of_two_threads_neither_is_blamed_before_it_ran_alone(scene):
    assert scene.lose(SEGFAULT, begun={"one": (3, 30)}) == []
    assert scene.handed_out() == {(0, 1, 2): (1, True), tuple(range(4, 20)): (1, False)}
    suspect = scene.queue.next_suspect(seconds=1, expected=1e-3)
    assert (suspect.run_ids().tolist(), suspect.attempt, suspect.careful) == ([3], 1, True)


def test_a_vectorized_batch_is_split_until_it_is_one_run(tmp_path):
    scene = Scene(tmp_path / "v.zarr", vectorized=True)
    scene.begin(0, recorded=False)
    assert scene.lose(SEGFAULT) == []
    tasks = scene.handed_out()
    assert sorted(run for runs in tasks for run in runs) == list(range(20))
    assert len(tasks) == 16
    assert {attempt for attempt, _ in tasks.values()} == {1}
    scene.store.release()


def test_a_run_that_kills_workers_is_failed_with_what_they_left_behind(scene):
    death = Death(exit_code=3, log="bye", traceback="at the end", peak_memory=5e8, host="n1")
    scene.begin(7, recorded=True)
    task = scene.task._replace(attempt=2)
    [failure] = scene.failures(scene.lose(death, task=task))
    assert "exit code 3" in failure.message
    assert (failure.log, failure.traceback, failure.host) == ("bye", "at the end", "n1")
    assert scene.runs.state.peak_memory[7] == 5e8


def lost_again_and_again(scene, times):
    for _ in range(times):
        scene.lose(SEGFAULT)


def test_batches_lost_in_a_row_before_any_run_end_the_sweep(scene):
    lost_again_and_again(scene, 20)
    with pytest.raises(tk.SweepError, match="21 batches in a row were lost"):
        scene.lose(SEGFAULT)


def test_a_batch_that_was_done_when_its_worker_died_is_no_loss(scene):
    lost_again_and_again(scene, 15)
    done = scene.task._replace(lo=20, hi=40, runs=None)
    scene.write_done(done.run_ids())
    for _ in range(30):
        assert scene.lose(SEGFAULT, task=done) == []
    lost_again_and_again(scene, 20)  # counted anew: runs got done in between
    assert not any(set(runs) & set(range(20, 40)) for runs in scene.handed_out())


def test_workers_that_die_in_a_run_do_not_count_among_those_that_die_before_any(scene):
    lost_again_and_again(scene, 15)
    scene.begin(7, recorded=True)
    scene.lose(SEGFAULT)
    lost_again_and_again(scene, 20)
    with pytest.raises(tk.SweepError, match="21 batches in a row were lost"):
        scene.lose(SEGFAULT)


def test_deaths_are_described():
    assert "signal 11 (SIGSEGV: Segmentation fault)" in SEGFAULT.describe()
    assert "exit code 0" in Death(exit_code=0).describe()
    assert "nobody saw it end" in Death().describe()
    full = Death(exit_code=-15, out_of_memory=True, memory_limit=2_500_000_000)
    assert full.reason == "memory"
    assert "2.5 GB" in full.describe()
    assert math.isnan(full.peak_memory)
