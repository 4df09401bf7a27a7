import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import toolkit as tk


def peak(beta, gamma, delay):
    if delay > 9:
        raise ValueError("late")
    return beta / gamma


def sampled() -> xr.Dataset:
    space = tk.sample(64, beta=(0.1, 0.5), gamma=tk.log(1e-3, 0.1), delay=(0.0, 10.0), seed=0)
    return tk.Sweep(peak, space).run(progress=False)


def posterior() -> xr.Dataset:
    draws = np.random.default_rng(0).normal([0.3, 5.0], [0.02, 1.0], size=(2, 500, 2))
    dims = ("chain", "draw")
    attrs = {"units": "1/day", "long_name": "rate"}
    return xr.Dataset({"beta": (dims, draws[..., 0], attrs), "delay": (dims, draws[..., 1])})


def dots(axes):
    return next(each for each in axes.collections if each.get_gid() is None)


def test_pairs_draws_each_parameter_against_each_other() -> None:
    data = sampled()
    axes = tk.plot.pairs(data, color="peak")
    assert axes.shape == (2, 2)
    assert [[each.get_visible() for each in row] for row in axes] == [[True, False], [True, True]]
    assert [axes[1, 0].get_xlabel(), axes[1, 1].get_xlabel()] == ["beta", "gamma"]
    assert [axes[0, 0].get_ylabel(), axes[1, 0].get_ylabel()] == ["gamma", "delay"]
    assert [axes[1, 0].get_xscale(), axes[1, 1].get_xscale()] == ["linear", "log"]
    done = data.where(data.status == tk.Status.DONE, drop=True)
    drawn = dots(axes[0, 0])
    np.testing.assert_allclose(drawn.get_offsets(), np.column_stack([done.beta, done.gamma]))
    np.testing.assert_allclose(drawn.get_array(), done.peak)
    assert axes[0, 0].figure.axes[-1].get_ylabel() == "peak"


def test_pairs_crosses_what_failed() -> None:
    data = sampled()
    failed = data.where(data.status == tk.Status.FAILED, drop=True)
    axes = tk.plot.pairs(data, ["beta", "delay"], color="peak")
    [marks] = [each for each in axes[0, 0].collections if each.get_gid() == "failed"]
    np.testing.assert_allclose(marks.get_offsets(), np.column_stack([failed.beta, failed.delay]))
    assert [text.get_text() for text in axes[0, 0].get_legend().get_texts()] == [
        f"failed ({failed.sizes['sample']})"
    ]


def test_pairs_draws_weights_as_areas() -> None:
    data = posterior().assign(weight=(("chain", "draw"), np.ones((2, 500))))
    data.weight[0, 0] = 4
    axes = tk.plot.pairs(data, weights="weight")
    sizes = dots(axes[0, 0]).get_sizes()
    assert sizes[0] == 4 * sizes[1]
    assert len(tk.plot.pairs(posterior(), weights=np.arange(1000.0))) == 1


def test_pairs_takes_every_other_point_of_many() -> None:
    table = pd.DataFrame({"a": np.arange(50_000.0), "b": np.arange(50_000.0)})
    axes = tk.plot.pairs(table)
    assert len(dots(axes[0, 0]).get_offsets()) == 16_667
    assert axes[0, 0].get_title(loc="left") == "16,667 of 50,000 points"


def test_corner_draws_histograms_and_densities_of_all_chains_together() -> None:
    data = posterior()
    axes = tk.plot.corner(data, truths={"beta": 0.3})
    assert [[each.get_visible() for each in row] for row in axes] == [[True, False], [True, True]]
    assert 0 < axes[0, 0].patches[0].get_path().get_extents().y1 < 1
    shares = axes[1, 0].collections[0].get_array()
    assert shares.sum() == pytest.approx(len(data.beta.values.ravel()))
    assert axes[1, 0].get_xlabel() == "rate (1/day)"
    assert axes[0, 0].get_title().startswith("beta = $0.299^{+0.020}")
    truths = [line for line in axes[0, 0].lines if line.get_gid() == "truth"]
    assert [line.get_xdata()[0] for line in truths] == [0.3]


def test_corner_weighs_points() -> None:
    values = np.concatenate([np.full(90, 1.0), np.full(10, 2.0)]) + np.linspace(0, 0.01, 100)
    weights = np.concatenate([np.full(90, 0.0), np.full(10, 5.0)])
    table = pd.DataFrame({"a": values, "b": values, "weight": weights})
    axes = tk.plot.corner(table, weights="weight")
    assert axes.shape == (2, 2)
    assert axes[0, 0].get_title().startswith("a = $2.0")
    assert axes[1, 0].collections[0].get_array().sum() == pytest.approx(1)


def test_corner_has_bins_by_magnitude_where_the_sample_is() -> None:
    axes = tk.plot.corner(sampled(), bins=12)
    assert axes[1, 1].get_xscale() == "log"
    edges = axes[2, 1].collections[0].get_coordinates()[0, :, 0]
    assert len(edges) == 13
    np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])


def test_axes_that_are_there_are_drawn_into_and_have_to_be_enough() -> None:
    _, given = plt.subplots(2, 2)
    assert tk.plot.corner(posterior(), ax=given)[1, 1] is given[1, 1]
    _, one = plt.subplots()
    assert tk.plot.pairs(posterior(), ax=one)[0, 0] is one
    with pytest.raises(tk.ToolkitError, match="needs 2 × 2 axes, and ax= has 1"):
        tk.plot.corner(posterior(), ax=one)


def test_errors_name_what_is_there() -> None:
    data = posterior()
    with pytest.raises(tk.ToolkitError, match="finds no 'gamma' in the data, which has 'beta', 'd"):
        tk.plot.pairs(data, ["beta", "gamma"])
    with pytest.raises(tk.ToolkitError, match="needs 2 parameters or more, and found 'beta'"):
        tk.plot.pairs(data, ["beta"])
    with pytest.raises(tk.ToolkitError, match="no weights 'w'"):
        tk.plot.corner(data, weights="w")
    with pytest.raises(tk.ToolkitError, match="3 numbers, and there are 1,000 points"):
        tk.plot.corner(data, weights=[1, 2, 3])
    with pytest.raises(tk.ToolkitError, match=r"zero or more.*np.exp\(log_weights"):
        tk.plot.corner(data, weights=np.full(1000, -1.0))
    with pytest.raises(tk.ToolkitError, match="truths= names 'gamma', which is not drawn"):
        tk.plot.corner(data, truths={"gamma": 1.0})
    with pytest.raises(tk.ToolkitError, match="truths= has 1 values, and 2 parameters"):
        tk.plot.corner(data, truths=[1.0])
    curves = data.assign(curve=data.beta.expand_dims(time=[0, 1]))
    with pytest.raises(tk.ToolkitError, match=r"'curve' also has time.*isel"):
        tk.plot.pairs(curves, ["beta", "delay"], color="curve")
