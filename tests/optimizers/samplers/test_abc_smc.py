"""``tk.abc_smc``: posteriors of simulators without a likelihood."""

import numpy as np
import pytest

import toolkit as tk

FEW = {"particles": 100, "progress": False}
WIDE = {"mean": tk.normal(0, 2)}


def gaussian(mean, rng):
    return {"seen": rng.normal(mean, 1.0)}


def by_point(mean):
    """As ``gaussian``, its noise taken from the digits of the mean, to run in this process."""
    seeds = np.asarray(mean, np.float64).view(np.uint64)
    return {"seen": mean + np.array([np.random.default_rng(int(seed)).normal() for seed in seeds])}


def test_the_posterior_of_a_gaussian_is_found():
    stage = tk.stage(by_point, vectorized=True)
    found = tk.abc_smc(stage, WIDE, {"seen": 2.0}, particles=700, progress=False)
    assert found.converged
    # Prior variance 4, of the data 1: mean 2 * 4/5, variance 4/5.
    assert float(found.samples["mean"].mean()) == pytest.approx(1.6, abs=0.12)
    assert float(found.samples["mean"].std()) == pytest.approx(np.sqrt(0.8), rel=0.09)
    assert found.effective_samples > 500
    tolerances = found.generations.tolerance.values
    assert (np.diff(tolerances) <= 0).all()
    assert found.tolerance == tolerances[-1] == float(found.weighted_samples.distance.max())
    assert found.generations.acceptance.values[-1] < 0.05
    assert int(found.generations.simulations[-1]) == found.evaluations
    # The scale is that of what is seen over the prior.
    scale = np.sqrt(5)
    near = found.history.distance.values <= found.tolerance
    assert np.abs(near * (found.history.distance.values * scale)).max() < 1.2 * scale


def test_here_with_streams_and_in_a_store_it_is_repeatable(tmp_path):
    one = tk.abc_smc(gaussian, WIDE, {"seen": 2.0}, budget=500, seed=5, **FEW)
    two = tk.abc_smc(gaussian, WIDE, {"seen": 2.0}, budget=500, seed=5, **FEW)
    assert one.history.identical(two.history)
    store = tmp_path / "runs.zarr"
    short = tk.abc_smc(gaussian, WIDE, {"seen": 2.0}, budget=300, seed=5, store=store, **FEW)
    assert not short.converged
    assert "the budget of 300 simulations is spent" in short.message
    longer = tk.abc_smc(gaussian, WIDE, {"seen": 2.0}, budget=500, seed=5, store=store, **FEW)
    assert longer.history.identical(one.history)
    assert longer.history.isel(evaluation=slice(300)).identical(short.history)
    assert "seen" in tk.open(store)


def test_arrays_and_several_outputs_are_compared_each_by_its_own_scale():
    def simulator(a, b):
        return {"large": 1e6 * a + np.zeros(3), "small": 1e-6 * b}

    observed = {"large": np.full(3, 2e6), "small": 1e-6}
    prior = {"a": (0, 4), "b": (0, 4)}
    found = tk.abc_smc(simulator, prior, observed, tolerance=0.05, **FEW)
    assert "within 0.05 of the data" in found.message
    assert float(found.samples.a.mean()) == pytest.approx(2, abs=0.05)
    assert float(found.samples.b.mean()) == pytest.approx(1, abs=0.1)


def test_a_distance_of_ones_own_and_one_that_the_simulator_returns():
    def apart(simulated, observed):
        return abs(float(simulated["y"] - observed["y"]))

    given = {**FEW, "tolerance": 0.05, "seed": 1}
    own = tk.abc_smc(lambda x: {"y": x**2}, {"x": (0, 3)}, {"y": 4.0}, distance=apart, **given)
    direct = tk.abc_smc(lambda x: abs(x**2 - 4.0), {"x": (0, 3)}, **given)
    for found in (own, direct):
        assert float(found.samples.x.mean()) == pytest.approx(2, abs=0.02)
    assert np.allclose(own.history.distance, direct.history.distance)


def test_failures_are_listed_and_never_kept():
    def half(x):
        if x > 2:
            raise ValueError("too far")
        return {"y": x}

    found = tk.abc_smc(half, {"x": (0, 3)}, {"y": 2.0}, tolerance=0.02, **FEW)
    assert float(found.samples.x.max()) <= 2
    assert "failed and count as impossible, the first with ValueError: too far" in repr(found)
    assert np.isinf(found.history.distance.values[found.history.x.values > 2]).all()

    def broken(x):
        raise KeyError("no such table")

    with pytest.raises(tk.RunsFailedError, match="no such table"):
        tk.abc_smc(broken, {"x": (0, 3)}, {"y": 2.0}, **FEW)
    with pytest.raises(tk.RunsFailedError, match="Only 0 of the first 200 simulations"):
        tk.abc_smc(lambda x: {"y": float("nan")}, {"x": (0, 3)}, {"y": 2.0}, **FEW)


def test_data_that_say_nothing_are_noticed():
    found = tk.abc_smc(lambda x: {"y": 1.0 + 0 * x}, {"x": (0, 3)}, {"y": 2.0}, **FEW)
    assert any("little more than the prior" in each for each in found.warnings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"observed": {"z": 1.0}}, "observed= has 'z', and the simulator returns 'y'"),
        ({"observed": {"y": np.ones(2)}}, r"observed= has 'y' of shape \(2,\)"),
        ({"observed": 3}, "observed=3 must be a mapping"),
        ({"observed": None, "distance": abs}, "distance= must be a function of simulated and"),
        ({"quantile": 1.5}, "quantile=1.5 must be a number above 0 and below 1"),
        ({"particles": 3}, "particles=3 must be a whole number of at least 4"),
        ({"budget": 150}, "budget=150 must be a whole number of at least 200"),
        ({"tolerance": -1}, "tolerance=-1"),
    ],
)
def test_a_wrong_description_is_an_error(given, message):
    with pytest.raises(tk.ToolkitError, match=message):
        tk.abc_smc(lambda x: {"y": x}, {"x": (0, 3)}, **{**FEW, "observed": {"y": 1.0}, **given})


def test_a_simulator_without_anything_observed_has_to_return_a_number():
    with pytest.raises(tk.SweepError, match="has to return one number, the distance"):
        tk.abc_smc(lambda x: {"y": x, "z": x}, {"x": (0, 3)}, **FEW)
