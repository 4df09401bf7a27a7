import numpy as np
import pandas as pd
import pytest
import xarray as xr

import toolkit as tk


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def ideal(axes):
    return [line for line in axes.lines if line.get_gid() == "ideal"]


def test_runs_per_second_are_drawn_beside_what_would_be_ideal() -> None:
    table = pd.DataFrame({"workers": [1, 2, 4, 8], "runs_per_second": [10.0, 19.0, 36.0, 60.0]})
    axes = tk.plot.scaling(table)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [10, 19, 36, 60])
    [line] = ideal(axes)
    np.testing.assert_array_equal(line.get_xydata(), [[1, 10], [8, 80]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("workers", "runs per second")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4", "8"]


def test_seconds_become_a_speed_up() -> None:
    data = xr.Dataset(
        {"seconds": (("workers", "repeat"), [[80.0, 80, 90], [42.0, 40, 39], [20.0, 21, 25]])},
        coords={"workers": [2, 4, 8]},
    )
    axes = tk.plot.scaling(data)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 2, 80 / 21])
    assert len(axes.lines[1].get_ydata()) == 9
    np.testing.assert_allclose(ideal(axes)[0].get_xydata(), [[2, 1], [8, 4]])
    assert axes.get_ylabel() == "speed-up"


def test_series_have_lines_of_their_own_and_names() -> None:
    table = pd.DataFrame(
        {"n": [1, 2, 1, 2], "rate": [1.0, 2, 1, 1.5], "method": ["ours", "ours", "pool", "pool"]}
    )
    axes = tk.plot.scaling(table, workers="n", by="method")
    assert texts(axes) == ["ours", "pool", "ideal"]
    assert len(ideal(axes)) == 1
    relative = tk.plot.scaling(table, workers="n", by="method", speedup=True)
    assert relative.get_ylabel() == "speed-up"


def test_what_cannot_be_drawn_is_an_error_that_names_what_is_there() -> None:
    table = pd.DataFrame({"workers": [1, 2], "speed": [1.0, 2.0]})
    with pytest.raises(tk.ToolkitError, match=r"out of 'workers', 'speed'\. Say rate="):
        tk.plot.scaling(table)
    with pytest.raises(tk.ToolkitError, match="finds no 'jobs' in the data"):
        tk.plot.scaling(table, rate="speed", workers="jobs")
    with pytest.raises(tk.ToolkitError, match="not both"):
        tk.plot.scaling(table, rate="speed", seconds="speed")
    with pytest.raises(tk.ToolkitError, match="above zero"):
        tk.plot.scaling(table.assign(speed=-1.0), rate="speed")
