import dask.array
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.dates import num2date

import toolkit as tk
from toolkit.run_status import Status
from toolkit.stores.arrays.layout import STATE_ATTRIBUTES
from toolkit.views.plots import blocks
from toolkit.views.plots.labels import along

FLAGS = STATE_ATTRIBUTES["status"]


def ratio(beta, gamma, days=150):
    if beta > 0.35 and gamma == 0.001:
        raise ValueError("beyond")
    return beta / gamma


def swept() -> xr.Dataset:
    beta = xr.DataArray(
        [0.1, 0.2, 0.3, 0.4], dims="beta", attrs={"long_name": "rate", "units": "1/day"}
    )
    space = tk.grid(beta=beta, gamma=[0.001, 0.01, 0.1], days=150)
    stage = tk.stage(ratio, outputs={"ratio": tk.Output(units="1", long_name="reproduction")})
    return tk.Sweep(stage, space).run(progress=False)


def mesh(axes):
    [found] = [each for each in axes.collections if each.get_array() is not None]
    return found


def marks(axes, status: Status):
    [found] = [each for each in axes.collections if each.get_gid() == status.name.lower()]
    return np.asarray(found.get_offsets())


def legend(axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_a_map_of_a_sweep_is_labelled_and_marks_what_failed() -> None:
    data = swept()
    axes = tk.plot.map(data.ratio)
    assert axes.get_xlabel() == "rate (1/day)"
    assert axes.get_ylabel() == "gamma"
    assert mesh(axes).colorbar.ax.get_ylabel() == "reproduction"
    assert axes.get_title(loc="left") == "days = 150"
    drawn = mesh(axes).get_array()
    np.testing.assert_array_equal(
        np.ma.filled(drawn.astype(float), np.nan), data.ratio.transpose("gamma", "beta").values
    )
    assert drawn.mask.sum() == 1
    np.testing.assert_allclose(marks(axes, Status.FAILED), [[0.4, 0.001]])
    assert legend(axes) == ["failed (1)"]


def test_labels_that_grow_by_a_factor_have_a_logarithmic_axis() -> None:
    axes = tk.plot.map(swept().ratio)
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.001", "0.01", "0.1"]
    plain = tk.plot.map(swept().ratio, logy=False, logx=True)
    assert (plain.get_xscale(), plain.get_yscale()) == ("log", "linear")


def test_the_dims_are_drawn_as_asked_into_axes_that_are_there() -> None:
    _, ax = plt.subplots()
    axes = tk.plot.map(swept(), x="gamma", y="beta", ax=ax, cmap="cividis", vmin=0, vmax=400)
    assert axes is ax
    assert axes.get_xlabel() == "gamma"
    assert mesh(axes).get_cmap().name == "cividis"
    assert mesh(axes).get_clim() == (0, 400)


def test_words_stand_beside_the_axis_in_their_order() -> None:
    data = xr.DataArray(
        [[1.0, 2.0], [3.0, 4.0], [5.0, np.nan]],
        dims=("kernel", "C"),
        coords={"kernel": ["rbf", "linear", "poly"], "C": [10.0, 1.0]},
        name="score",
    )
    axes = tk.plot.map(data)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["rbf", "linear", "poly"]
    # Numbers ascend: what belongs to 1 is drawn below what belongs to 10.
    drawn = np.ma.filled(mesh(axes).get_array(), np.nan)
    np.testing.assert_array_equal(drawn, [[2, 4, np.nan], [1, 3, 5]])
    assert mesh(axes).get_cmap().name == "viridis"


def test_dates_stand_on_an_axis_of_dates() -> None:
    days = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "datetime64[ns]")
    data = xr.DataArray(
        np.arange(6.0).reshape(3, 2), dims=("day", "k"), coords={"day": days, "k": [1, 2]}, name="v"
    )
    axes = tk.plot.map(data)
    assert [f"{num2date(edge):%m-%d %H}" for edge in axes.get_xlim()] == ["12-31 12", "01-03 12"]


def test_texts_are_drawn_as_categories() -> None:
    data = xr.DataArray(
        np.array([["calm", "wild"], ["", "calm"]], dtype=object), dims=("x", "y"), name="regime"
    )
    axes = tk.plot.map(data)
    drawn = mesh(axes).get_array()
    assert drawn.mask.sum() == 1
    assert mesh(axes).colorbar is None
    [shown] = axes.figure.legends
    assert [text.get_text() for text in shown.get_texts()] == ["calm", "wild"]


def test_the_status_is_drawn_in_words() -> None:
    data = with_status(("a", "b"), status=(("a", "b"), [[1, 5], [2, 1]]))
    axes = tk.plot.map(data.status)
    [shown] = axes.figure.legends
    assert [text.get_text() for text in shown.get_texts()] == ["blocked", "done", "failed"]
    assert legend(axes) == []


def test_a_dim_of_one_label_may_be_drawn() -> None:
    data = xr.DataArray([[1.0, 2.0]], dims=("a", "b"), coords={"a": [0.5], "b": [1, 2]}, name="v")
    axes = tk.plot.map(data)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.5"]
    assert axes.get_xlim() == (-0.5, 0.5)


def test_true_and_false_are_drawn_as_one_and_zero() -> None:
    data = xr.DataArray([[True, False], [False, False]], dims=("x", "y"), name="survived")
    np.testing.assert_array_equal(mesh(tk.plot.map(data)).get_array(), [[1, 0], [0, 0]])


def test_a_coordinate_along_a_dim_may_take_its_place() -> None:
    data = xr.DataArray(
        [[1.0, 2.0], [3.0, 4.0]],
        dims=("site", "k"),
        coords={"rate": ("site", [0.5, 0.1], {"units": "1/day"}), "k": [1, 2]},
        name="v",
    )
    axes = tk.plot.map(data, x="rate")
    assert axes.get_xlabel() == "rate (1/day)"
    np.testing.assert_array_equal(mesh(axes).get_array(), [[3, 1], [4, 2]])


def test_further_dims_are_an_error_that_says_what_to_do() -> None:
    data = xr.DataArray(
        np.zeros((2, 3, 4)), dims=("a", "b", "trial"), coords={"trial": [7, 8, 9, 10]}, name="v"
    )
    with pytest.raises(
        tk.ToolkitError, match=r"has trial \(4 labels\).*sel\(trial=7\).*mean\('tri"
    ):
        tk.plot.map(data)
    with pytest.raises(tk.ToolkitError, match=r"over 'a' and 'trial', and it also has b"):
        tk.plot.map(data, x="a", y="trial")
    with pytest.raises(tk.ToolkitError, match=r"no dim 'c'.*It has: a, b, trial"):
        tk.plot.map(data, x="c", y="a")
    with pytest.raises(tk.ToolkitError, match=r"needs two dims.*tk.plot.line"):
        tk.plot.map(data.isel(a=0, b=0))


def test_a_dim_of_one_label_needs_no_selection_and_is_said() -> None:
    data = xr.DataArray(
        np.zeros((2, 3, 1)), dims=("a", "b", "trial"), coords={"trial": [7]}, name="v"
    )
    assert tk.plot.map(data).get_title(loc="left") == "trial = 7"


def test_a_dataset_of_several_outputs_is_an_error_that_lists_them() -> None:
    data = xr.Dataset({"peak": ("x", [1.0]), "day": ("x", [2.0])})
    with pytest.raises(tk.ToolkitError, match=r"has 2: peak, day. Say which: data\['peak'\]"):
        tk.plot.map(data)
    with pytest.raises(tk.ToolkitError, match="was given list"):
        tk.plot.map([1, 2])


def test_a_logarithmic_axis_of_other_labels_is_an_error() -> None:
    data = xr.DataArray(np.zeros((2, 2)), dims=("x", "y"), coords={"x": [0, 1]}, name="v")
    with pytest.raises(tk.ToolkitError, match="'x' cannot have a logarithmic axis"):
        tk.plot.map(data, logx=True)


def with_status(dims, **states) -> xr.DataArray:
    coords = {
        name: (of, np.array(values, np.uint8), FLAGS) for name, (of, values) in states.items()
    }
    data = xr.DataArray([[1.0, np.nan], [np.nan, 4.0]], dims=dims, coords=coords, name="v")
    return data.assign_coords(a=[1, 2], b=[1, 2])


def test_cells_that_wait_for_a_failed_run_are_marked_otherwise() -> None:
    axes = tk.plot.map(with_status(("a", "b"), status=(("a", "b"), [[1, 5], [2, 1]])))
    np.testing.assert_array_equal(marks(axes, Status.BLOCKED), [[1, 2]])
    np.testing.assert_array_equal(marks(axes, Status.FAILED), [[2, 1]])
    assert legend(axes) == ["failed (1)", "blocked (1)"]


def test_of_several_stages_those_count_that_left_no_value() -> None:
    data = with_status(
        ("a", "b"), status_first=(("a",), [1, 2]), status_last=(("a", "b"), [[2, 0], [5, 1]])
    )
    axes = tk.plot.map(data)
    np.testing.assert_array_equal(marks(axes, Status.FAILED), [[2, 1]])
    np.testing.assert_array_equal(marks(axes, Status.BLOCKED), [[2, 1]])


def test_what_a_failed_run_left_in_the_array_is_not_drawn() -> None:
    data = with_status(("a", "b"), status=(("a", "b"), [[1, 1], [1, 2]])).fillna(3).astype(int)
    assert mesh(tk.plot.map(data)).get_array().mask.tolist() == [[False, False], [False, True]]


def test_a_large_lazy_array_is_drawn_as_means_of_blocks() -> None:
    size = 2400
    values = dask.array.ones((size, 800), chunks=(600, 400)).cumsum(axis=0)
    status = np.ones((size, 800), np.uint8)
    status[0:9] = 2
    data = xr.DataArray(
        values,
        dims=("x", "y"),
        coords={
            "x": np.arange(size) + 1.0,
            "y": np.arange(800),
            "status": (("x", "y"), status, FLAGS),
        },
        name="v",
    )
    axes = tk.plot.map(data)
    drawn = mesh(axes).get_array()
    assert drawn.shape == (800, 800)
    assert drawn.mask[:, :3].all()
    np.testing.assert_allclose(drawn[0, 3:6], [11, 14, 17])
    assert axes.get_title(loc="left") == "means of blocks of 3 × 1 cells (x × y)"
    assert legend(axes) == ["failed (7,200)"]
    assert marks(axes, Status.FAILED)[:, 0].max() == 8
    assert isinstance(data.data, dask.array.Array)


def test_blocks_stand_at_the_middle_of_their_labels() -> None:
    labels = xr.DataArray(
        np.geomspace(1, 1000, 7), dims="g", coords={"g": np.geomspace(1, 1000, 7)}
    )
    axis = along(labels.g, None)
    np.testing.assert_allclose(blocks.positions(axis, 3), [10**0.5, 10**2, 1000.0])


def test_a_map_in_a_dark_style_is_seen() -> None:
    with plt.style.context("dark_background"):
        axes = tk.plot.map(swept().ratio)
        [mark] = [each for each in axes.collections if each.get_gid() == "failed"]
        assert np.mean(mark.get_edgecolor()[0][:3]) > 0.9
        assert np.mean(axes.get_facecolor()[:3]) < 0.1
