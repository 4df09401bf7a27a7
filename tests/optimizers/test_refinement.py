"""``sweep.refine``: points where an output changes most, in the same store."""

import os
import signal

import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator

import toolkit as tk

pytest.importorskip("adaptive")


def front(x, y):
    return {"peak": float(np.tanh(30 * (x * x + y * y - 0.5))), "other": x}


def grid(n, **more):
    return tk.grid(x=np.linspace(0, 1, n), y=np.linspace(0, 1, n), **more)


def swept(function, space, store=None, **more):
    sweep = tk.Sweep(function, space, store=store, **more)
    sweep.run(progress=False)
    return sweep


def refined(sweep, points, dims=("x", "y"), output="peak", **more):
    return sweep.refine(output, dims=dims, points=points, progress=False, **more)


def points_of(data, *names):
    return list(zip(*(data[name].values.tolist() for name in names), strict=True))


def in_band(x, y, width=0.1):
    return np.abs(x**2 + y**2 - 0.5) < width


def test_new_points_gather_where_the_output_changes():
    data = refined(swept(front, grid(9)), 80)
    assert dict(data.sizes) == {"run": 80}
    assert (data.status == tk.Status.DONE).all()
    assert in_band(data.x, data.y).mean() > 0.7  # a band that covers a sixth of the square
    assert np.allclose(data.peak, np.tanh(30 * (data.x**2 + data.y**2 - 0.5)))


def test_a_refined_map_is_far_closer_than_a_grid_of_as_many_points():
    def sharp(x, y):
        return {"peak": float(_sharp(x, y))}

    coarse = swept(sharp, grid(7))
    more = refined(coarse, 251)
    start = coarse.dataset().peak.stack(run=("x", "y"))
    refined_error = _error(
        np.concatenate([start.x, more.x]),
        np.concatenate([start.y, more.y]),
        np.concatenate([start, more.peak]),
    )
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, 20), np.linspace(0, 1, 15)))
    assert refined_error < _error(x, y, _sharp(x, y)) / 3


def _error(x, y, values):
    """Return the mean error of linear interpolation between 300 points."""
    assert len(x) == 300
    fine = np.linspace(0, 1, 201)
    at_x, at_y = np.meshgrid(fine, fine)
    between = LinearNDInterpolator(np.stack([x, y], axis=1), values)(at_x, at_y)
    return np.abs(between - _sharp(at_x, at_y)).mean()


def _sharp(x, y):
    return np.tanh(100 * (x**2 + y**2 - 0.5))


def test_nothing_is_run_twice(tmp_path):
    log = tmp_path / "log"

    def logged(x, y):
        with log.open("a") as file:
            file.write(f"{x} {y}\n")
        return {"peak": x * y**2}

    sweep = tk.Sweep(logged, grid(5), store=tmp_path / "s.zarr")
    first = refined(sweep, 20)  # before its grid has run
    sweep.run(progress=False)
    second = refined(sweep, 20)
    again = sweep.run(progress=False)
    calls = log.read_text().split("\n")[:-1]
    assert len(calls) == len(set(calls))
    assert not {*points_of(first, "x", "y")} & {*points_of(second, "x", "y")}
    assert len(calls) == len(tk.open(tmp_path / "s.zarr", flat=True).run)
    assert int((again.status == tk.Status.DONE).sum()) == 25


def test_the_same_store_gives_the_same_points():
    one, other = (refined(swept(front, grid(5)), 25) for _ in range(2))
    assert one.drop_vars(["seconds", "peak_memory"]).identical(
        other.drop_vars(["seconds", "peak_memory"])
    )


def test_the_grid_reads_as_before_and_the_store_along_run(tmp_path):
    before = swept(front, grid(9), tmp_path / "s.zarr").dataset()
    sweep = tk.Sweep(front, grid(9), store=tmp_path / "s.zarr")
    data = refined(sweep, 60)
    assert sweep.dataset().identical(before)
    every = tk.open(tmp_path / "s.zarr")
    assert dict(every.sizes) == {"run": 81 + 60}
    assert every.identical(tk.open(tmp_path / "s.zarr", flat=True))
    new = every.sel(run=data.run).load()
    assert new.peak.identical(data.peak)
    assert tk.status(tmp_path / "s.zarr").loc["front", ["runs", "pending"]].tolist() == [141, 0]
    assert "sound" in str(tk.check(tmp_path / "s.zarr"))
    assert sweep.explain().total.missing == 0


def test_a_grid_can_be_run_after_a_refinement_of_an_empty_store(tmp_path):
    sweep = tk.Sweep(front, grid(9), store=tmp_path / "s.zarr")
    data = refined(sweep, 12)
    assert data.sizes["run"] == 12
    assert dict(sweep.run(progress=False).sizes) == {"x": 9, "y": 9}
    assert {"x", "y"} == {*tk.open(tmp_path / "s.zarr", flat=False).sizes}


def test_one_dim_is_refined():
    def step(x):
        return float(np.arctan(200 * (x - 0.3)))

    data = refined(swept(step, tk.grid(x=np.linspace(0, 1, 6))), 30, dims="x", output="step")
    assert data.sizes["run"] == 30
    assert (np.abs(data.x - 0.3) < 0.05).mean() > 0.5


def test_three_dims_are_refined():
    def ball(x, y, z):
        return float(np.tanh(20 * (x * x + y * y + z * z - 0.5)))

    axis = np.linspace(0, 1, 4)
    data = refined(
        swept(ball, tk.grid(x=axis, y=axis, z=axis)), 40, dims=("x", "y", "z"), output="ball"
    )
    assert data.sizes["run"] == len({*points_of(data, "x", "y", "z")}) == 40
    assert (np.abs(data.x**2 + data.y**2 + data.z**2 - 0.5) < 0.25).mean() > 0.6


def test_failed_points_are_left_behind():
    def brittle(x, y):
        if (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.04:
            raise ValueError("off the map")
        return {"peak": float(np.tanh(30 * (x * x + y * y - 0.5)))}

    sweep = swept(brittle, grid(6))
    data = refined(sweep, 80)
    failed = data.status == tk.Status.FAILED
    inside = (data.x - 0.5) ** 2 + (data.y - 0.5) ** 2 < 0.04
    assert (failed == inside).all()
    assert np.isnan(data.peak[failed]).all()
    assert len({*points_of(data, "x", "y")}) == 80
    good = data.where(~failed, drop=True)
    assert in_band(good.x, good.y).mean() > 0.5
    more = refined(sweep, 20)
    assert not {*points_of(data, "x", "y")} & {*points_of(more, "x", "y")}


@pytest.mark.parametrize("dims", [("x",), ("x", "y")])
def test_corners_may_fail(dims):
    def beside(x, y=1.0):
        if x < 0.3:
            raise ValueError("too small")
        return x * y

    axes = {name: [0.0, 1.0] for name in dims}
    data = refined(tk.Sweep(beside, tk.grid(axes)), 40, dims=dims, output="beside")
    good = data.x[data.status == tk.Status.DONE]
    assert data.sizes["run"] == len({*points_of(data, *dims)}) == 40
    assert len(good) >= 20
    assert good.min() < 0.4


def test_a_value_that_is_not_finite_is_no_value():
    def pole(x):
        return np.inf if x == 0.5 else 1 / abs(x - 0.5)

    data = refined(swept(pole, tk.grid(x=[0.0, 0.5, 1.0])), 15, dims="x", output="pole")
    assert data.sizes["run"] == 15
    assert (data.status == tk.Status.DONE).all()


def test_whole_numbers_stay_whole_and_come_to_an_end():
    def step(n, m):
        return {"peak": float(n * m > 30)}

    sweep = swept(step, tk.grid(n=[1, 12], m=[1, 5, 9]))
    data = refined(sweep, 50, dims=("n", "m"))
    assert data.n.dtype == data.m.dtype == np.int64
    assert len({*points_of(data, "n", "m")}) == 50
    near = np.abs(data.n * data.m - 30) < 20
    assert near.mean() > 0.6  # of all cells, 0.4
    rest = refined(sweep, 1000, dims=("n", "m"))
    assert rest.sizes["run"] == 12 * 9 - 6 - 50
    none = refined(sweep, 10, dims=("n", "m"))
    assert none.sizes["run"] == 0
    assert "peak" in none


def test_one_dim_of_whole_numbers():
    def step(n):
        return float(np.tanh(n - 70))

    data = refined(swept(step, tk.grid(n=[0, 50, 100])), 20, dims="n", output="step")
    assert len({*data.n.values.tolist()}) == 20
    assert (np.abs(data.n - 70) < 12).mean() > 0.5


@pytest.mark.parametrize(
    "space",
    [
        tk.grid(x=np.geomspace(1e-4, 1.0, 9)),
        tk.sample(16, x=tk.log(1e-4, 1.0)),
        tk.grid(x=[1, 10, 100, 1000, 10_000]),
    ],
    ids=["geometric", "drawn", "whole"],
)
def test_logarithmic_axes_are_refined_in_the_logarithm(space):
    def step(x):
        return float(np.tanh(4 * np.log(x / low / 30)))

    low = float(min(space.dims[0].columns[0].labels))
    data = refined(swept(step, space), 20, dims="x", output="step")
    assert (np.abs(np.log10(data.x / low / 30)) < 0.5).mean() > 0.4  # evenly, a quarter


def test_a_sample_is_refined_along_its_dim(tmp_path):
    sweep = swept(front, tk.sample(64, x=(0, 1), y=(0, 1)), tmp_path / "s.zarr")
    data = refined(sweep, 40)
    assert data.sizes["run"] == 40
    assert in_band(data.x, data.y, 0.15).mean() > 0.5
    assert sweep.dataset().sizes == {"sample": 64}
    assert tk.open(tmp_path / "s.zarr").sizes == {"sample": 104}
    drawn = tk.sample(4, x=tk.log(0.1, 1), y=(0, 1)).to_dataset()
    assert drawn.x.attrs == {"scale": "log"}
    assert drawn.y.attrs == {}


def test_each_point_is_run_for_all_replicates_and_their_mean_counts():
    def noisy(x, y, rng):
        return {"peak": front(x, y)["peak"] + 0.1 * rng.standard_normal()}

    sweep = swept(noisy, grid(5, trial=tk.replicates(3)))
    data = refined(sweep, 20)
    assert data.sizes["run"] == 60
    found = points_of(data, "x", "y", "trial")
    assert len({*found}) == 60
    assert {trial for *_, trial in found} == {0, 1, 2}
    assert len({(x, y) for x, y, _ in found}) == 20
    assert in_band(data.x, data.y, 0.2).mean() > 0.5


def test_points_that_the_space_leaves_out_are_not_run():
    sweep = swept(front, grid(6).where(lambda x, y: x >= y))
    data = refined(sweep, 40)
    assert data.sizes["run"] == 40
    assert (data.x >= data.y).all()


def test_other_dims_are_selected_first():
    def tilted(x, y, kind, depth=2.0):
        return {"peak": front(x, y)["peak"] if kind == "sharp" else x * depth}

    sweep = swept(tilted, grid(5, kind=["sharp", "flat"]))
    with pytest.raises(tk.SweepError, match=r"2 labels along 'kind'.*sel\(kind='sharp'\)"):
        refined(sweep, 10)
    data = refined(sweep.sel(kind="sharp"), 40)
    assert {*data.kind.values.tolist()} == {"sharp"}
    assert (data.depth == 2.0).all()
    assert in_band(data.x, data.y, 0.2).mean() > 0.5
    flat = refined(sweep.sel(kind="flat"), 12)  # a map of its own
    assert in_band(flat.x, flat.y, 0.2).mean() < 0.6


def test_a_part_of_the_space_is_refined_within_its_labels():
    sweep = swept(front, grid(11)).sel(x=slice(0.2, 0.5), y=slice(0.4, None))
    data = refined(sweep, 30)
    assert float(data.x.min()) >= 0.2
    assert float(data.x.max()) <= 0.5
    assert float(data.y.min()) >= 0.4


def test_curvature_seeks_bends():
    def bend(x):
        return abs(x - 0.3)

    sweep = swept(bend, tk.grid(x=np.linspace(0, 1, 6)))
    data = refined(sweep, 20, dims="x", output="bend", loss="curvature")
    assert (np.abs(data.x - 0.3) < 0.1).mean() >= 0.4  # evenly, a fifth


def test_an_interrupted_refinement_goes_on(tmp_path):
    interrupted_at = 15
    calls = []

    def interrupting(x, y):
        calls.append((x, y))
        if len(calls) == 25 + interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
        return front(x, y)

    sweep = swept(tk.stage(interrupting, version="1"), grid(5), tmp_path / "s.zarr")
    with pytest.raises(tk.InterruptedSweepError, match=f"with {50 - interrupted_at} runs to go"):
        refined(sweep, 50)
    status = tk.status(tmp_path / "s.zarr").loc["interrupting"]
    assert (status.done, status.pending) == (25 + interrupted_at, 0)
    data = refined(sweep, 50 - interrupted_at)
    assert data.sizes["run"] == 50 - interrupted_at
    assert len(calls) == len({*calls}) == 75


def test_failures_can_be_too_many():
    def brittle(x, y):
        if x + y not in (0.0, 1.0, 2.0):
            raise ValueError("off the map")
        return {"peak": x}

    sweep = swept(brittle, grid(2))
    with pytest.raises(tk.RunsFailedError, match="max_failures=3"):
        refined(sweep, 50, max_failures=3)


def test_progress_counts_the_points_that_are_to_come(monkeypatch):
    from toolkit.execution import session

    seen = []

    def watched(job, *, how_to_resume):
        seen.append(job.progress)
        job.run_here()
        seen.append(job.progress)

    sweep = swept(front, grid(4))
    monkeypatch.setattr(session, "run_here", watched)
    refined(sweep, 20)
    before, after = seen
    assert (before.total, before.pending) == (20, 20)
    assert (after.total, after.done, after.pending) == (20, 20, 0)


def several(x, y, kind="a"):
    return {
        "peak": x,
        "curve": np.zeros(3),
        "word": "a",
        "state": {"a": object},
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"output": "peek"}, "no output 'peek' to refine. The stage has 'peak'"),
        ({"output": "curve"}, "one number for each run.*'curve' is .* along"),
        ({"output": "word"}, "one number for each run, and the output 'word' is text"),
        ({"dims": ("x", "z")}, "dims= has 'z', which the space does not have. It has 'x', 'y'"),
        ({"dims": ()}, "must name one dim or more"),
        ({"dims": ("x", "x")}, "each once"),
        ({"dims": ("x", "kind")}, "numbers along 'kind', found text"),
        ({"dims": "x"}, r"3 labels along 'y'.*sel\(y=0.0\)"),
        ({"points": 0}, "points=0 must be a whole number of at least 1"),
        ({"points": 1.5}, "points=1.5"),
        ({"loss": "best"}, "loss='best' is not known. Choose among 'default'"),
    ],
)
def test_what_cannot_be_refined_is_said(arguments, complaint):
    kind = ["a", "b"] if "kind" in arguments.get("dims", ()) else "a"
    sweep = swept(several, grid(3, kind=kind))
    given = {"output": "peak", "dims": ("x", "y"), "points": 5, **arguments}
    with pytest.raises(tk.SweepError, match=complaint):
        sweep.refine(**given, progress=False)


def test_an_output_that_nobody_declared_is_missed_when_the_first_run_has_ended():
    with pytest.raises(tk.SweepError, match=r"no output 'peek' to refine\. The stage has 'peak'"):
        refined(tk.Sweep(front, grid(3)), 5, output="peek")
    declared = tk.stage(front, outputs={"peak": float, "other": float})
    with pytest.raises(tk.SweepError, match="no output 'peek'"):
        refined(tk.Sweep(declared, grid(3)), 5, output="peek")


def test_replicates_and_what_varies_together_are_no_axes():
    def three(x, y, size, rng=None):
        return {"peak": x + y + size}

    rows = tk.zipped("site", x=[0.0, 0.5, 1.0], size=[1, 5, 9]) * tk.grid(y=[0.0, 1.0])
    with pytest.raises(tk.SweepError, match="'size' varies together with 'x' along 'site'"):
        refined(tk.Sweep(three, rows), 5)

    def random(x, rng):
        return x

    space = tk.grid(x=[0.0, 1.0], trial=tk.replicates(3))
    with pytest.raises(tk.SweepError, match="'trial' numbers replicates"):
        refined(tk.Sweep(random, space), 5, dims=("x", "trial"), output="random")
    with pytest.raises(tk.SweepError, match="nothing to refine along 'n', which has 1, 2"):
        refined(tk.Sweep(lambda n: n, {"n": [1, 2]}), 5, dims="n", output="x")


def test_several_stages_are_refused():
    def half(x):
        return x / 2

    def double(half, y):
        return half * 2 + y

    with pytest.raises(tk.SweepError, match="one stage, and this one has 'half', 'double'"):
        refined(tk.Sweep([half, double], grid(3)), 5, output="double")


def test_very_many_stored_points_are_refused():
    def cell(x, y, z):
        return x + y + z

    axis = np.linspace(0, 1, 10)
    sweep = swept(cell, tk.grid(x=axis, y=axis, z=axis))
    with pytest.raises(tk.SweepError, match=r"1,000 points .* more than the 600 .*sel\(x=slice"):
        refined(sweep, 5, dims=("x", "y", "z"), output="cell")
