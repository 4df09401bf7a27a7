"""Runs wait in the lane of their tier, and move with what is learned."""

from itertools import chain

import numpy as np

import toolkit as tk
from toolkit.clusters.tiers import Ladder, Tier
from toolkit.execution.lanes import Lanes
from toolkit.execution.placement import Placement, Timed
from toolkit.resources import Resources
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue

LADDER = Ladder(
    [
        Tier(name="small", memory=10**9),
        Tier(name="large", memory=10**10, threads=4),
        Tier(name="gpu", memory=10**10, threads=4, gpus=1),
    ]
)


def lanes_of(space: tk.Space, order: str = "random") -> tuple[Lanes, Placement, Catalogue]:
    catalogue, ids = Catalogue.empty().register(space)
    needs = Needs(
        stage="fit",
        resources=lambda size: Resources(memory=size * 10**7, gpus=int(size == 5)),
        names=("size",),
    )
    placement = Placement(LADDER, needs, ("size", "fold"))
    placement.register(np.asarray(ids), catalogue)
    lanes = Lanes(order)
    lanes.add(np.asarray(ids), catalogue)
    return lanes, placement, catalogue


SPACE = tk.grid(size=[5, 50, 500], fold=range(4))


def drained(lanes: Lanes, tier: int, **more: object) -> list[list[int]]:
    batches = []
    while task := lanes.next_batch(seconds=1.0, expected=0.5, tier=tier, **more):
        assert task.tier == tier
        batches.append(task.run_ids().tolist())
    return batches


def test_before_tiers_are_known_there_is_one_lane() -> None:
    lanes, placement, _ = lanes_of(SPACE)
    assert lanes.waiting == (12,)
    lanes.place(placement)
    assert lanes.waiting == (4, 4, 4)


def test_each_tier_is_handed_its_own_runs() -> None:
    lanes, placement, _ = lanes_of(SPACE)
    lanes.place(placement)
    assert sorted(chain(*drained(lanes, 2))) == [0, 1, 2, 3]
    assert sorted(chain(*drained(lanes, 0))) == [4, 5, 6, 7]
    assert sorted(chain(*drained(lanes, 1))) == [8, 9, 10, 11]
    assert len(lanes) == 0


def test_a_larger_tier_helps_a_cheaper_one_and_gpus_are_spared() -> None:
    lanes, placement, _ = lanes_of(SPACE)
    lanes.place(placement)
    assert drained(lanes, 2, own=False) == []
    assert sorted(chain(*drained(lanes, 1, own=False))) == [4, 5, 6, 7]
    assert drained(lanes, 0, own=False) == []


def test_what_is_handed_back_or_repeated_goes_where_it_belongs_by_now() -> None:
    lanes, placement, _ = lanes_of(SPACE)
    lanes.place(placement)
    task = lanes.next_batch(seconds=9.0, expected=0.5, tier=0)
    assert task is not None
    climbing = int(task.run_ids()[1])
    placement.climb(climbing, "memory")
    lanes.give_back(task, 1)
    assert lanes.waiting == (2, 5, 4)
    lanes.repeat(np.array([climbing]), 2, careful=True)
    again = lanes.next_batch(seconds=9.0, expected=0.5, tier=1)
    assert again is not None
    assert (again.run_ids().tolist(), again.attempt, again.careful) == ([climbing], 2, True)


def test_runs_that_wait_move_when_something_was_learned() -> None:
    lanes, placement, _ = lanes_of(SPACE)
    lanes.place(placement)
    placement.tier[4:6] = 1
    lanes.rearrange()
    assert lanes.waiting == (2, 6, 4)
    assert sorted(chain(*drained(lanes, 0))) == [6, 7]


def test_light_points_go_with_all_folds_and_heavy_ones_fold_by_fold() -> None:
    space = tk.grid(size=[1, 2, 3, 90, 91], fold=range(4))
    lanes, placement, catalogue = lanes_of(space)
    lanes.keep_together(lambda ids: ids // 4)
    lanes.place(placement)
    sizes = np.asarray(catalogue.values(np.arange(20), ["size"])["size"])
    done = np.array([0, 5, 10, 12, 17])
    placement.learn(
        Timed(ids=done, seconds=np.where(sizes[done] > 50, 30.0, 0.1).astype(np.float32)),
        np.arange(20),
        catalogue,
    )
    lanes.rearrange()
    batches = drained(lanes, 0)
    light = [sorted(each) for each in batches if sizes[each[0]] < 50]
    heavy = [each for each in batches if sizes[each[0]] > 50]
    assert all(len(each) % 4 == 0 and each[0] % 4 == 0 for each in light)
    assert [len(each) for each in heavy] == [1] * 8
    assert sorted(chain(*batches)) == list(range(20))


def test_what_a_worker_has_no_time_for_waits_where_it_belongs_by_now() -> None:
    lanes, placement, _ = lanes_of(SPACE)
    lanes.place(placement)
    placement.seconds = np.ones(12, np.float32)
    lanes.rearrange()
    task = lanes.next_batch(seconds=9.0, expected=0.5, tier=0)
    assert task is not None
    assert not task.insists
    placement.tier[task.run_ids()] = 1
    lanes.postpone(task)
    assert lanes.waiting == (0, 8, 4)
    lanes.readmit()
    assert sorted(chain(*drained(lanes, 1))) == list(range(4, 12))


def test_runs_that_a_source_gives_later_are_handed_out_by_what_was_learned_before() -> None:
    first = tk.grid(size=[5, 50], fold=range(40))
    lanes, placement, catalogue = lanes_of(first)
    lanes.place(placement)
    ids = np.arange(40, 60)  # half of the runs of size 50
    seconds = np.where(ids % 2, 4.0, 0.1).astype(np.float32)
    pending = np.arange(60, 80)
    placement.learn(Timed(ids=ids, seconds=seconds), pending, catalogue)
    lanes.rearrange()
    assert len(placement.seconds) == 80
    catalogue, found = catalogue.register(tk.grid(size=[50], fold=range(40, 60)))
    later = np.asarray(found)
    placement.register(later, catalogue)
    lanes.add(later, catalogue)
    handed = sorted(chain(*drained(lanes, 0)))
    assert set(later.tolist()) <= set(handed)
