"""The steady state: a value told, a point drawn; the order of values is kept, and gone by again."""

import numpy as np
import pytest
from distributed import Client, LocalCluster

import toolkit as tk
from toolkit.optimizers.methods import make_optimizer

BOX = {"x": (-5, 5), "y": (-5, 5)}
METHODS = ["cmaes", "differential_evolution"]


def cost(x, y):
    return (x - 1) ** 2 + 10 * (y + 2) ** 2


def rosenbrock(points):
    x = 4 * points - 2
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1)


def steady(method, seed=1, n_dims=2, population=8):
    start = np.full(n_dims, 0.3)
    return make_optimizer(method, start, population=population, seed=seed, schedule="steady-state")


def go(optimizer, evaluations, rng, under_way=None):
    """Tell values in a random order, one at a time; return the least and all points by id."""
    under_way, seen, best = dict(under_way or {}), {}, np.inf
    for _ in range(evaluations):
        asked = optimizer.ask(100)
        under_way |= dict(zip(asked.ids.tolist(), asked.points, strict=True))
        if not under_way:
            break
        one = int(rng.choice(sorted(under_way)))
        point = under_way.pop(one)
        value = rosenbrock(point[None])
        seen[one] = point
        best = min(best, float(value[0]))
        optimizer.tell(np.array([one]), value)
    return best, seen, under_way


@pytest.mark.parametrize("method", METHODS)
def test_it_converges_though_values_come_in_any_order(method):
    bests = [
        go(steady(method, seed, population=16), 4000, np.random.default_rng(seed))[0]
        for seed in range(3)
    ]
    assert np.median(bests) < 1e-8


@pytest.mark.parametrize("method", METHODS)
def test_a_population_is_under_way_at_all_times(method):
    optimizer = steady(method)
    first = optimizer.ask(100)
    assert first.ids.tolist() == list(range(8))
    assert (first.follows == -1).all()
    assert not len(optimizer.ask(100).ids)
    optimizer.tell(np.array([5, 2]), np.array([1.0, np.nan]))
    further = optimizer.ask(100)
    assert further.ids.tolist() == [8, 9]
    assert further.follows.tolist() == [5, 2]
    with pytest.raises(ValueError, match="not asked for, or were told already"):
        optimizer.tell(np.array([5]), np.array([1.0]))
    with pytest.raises(ValueError, match="not asked for"):
        optimizer.tell(np.array([10]), np.array([1.0]))


@pytest.mark.parametrize("method", METHODS)
def test_its_state_is_all_that_it_knows(method):
    one, other = steady(method), steady(method, seed=99)
    _, _, under_way = go(one, 45, np.random.default_rng(0))
    other.restore(one.state())
    goes_on = [go(each, 60, np.random.default_rng(5), under_way)[1] for each in (one, other)]
    assert goes_on[0].keys() == goes_on[1].keys()
    for number, point in goes_on[0].items():
        assert np.array_equal(point, goes_on[1][number])


def test_what_always_fails_ends_it():
    for method in METHODS:
        optimizer = steady(method)
        for _ in range(1000):
            asked = optimizer.ask(100)
            optimizer.tell(asked.ids, np.full(len(asked.ids), np.nan))
        assert "failed" in optimizer.stopped


def same(one, other):
    assert one.history.identical(other.history)


@pytest.mark.parametrize("method", METHODS)
def test_a_stored_search_goes_on_in_the_order_in_which_it_went(method, tmp_path):
    given = {"population": 8, "seed": 3, "schedule": "steady-state", "method": method}
    given["progress"] = False
    store = tmp_path / "fit.zarr"
    tk.minimize(cost, BOX, budget=60, store=store, **given)
    again = tk.minimize(cost, BOX, budget=60, store=store, **given)
    further = tk.minimize(cost, BOX, budget=150, store=store, **given)
    first = further.history.isel(evaluation=slice(60))
    assert np.array_equal(first.x, again.history.x)
    same(further, tk.minimize(cost, BOX, budget=150, store=store, **given))
    data = tk.open(store, flat=True)
    assert data.sizes["run"] == further.evaluations == 150
    assert (data.follows.values >= -1).all()
    assert (data.follows.values[data.evaluation.values >= 8] >= 0).all()


def test_on_workers_the_order_of_values_is_kept_and_gone_by_again(tmp_path):
    store = tmp_path / "fit.zarr"

    def uneven(x, y):
        import time

        time.sleep(0.02 + 0.05 * ((1000 * x) % 1))
        return (x - 1) ** 2 + 10 * (y + 2) ** 2

    given = {"population": 6, "seed": 3, "schedule": "steady-state", "progress": False}
    stage = tk.stage(
        uneven, name="uneven", version="1", resources=tk.Resources(threads=1)
    )  # resources: by workers
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        found = tk.minimize(stage, BOX, budget=40, store=store, client=client, **given)
        order = found.history.follows.values
        assert sorted(order[order >= 0]) != order[order >= 0].tolist(), "it came in order"
        more = tk.minimize(stage, BOX, budget=60, store=store, client=client, **given)
    assert more.evaluations == 60
    for name in ("x", "y", "follows", "value"):
        assert np.array_equal(more.history[name][:40], found.history[name])


def test_a_method_without_it_and_an_unknown_schedule_are_errors():
    with pytest.raises(tk.SweepError, match="is there for 'cmaes', 'separable_cmaes' and"):
        tk.minimize(cost, BOX, method="sobol", budget=20, schedule="steady-state")
    with pytest.raises(tk.SweepError, match="Did you mean 'steady-state'"):
        tk.minimize(cost, BOX, schedule="steady_state")


def test_two_searches_in_one_store_are_refused(tmp_path):
    given = {"population": 6, "budget": 30, "schedule": "steady-state", "progress": False}
    tk.minimize(cost, BOX, seed=1, store=tmp_path / "fit.zarr", **given)
    tk.minimize(cost, BOX, seed=2, store=tmp_path / "fit.zarr", **given)
    with pytest.raises(tk.SweepError, match="two searches in the steady state"):
        tk.minimize(cost, BOX, seed=2, store=tmp_path / "fit.zarr", **given)


def test_whole_numbers_and_independent_parameters_are_searched_too():
    def misfit(x, n):
        return (x - 1) ** 2 + (n - 7) ** 2

    axes = {"x": (-5, 5), "n": tk.integers(0, 20)}
    for method in ("cmaes", "separable_cmaes"):
        found = tk.minimize(misfit, axes, method=method, schedule="steady-state", budget=2000)
        assert found.x["n"] == 7
        assert found.x["x"] == pytest.approx(1.0, abs=1e-3)
