"""On which tier runs start, and what is learned from those that climbed."""

import numpy as np
import pytest

import toolkit as tk
from toolkit.clusters.tiers import Ladder, Tier
from toolkit.errors import ClusterError
from toolkit.execution.placement import Placement, Timed
from toolkit.resources import Resources
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue

SMALL, LONG, LARGE = 0, 1, 2
LADDER = Ladder(
    [
        Tier(name="small", memory=10**9, walltime=60),
        Tier(name="long", memory=10**9, walltime=3600),
        Tier(name="large", memory=10**10, walltime=3600),
    ]
)
SPACE = tk.grid(n_parcels=[10, 50, 100, 200, 400, 800], model=["svm", "ridge"], fold=range(5))


def placed(needs: Needs | None = None) -> tuple[Placement, Catalogue, np.ndarray]:
    catalogue, ids = Catalogue.empty().register(SPACE)
    placement = Placement(
        LADDER, needs or Needs(stage="fit", fixed=Resources()), ("n_parcels", "model", "fold")
    )
    everything = np.asarray(ids)
    placement.register(everything, catalogue)
    return placement, catalogue, everything


def ended(ids: np.ndarray, seconds: float | np.ndarray = 1.0) -> Timed:
    return Timed(ids=ids, seconds=np.broadcast_to(np.float32(seconds), len(ids)))


def test_needs_of_parameters_place_each_run() -> None:
    needs = Needs(
        stage="fit",
        resources=lambda n_parcels: Resources(memory=n_parcels * 10**7),
        names=("n_parcels",),
    )
    placement, catalogue, ids = placed(needs)
    sizes = np.asarray(catalogue.values(ids, ["n_parcels"])["n_parcels"])
    assert (placement.tier[ids] == np.where(sizes > 100, LARGE, SMALL)).all()
    assert placement.tags(int(ids[-1]), LARGE) == (("tier-large", 1.0),)


def test_what_no_tier_can_serve_is_refused_before_anything_runs() -> None:
    with pytest.raises(ClusterError, match="large: lacks 80 GB of memory"):
        placed(Needs(stage="fit", fixed=Resources(memory="80GB")))


def test_a_run_climbs_by_what_was_too_little_until_there_is_no_more() -> None:
    placement, _, _ = placed()
    assert placement.climb(3, "walltime")
    assert placement.tier[3] == LONG
    assert placement.climb(3, "memory")
    assert placement.tier[3] == LARGE
    assert not placement.climb(3, "memory")
    assert (placement.tier[:3] == SMALL).all()


def test_larger_neighbors_start_where_those_that_climbed_ended() -> None:
    placement, catalogue, ids = placed()
    values = catalogue.values(ids, ["n_parcels", "model", "fold"])
    size, model, fold = (np.asarray(values[name]) for name in ("n_parcels", "model", "fold"))
    tried = ids[(size <= 200) & (fold < 3)]
    big = ids[(size == 200) & (model == "svm") & (fold < 3)]
    assert all(placement.climb(int(run), "memory") for run in big)
    pending = np.setdiff1d(ids, tried)
    assert placement.has_news
    assert placement.learn(ended(tried), pending, catalogue)
    is_big = (size >= 200) & (model == "svm")
    assert (placement.tier[ids] == np.where(is_big, LARGE, SMALL)).all()
    assert not placement.has_news


def test_one_run_that_climbed_moves_no_neighbor() -> None:
    placement, catalogue, ids = placed()
    placement.climb(int(ids[0]), "memory")
    assert not placement.learn(ended(ids[:20]), ids[20:], catalogue)
    assert (placement.tier[ids[1:]] == SMALL).all()


def test_seconds_are_predicted_where_runs_differ_and_long_ones_go_where_they_fit() -> None:
    placement, catalogue, ids = placed()
    size = np.asarray(catalogue.values(ids, ["n_parcels"])["n_parcels"], float)
    tried = ids[np.arange(len(ids)) % 2 == 0]
    seconds = size[tried] / 4
    assert placement.learn(ended(tried, seconds), np.setdiff1d(ids, tried), catalogue)
    pending = np.setdiff1d(ids, tried)
    assert np.allclose(placement.seconds[pending], size[pending] / 4, rtol=0.01)
    assert (placement.tier[pending] == np.where(1.25 * size[pending] / 4 > 60, LONG, SMALL)).all()


def test_runs_that_are_alike_have_no_seconds_of_their_own() -> None:
    placement, catalogue, ids = placed()
    assert not placement.learn(ended(ids[:30], 2.0), ids[30:], catalogue)
    assert len(placement.seconds) == 0


def test_a_later_session_recalls_from_the_store_what_runs_took() -> None:
    placement, catalogue, ids = placed()
    size = np.asarray(catalogue.values(ids, ["n_parcels"])["n_parcels"], float)
    tried, pending = ids[:50], ids[50:]
    memory = (size[tried] * 10**7).astype(np.float32)
    placement.recall(ended(tried), memory)
    assert (placement.tier[tried] == np.where(memory > 10**9, LARGE, SMALL)).all()
    assert placement.learn(ended(tried), pending, catalogue)
    assert (placement.tier[pending] == LARGE).all()


def test_of_many_runs_those_that_climbed_are_all_looked_at() -> None:
    catalogue, ids = Catalogue.empty().register(tk.grid(x=np.arange(300.0), y=np.arange(100.0)))
    everything = np.asarray(ids)
    placement = Placement(LADDER, Needs(stage="f", fixed=Resources()), ("x", "y"))
    placement.register(everything, catalogue)
    x = np.asarray(catalogue.values(everything, ["x"])["x"])
    tried = everything[everything % 2 == 0]
    for run in tried[x[tried] > 297].tolist():
        placement.climb(run, "memory")
    pending = everything[everything % 2 == 1]
    placement.learn(ended(tried), pending, catalogue)
    assert (placement.tier[pending] == np.where(x[pending] > 297, LARGE, SMALL)).all()


def test_those_that_are_late_tell_where_others_have_no_time() -> None:
    placement, catalogue, ids = placed()
    size = np.asarray(catalogue.values(ids, ["n_parcels"])["n_parcels"], float)
    tried = ids[(size < 400) & (np.arange(len(ids)) % 2 == 0)]
    late = ids[size == 400][:3]
    took, pending = ended(tried, size[tried] / 10), np.setdiff1d(ids, tried)
    placement.learn(took, pending, catalogue, running=ended(late, 5.0))  # as long as others
    assert (placement.tier[ids] == SMALL).all()
    placement.learn(took, pending, catalogue, running=ended(late, 30.0))
    assert (placement.tier[ids] == np.where(size >= 400, LONG, SMALL)).all()
    assert not placement.climbed.any()


def test_a_run_that_climbed_for_its_time_is_expected_to_take_twice_that() -> None:
    placement, _, _ = placed()
    placement.climb(3, "walltime")
    assert placement.seconds[3] == 120.0
    assert np.isnan(placement.seconds[4])


def test_a_run_that_was_sent_on_while_it_ran_has_climbed_when_it_is_killed() -> None:
    placement, _, _ = placed()
    placement.tier[3] = LARGE
    assert placement.is_above(3, "walltime", SMALL)
    assert placement.climbed[3]
    assert placement.tier[3] == LARGE
    assert not placement.is_above(4, "walltime", SMALL)
    placement.tier[5] = LONG
    assert not placement.is_above(5, "memory", SMALL)


FAT = Ladder([Tier(name="small", memory=10**9), Tier(name="fat", memory=4 * 10**9, threads=4)])


def on_fat(needs: Needs) -> tuple[Placement, Catalogue, np.ndarray]:
    catalogue, ids = Catalogue.empty().register(SPACE)
    placement = Placement(FAT, needs, ("n_parcels", "model", "fold"))
    placement.register(np.asarray(ids), catalogue)
    return placement, catalogue, np.asarray(ids)


def test_a_run_that_had_too_little_memory_has_a_worker_to_itself_and_so_have_its_neighbors() -> (
    None
):
    placement, catalogue, ids = on_fat(Needs(stage="fit", fixed=Resources()))
    values = catalogue.values(ids, ["n_parcels", "fold"])
    size, fold = np.asarray(values["n_parcels"]), np.asarray(values["fold"])
    tried = ids[fold < 3]
    big = ids[(size >= 400) & (fold < 3)]
    assert all(placement.climb(int(run), "memory") for run in big)
    assert placement.share(big[:1], LONG) == 4
    assert placement.share(ids[size == 10], LONG) == 1  # that only help there
    placement.learn(ended(tried), np.setdiff1d(ids, tried), catalogue)
    assert {placement.share(ids[at : at + 1], LONG) for at in np.flatnonzero(size >= 400)} == {4}
    assert {placement.share(ids[at : at + 1], LONG) for at in np.flatnonzero(size < 400)} == {1}
    assert (placement.usual_share(SMALL), placement.usual_share(LONG)) == (1, 4)
    assert placement.tags(int(big[0]), LONG, 4) == (("tier-fat", 1e6),)


def test_a_run_that_says_its_memory_takes_its_share_of_a_worker() -> None:
    needs = Needs(
        stage="fit",
        resources=lambda n_parcels: Resources(memory=n_parcels * 4 * 10**6),
        names=("n_parcels",),
    )
    placement, catalogue, ids = on_fat(needs)
    sizes = np.asarray(catalogue.values(ids, ["n_parcels"])["n_parcels"])
    assert placement.share(ids[sizes == 400], LONG) == 2
    assert placement.share(ids[sizes >= 400], LONG) == 4  # what the largest takes
    assert placement.share(ids[sizes == 10], LONG) == 1


def test_runs_that_had_too_little_memory_together_are_parted_where_they_belong() -> None:
    placement, _, _ = on_fat(Needs(stage="fit", fixed=Resources()))
    assert not placement.leave_alone(0, LONG)  # it belongs to the small ones, and only helped
    placement.tier[1] = LONG
    assert placement.leave_alone(1, LONG)
    assert placement.share(np.array([1]), LONG) == 4
    assert not placement.leave_alone(1, LONG)  # it had a worker of its own
