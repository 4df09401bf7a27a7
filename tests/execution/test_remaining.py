"""Futures of what is left, by hand."""

import numpy as np
import pytest

from toolkit.execution.expecting import Expecting
from toolkit.execution.remaining import Errors, Rest, futures, lasting, likeliest

EXACT = Errors(expected=np.zeros(5), residuals=np.zeros(5), common=0.0)


def rest_of(waiting, places, *, tiers=None, running=(), elapsed=(), climbs=0.0, **more):
    waiting, running = np.log(waiting), np.log(np.asarray(running, float))
    return Rest(
        waiting=waiting,
        waiting_tier=np.zeros(len(waiting), int) if tiers is None else np.asarray(tiers),
        running=running,
        running_tier=np.zeros(len(running), int),
        elapsed=np.asarray(elapsed, float),
        places=places,
        lends=[at > 0 for at in range(len(places))],
        climbs=np.full(len(waiting), climbs),
        running_climbs=np.zeros(len(running)),
        walltimes=more.pop("walltimes", [np.inf] * len(places)),
        **more,
    )


def ends(rest, errors=EXACT):
    return futures(rest, errors, np.random.default_rng(0))


def test_runs_go_to_the_place_that_is_free_first():
    found, work = ends(rest_of([3.0, 3.0, 2.0, 2.0, 2.0], [2]))
    assert found == pytest.approx(7.0)
    assert work.sum(axis=1) == pytest.approx(12.0)


def test_runs_in_progress_hold_their_places():
    found, work = ends(rest_of([1.0], [2], running=[10.0, 4.0], elapsed=[2.0, 1.0]))
    assert found == pytest.approx(8.0)
    assert work.sum(axis=1) == pytest.approx(12.0)


def test_thousands_of_short_runs_fill_the_places_evenly():
    found, _ = ends(rest_of(np.full(5000, 0.1), [7]))
    assert found == pytest.approx(5000 * 0.1 / 7, rel=0.02)


def test_workers_of_a_larger_tier_help_and_those_of_a_smaller_one_do_not():
    assert ends(rest_of(np.ones(8), [1, 1]))[0] == pytest.approx(4.0)
    assert ends(rest_of(np.ones(8), [1, 1], tiers=[1] * 8))[0] == pytest.approx(8.0)


def test_what_climbs_to_a_tier_without_workers_waits_for_one():
    found, work = ends(rest_of(np.ones(8), [4, 0], climbs=1.0, lost=0.5))
    assert found == pytest.approx(8.0)
    assert work[:, 1] == pytest.approx(8.0)


def test_a_run_that_climbs_holds_two_places_one_after_the_other():
    found, work = ends(rest_of(np.ones(8), [4, 2], climbs=1.0, lost=0.5))
    assert found == pytest.approx(4.0, abs=1.1)
    assert work[:, 1] == pytest.approx(8.0)
    assert work[:, 0] == pytest.approx(4.0)


def test_what_lasts_longer_than_its_workers_is_run_again_where_they_last():
    _, work = ends(rest_of([10.0], [1, 1], walltimes=[4.0, np.inf]))
    assert work == pytest.approx(np.tile([4.0, 10.0], (len(work), 1)))


def test_what_has_lasted_longer_than_all_others_lasts_on():
    rng = np.random.default_rng(0)
    found = lasting(EXACT, np.log([1.0]), np.array([8.0]), 200, rng)
    assert (found > 8.0).all()
    assert (found <= 16.0).all()


@pytest.mark.parametrize("most", [1.5, 3.0])
def test_no_range_is_wider_than_it_may_be(most):
    samples = np.random.default_rng(0).lognormal(0, 2, 64)
    low, high = likeliest(samples, least=1.2, most=most)
    assert high / low == pytest.approx(most)


def test_a_range_holds_what_is_likely():
    low, high = likeliest(np.array([10.0] * 9 + [90.0]), least=1.2, most=3.0)
    assert (low, high) == pytest.approx((10 / 1.2**0.5, 10 * 1.2**0.5))


def test_times_grow_beyond_what_was_seen_where_they_follow_a_power():
    size = np.geomspace(1, 100, 40)
    fit = Expecting.fit(2 * size**1.5, [size], [True])
    assert fit.logs([np.array([9.0])], 1) == pytest.approx(np.log([2 * 9.0**1.5]), abs=0.15)
    assert np.abs(fit.errors.residuals).mean() < 0.1


def test_runs_without_parameters_are_expected_to_take_what_others_took():
    seconds = np.random.default_rng(0).lognormal(1.0, 0.3, 60)
    fit = Expecting.fit(seconds, [], [])
    assert fit.logs([], 2) == pytest.approx(np.log(seconds).mean(), abs=0.05)
    assert fit.errors.residuals.std() == pytest.approx(0.3, abs=0.08)


def test_a_run_that_surprises_takes_what_those_took_that_lasted_as_long():
    ended = np.sort([*np.geomspace(0.1, 30.0, 200), *np.linspace(80.0, 90.0, 12)])
    errors = Errors(
        expected=np.zeros(200),
        residuals=np.random.default_rng(1).uniform(-2.0, 5.0, 200),
        common=0.0,
        ended=ended,
    )
    found = lasting(errors, np.zeros(2), np.array([82.0, 0.3]), 400, np.random.default_rng(0))
    assert 82.0 < found[:, 0].min() <= found[:, 0].max() <= 90.0
    assert found[:, 1].max() > 90.0  # nothing is surprising in a run that has only just begun
