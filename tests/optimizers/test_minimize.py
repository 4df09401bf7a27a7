"""``tk.minimize``: evaluations in this process, or as runs of a sweep."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

import toolkit as tk

BOX = {"x": (-5, 5), "y": (-5, 5)}


def cost(x, y):
    return (x - 1) ** 2 + 10 * (y + 2) ** 2


def minimized(objective, axes=BOX, **given):
    return tk.minimize(objective, axes, progress=False, **given)


def lotka_volterra(times, parameters):
    alpha, beta, delta, gamma = parameters

    def rhs(_, u):
        return [u[0] * (alpha - beta * u[1]), u[1] * (delta * u[0] - gamma)]

    found = solve_ivp(rhs, times[[0, -1]], (10.0, 5.0), t_eval=times, rtol=1e-4, atol=1e-6)
    return found.y


def misfit(alpha, beta, delta, gamma, times, data):
    return float(((lotka_volterra(times, (alpha, beta, delta, gamma)) - data) ** 2).sum())


def test_a_lotka_volterra_fit_finds_the_parameters_that_made_the_data():
    true = {"alpha": 1.1, "beta": 0.4, "delta": 0.1, "gamma": 0.4}
    times = np.linspace(0, 8, 25)
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 25))
    data = lotka_volterra(times, true.values()) + noise
    axes = {name: tk.log(0.05, 3.0) for name in true}
    stage = tk.stage(misfit)
    found = minimized(
        stage, axes, population=12, budget=480, seed=1, frozen={"times": times, "data": data}
    )
    assert found.value <= misfit(**true, times=times, data=data)
    for name, value in true.items():
        assert found.x[name] == pytest.approx(value, rel=0.05)


@pytest.mark.parametrize("method", ["cmaes", "differential_evolution"])
def test_the_minimum_is_found_and_said_to_be_one(method):
    found = minimized(cost, method=method, seed=3)
    assert found.converged
    assert found.x["x"] == pytest.approx(1, abs=1e-4)
    assert found.x["y"] == pytest.approx(-2, abs=1e-4)
    assert found.value == cost(**found.x)
    assert "converged after" in repr(found)


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_designs_spend_their_budget_and_return_the_best(method):
    found = minimized(cost, method=method, budget=100)
    assert found.evaluations == 100
    assert not found.converged
    assert "budget of 100" in found.message
    assert found.value == found.history["value"].min() == cost(**found.x)


def test_the_history_has_every_evaluation_with_its_labels():
    found = minimized(cost, population=10, budget=95, start={"x": 4}, seed=2)
    history = found.history
    assert dict(history.sizes) == {"evaluation": 95}
    assert np.array_equal(history.evaluation, np.arange(95))
    assert np.array_equal(history.generation, np.arange(95) // 10)
    assert np.allclose(history["value"], cost(history.x, history.y))
    assert (history.status == tk.Status.DONE).all()
    again = minimized(cost, population=10, budget=95, start={"x": 4}, seed=2)
    assert again.history.identical(history)
    other = minimized(cost, population=10, budget=95, start={"x": 4}, seed=4)
    assert not other.history.identical(history)


def test_here_on_the_engine_and_in_a_store_the_history_is_the_same(tmp_path):
    here = minimized(cost, population=8, budget=120, seed=5)
    stored = minimized(cost, population=8, budget=120, seed=5, store=tmp_path / "fit.zarr")
    assert stored.history.identical(here.history)
    data = tk.open(tmp_path / "fit.zarr")
    assert data.sizes["evaluation"] == 120
    assert np.array_equal(np.sort(data.cost), np.sort(here.history["value"]))


def test_a_vectorized_objective_is_called_once_for_a_generation():
    sizes = []

    def batch(x, y):
        sizes.append(len(x))
        return cost(x, y)

    found = minimized(tk.stage(batch, vectorized=True), population=20, budget=400, seed=5)
    assert sizes[-5:] == [20] * 5
    assert len(sizes) < 20 + 5  # the first is held against its runs alone
    assert found.history.identical(minimized(cost, population=20, budget=400, seed=5).history)


def test_a_larger_budget_on_the_same_store_goes_further_without_running_again(tmp_path):
    calls = tmp_path / "calls"

    def counted(x, y):
        with calls.open("a") as file:
            file.write(".")
        return (x - 1) ** 2 + 10 * (y + 2) ** 2

    store = tmp_path / "fit.zarr"
    first = minimized(counted, population=8, budget=80, store=store)
    assert len(calls.read_text()) == 80
    same = minimized(counted, population=8, budget=80, store=store)
    assert len(calls.read_text()) == 80
    assert same.history.identical(first.history)
    further = minimized(counted, population=8, budget=160, store=store)
    assert len(calls.read_text()) == 160
    assert further.history.isel(evaluation=slice(80)).identical(first.history)
    assert further.value < first.value


SCRIPT = """
import sys
import time
import toolkit as tk

def cost(x, y):
    time.sleep(0.004)
    with open("calls", "a") as file:
        file.write(".")
    if x < -2:
        raise ValueError("too far left")
    return (x - 1) ** 2 + 10 * (y + 2) ** 2

axes = {"x": (-5, 5), "y": tk.log(0.1, 5)}
found = tk.minimize(cost, axes, population=8, budget=200, seed=7, store="fit.zarr", progress=False)
found.history.to_netcdf("history.nc", engine="scipy")
"""


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        (folder / "fit.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "fit.py"], cwd=whole, check=True, timeout=120)
    calls = killed / "calls"
    process = subprocess.Popen([sys.executable, "fit.py"], cwd=killed)
    try:
        until = time.monotonic() + 60
        while not calls.exists() or calls.stat().st_size < 70:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < until
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = tk.open(killed / "fit.zarr").sizes["evaluation"]
    assert 0 < before < 200
    subprocess.run([sys.executable, "fit.py"], cwd=killed, check=True, timeout=120)
    undisturbed, resumed = (
        xr.load_dataset(folder / "history.nc", engine="scipy") for folder in (whole, killed)
    )
    assert undisturbed.sizes["evaluation"] == 200
    assert resumed.identical(undisturbed)
    assert len(calls.read_text()) < 200 + 10  # what was stored is not run again


def test_failures_are_told_as_such_and_listed(tmp_path):
    def half(x, y):
        if x > 0.5:
            raise ValueError(f"x is {x}")
        return cost(x, y)

    for store in (None, tmp_path / "fit.zarr"):
        found = minimized(half, population=16, budget=320, seed=1, store=store)
        failed = found.history.status == tk.Status.FAILED
        assert failed.any()
        assert (found.history.x.values[failed] > 0.5).all()
        assert np.isnan(found.history["value"].values[failed]).all()
        assert found.x["x"] == pytest.approx(0.5, abs=1e-2)
        assert f"{int(failed.sum())} of {found.evaluations:,} evaluations failed" in found.message
        assert "ValueError: x is" in found.message
    assert len(tk.failures(tmp_path / "fit.zarr")) == failed.sum()


def broken(x, y):
    raise KeyError(f"no such table for {x > y}")


@pytest.mark.parametrize("is_stored", [False, True])
def test_an_objective_that_always_fails_stops_early_with_the_reason(is_stored, tmp_path):
    store = tmp_path / "fit.zarr" if is_stored else None
    with pytest.raises(tk.RunsFailedError, match="no such table for"):
        minimized(broken, store=store)


def test_an_objective_without_a_finite_value_says_so():
    with pytest.raises(tk.RunsFailedError, match=r"18 evaluations gave a finite value.*failed"):
        minimized(lambda x, y: float("nan"), population=6)


def test_a_constant_objective_says_that_all_values_are_equal():
    found = minimized(lambda x, y: 3.0, population=16)
    assert not found.converged
    assert "all 48 values are equal (3)" in found.message


def test_several_starts_go_side_by_side_and_the_best_is_returned(tmp_path):
    def valleys(x):
        return float(0.02 * x**2 - np.cos(x))

    axes = {"x": (-20, 20)}
    given = {"start": {"x": 18}, "step_size": 0.02, "starts": 5, "population": 6, "seed": 1}
    alone = minimized(valleys, axes, **{**given, "starts": 1})
    found = minimized(valleys, axes, **given, budget=3000)
    assert alone.value > 5
    assert found.value < alone.value
    assert np.array_equal(np.unique(found.history.start), np.arange(5))
    first = found.history.isel(evaluation=found.history.start.values == 0)
    n = min(len(first.x), len(alone.history.x))
    assert np.array_equal(first.x[:n], alone.history.x[:n])
    stored = minimized(valleys, axes, **given, budget=300, store=tmp_path / "fit.zarr")
    assert stored.history.identical(minimized(valleys, axes, **given, budget=300).history)


def test_whole_numbers_and_choices_reach_the_objective_as_such():
    seen = set()

    def model(depth, kind, rate):
        seen.add((type(depth), kind))
        return abs(depth - 7) + (kind != "b") + (rate - 0.01) ** 2

    axes = {"depth": tk.integers(1, 20), "kind": tk.choice(["a", "b", "c"]), "rate": (0.0, 1.0)}
    found = minimized(model, axes, population=20, budget=2000, seed=1)
    assert seen == {(int, "a"), (int, "b"), (int, "c")}
    assert (found.x["depth"], found.x["kind"]) == (7, "b")


def test_constraints_keep_points_from_being_run():
    seen = []

    def watched(x, y):
        seen.append((x, y))
        return cost(x, y)

    found = minimized(watched, constraints=lambda x, y: x + y > 1, population=20, seed=1)
    assert all(x + y > 1 for x, y in seen)
    assert found.evaluations == len(seen)
    assert (found.history.status == tk.Status.SKIPPED).any()
    # On the line x + y = 1: x = 1 + 20/11, y = -2 + 2/11.
    assert found.x["x"] == pytest.approx(1 + 20 / 11, abs=0.05)


def test_one_of_several_outputs_is_named_and_constants_are_passed_on():
    def model(x, weight):
        return {"size": x, "loss": weight * (x - 2) ** 2}

    axes = {"x": (-5, 5), "weight": 3}
    found = minimized(model, axes, value="loss")
    assert found.x == {"x": pytest.approx(2, abs=1e-4)}
    assert int(found.history.weight) == 3
    with pytest.raises(tk.SweepError, match=r"There are 'size', 'loss': name it in value="):
        minimized(model, axes)
    with pytest.raises(tk.SweepError, match="value='los' is no output"):
        minimized(model, axes, value="los")


def test_an_objective_with_its_own_stream_is_repeatable():
    def noisy(x, y, rng):
        return cost(x, y) + rng.normal()

    one, two = (minimized(noisy, population=6, budget=30, seed=3) for _ in range(2))
    assert one.history.identical(two.history)
    assert not np.allclose(one.history["value"], cost(one.history.x, one.history.y))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "cma"}, "Did you mean 'cmaes'"),
        ({"start": {"x": 6}}, "start has x=6, and the axis reaches from -5 to 5"),
        ({"start": {"z": 6}}, "the parameter 'z' is not known"),
        ({"start": 3}, "start=3 must be a mapping"),
        ({"budget": 5, "population": 10}, "budget=5 is less than one generation of 10"),
        ({"budget": 15, "population": 10, "starts": 2}, "Give at least 20"),
        ({"budget": 0}, "budget=0 must be a whole number"),
        ({"population": 3}, "population=3 must be a whole number of at least 4"),
        ({"step_size": 0}, "step_size=0 must be a number above 0"),
        ({"seed": -1}, "seed=-1"),
        ({"starts": 0}, "starts=0"),
        ({"method": "sobol"}, "never ends by itself"),
        ({"constraints": 3}, "constraints=3 must be a function"),
        ({"constraints": lambda x: x > 9}, "allows none of the first 18 points"),
        ({"axes": {"x": (5, -5), "y": (0, 1)}}, "Swap the bounds"),
        ({"axes": {"x": [1, 2], "y": (0, 1)}}, "bare list"),
        ({"axes": {"x": 1, "y": 2}}, "needs an axis to fit"),
        ({"axes": {"x": (0, 1), "z": (0, 1)}}, "'y'"),
        ({"axes": {"x": (0, 1), "y": (0, 1), "z": (0, 1)}}, "'z'"),
        ({"axes": {"x": (0, 1), "y": (0, 1), "start": (0, 1)}}, "bears the name"),
        ({"axes": [1]}, "must be a mapping of parameters to axes"),
    ],
)
def test_a_wrong_description_is_an_error_before_anything_runs(given, message):
    def never(x, y):
        raise AssertionError("it ran")

    axes = given.pop("axes", BOX)
    with pytest.raises(tk.ToolkitError, match=message):
        minimized(never, axes, **given)


def test_an_objective_that_returns_no_number_is_named():
    with pytest.raises(tk.SweepError, match="needs one number for each evaluation"):
        minimized(lambda x, y: np.ones(3))
