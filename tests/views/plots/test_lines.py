import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

import toolkit as tk
from toolkit.stores.arrays.layout import STATE_ATTRIBUTES
from toolkit.views.plots.canvas import OKABE_ITO

FLAGS = STATE_ATTRIBUTES["status"]


def curve(**more) -> xr.DataArray:
    coords = {"time": ("time", [0.0, 1.0, 2.0, 3.0], {"units": "day"})}
    values = np.array([1.0, np.nan, 3.0, 4.0])
    attrs = {"long_name": "boys in bed"}
    return xr.DataArray(values, coords=coords, dims="time", name="bed", attrs=attrs, **more)


def texts(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def test_a_line_is_labelled_and_broken_where_values_are_missing() -> None:
    axes = tk.plot.line(curve())
    [drawn] = axes.lines
    np.testing.assert_array_equal(drawn.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(drawn.get_ydata(), [1, np.nan, 3, 4])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (day)", "boys in bed")
    assert axes.get_legend() is None


def test_failed_runs_are_crossed_at_the_foot() -> None:
    data = curve().assign_coords(status=("time", np.array([1, 2, 1, 0], np.uint8), FLAGS))
    axes = tk.plot.line(data)
    [marks] = [each for each in axes.collections if each.get_gid() == "failed"]
    np.testing.assert_allclose(marks.get_offsets(), [[1, 0.02]])
    assert texts(axes.get_legend()) == ["failed (1)"]


def many(labels, name="gamma") -> xr.DataArray:
    values = np.arange(3.0 * len(labels)).reshape(len(labels), 3)
    return xr.DataArray(
        values, dims=(name, "x"), coords={name: labels, "x": [1, 10, 100]}, name="v"
    )


def test_lines_over_few_numbers_are_named_and_go_from_dark_to_light() -> None:
    axes = tk.plot.line(many([0.1, 0.2, 0.3]), "x")
    assert texts(axes.get_legend()) == ["0.1", "0.2", "0.3"]
    assert axes.get_legend().get_title().get_text() == "gamma"
    brightness = [np.mean(plt.matplotlib.colors.to_rgb(each.get_color())) for each in axes.lines]
    assert brightness == sorted(brightness)
    assert axes.get_xscale() == "log"


def test_lines_over_words_have_colors_that_can_be_told_apart() -> None:
    axes = tk.plot.line(many(["rbf", "poly", "linear"], "kernel"), "x")
    assert texts(axes.get_legend()) == ["rbf", "poly", "linear"]
    assert [to_hex(each.get_color()).upper() for each in axes.lines] == list(OKABE_ITO[:3])


def test_many_lines_have_a_color_bar() -> None:
    axes = tk.plot.line(many(np.geomspace(1, 1000, 20)), "x")
    assert axes.get_legend() is None
    bar = axes.figure.axes[1]
    assert bar.get_ylabel() == "gamma"
    assert bar.get_yscale() == "log"


def test_what_is_drawn_across_is_the_longest_dim() -> None:
    axes = tk.plot.line(many([0.1, 0.2]))
    assert axes.get_xlabel() == "x"
    assert tk.plot.line(many([0.1, 0.2]), hue="x").get_xlabel() == "gamma"


def test_dates_stand_across_and_beside_lines_without_their_time() -> None:
    days = np.array(["2026-01-01", "2026-02-01", "2026-03-01"], "datetime64[ns]")
    data = many([1, 2, 3]).assign_coords(gamma=days)
    axes = tk.plot.line(data, "x")
    assert texts(axes.get_legend()) == ["2026-01-01", "2026-02-01", "2026-03-01"]
    across = tk.plot.line(data, "gamma")
    across.figure.canvas.draw()
    assert "2026" in across.xaxis.get_offset_text().get_text() + str(
        [text.get_text() for text in across.get_xticklabels()]
    )


def test_lines_in_a_dark_style_are_seen() -> None:
    with plt.style.context("dark_background"):
        axes = tk.plot.line(many([0.1, 0.2, 0.3]), "x")
    colors = [plt.matplotlib.colors.to_rgb(line.get_color()) for line in axes.lines]
    assert min(max(color) for color in colors) > 0.5


def test_words_across_are_points_without_lines_between() -> None:
    data = xr.DataArray([1.0, 2.0], dims="model", coords={"model": ["svm", "knn"]}, name="score")
    axes = tk.plot.line(data)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["svm", "knn"]
    assert axes.lines[0].get_linestyle() == "None"


def test_failures_of_whole_lines_are_counted() -> None:
    status = np.array([1, 2], np.uint8)
    data = many([0.1, 0.2]).assign_coords(status=("gamma", status, FLAGS))
    axes = tk.plot.line(data, "x")
    assert np.isnan(axes.lines[1].get_ydata()).all()
    legends = [
        each for each in axes.get_children() if isinstance(each, plt.matplotlib.legend.Legend)
    ]
    assert sorted(map(texts, legends)) == [["0.1", "0.2"], ["failed (1)"]]


def test_long_lines_are_means_of_neighbors() -> None:
    data = xr.DataArray(np.arange(2_000_000.0), dims="time", name="v")
    axes = tk.plot.line(data)
    assert len(axes.lines[0].get_ydata()) == 2000
    np.testing.assert_allclose(axes.lines[0].get_ydata()[:2], [499.5, 1499.5])
    np.testing.assert_allclose(axes.lines[0].get_xdata()[:2], [499.5, 1499.5])
    assert axes.get_title(loc="left") == "means of 1,000 neighbors along time"


def test_it_draws_into_axes_that_are_there_with_the_style_that_is_given() -> None:
    _, ax = plt.subplots()
    axes = tk.plot.line(curve(), ax=ax, color="k", lw=3, logy=True)
    assert axes is ax
    assert (axes.lines[0].get_color(), axes.lines[0].get_linewidth()) == ("k", 3)
    assert axes.get_yscale() == "log"


def test_what_cannot_be_drawn_is_an_error_that_says_what_to_do() -> None:
    data = xr.DataArray(np.zeros((3, 4, 5)), dims=("a", "b", "c"), name="v")
    with pytest.raises(tk.ToolkitError, match=r"has a \(3 labels\).*data.sel\(a=0\)"):
        tk.plot.line(data)
    with pytest.raises(tk.ToolkitError, match="one value"):
        tk.plot.line(data[0, 0, 0])
    with pytest.raises(tk.ToolkitError, match="'v' is <U1"):
        tk.plot.line(xr.DataArray(["a", "b"], dims="x", name="v"))
    with pytest.raises(tk.ToolkitError, match=r"300 labels.*isel\(a=slice\(None, None, 38\)\)"):
        tk.plot.line(xr.DataArray(np.zeros((300, 400)), dims=("a", "b"), name="v"))
