"""Tiers: the cheapest that serves, the next one up, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.clusters.tiers import Ladder, Tier
from toolkit.errors import ClusterError
from toolkit.resources import Resources

LADDER = Ladder(
    [
        Tier(name="small", threads=1, memory=2 * 10**9, walltime=600),
        Tier(name="long", threads=1, memory=2 * 10**9, walltime=86_400),
        Tier(name="large", threads=4, memory=64 * 10**9, walltime=3600),
        Tier(name="gpu", threads=2, memory=64 * 10**9, walltime=86_400, gpus=2),
    ]
)


def cheapest(**needs: int | float | str) -> str:
    return LADDER[LADDER.cheapest(Resources(**needs))].name  # type: ignore[arg-type]


def test_a_run_goes_to_the_cheapest_tier_that_serves_it() -> None:
    assert cheapest() == "small"
    assert cheapest(memory="2GB") == "small"
    assert cheapest(memory="2.1GB") == "large"
    assert cheapest(walltime="20min") == "long"
    assert cheapest(threads=2) == "large"
    assert cheapest(gpus=1) == "gpu"


def test_gpus_are_for_those_who_ask_unless_nothing_else_serves() -> None:
    assert cheapest(memory="8GB", walltime="2h") == "gpu"
    assert LADDER.above(LADDER.cheapest(Resources(memory="8GB")), "walltime", Resources()) == 1


def test_what_no_tier_serves_is_refused_with_what_each_lacks() -> None:
    with pytest.raises(ClusterError) as refused:
        LADDER.cheapest(Resources(memory="80GB", gpus=3))
    said = str(refused.value)
    assert "small: lacks 3 GPUs (it has 0), 80 GB of memory (it has 2 GB)" in said
    assert "gpu: lacks 3 GPUs (it has 2), 80 GB of memory (it has 64 GB)" in said


def test_a_run_that_was_too_big_climbs_by_what_was_too_little() -> None:
    small = 0
    assert LADDER.above(small, "memory", Resources()) == 2
    assert LADDER.above(small, "walltime", Resources()) == 1
    assert LADDER.above(2, "memory", Resources()) is None
    assert LADDER.above(2, "memory", Resources(gpus=1)) is None
    assert LADDER.above(1, "walltime", Resources()) is None


def test_a_tier_is_named_by_its_tag_and_gpus_are_counted() -> None:
    gpu = LADDER[3]
    assert gpu.worker_resources == {"tier-gpu": 1e6, "GPU": 2.0}
    part = 1e6 // gpu.threads
    assert gpu.tags(Resources(gpus=1)) == {"tier-gpu": part, "GPU": 1.0}
    assert gpu.tags(Resources()) == {"tier-gpu": part}


def test_a_run_takes_as_many_places_as_its_memory_is_a_share_of() -> None:
    tier = Tier(name="fat", threads=4, memory=8 * 10**9)
    of = {gb: tier.share(Resources(memory=f"{gb}GB")) for gb in (1, 2, 3, 5, 8)}
    assert of == {1: 1, 2: 1, 3: 2, 5: 3, 8: 4}
    assert tier.share(Resources()) == 1
    assert tier.share(Resources(memory="5GB", threads=2)) == 2  # of two places
    assert tier.tags(Resources(), 1) == {"tier-fat": 250_000.0}
    assert tier.tags(Resources(), 4) == tier.worker_resources
    assert Tier(name="one", memory=10**9).tags(Resources(memory="1GB")) == {"tier-one": 1.0}


def test_tiers_travel_as_plain_values() -> None:
    assert Ladder.from_json(LADDER.to_json()).tiers == LADDER.tiers


def test_two_tiers_of_one_name_are_refused() -> None:
    with pytest.raises(ClusterError, match="different names"):
        Ladder([Tier(name="a"), Tier(name="a")])


sizes = st.one_of(st.none(), st.integers(1, 100))


@given(
    st.lists(st.tuples(sizes, sizes, st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=5),
    st.tuples(sizes, sizes, st.integers(0, 2), st.integers(1, 4)),
)
def test_climbing_ends_and_each_step_serves_and_has_more(
    tiers: list[tuple[int | None, int | None, int, int]],
    need: tuple[int | None, int | None, int, int],
) -> None:
    ladder = Ladder(
        [
            Tier(name=str(at), memory=memory, walltime=walltime, gpus=gpus, threads=threads)
            for at, (memory, walltime, gpus, threads) in enumerate(tiers)
        ]
    )
    memory, walltime, gpus, threads = need
    needs = Resources(memory=memory, walltime=walltime, gpus=gpus, threads=threads)
    try:
        at: int | None = ladder.cheapest(needs)
    except ClusterError:
        assert all(tier.lacks(needs) for tier in ladder.tiers)
        return
    seen: list[float] = []
    while at is not None:
        assert not ladder[at].lacks(needs)
        seen.append(float(ladder[at].memory or math.inf))
        at = ladder.above(at, "memory", needs)
    assert seen == sorted(set(seen))
