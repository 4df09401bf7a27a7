"""``tk.nested_sampling``: evidence, posterior, and every evaluation kept."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

import toolkit as tk

pytest.importorskip("dynesty")
from tests.benchmarks.evidence import MODELS, sampled

SMALL = {"live_points": 60, "batch_size": 30, "dynamic": False, "progress": False}


def peak(x, y):
    across, upward = x - 1, y + 2
    return -2 * (across * across + upward * upward)  # a power may differ in its last bit


BOX = {"x": (-5, 5), "y": (-5, 5)}
TRUE = np.log(2 * np.pi * 0.25 / 100)


def test_the_evidence_and_the_posterior_of_a_gaussian():
    found = tk.nested_sampling(
        tk.stage(peak, vectorized=True), BOX, live_points=150, effective_samples=1500
    )
    assert abs(found.log_evidence - TRUE) < 3 * found.log_evidence_error < 0.7
    assert found.converged
    assert found.effective_samples >= 1500
    assert found.samples.sizes == {"chain": 1, "draw": round(found.effective_samples)}
    assert float(found.samples.x.mean()) == pytest.approx(1, abs=0.06)
    assert float(found.samples.y.std()) == pytest.approx(0.5, rel=0.08)
    weighted = found.weighted_samples
    assert float(weighted.weight.sum()) == pytest.approx(1)
    assert float((weighted.weight * weighted.y).sum()) == pytest.approx(-2, abs=0.05)
    assert f"log_evidence = {found.log_evidence:.3f} ± " in repr(found)
    # Widths of x and y over the prior, in nats.
    assert found.information == pytest.approx(np.log(100 / (2 * np.pi * np.e * 0.25)), abs=0.2)


def test_here_on_the_engine_in_a_store_and_vectorized_the_points_are_the_same(tmp_path):
    here = tk.nested_sampling(peak, BOX, seed=3, **SMALL)
    stored = tk.nested_sampling(peak, BOX, seed=3, store=tmp_path / "runs.zarr", **SMALL)
    together = tk.nested_sampling(tk.stage(peak, vectorized=True), BOX, seed=3, **SMALL)
    for other in (stored, together):
        assert other.history.identical(here.history)
        assert other.samples.identical(here.samples)
        assert other.log_evidence == here.log_evidence
    history = here.history
    assert np.array_equal(history.evaluation, np.arange(here.evaluations))
    assert np.allclose(history["value"], peak(history.x, history.y))
    assert (np.diff(history.generation) >= 0).all()
    data = tk.open(tmp_path / "runs.zarr")
    assert data.sizes["evaluation"] == here.evaluations
    another = tk.nested_sampling(peak, BOX, seed=4, **SMALL)
    assert not another.history.identical(history)


@pytest.mark.parametrize("walk", ["walk", "slice"])
def test_walks_and_slices_step_side_by_side(walk):
    sizes = []

    def batch(x, y):
        sizes.append(len(x))
        return peak(x, y)

    found = tk.nested_sampling(
        tk.stage(batch, vectorized=True), BOX, walk=walk, seed=1, **{**SMALL, "batch_size": 8}
    )
    assert abs(found.log_evidence - TRUE) < 3 * found.log_evidence_error
    assert np.median(sizes) == 8
    assert max(sizes) <= 60


def test_a_larger_budget_goes_further_over_the_same_points(tmp_path):
    calls = tmp_path / "calls"

    def counted(x, y):
        with calls.open("a") as file:
            file.write(".")
        return -0.5 * ((x - 1) ** 2 + (y + 2) ** 2) / 0.25

    given = {**SMALL, "store": tmp_path / "runs.zarr", "seed": 2}
    first = tk.nested_sampling(counted, BOX, budget=250, **given)
    n = len(calls.read_text())
    assert first.evaluations == n <= 250 + 150
    assert not first.converged
    assert "the budget is spent, and the logarithm of the evidence may yet grow" in first.message
    whole = tk.nested_sampling(counted, BOX, **given)
    assert whole.converged
    assert len(calls.read_text()) == whole.evaluations > n
    assert whole.history.isel(evaluation=slice(n)).identical(first.history)


def test_failures_count_as_impossible_and_are_listed(tmp_path):
    def half(x, y):
        if x > 1:
            raise ValueError(f"x is {x}")
        if y < -3:
            return float("nan")
        return -0.5 * ((x - 1) ** 2 + (y + 2) ** 2) / 0.25

    for store in (None, tmp_path / "runs.zarr"):
        found = tk.nested_sampling(half, BOX, seed=1, store=store, **{**SMALL, "live_points": 150})
        share = 0.5 * stats.norm.sf(-3, -2, 0.5)
        assert abs(found.log_evidence - TRUE - np.log(share)) < 3 * found.log_evidence_error
        assert float(found.samples.x.max()) <= 1
        failed = found.history.status == tk.Status.FAILED
        assert failed.any()
        assert (found.history.x.values[failed] > 1).all()
        assert "failed and count as impossible, the first with ValueError" in found.warnings[0]
    assert len(tk.failures(tmp_path / "runs.zarr")) == failed.sum()


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_likelihood_that_always_fails_stops_early_with_the_reason(is_stored, tmp_path):
    def broken(x, y):
        raise KeyError("no such table")

    store = tmp_path / "runs.zarr" if is_stored else None
    with pytest.raises(tk.RunsFailedError, match="no such table"):
        tk.nested_sampling(broken, BOX, store=store, **SMALL)


def test_a_likelihood_that_is_zero_everywhere_says_so():
    with pytest.raises(tk.RunsFailedError, match=r"None of the first 1,200 points of the prior"):
        tk.nested_sampling(lambda x, y: -np.inf, BOX, **SMALL)


def test_priors_of_all_kinds_reach_the_likelihood():
    seen = set()

    def likelihood(rate, shift, shape, depth, fixed):
        seen.add((type(depth), fixed))
        return -0.5 * ((np.log(rate) + 2) ** 2 + (shift - 1) ** 2 + (shape - 2) ** 2)

    prior = {
        "rate": tk.log(1e-3, 10),
        "shift": tk.normal(0, 1),
        "shape": stats.gamma(2.0),
        "depth": tk.integers(1, 4),
        "fixed": 7,
    }
    found = tk.nested_sampling(
        likelihood, prior, live_points=150, effective_samples=1500, progress=False
    )
    assert seen == {(int, 7)}
    assert set(found.samples) == {"rate", "shift", "shape", "depth"}
    assert float(found.samples["shift"].mean()) == pytest.approx(0.5, abs=0.08)
    assert float(found.samples["shift"].std()) == pytest.approx(np.sqrt(0.5), rel=0.08)
    assert set(np.unique(found.samples.depth)) == {1, 2, 3, 4}


def test_a_posterior_at_the_edge_of_its_prior_is_named():
    found = tk.nested_sampling(lambda x, y: -20 * (5 - x) - 0.1 * y**2, BOX, **SMALL)
    assert any("'x' piles up at a bound" in each for each in found.warnings)
    assert not any("'y' piles up" in each for each in found.warnings)
    assert any("effective samples are few" in each for each in found.warnings)


def test_its_samples_go_straight_into_pictures():
    found = tk.nested_sampling(peak, BOX, **SMALL)
    axes = tk.plot.corner(found.samples, truths={"x": 1, "y": -2})
    assert axes.shape == (2, 2)
    assert tk.plot.corner(found.weighted_samples, ["x", "y"], weights="weight").shape == (2, 2)
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"live_points": 5}, "live_points=5 must be a whole number of at least 6"),
        ({"walk": "jump"}, "'jump'"),
        ({"budget": 100}, "budget=100 must be a whole number of at least 120"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"effective_samples": 0.5}, "effective_samples=0.5"),
        ({"evidence_tolerance": 0}, "evidence_tolerance=0 must be a number above 0"),
        ({"prior": {"x": (5, -5), "y": (0, 1)}}, "Swap the bounds"),
        ({"prior": {"x": (0, 1)}}, "'y'"),
        ({"prior": [1]}, "must be a mapping of parameters to distributions"),
        ({"value": "size"}, "value='size' is no output"),
    ],
)
def test_a_wrong_description_is_an_error(given, message):
    prior = given.pop("prior", BOX)
    with pytest.raises(tk.ToolkitError, match=message):
        tk.nested_sampling(peak, prior, **{**SMALL, **given})


def test_a_likelihood_that_returns_no_number_is_named():
    with pytest.raises(tk.SweepError, match="nested_sampling needs one number"):
        tk.nested_sampling(lambda x, y: np.ones(3), BOX, **SMALL)


def test_without_dynesty_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dynesty", None)
    with pytest.raises(tk.SweepError, match=r"parallel-analysis-toolkit\[nested\]"):
        tk.nested_sampling(peak, BOX, **SMALL)


def test_the_evidence_of_a_known_model_is_within_three_errors():
    found = sampled(
        dataclasses.replace(MODELS["3-d Gaussian"], live_points=100, effective_samples=1000), 0
    )
    assert abs(found.errors) <= 3


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:The enlargement factor:UserWarning")  # thin shells
@pytest.mark.parametrize("name", MODELS)
def test_the_evidence_of_known_models_is_within_three_errors_of_twenty_seeds(name):
    found = [sampled(MODELS[name], seed) for seed in range(20)]
    assert sum(abs(each.errors) <= 3 for each in found) >= 19
    assert all(abs(width - 1) <= 0.05 for each in found for width in each.widths)
