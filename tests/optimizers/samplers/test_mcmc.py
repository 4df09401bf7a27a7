"""``tk.mcmc``: chains, and whether they are long enough."""

import numpy as np
import pytest

import toolkit as tk

pytest.importorskip("emcee")

BOX = {"x": (-5, 5), "y": tk.normal(0, 3)}
FEW = {"walkers": 16, "steps": 60, "progress": False}


def peak(x, y):
    return -0.5 * ((x - 1) ** 2 / 0.25 + (y + 2) ** 2 / 4)


def test_the_posterior_is_that_of_the_likelihood_and_the_prior():
    found = tk.mcmc(tk.stage(peak, vectorized=True), BOX, walkers=40, seed=1)
    assert found.converged
    assert found.warnings == ()
    samples = found.samples
    assert samples.sizes["chain"] == 40
    # y: 1/4 of the likelihood and 1/9 of the prior.
    sd = (1 / 4 + 1 / 9) ** -0.5
    assert float(samples.x.mean()) == pytest.approx(1, abs=0.05)
    assert float(samples.x.std()) == pytest.approx(0.5, rel=0.05)
    assert float(samples.y.mean()) == pytest.approx(-2 / 4 * sd**2, abs=0.15)
    assert float(samples.y.std()) == pytest.approx(sd, rel=0.06)
    assert max(found.r_hat.values()) < 1.05
    assert samples.sizes["draw"] > 50 * max(found.autocorrelation_time.values())
    assert found.chain.sizes["draw"] > samples.sizes["draw"]
    assert np.allclose(found.log_likelihood, peak(found.chain.x, found.chain.y), atol=1e-8)
    assert 0.2 < found.acceptance < 0.9


def test_here_and_in_a_store_the_chains_are_the_same_and_more_steps_go_further(tmp_path):
    here = tk.mcmc(peak, BOX, seed=3, **FEW)
    store = tmp_path / "runs.zarr"
    short = tk.mcmc(peak, BOX, seed=3, store=store, **{**FEW, "steps": 20})
    assert tk.open(store).sizes["evaluation"] == short.evaluations == 16 * (20 + 4)
    stored = tk.mcmc(peak, BOX, seed=3, store=store, **FEW)
    assert stored.history.identical(here.history)
    assert stored.chain.identical(here.chain)
    assert here.chain.isel(draw=slice(20)).identical(short.chain)
    assert here.evaluations == 16 * (60 + 4)


def test_chains_that_are_too_short_say_how_long_they_should_be():
    found = tk.mcmc(peak, BOX, **FEW)
    assert not found.converged
    assert "50 times were asked for: go on with about steps=" in found.message
    assert "not complete" in repr(found)


def test_walkers_in_different_modes_are_noticed():
    def modes(x, y):
        return np.logaddexp(-0.5 * (x - 3) ** 2 / 0.001, -0.5 * (x + 3) ** 2 / 0.001)

    found = tk.mcmc(tk.stage(modes, vectorized=True), BOX, walkers=16, steps=600, seed=2)
    assert not found.converged
    assert max(found.r_hat.values()) > 1.5
    assert "walkers disagree, with an R-hat of" in found.message


def test_walkers_begin_where_they_are_told():
    found = tk.mcmc(peak, BOX, start={"x": 4, "y": 1}, **FEW)
    first = found.chain.isel(draw=0)
    assert float(first.x.mean()) == pytest.approx(4, abs=0.5)
    assert float(first.x.std()) < 1


def test_a_move_by_differences_finds_the_same():
    found = tk.mcmc(
        tk.stage(peak, vectorized=True), BOX, move="differential_evolution", seed=1, walkers=40
    )
    assert float(found.samples.x.std()) == pytest.approx(0.5, rel=0.06)


def test_failures_are_never_stepped_to():
    def half(x, y):
        if x > 1:
            raise ValueError("too far")
        return -2 * (x - 1) ** 2 - (y + 2) ** 2

    found = tk.mcmc(half, BOX, **FEW)
    assert float(found.chain.x.max()) <= 1
    assert "failed and count as impossible, the first with ValueError: too far" in repr(found)
    with pytest.raises(tk.RunsFailedError, match=r"too few for 16 walkers\. Begin where"):
        tk.mcmc(lambda x, y: -np.inf if x < 4.99 else 0.0, BOX, **FEW)


def test_its_chains_go_straight_into_pictures():
    found = tk.mcmc(peak, BOX, **FEW)
    assert tk.plot.corner(found.samples).shape == (2, 2)
    assert tk.plot.trace(found.chain).shape == (2,)
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"walkers": 3}, "walkers=3 must be a whole number of at least 4"),
        ({"walkers": 5}, "must be an even number"),
        ({"steps": 5}, "steps=5"),
        ({"move": "jump"}, "'jump'"),
        ({"start": 3}, "start=3 must be a mapping"),
        ({"start": {"x": 9}}, "start has x=9"),
        ({"autocorrelation_times": 0}, "must be a number above 0"),
    ],
)
def test_a_wrong_description_is_an_error(given, message):
    with pytest.raises(tk.ToolkitError, match=message):
        tk.mcmc(peak, BOX, **{**FEW, **given})


def test_without_emcee_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "emcee", None)
    with pytest.raises(tk.SweepError, match=r"parallel-analysis-toolkit\[mcmc\]"):
        tk.mcmc(peak, BOX, **FEW)
