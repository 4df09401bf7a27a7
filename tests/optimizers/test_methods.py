"""Simplex, restarts, whole numbers and the samplers of optuna, alone and by ``tk.minimize``."""

import math

import numpy as np
import pytest

import toolkit as tk
from tests.optimizers.searching import searched
from toolkit.optimizers.cmaes import CMAES
from toolkit.optimizers.generational import Generational
from toolkit.optimizers.methods import make_optimizer

cmaes = pytest.importorskip("cmaes")


def rosenbrock(x):
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(axis=-1)


def rastrigin(x):
    return (x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum(axis=-1)


def step(optimizer, function):
    asked = optimizer.ask(100)
    optimizer.tell(asked.ids, function(10 * asked.points - 5))
    return asked.points


@pytest.mark.parametrize("n_dims", [2, 4])
def test_nelder_mead_converges_where_the_valley_ends(n_dims):
    optimizer = make_optimizer("nelder_mead", np.full(n_dims, 0.35))
    best, n = searched(optimizer, rosenbrock)
    assert best < 1e-9
    assert n < 400 * n_dims
    assert optimizer.is_converged


def test_nelder_mead_finds_a_corner_and_goes_around_failures():
    def corner(x):
        return np.where(x[..., 0] < -4, np.nan, ((x - 7) ** 2).sum(axis=-1))  # bounds are at 5

    best, _ = searched(make_optimizer("nelder_mead", np.array([0.3, 0.4])), corner)
    assert best == pytest.approx(8, rel=1e-6)
    failing = make_optimizer("nelder_mead", np.array([0.3, 0.4]))
    step(failing, lambda x: np.full(len(x), np.nan))
    assert "all values of the first 3 points failed" in failing.stopped


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("nelder_mead", {}),
        ("ipop_cmaes", {"population": 6}),
        ("bipop_cmaes", {"population": 6}),
        ("tpe", {"population": 3, "counts": np.array([0, 4, 3])}),
    ],
)
def test_a_restored_state_goes_on_bit_for_bit(method, given):
    if method == "tpe":
        pytest.importorskip("optuna")
        given = {**given, "is_ordered": np.array([True, True, False])}
    n_steps = 8 if method == "tpe" else 60
    one = make_optimizer(method, np.full(3, 0.4), seed=3, **given)
    for _ in range(n_steps):
        step(one, rastrigin)
    under_way = one.ask(1)
    other = make_optimizer(method, np.full(3, 0.9), seed=9, **given)
    other.restore(one.state())
    for each in (one, other):
        each.tell(under_way.ids, rastrigin(10 * under_way.points - 5))
    for _ in range(n_steps // 2):
        assert np.array_equal(step(one, rastrigin), step(other, rastrigin))


@pytest.mark.parametrize("method", ["ipop_cmaes", "bipop_cmaes"])
def test_restarts_with_larger_populations_leave_local_minima(method):
    alone = [
        searched(make_optimizer("cmaes", np.full(3, 0.3), seed=seed), rastrigin)[0]
        for seed in range(6)
    ]
    found = []
    for seed in range(6):
        optimizer = make_optimizer(method, np.full(3, 0.3), seed=seed)
        best, _ = searched(optimizer, rastrigin, most=30_000, target=1e-8)
        found.append(best)
    assert sum(best < 1e-8 for best in alone) <= 2
    assert sum(best < 1e-8 for best in found) >= 5


def test_generations_grow_with_restarts_and_are_numbered_in_the_history():
    def bumps(x, y):
        return float(rastrigin(np.array([x, y])))

    axes = {"x": (-5, 5), "y": (-5, 5)}
    found = tk.minimize(bumps, axes, method="ipop_cmaes", population=6, budget=2000, progress=False)
    _, sizes = np.unique(found.history.generation, return_counts=True)
    assert set(sizes[:-1]) >= {6, 12, 24}
    assert found.value < 1e-8
    assert found.converged


def test_where_nothing_differs_restarts_end_too():
    optimizer = make_optimizer("ipop_cmaes", np.full(2, 0.5), population=8)
    _, n = searched(optimizer, lambda x: np.full(len(x), 2.5))
    assert n < 200
    assert "equal (2.5)" in optimizer.stopped


def test_separable_cmaes_needs_fewer_evaluations_where_coordinates_are_independent():
    def ellipsoid(x):
        return (1e6 ** (np.arange(20) / 19) * x**2).sum(axis=-1)

    spent = {}
    for method in ("cmaes", "separable_cmaes"):
        runs = [
            searched(
                make_optimizer(method, np.full(20, 0.4), seed=seed, step_size=0.2),
                ellipsoid,
                most=60_000,
                target=1e-8,
            )[1]
            for seed in range(3)
        ]
        spent[method] = np.median(runs)
    assert spent["separable_cmaes"] < 0.5 * spent["cmaes"]


def mixed(values):
    """Whole numbers in the second half, the minimum where all are 0."""
    return (1e3 ** (np.arange(8) / 7) * values**2).sum(axis=-1)


def evaluations_of_ours(seed, most=12_000):
    counts = np.array([0] * 4 + [21] * 4)
    rule = CMAES(np.full(8, 0.9), step_size=0.2, seed=seed, counts=counts)
    optimizer, best, n = Generational(rule), math.inf, 0
    while not rule.stopped and n < most and best > 1e-8:
        asked = optimizer.ask(100)
        points = asked.points * 20 - 10
        points[:, 4:] = np.minimum(np.floor(asked.points[:, 4:] * 21), 20) - 10
        values = mixed(points)
        optimizer.tell(asked.ids, values)
        best, n = min(best, values.min()), n + len(values)
    return n if best <= 1e-8 else math.inf


def evaluations_of_theirs(seed, most=12_000):
    bounds = np.array([[-10.0, 10.0]] * 8)
    steps = np.array([0.0] * 4 + [1.0] * 4)
    other = cmaes.CMAwM(mean=np.full(8, 8.0), sigma=4.0, bounds=bounds, steps=steps, seed=seed)
    best, n = math.inf, 0
    while not other.should_stop() and n < most and best > 1e-8:
        told = []
        for _ in range(other.population_size):
            point, drawn = other.ask()
            told.append((drawn, float(mixed(point))))
        other.tell(told)
        best, n = min(best, *(value for _, value in told)), n + len(told)
    return n if best <= 1e-8 else math.inf


def test_whole_numbers_are_found_as_surely_as_by_the_package_cmaes():
    ours = [evaluations_of_ours(seed) for seed in range(9)]
    theirs = [evaluations_of_theirs(seed) for seed in range(1, 10)]
    assert np.isfinite(ours).sum() >= np.isfinite(theirs).sum() - 1
    assert np.median(ours) <= 1.15 * np.median(theirs)


def test_a_yes_or_no_is_not_given_up_before_the_rest_is_settled():
    def model(rate, kind, depth):  # where the rate is far off, the wrong kind looks better
        return (
            (rate - 0.9) ** 2
            + 0.002 * (kind == "b")
            + 0.3 * (kind == "a") * (rate > 0.8)
            + (depth - 3) ** 2
        )

    axes = {"rate": (0.0, 1.0), "kind": tk.choice(["a", "b"]), "depth": tk.integers(1, 9)}
    found = [
        tk.minimize(model, axes, population=10, budget=1500, seed=seed, progress=False)
        for seed in range(5)
    ]
    assert sum((each.x["kind"], each.x["depth"]) == ("b", 3) for each in found) >= 4


@pytest.mark.parametrize("method", ["tpe", pytest.param("gp", marks=pytest.mark.long)])
def test_samplers_of_optuna_need_few_evaluations_and_repeat(method, tmp_path):
    pytest.importorskip("optuna")
    if method == "gp":
        pytest.importorskip("torch")

    def model(rate, depth, kind):
        return (rate - 0.3) ** 2 + 0.1 * abs(depth - 4) + 0.5 * (kind != "b")

    axes = {"rate": (0.0, 1.0), "depth": tk.integers(1, 8), "kind": tk.choice(["a", "b", "c"])}
    given = {"method": method, "population": 4, "budget": 40, "seed": 2, "progress": False}
    found = tk.minimize(model, axes, **given)
    assert found.x["kind"] == "b"
    assert found.value < 0.15
    first = tk.minimize(model, axes, **given | {"budget": 20, "store": tmp_path / "fit.zarr"})
    further = tk.minimize(model, axes, **given | {"store": tmp_path / "fit.zarr"})
    assert further.history.identical(found.history)
    assert further.history.isel(evaluation=slice(20)).identical(first.history)


def test_a_sampler_of_optuna_without_optuna_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(tk.SweepError, match=r"needs optuna.*toolkit\[optimize\]"):
        tk.minimize(lambda x: x, {"x": (0, 1)}, method="tpe", budget=10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "nelder_mead", "population": 8}, "starts=8"),
        ({"method": "tpe"}, "never ends by itself"),
        ({"method": "lbfgs", "axes": {"x": tk.integers(0, 5)}}, "x takes only some values"),
        ({"method": "ipop_cmae"}, "Did you mean"),
    ],
)
def test_what_a_method_cannot_do_is_an_error_before_anything_runs(given, message):
    def never(x):
        raise AssertionError("it ran")

    axes = given.pop("axes", {"x": (0, 1)})
    with pytest.raises(tk.SweepError, match=message):
        tk.minimize(never, axes, progress=False, **given)
