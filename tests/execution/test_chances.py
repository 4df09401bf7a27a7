"""Whether a run that failed is tried again, and on which tier."""

import os
from dataclasses import replace

import numpy as np
import pytest

import toolkit as tk
from toolkit.clusters.tiers import Ladder, Tier
from toolkit.execution.chances import CHECKPOINTS, Chances
from toolkit.execution.lanes import Lanes
from toolkit.execution.placement import Placement
from toolkit.stages.failure import RunFailure
from toolkit.stages.needs import Needs
from toolkit.stages.stage import as_stage
from toolkit.stores.zarr_store import ZarrStore

LADDER = Ladder(
    [
        Tier(name="small", memory=10**9, walltime=60),
        Tier(name="long", memory=10**9, walltime=3600),
        Tier(name="large", memory=10**10, walltime=3600),
    ]
)
DEATH = RunFailure(
    run=3, exception="WorkerDied", message="", traceback="", retryable=True, reason="worker died"
)


def model(x):
    return x


class Scene:
    def __init__(self, path, *, tiers=True, **stage):
        self.store = ZarrStore.create_or_open(path)
        self.store.acquire()
        self.runs = self.store.stage("model", create=True)
        self.runs.register(tk.grid(x=range(10)))
        self.queue = Lanes("given")
        if tiers:
            self.placement = Placement(LADDER, Needs(stage="model", fixed=tk.Resources()), ("x",))
            self.placement.register(np.arange(10), self.runs.catalogue)
            self.queue.place(self.placement)
        self.notes = []
        self.chances = Chances(
            self.runs,
            as_stage(tk.stage(model, max_attempts=2, **stage)),
            self.queue,
            lambda **note: self.notes.append(note),
        )

    def repeated(self, attempts=10, **failure):
        """Return the tiers on which a run is tried that always fails like this."""
        tiers, attempt = [self.tier], 1
        while attempt < attempts and self.chances.has_another(
            replace(DEATH, **failure), attempt, self.placement.tier[3]
        ):
            tiers.append(self.tier)
            attempt += 1
        return tiers

    @property
    def tier(self):
        return LADDER[int(self.placement.tier[3])].name


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path / "s.zarr")
    yield made
    made.store.release()


def test_a_run_that_kills_its_worker_fails_after_its_attempts(scene):
    assert scene.repeated() == ["small", "small"]


def test_too_little_memory_is_tried_where_there_is_more_before_attempts_count(scene):
    assert scene.repeated(reason="memory") == ["small", "large", "large"]
    assert scene.notes == [{"run": 3, "reason": "memory", "before": "small", "after": "large"}]


def test_a_memory_error_is_too_little_memory(scene):
    found = scene.repeated(reason="exception", exception="MemoryError", retryable=False)
    assert found == ["small", "large"]


def test_a_job_that_ended_too_early_sends_its_run_to_longer_ones(scene):
    assert scene.repeated(reason="time limit")[:3] == ["small", "long", "long"]


@pytest.mark.parametrize("reason", ["preempted", "cancelled", "node lost"])
def test_what_is_nobodys_fault_moves_nobody_and_counts_for_nothing(scene, reason):
    assert scene.repeated(reason=reason, attempts=8) == ["small"] * 8
    assert scene.repeated(reason=reason, attempts=100) == ["small"] * 14  # not for ever
    assert scene.chances.are_left(3, 18)


def test_a_run_that_writes_its_checkpoint_goes_on_however_often_its_job_ends(scene):
    folder = os.path.join(scene.runs.sink_spec().path, CHECKPOINTS, "model-3-checkpoint")
    os.makedirs(folder)
    file = os.path.join(folder, "state.npy")
    limit = replace(DEATH, reason="time limit")
    for attempt in range(1, 9):
        with open(file, "w") as out:
            out.write("state")
        os.utime(file, (attempt, attempt))
        assert scene.chances.has_another(limit, attempt, 0)
        assert scene.tier == "small"
    assert scene.chances.has_another(limit, 9, 0)  # it wrote nothing this time
    assert scene.tier == "long"


def test_its_own_walltime_moves_nobody(scene):
    assert scene.repeated(reason="walltime", retryable=False) == ["small"]


def test_a_helper_that_was_too_small_itself_is_not_climbed_to(scene):
    assert scene.chances.has_another(replace(DEATH, reason="time limit"), 1, tier=1)
    assert scene.tier == "small"
    assert scene.chances.has_another(replace(DEATH, reason="memory"), 1, tier=1)
    assert scene.tier == "large"


def test_where_workers_are_alike_there_is_nowhere_to_climb(tmp_path):
    scene = Scene(tmp_path / "s.zarr", tiers=False)
    assert scene.chances.has_another(replace(DEATH, reason="memory"), 1)
    assert not scene.chances.has_another(replace(DEATH, reason="memory"), 2)
    scene.store.release()


def test_a_run_that_was_sent_on_while_it_ran_is_no_failure_when_its_job_ends(scene):
    scene.placement.tier[3] = 2  # what was learned from others
    assert scene.chances.has_another(replace(DEATH, reason="time limit"), 1, tier=0)
    assert scene.tier == "large"
    assert scene.notes == [{"run": 3, "reason": "time limit", "before": "small", "after": "large"}]
    assert scene.chances.are_left(3, 2)
