"""Designs of sensitivity analysis as spaces, indices over labelled results."""

import math

import numpy as np
import pytest

import toolkit as tk

pytest.importorskip("SALib")

PI = dict.fromkeys(("one", "two", "three"), (-math.pi, math.pi))


def ishigami(one, two, three):
    return np.sin(one) + 7 * np.sin(two) ** 2 + 0.1 * three**4 * np.sin(one)


def swept(function, space, **given):
    return tk.Sweep(tk.stage(function, vectorized=True), space, **given).run(progress=False)


def test_sobol_indices_of_the_ishigami_function_are_those_of_theory():
    space = tk.sensitivity.saltelli(1024, PI, second_order=True)
    assert len(space) == 1024 * 8
    found = tk.sensitivity.indices(swept(ishigami, space))
    assert found.parameter.values.tolist() == ["one", "two", "three"]
    expected = {"first_order": [0.314, 0.442, 0.0], "total_order": [0.558, 0.442, 0.244]}
    for name, values in expected.items():
        assert found[name].values == pytest.approx(values, abs=0.03)
        away = np.abs(found[name].values - values)
        assert (away <= 2 * found[f"{name}_confidence"].values + 2e-3).all()
    pair = found.second_order.sel({"parameter": "three", "with": "one"})
    assert float(pair) == pytest.approx(0.244, abs=0.05)
    assert found.attrs == {"design": "saltelli", "n": 1024, "level": 0.95}


def test_elementary_effects_of_a_plane_are_its_slopes_over_each_axis(tmp_path):
    def plane(a, b, c, shift):
        return 3 * a - 0.5 * b + 0 * c + shift

    space = tk.sensitivity.morris(10, a=(0, 2), b=(10, 20), c=(0, 1), shift=4.0)
    swept(plane, space, store=tmp_path / "plane.zarr")
    found = tk.sensitivity.indices(tk.open(tmp_path / "plane.zarr"))  # as read from a store
    assert found.mu.values == pytest.approx([6, -5, 0], abs=1e-7)
    assert found.mu_star.values == pytest.approx([6, 5, 0], abs=1e-7)
    assert found.sigma.values == pytest.approx([0, 0, 0], abs=1e-7)


def test_other_dims_and_several_outputs_are_kept():
    def model(a, b, kind):
        first = a if kind == "a" else b
        return {"level": first, "curve": np.array([a, b]) + 0.0}

    space = tk.sensitivity.saltelli(64, a=(0, 1), b=tk.log(1, 10)) * tk.grid(kind=["a", "b"])
    stage = tk.stage(model, outputs={"level": float, "curve": ("time",)})
    data = tk.Sweep(stage, space).run(progress=False)
    found = tk.sensitivity.indices(data)
    assert found.output.values.tolist() == ["level", "curve"]
    level = found.first_order.sel(output="level").isel(time=0)
    assert level.sel(kind="a").values == pytest.approx([1, 0], abs=0.02)
    assert level.sel(kind="b").values == pytest.approx([0, 1], abs=0.02)
    curve = tk.sensitivity.indices(data.curve).total_order
    assert curve.sel(kind="a").isel(time=1).values == pytest.approx([0, 1], abs=0.02)


def test_an_output_that_never_changes_has_no_indices():
    space = tk.sensitivity.morris(4, a=(0, 1), b=(0, 1))
    found = tk.sensitivity.indices(swept(lambda a, b: 0 * (a + b) + 5.0, space))
    assert np.isnan(found.mu_star).all()


def test_missing_runs_are_counted():
    def half(a, b):
        if a > 0.5:
            raise ValueError("too large")
        return a + b

    space = tk.sensitivity.saltelli(8, a=(0, 1), b=(0, 1))
    data = tk.Sweep(half, space).run(progress=False)
    with pytest.raises(tk.SweepError, match=r"16 of the 32 runs have no finite 'half'"):
        tk.sensitivity.indices(data)
    whole = swept(lambda a, b: a + b, space)
    with pytest.raises(tk.SweepError, match="32 points along 'sample', and the data 30"):
        tk.sensitivity.indices(whole.isel(sample=slice(30)))
    with pytest.raises(tk.SweepError, match="no results of a design"):
        tk.sensitivity.indices(tk.Sweep(lambda x: x, {"x": [1, 2]}).run(progress=False))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tk.sensitivity.saltelli(100, a=(0, 1), b=(0, 1)), "Take 64 or 128"),
        (lambda: tk.sensitivity.saltelli(8, a=(0, 1), b=2), "at least two axes"),
        (lambda: tk.sensitivity.morris(8, a=(0, 1), b=(0, 1), levels=3), "even number"),
        (lambda: tk.sensitivity.morris(0, a=(0, 1), b=(0, 1)), "morris"),
        (lambda: tk.sensitivity.morris(4, a=(0, 1), b=(1, 0)), "Swap the bounds"),
        (lambda: tk.sensitivity.morris(4, a=(0, 1), b=(0, 1), seed=-1), "seed=-1"),
    ],
)
def test_a_wrong_design_is_an_error(make, message):
    with pytest.raises(tk.ToolkitError, match=message):
        make()


def test_without_salib_the_error_says_what_to_install(monkeypatch):
    for name in ("SALib.sample.sobol", "SALib.sample"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(tk.SweepError, match=r"needs SALib.*toolkit\[sensitivity\]"):
        tk.sensitivity.saltelli(8, a=(0, 1), b=(0, 1))
