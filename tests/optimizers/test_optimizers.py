"""Optimizers alone: arrays of points are asked for, values are told."""

import math

import numpy as np
import pytest

from tests.optimizers.searching import searched
from toolkit.optimizers.cmaes import CMAES
from toolkit.optimizers.generational import Generational
from toolkit.optimizers.methods import make_optimizer

METHODS = (
    "cmaes",
    "separable_cmaes",
    "ipop_cmaes",
    "bipop_cmaes",
    "differential_evolution",
    "random",
    "sobol",
)
cmaes = pytest.importorskip("cmaes")


def sphere(x):
    return (x**2).sum(axis=-1)


def rosenbrock(x):
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(axis=-1)


def ellipsoid(x):
    n = x.shape[-1]
    return (1e6 ** (np.arange(n) / (n - 1)) * x**2).sum(axis=-1)


def evaluations_of_ours(function, n_dims, seed):
    rule = CMAES(np.full(n_dims, 0.5), step_size=0.2, seed=seed)
    best, n = searched(Generational(rule), function, target=1e-8)
    return n if best <= 1e-8 else math.inf


def evaluations_of_theirs(function, n_dims, seed):
    bounds = np.array([[-5.0, 5.0]] * n_dims)
    other = cmaes.CMA(mean=np.zeros(n_dims), sigma=2.0, bounds=bounds, seed=seed)
    best, n = math.inf, 0
    while not other.should_stop() and n < 20_000 and best > 1e-8:
        told = [
            (x, float(function(x))) for x in (other.ask() for _ in range(other.population_size))
        ]
        other.tell(told)
        best, n = min(best, *(value for _, value in told)), n + len(told)
    return n if best <= 1e-8 else math.inf


@pytest.mark.parametrize("n_dims", [3, 6])
@pytest.mark.parametrize("function", [sphere, rosenbrock, ellipsoid])
def test_cmaes_needs_as_many_evaluations_as_the_package_of_that_name(function, n_dims):
    ours = [evaluations_of_ours(function, n_dims, seed) for seed in range(9)]
    theirs = [evaluations_of_theirs(function, n_dims, seed) for seed in range(1, 10)]
    assert np.median(ours) <= 1.15 * np.median(theirs)
    assert np.isfinite(ours).sum() >= np.isfinite(theirs).sum() - 1


def test_cmaes_finds_a_minimum_on_the_bounds():
    def corner(x):
        return ((x - 7) ** 2).sum(axis=-1)  # the bounds are at 5

    optimizer = make_optimizer("cmaes", np.full(3, 0.5), seed=2)
    best, _ = searched(optimizer, corner)
    assert best == pytest.approx(12.0, rel=1e-9)
    assert optimizer.is_converged


def test_points_stay_in_the_unit_cube_however_large_the_steps():
    optimizer = make_optimizer("cmaes", np.array([0.0, 1.0]), step_size=10.0, population=50)
    for _ in range(5):
        asked = optimizer.ask(50)
        assert ((asked.points >= 0) & (asked.points <= 1)).all()
        optimizer.tell(asked.ids, sphere(asked.points))


@pytest.mark.parametrize("method", METHODS)
def test_a_search_goes_the_same_way_in_parts_and_in_any_order(method):
    whole = make_optimizer(method, np.full(3, 0.4), population=12, seed=5)
    parts = make_optimizer(method, np.full(3, 0.4), population=12, seed=5)
    rng = np.random.default_rng(0)
    for _ in range(15):
        asked = whole.ask(100)
        whole.tell(asked.ids, rosenbrock(asked.points))
        some = [parts.ask(n) for n in (5, 3, 100)]
        assert not len(parts.ask(1).ids)  # all of it are under way
        points = np.concatenate([each.points for each in some])
        assert np.array_equal(points, asked.points)
        order = rng.permutation(12)
        for at in (order[:4], order[4:]):
            parts.tell(asked.ids[at], rosenbrock(points[at]))


@pytest.mark.parametrize("method", METHODS)
def test_a_restored_state_goes_on_bit_for_bit_also_in_the_middle_of_a_generation(method):
    optimizer = make_optimizer(method, np.full(4, 0.4), population=10, seed=3)
    for _ in range(7):
        asked = optimizer.ask(10)
        optimizer.tell(asked.ids, ellipsoid(asked.points))
    under_way = optimizer.ask(6)
    optimizer.tell(under_way.ids[2:5], ellipsoid(under_way.points[2:5]))
    state = optimizer.state()
    kinds = (np.ndarray, int, float, str, bool)
    assert all(isinstance(value, kinds) for value in state.values())
    other = make_optimizer(method, np.full(4, 0.9), population=10, seed=99)
    other.restore(state)
    at = np.array([0, 1, 5])
    for each in (optimizer, other):
        each.tell(under_way.ids[at], ellipsoid(under_way.points[at]))
    for _ in range(5):
        one, two = optimizer.ask(100), other.ask(100)
        assert np.array_equal(one.ids, two.ids)
        assert np.array_equal(one.points, two.points)
        for each, asked in ((optimizer, one), (other, two)):
            each.tell(asked.ids, ellipsoid(asked.points))


@pytest.mark.parametrize("method", METHODS)
def test_what_was_not_asked_for_or_was_told_already_is_an_error(method):
    optimizer = make_optimizer(method, np.full(2, 0.5), population=8)
    asked = optimizer.ask(4)
    with pytest.raises(ValueError, match="not asked for"):
        optimizer.tell(np.array([4]), np.zeros(1))
    optimizer.tell(asked.ids[:1], np.zeros(1))
    with pytest.raises(ValueError, match="told already"):
        optimizer.tell(asked.ids[:1], np.zeros(1))


@pytest.mark.parametrize("method", ["cmaes", "differential_evolution"])
def test_failures_are_ranked_last_and_the_search_converges_beside_them(method):
    def half(x):
        return np.where(x[..., 0] > 0.5, np.nan, sphere(x))

    optimizer = make_optimizer(method, np.full(2, 0.5), population=24, seed=1)
    best, _ = searched(optimizer, half)
    assert best < 1e-8
    assert optimizer.is_converged


@pytest.mark.parametrize("method", ["cmaes", "differential_evolution"])
def test_where_all_fails_or_all_is_equal_it_stops_and_says_so(method):
    optimizer = make_optimizer(method, np.full(2, 0.5), population=16)
    _, n = searched_without_a_value(optimizer, np.nan)
    assert n == 48
    assert "failed" in optimizer.stopped
    optimizer = make_optimizer(method, np.full(2, 0.5), population=16)
    _, n = searched_without_a_value(optimizer, 3.25)
    assert n == 48
    assert "equal (3.25)" in optimizer.stopped
    assert not optimizer.is_converged


def searched_without_a_value(optimizer, value):
    return (
        searched(optimizer, lambda x: np.full(len(x), value))
        if value == value
        else _all_nan(optimizer)
    )


def _all_nan(optimizer):
    n = 0
    while not optimizer.stopped:
        asked = optimizer.ask(100)
        optimizer.tell(asked.ids, np.full(len(asked.ids), np.nan))
        n += len(asked.ids)
    return math.inf, n


def test_a_noisy_objective_ends_as_stagnant_and_not_as_converged():
    rng = np.random.default_rng(0)
    optimizer = make_optimizer("cmaes", np.full(2, 0.5), population=8, seed=0)
    _, n = searched(optimizer, lambda x: rng.normal(size=len(x)), most=40_000)
    assert n < 40_000
    assert "stagnation" in optimizer.stopped
    assert not optimizer.is_converged


def test_parameters_that_matter_a_hundred_million_times_less_are_named_a_condition():
    def line(x):
        return 1e16 * (x[..., 0] - x[..., 1]) ** 2 + (x[..., 1] - 1) ** 2

    optimizer = make_optimizer("cmaes", np.full(2, 0.5), population=10, seed=0)
    searched(optimizer, line, most=60_000)
    assert "condition" in optimizer.stopped


def test_differential_evolution_finds_the_minimum_among_many():
    def rastrigin(x):
        return (x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum(axis=-1)

    found = []
    for seed in range(5):
        optimizer = make_optimizer(
            "differential_evolution", np.full(3, 0.3), seed=seed, is_start_given=False
        )
        found.append(searched(optimizer, rastrigin)[0])
    assert sum(best < 1e-8 for best in found) >= 4


def test_sobol_points_are_more_even_than_random_ones():
    def emptiest(method):
        points = make_optimizer(method, np.full(2, 0.5), population=256, seed=1).ask(256).points
        counts, _, _ = np.histogram2d(*points.T, bins=8, range=[[0, 1], [0, 1]])
        return counts.min(), counts.max()

    assert emptiest("sobol") == (4, 4)
    assert emptiest("random")[0] < 4
