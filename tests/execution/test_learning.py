"""What is learned from runs that have not ended: they climbed, or are late."""

import numpy as np
import pytest

import toolkit as tk
from toolkit.clusters.tiers import Ladder, Tier
from toolkit.execution import learning
from toolkit.execution.lanes import Lanes
from toolkit.execution.learning import Learning
from toolkit.execution.placement import Placement
from toolkit.run_status import Status
from toolkit.stages.needs import Needs
from toolkit.stores.zarr_store import ZarrStore

LADDER = Ladder([Tier(name="small", walltime=60), Tier(name="large", walltime=3600)])
SIZES = np.repeat(np.arange(10), 4)


class Scene:
    def __init__(self, path, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(learning.time, "monotonic", lambda: self.now)
        self.store = ZarrStore.create_or_open(path)
        self.store.acquire()
        self.runs = self.store.stage("model", create=True)
        self.runs.register(tk.grid(size=range(10), fold=range(4)))
        needs = Needs(stage="model", fixed=tk.Resources())
        self.placement = Placement(LADDER, needs, ("size", "fold"))
        self.placement.register(np.arange(40), self.runs.catalogue)
        self.queue = Lanes("given")
        self.queue.place(self.placement)
        self.learning = Learning(self.placement, self.runs, self.queue)
        small = SIZES < 5
        self.runs.state.status[small] = Status.DONE
        self.runs.state.seconds[small] = 1.0 + 0.5 * SIZES[small]

    def look(self, at, *in_progress):
        self.now = at
        self.learning.look(1.0, in_progress)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path / "s.zarr", monkeypatch)
    yield made
    made.store.release()


def test_neighbors_of_runs_that_climbed_do_not_wait_until_these_are_done(scene):
    for run in (36, 37, 38):
        scene.placement.climb(run, "walltime")
    scene.look(10.0)
    assert scene.placement.tier[39] == 1
    assert (scene.placement.tier[SIZES < 5] == 0).all()


def test_a_run_that_takes_longer_than_others_takes_its_neighbors_where_there_is_time(scene):
    late = [("a", 36), ("b", 37)]
    scene.look(10.0, *late)
    scene.look(20.0, *late)
    assert scene.placement.tier[39] == 0
    assert 15 < scene.placement.seconds[39] < 25
    scene.look(40.0, *late)
    assert scene.placement.tier[39] == 1
    assert (scene.placement.tier[SIZES < 5] == 0).all()


def test_what_begins_in_another_worker_begins_anew(scene):
    scene.look(10.0, ("a", 36), ("b", 37))
    scene.look(40.0, ("c", 36), ("d", 37))
    scene.look(41.0, ("c", 36), ("d", 37))
    assert scene.placement.tier[39] == 0
