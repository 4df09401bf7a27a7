"""Likelihood profiles: intervals, identifiability in words, and their picture."""

import math

import matplotlib as mpl
import numpy as np
import pytest

import toolkit as tk
from toolkit.optimizers import profiling

THRESHOLD = 3.841458820694124


def followed(deviance, at, number=0, deviation=math.nan):
    """Profile a deviance of two coordinates, the other one minimized on a fine grid."""

    def fit(place, start):
        points = np.tile(start, (4001, 1))
        points[:, number], points[:, 1 - number] = place, np.linspace(0, 1, 4001)
        values = deviance(points)
        return points[values.argmin()], float(values.min())

    return profiling.profile(
        fit, np.array(at), number, deviation=deviation, threshold=THRESHOLD, points=6
    )


def correlated(points):
    away = (points - 0.4) / 0.05
    return (away[:, 0] ** 2 - 1.6 * away[:, 0] * away[:, 1] + away[:, 1] ** 2) / (1 - 0.64)


def test_curvature_of_a_quadratic_gives_its_covariance():
    second = profiling.curvature(correlated, np.array([0.4, 0.4]))
    expected = 0.05**2 * np.array([[1, 0.8], [0.8, 1]])
    assert profiling.covariance(second) == pytest.approx(expected, rel=1e-6)


def test_coordinates_at_a_bound_have_no_curvature():
    second = profiling.curvature(
        lambda p: 50 * p[:, 0] + 200 * (p[:, 1] - 0.5) ** 2, np.array([0, 0.5])
    )
    assert np.isnan(second[0]).all()
    found = profiling.covariance(second)
    assert found[1, 1] == pytest.approx(1 / 200, rel=1e-6)
    assert np.isnan(found[0]).all()


@pytest.mark.parametrize("deviation", [0.05, math.nan, 1e-3, 0.3])
def test_a_profile_of_a_quadratic_ends_where_theory_says(deviation):
    found = followed(correlated, (0.4, 0.4), deviation=deviation)
    half = math.sqrt(THRESHOLD) * 0.05
    assert (found.low, found.high) == pytest.approx((0.4 - half, 0.4 + half), rel=1e-3)
    assert (np.diff(found.points[:, 0]) > 0).all()
    assert found.deviance.min() == 0


def test_flat_directions_leave_the_covariance_of_the_others():
    def flat(points):
        return correlated(points[:, :2]) + 0 * points[:, 2]

    found = profiling.covariance(profiling.curvature(flat, np.array([0.4, 0.4, 0.5])))
    expected = 0.05**2 * np.array([[1, 0.8], [0.8, 1]])
    assert found[:2, :2] == pytest.approx(expected, rel=1e-4)
    assert np.isnan(found[2]).all()


def test_what_only_a_product_tells_is_not_identifiable():
    def product(points):
        return 500 * (points[:, 0] * points[:, 1] - 0.25) ** 2

    found = followed(product, (0.5, 0.5))
    assert math.isfinite(found.low)  # 0.25 cannot be reached with less than 0.25
    assert math.isnan(found.high)
    said = profiling.verdict("rate", found, ("0.2", "1"), "dose", 0.95)
    assert "rate is at least 0.2" in said
    assert "dose makes up for it" in said


def test_verdicts_tell_flat_open_and_closed_apart():
    def made(deviance, low, high):
        points = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
        return profiling.Profile(points=points, deviance=np.array(deviance), low=low, high=high)

    nan = math.nan
    said = [
        profiling.verdict("k", made(*given), ("1", "9"), "", 0.95)
        for given in (
            ([9.0, 0, 9], 0.2, 0.8),
            ([0.0, 0, 0.01], nan, nan),
            ([2.0, 0, 2], nan, nan),
            ([2.0, 0, 9], nan, 0.8),
        )
    ]
    assert said[0] == "identifiable: 95% of the confidence lies from 1 to 9"
    assert said[1].startswith("not identifiable: every k from 1 to 9 fits as well")
    assert said[2].startswith("practically not identifiable")
    assert "k is at most 9" in said[3]


def test_deviance_follows_from_what_the_objective_returns():
    values, least = np.array([10.0, 12.0, np.nan]), 10.0
    found = [profiling.Deviance(cost=cost, n_data=50).of(values, least) for cost in profiling.COSTS]
    assert [each[1] for each in found] == pytest.approx([4.0, 2.0, 50 * math.log(1.2)])
    assert all(each[0] == 0 and np.isnan(each[2]) for each in found)
    with pytest.raises(tk.SweepError, match="must be above 0"):
        profiling.Deviance(cost="sse", n_data=5).of(values, 0.0)


def nll(mean, sd):
    """Fifty normally distributed numbers of mean 2 and variance 1."""
    return 50 * math.log(sd) + 25 * (1.0 + (mean - 2) ** 2) / sd**2


def test_intervals_of_a_normal_sample_are_those_of_theory():
    axes = {"mean": (0, 5), "sd": tk.log(0.1, 10)}
    start = {"mean": 2.02, "sd": 1.01}  # near the best fit, not at it
    found = tk.likelihood_profile(nll, axes, best=start, points=3)
    half = math.sqrt(math.exp(THRESHOLD / 50) - 1)
    mean = found.sel(parameter="mean")
    assert float(mean.low) == pytest.approx(2 - half, abs=2e-3)
    assert float(mean.high) == pytest.approx(2 + half, abs=2e-3)
    assert float(mean.hessian_high) == pytest.approx(2 + math.sqrt(THRESHOLD / 50), abs=2e-3)
    sd = found.sel(parameter="sd")
    for end in (float(sd.low), float(sd.high)):
        fell = 2 * (50 * math.log(end) + 25 / end**2 - 25)
        assert fell == pytest.approx(THRESHOLD, rel=0.03)
    assert all("identifiable" in each for each in found.verdict.values)
    assert found.attrs["least_value"] == pytest.approx(25)
    # along the profile of the mean, the standard deviation is fitted anew
    along = mean.fit.sel(other="sd").values
    expected = np.sqrt(1 + (mean.profile.values - 2) ** 2)
    assert along == pytest.approx(expected, rel=1e-3, nan_ok=True)

    panels = tk.plot.profile(found)
    assert [panel.get_xlabel() for panel in panels.flat] == ["mean", "sd"]
    assert panels[0, 1].get_xscale() == "log"
    assert "2 " in panels[0, 0].get_title(loc="left")
    mpl.pyplot.close("all")


def test_a_single_parameter_is_profiled_without_fits_of_others(tmp_path):
    calls = []

    def misfit(rate):
        calls.append(rate)
        return ((rate - 0.3) / 0.02) ** 2

    found = tk.likelihood_profile(misfit, {"rate": (0, 1)}, cost="chi2", best={"rate": 0.3})
    half = math.sqrt(THRESHOLD) * 0.02
    assert float(found.low[0]) == pytest.approx(0.3 - half, rel=1e-3)
    assert len(calls) < 200


def test_a_picture_of_something_else_is_refused():
    with pytest.raises(tk.ToolkitError, match="has no profile, deviance, low, high"):
        tk.plot.profile(tk.Sweep(lambda x: x, {"x": [1, 2]}).run(progress=False))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cost": "rmse"}, "'rmse' is not known"),
        ({"cost": "sse"}, "n_data=None"),
        ({"level": 95}, "level=95"),
        ({"points": 1}, "points=1"),
        ({"parameters": ["z"]}, "'z' is not known"),
        ({"axes": {"x": tk.integers(0, 4)}}, "takes only some values"),
    ],
)
def test_a_wrong_description_is_an_error_before_anything_runs(given, message):
    def never(x):
        raise AssertionError("it ran")

    axes = given.pop("axes", {"x": (0, 1)})
    with pytest.raises(tk.SweepError, match=message):
        tk.likelihood_profile(never, axes, **given)
