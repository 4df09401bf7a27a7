"""``tk.scaling``: what is measured, and what is said of it."""

import matplotlib as mpl
import numpy as np
import pytest

import toolkit as tk

AXES = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}


def misfit(x, y, data):
    return float(((data - x) ** 2).sum() + y**2)


def test_a_study_is_a_dataset_that_says_what_to_do_and_is_drawn():
    mpl.use("agg")
    study = tk.scaling(
        misfit,
        AXES,
        workers=[1, 2],
        batch=[4],
        cost=[0.02],
        data_points=[10, 1000],
        frozen={"data": np.arange(2000.0)},
        seconds=0.05,
    )
    assert dict(study.sizes) == {"workers": 2, "cost": 2, "batch": 1, "data_points": 2}
    assert (study.rate > 0).all()
    assert np.allclose(study.rate * study.seconds, 1)
    assert (study.seconds.isel(cost=1) > 0.02 / 4).all()
    assert (study.seconds_here.isel(cost=1) >= 0.02).all()
    assert study.cost.values[1] == 0.02
    advice = study.attrs["advice"].splitlines()
    assert "in this process" in advice[0]
    assert "20 ms" in advice[1]
    assert "vectorized=True" in advice[2]
    axes = tk.plot.scaling(study.isel(cost=1, batch=0), by="data_points")
    assert axes.get_xlabel() == "workers"


def test_what_takes_arrays_already_is_not_advised_to():
    def bowl(x, y):
        return x * x + y * y

    study = tk.scaling(tk.stage(bowl, vectorized=True), AXES, workers=[1], batch=[8], seconds=0.02)
    assert "in this process" in study.attrs["advice"]
    assert "vectorized" not in study.attrs["advice"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": [0]}, "workers=0 must be whole numbers"),
        ({"batch": []}, "batch= is empty"),
        ({"cost": [-1]}, "cost=-1 must be seconds"),
        ({"data_points": [9]}, "takes the first rows of frozen inputs"),
    ],
)
def test_a_wrong_description_is_an_error_before_anything_runs(given, message):
    with pytest.raises(tk.SweepError, match=message):
        tk.scaling(misfit, AXES, frozen={"data": np.zeros(3)}, **given)


def test_what_is_padded_is_one_evaluation():
    with pytest.raises(tk.SweepError, match="takes whole batches"):
        tk.scaling(
            tk.stage(lambda x, y: x + y, vectorized=True, name="sum"),
            AXES,
            workers=[1],
            batch=[2],
            cost=[0.001],
            seconds=0.01,
        )
