"""How a full queue is shared among tiers."""

import pytest

from toolkit.clusters.sharing import Sharing
from toolkit.clusters.tiers import Tier

SMALL = Tier(name="small", memory=4 << 30)
LARGE = Tier(name="large", memory=8 << 30)
GPU = Tier(name="gpu", memory=8 << 30, gpus=1)
WANTED = {"small": 12, "large": 12, "gpu": 5}


def sharing(*tiers, **processes):
    return Sharing(tiers, {tier.name: processes.get(tier.name, 1) for tier in tiers})


def full(held, at=0.0):
    found = sharing(SMALL, LARGE, GPU)
    found.note(held, waited=5.0, now=at)
    return found


def test_all_that_is_wanted_is_had_while_nothing_waits_in_the_queue():
    found = sharing(SMALL, LARGE, GPU)
    found.note({"small": 12, "large": 12}, waited=2.0, now=0.0)
    assert found.shared(WANTED, {"small": 10.0, "large": 1000.0}, now=0.0) == WANTED


def test_a_full_queue_is_shared_by_work_and_the_size_of_the_jobs():
    found = full({"small": 4, "large": 10}).shared(
        WANTED, {"small": 600.0, "large": 900.0, "gpu": 1e6}, now=1.0
    )
    assert found == {"small": 6, "large": 9, "gpu": 5}
    assert found["small"] + 2 * found["large"] == 4 + 2 * 10


def test_every_tier_that_is_wanted_has_one_and_none_has_more_than_that():
    found = full({"small": 24, "large": 0})
    assert found.shared(WANTED, {"small": 1.0, "large": 1e6}, now=1.0)["small"] == 1
    few = {"small": 12, "large": 2, "gpu": 0}
    assert found.shared(few, {"small": 10.0, "large": 1e6}, now=1.0)["large"] == 2
    none = {"small": 0, "large": 12, "gpu": 0}
    assert found.shared(none, {"small": 0.0, "large": 1e6}, now=1.0) == none


def test_that_there_was_no_more_room_is_forgotten_after_a_minute():
    found = full({"small": 24})
    seconds = {"small": 100.0, "large": 100.0}
    assert found.shared(WANTED, seconds, now=59.0) != WANTED
    found.note({"small": 2}, waited=0.0, now=59.0)  # the workers of a tier have ended
    assert found.shared(WANTED, seconds, now=59.0)["large"] == 8
    assert found.shared(WANTED, seconds, now=61.0) == WANTED


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        (Tier(name="small", threads=2), Tier(name="large", threads=8), 4),
        (Tier(name="small", memory=1 << 30), Tier(name="large", memory=3 << 30), 3),
        (Tier(name="small", memory=1 << 30), Tier(name="large", threads=2), 2),
        (Tier(name="small"), Tier(name="large"), 1),
    ],
)
def test_a_job_is_as_large_as_its_share_of_a_node(first, second, ratio):
    found = sharing(first, second)
    found.note({"small": 10 * ratio}, waited=5.0, now=0.0)
    wanted = {"small": 99, "large": 99}
    assert found.shared(wanted, {"small": 0.0, "large": 1.0}, now=0.0)["large"] == 10


def test_a_job_of_several_processes_takes_the_room_of_all():
    found = sharing(SMALL, LARGE, small=4)
    found.note({"small": 6}, waited=5.0, now=0.0)
    seconds = {"small": 120.0, "large": 60.0}
    assert found.shared({"small": 9, "large": 9}, seconds, now=0.0) == {"small": 5, "large": 3}
