import numpy as np
import pandas as pd
import pytest
import xarray as xr

import toolkit as tk
from toolkit.stores.arrays.layout import STATE_ATTRIBUTES

FLAGS = STATE_ATTRIBUTES["status"]
VALUES = [5.0, np.nan, 3.0, 4.0, 2.0]


def history() -> xr.Dataset:
    status = np.array([1, 2, 1, 1, 1], np.uint8)
    return xr.Dataset(
        {"misfit": ("run", VALUES, {"units": "boys"})},
        coords={
            "run": range(10, 15),
            "beta": ("run", np.linspace(0.1, 0.5, 5)),
            "status": ("run", status, FLAGS),
        },
    )


def starts() -> xr.Dataset:
    values = [[5.0, 4.0, 6.0], [9.0, 1.0, 0.1]]
    return xr.Dataset({"misfit": (("start", "step"), values)}, coords={"start": [0, 1]})


def test_convergence_draws_the_best_so_far_and_what_was_tried() -> None:
    axes = tk.plot.convergence(history())
    best, tried = axes.lines
    np.testing.assert_array_equal(best.get_ydata(), [5, 5, 3, 3, 2])
    np.testing.assert_array_equal(best.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(tried.get_ydata(), VALUES)
    assert axes.get_ylabel() == "lowest misfit so far (boys)"
    assert axes.get_xlabel() == "evaluation"
    [marks] = [each for each in axes.collections if each.get_gid() == "failed"]
    np.testing.assert_allclose(marks.get_offsets(), [[2, 0.03]])


def test_convergence_has_a_line_for_each_start() -> None:
    axes = tk.plot.convergence(starts())
    first, second = axes.lines
    np.testing.assert_array_equal(first.get_ydata(), [5, 4, 4])
    np.testing.assert_array_equal(second.get_ydata(), [9, 1, 0.1])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "1"]
    assert axes.get_yscale() == "log"


def test_larger_may_be_better() -> None:
    axes = tk.plot.convergence(starts(), maximize=True)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [5, 5, 6])
    assert axes.get_ylabel() == "highest misfit so far"


def test_starts_may_be_told_apart_by_a_coordinate() -> None:
    table = pd.DataFrame({"misfit": [3.0, 8.0, 2.0, 9.0, 4.0], "start": list("abaab")})
    axes = tk.plot.convergence(table, "misfit", by="start")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3, 2, 2])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [8, 4, 4])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_trace_draws_parameters_one_below_the_other() -> None:
    axes = tk.plot.trace(history())
    assert axes.shape == (2,)
    assert [each.get_ylabel() for each in axes] == ["misfit\n(boys)", "beta"]
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), np.linspace(0.1, 0.5, 5))
    assert axes[1].get_xlabel() == "evaluation"
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["failed (1)"]


def test_trace_draws_chains_in_colors_of_their_own() -> None:
    draws = np.random.default_rng(0).normal(size=(3, 100))
    data = xr.Dataset({"beta": (("chain", "draw"), draws)}, coords={"chain": [1, 2, 3]})
    [axes] = tk.plot.trace(data)
    assert len({line.get_color() for line in axes.lines}) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "chain 1", "chain 2", "chain 3",
    ]  # fmt: skip


def test_further_dims_and_unknown_names_are_errors_that_list_them() -> None:
    cube = xr.Dataset({"v": (("fold", "start", "step"), np.zeros((2, 3, 4)))})
    with pytest.raises(tk.ToolkitError, match=r"also has fold \(2 labels\), start.*isel\(fold=0\)"):
        tk.plot.convergence(cube)
    with pytest.raises(tk.ToolkitError, match=r"also has fold \(2 labels\)"):
        tk.plot.trace(cube, by="start")
    with pytest.raises(tk.ToolkitError, match="finds no numbers 'loss' in the data, which has 'mi"):
        tk.plot.convergence(history(), "loss")
    with pytest.raises(tk.ToolkitError, match=r"has 2: misfit, other. Name it: value='misfit'"):
        tk.plot.convergence(history().assign(other=("run", VALUES)))
    with pytest.raises(tk.ToolkitError, match=r"over a, b. Say which: dim="):
        tk.plot.convergence(xr.Dataset({"v": (("a", "b"), np.zeros((2, 2)))}))
    with pytest.raises(tk.ToolkitError, match="by= names 'chain'"):
        tk.plot.trace(history(), by="chain")
