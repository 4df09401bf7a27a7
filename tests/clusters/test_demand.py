"""How many workers are wanted for what is left."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.clusters.demand import Demand, demands_for, wanted_workers
from toolkit.clusters.tiers import Tier

SMALL = Tier(name="small", threads=2, minimum=1, maximum=10)


@pytest.mark.parametrize(
    ("runs", "seconds", "wanted"),
    [(0, 0.0, 1), (1, 0.0, 1), (1000, 0.0, 1), (1000, 60.0, 3), (1000, 1e6, 10), (5, 1e6, 3)],
)
def test_another_worker_is_worth_its_start(runs: int, seconds: float, wanted: int) -> None:
    assert wanted_workers(SMALL, [Demand(runs=runs, seconds=seconds)], startup=10.0) == wanted


def test_runs_of_several_threads_leave_less_room() -> None:
    wide = Demand(runs=6, seconds=1e6, threads=2)
    assert wanted_workers(SMALL, [wide], startup=10.0) == 6


def test_sweeps_that_share_a_cluster_add_up() -> None:
    each = Demand(runs=4, seconds=1e6)
    assert wanted_workers(SMALL, [each, each], startup=10.0) == 4


def test_what_a_dead_driver_said_is_forgotten() -> None:
    said = {
        "alive": {"small": Demand(runs=3, seconds=5.0, at=time.time()).to_json()},
        "dead": {"small": Demand(runs=9, seconds=5.0, at=time.time() - 100).to_json()},
        "elsewhere": {"large": Demand(runs=9, seconds=5.0, at=time.time()).to_json()},
    }
    assert [each.runs for each in demands_for("small", said)] == [3]


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1e9), st.integers(1, 8)), max_size=4),
    st.floats(0, 1e4),
)
def test_never_less_than_the_least_nor_more_than_the_most(
    demands: list[tuple[int, float, int]], startup: float
) -> None:
    given = [Demand(runs=runs, seconds=s, threads=threads) for runs, s, threads in demands]
    wanted = wanted_workers(SMALL, given, startup=startup)
    assert 1 <= wanted <= 10
    assert wanted <= max(1, sum(each.runs for each in given))
