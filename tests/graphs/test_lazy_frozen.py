"""Frozen inputs in lazy Datasets."""

import numpy as np

import toolkit as tk


@tk.stage(outputs={"scaled": tk.Output(float, "x", coords={"x": range(4)})})
def scaled(data, factor):
    assert not data.flags.writeable
    return data * factor


def test_lazy_runs_get_frozen_inputs_as_objects() -> None:
    data = np.arange(4.0)
    sweep = tk.Sweep(scaled, tk.grid(factor=[1, 2, 3]), frozen={"data": data})
    lazy = sweep.lazy().scaled
    np.testing.assert_array_equal(lazy.sel(factor=2).values, data * 2)
    np.testing.assert_array_equal(lazy.values, data * np.array([[1], [2], [3]]))


def test_lazy_runs_get_frozen_inputs_on_workers(client) -> None:
    sweep = tk.Sweep(scaled, tk.grid(factor=[1, 2, 3]), frozen={"data": np.arange(4.0)})
    found = client.compute(sweep.lazy().scaled.sum(), sync=True)
    assert found == 36.0
