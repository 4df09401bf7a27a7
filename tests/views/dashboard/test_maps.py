import numpy as np
import pytest

import toolkit as tk
from toolkit.views.dashboard.map_figure import MapFigure
from toolkit.views.dashboard.maps import MOST_CELLS, draw_map, views_of
from toolkit.views.pictures import Pictures


def peak(beta, gamma, trial):
    if beta > 0.4 and gamma > 0.08:
        raise ValueError("too much")
    return beta * gamma * trial


def pictures_of(sweep):
    job = sweep.start()
    data = job.result()
    return Pictures.of_job(job), data


def states(drawn):
    return np.frombuffer(drawn["states"], np.uint8).reshape(drawn["shape"])


def seconds(drawn):
    return np.frombuffer(drawn["seconds"], np.float32).reshape(drawn["shape"])


def test_a_map_shows_the_states_and_run_times_of_the_dataset():
    space = tk.grid(beta=np.linspace(0.1, 0.5, 9), gamma=[0.02, 0.05, 0.1], trial=[1, 2])
    pictures, data = pictures_of(tk.Sweep(peak, space.where(lambda beta, trial: beta > 0.1)))
    views = views_of(pictures, ("peak",))
    assert views[0] == ("peak", "beta", "gamma")
    assert set(views) == {
        ("peak", x, y) for x, y in (("beta", "gamma"), ("beta", "trial"), ("gamma", "trial"))
    }
    drawn = draw_map(pictures, views[0], ("peak",))
    assert (drawn["kind"], drawn["shape"]) == ("map", [3, 9])
    assert np.array_equal(states(drawn), data.status.isel(trial=0).transpose("gamma", "beta"))
    mean = data.seconds.mean("trial").transpose("gamma", "beta").values
    assert np.allclose(seconds(drawn), mean, rtol=1e-5, equal_nan=True)
    assert drawn["x"]["labels"][1:3] == ["0.15", "0.2"]
    assert [("trial" in note) for note in drawn["notes"]] == [True, True]


def test_more_cells_than_a_screen_shows_are_put_together():
    stage = tk.stage(lambda a, b: a + b, vectorized=True, name="total")
    pictures, _ = pictures_of(tk.Sweep(stage, tk.grid(a=range(700), b=range(4))))
    drawn = draw_map(pictures, ("total", "a", "b"), ("total",))
    assert drawn["shape"][0] == 4
    assert 200 < drawn["shape"][1] <= MOST_CELLS
    assert drawn["x"]["each"] == 3
    assert len(drawn["x"]["labels"]) == drawn["shape"][1]
    assert set(states(drawn).ravel()) == {tk.Status.DONE}


def test_runs_of_a_sample_are_points():
    pictures, data = pictures_of(
        tk.Sweep(peak, tk.sample(64, beta=(0.1, 0.5), gamma=(0, 0.1)) * tk.grid(trial=[1]))
    )
    [view] = views_of(pictures, ("peak",))
    assert view == ("peak", "beta", "gamma")
    drawn = draw_map(pictures, view, ("peak",))
    assert (drawn["kind"], drawn["shape"]) == ("points", [1, 64])
    assert np.allclose(np.frombuffer(drawn["x"]["at"]), data.beta)
    assert np.array_equal(states(drawn)[0], data.status.values.ravel())
    closed = MapFigure("states")
    closed.show(drawn, is_closed=True)
    told = closed._points.data
    assert sorted(told["x"]) == list(range(1, 65))  # ranks, not values
    assert set(told["x_label"]) == {str(rank) for rank in range(1, 65)}


def test_runs_along_one_dim_are_a_strip():
    pictures, _ = pictures_of(tk.Sweep(lambda a: a, tk.grid(a=range(20))))
    [view] = views_of(pictures, ("<lambda>",))
    drawn = draw_map(pictures, view, ("<lambda>",))
    assert (view[2], drawn["shape"], drawn["y"]) == ("", [1, 20], None)


def test_one_run_has_no_map():
    pictures, _ = pictures_of(tk.Sweep(lambda a: a, tk.grid(a=1)))
    assert views_of(pictures, ("<lambda>",)) == ()


def test_each_stage_has_its_maps_the_last_first():
    @tk.stage
    def half(a):
        return a / 2

    @tk.stage
    def total(half, b):
        return half + b

    pictures, _ = pictures_of(tk.Sweep([half, total], tk.grid(a=range(3), b=range(4))))
    views = views_of(pictures, ("half", "total"))
    assert [view[0] for view in views] == ["total", "half"]
    assert draw_map(pictures, views[0], ("half", "total"))["shape"] == [4, 3]
    assert draw_map(pictures, views[1], ("half", "total"))["shape"] == [1, 3]


@pytest.mark.parametrize("kind", ["states", "seconds"])
def test_a_figure_labels_its_axes_and_takes_no_label_for_a_formula(kind):
    side = {"name": "a", "title": "rate (1/day)", "labels": ["$$x$$", "0.0968966"], "each": 1}
    drawn = {
        "kind": "map",
        "shape": [2, 2],
        "states": bytes([0, 1, 2, 5]),
        "seconds": np.array([1, 2, np.nan, 0], np.float32).tobytes(),
        "x": side,
        "y": {**side, "title": "model"},
        "notes": ["", ""],
    }
    shown = MapFigure(kind)
    shown.show(drawn, is_closed=False)
    x, y = shown.figure.xaxis[0], shown.figure.yaxis[0]
    assert (x.axis_label, y.axis_label) == ("rate (1/day)", "model")
    assert list(x.major_label_overrides.values()) == ["$ $x$ $", "0.0969"]
    shown.show(drawn, is_closed=True)
    assert list(x.major_label_overrides.values()) == ["1", "2"]
    assert shown._labels["x"].data["labels"] == ["1", "2"]
    assert shown.figure.xaxis[0].axis_label == "rate (1/day): number"
