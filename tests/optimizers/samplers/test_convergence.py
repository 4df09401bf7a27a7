"""Autocorrelation times and R-hat, against chains of which they are known."""

import numpy as np
import pytest

from toolkit.optimizers.samplers.convergence import autocorrelation_time, r_hat


def autoregressive(rho, n_chains=20, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    x = np.empty((n_chains, n))
    x[:, 0] = rng.normal(size=n_chains)
    for step in range(1, n):
        x[:, step] = rho * x[:, step - 1] + np.sqrt(1 - rho**2) * rng.normal(size=n_chains)
    return x


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_an_autoregressive_chain(rho):
    assert autocorrelation_time(autoregressive(rho)) == pytest.approx(
        (1 + rho) / (1 - rho), rel=0.08
    )


def test_it_agrees_with_that_of_emcee():
    emcee = pytest.importorskip("emcee")
    chains = autoregressive(0.8)
    theirs = emcee.autocorr.integrated_time(chains.T[:, :, None], quiet=True)
    assert autocorrelation_time(chains) == pytest.approx(float(theirs[0]), rel=1e-6)


def test_nothing_varies_is_no_number():
    still = np.ones((4, 50))
    assert np.isnan(autocorrelation_time(still))
    assert np.isnan(r_hat(still))


def test_r_hat_is_one_where_chains_agree_and_more_where_they_do_not():
    chains = autoregressive(0.3, n_chains=4, n=1000)
    assert r_hat(chains) == pytest.approx(1, abs=0.01)
    apart = chains + np.array([0, 0, 0, 2])[:, None]
    wider = chains * np.array([1, 1, 1, 4])[:, None]
    drifting = chains + np.linspace(0, 3, 1000)
    for wrong in (apart, wider, drifting):
        assert r_hat(wrong) > 1.1
