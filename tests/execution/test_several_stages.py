"""Sweeps of several stages: wiring, dims, reductions, what is blocked, what is not kept."""

import os
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import toolkit as tk


class Calls:
    """Counts calls by file, so that other processes count too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = str(folder)

    def note(self, name: str) -> None:
        with open(f"{self.folder}/{os.getpid()}-{threading.get_ident()}", "a") as file:
            file.write(f"{name}\n")

    def fail(self, size: int) -> None:
        Path(f"{self.folder}-fail-{size}").touch()

    def mend(self, size: int) -> None:
        Path(f"{self.folder}-fail-{size}").unlink()

    def is_to_fail(self, size: int) -> bool:
        return os.path.exists(f"{self.folder}-fail-{size}")

    def counts(self) -> Counter:
        return Counter(
            line for path in Path(self.folder).iterdir() for line in path.read_text().splitlines()
        )


@pytest.fixture
def calls(tmp_path):
    return Calls(tmp_path / "calls")


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "study.zarr"


def study(calls, **options):
    """Fit once for each size, simulate for each noise, take the mean over noises."""

    @tk.stage(outputs={"weights": float, "model": object}, **options)
    def fit(size):
        calls.note(f"fit {size}")
        if calls.is_to_fail(size):
            raise ValueError("planted")
        return {"weights": size * 2.0, "model": {"size": size, "layers": [1, 2]}}

    @tk.stage(outputs={"signal": ("time",)})
    def simulate(weights, model, noise):
        calls.note(f"simulate {model['size']} {noise}")
        return np.arange(3) * weights + noise

    @tk.stage(over="noise", missing="allow")
    def mean(signal):
        calls.note("mean")
        assert signal.dims == ("noise", "time")
        return float(signal.mean())

    return [mean, simulate, fit]


def test_each_stage_runs_once_for_each_point_of_its_own_dims(store, calls) -> None:
    stages = study(calls)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2, 0.3]), store=store)
    data = sweep.run(progress=False)
    assert data.weights.dims == ("size",)
    assert data.signal.dims == ("size", "noise", "time")
    assert data["mean"].dims == ("size",)
    expected = np.arange(3) * 4.0 + 0.2
    np.testing.assert_allclose(data.signal.sel(size=2, noise=0.2), expected)
    np.testing.assert_allclose(data["mean"].sel(size=2), 4.0 + 0.2)
    counts = calls.counts()
    assert set(counts.values()) == {1, 2}  # mean for two sizes, all else once
    assert sum(counts.values()) == 2 + 6 + 2
    sweep.run(progress=False)
    assert calls.counts() == counts


def test_extending_runs_what_is_new_and_what_is_taken_whole_anew(store, calls) -> None:
    stages = study(calls)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2]), store=store)
    first = sweep.run(progress=False)
    before = calls.counts()
    data = sweep.extend(noise=[0.3]).run(progress=False)
    more = calls.counts() - before
    assert more == Counter({"simulate 1 0.3": 1, "simulate 2 0.3": 1, "mean": 2})
    assert float(data["mean"].sel(size=1)) == pytest.approx(2.2)
    xr.testing.assert_identical(sweep.run(progress=False)["mean"], first["mean"])
    assert calls.counts() - before == more


def test_what_needs_a_failed_run_is_blocked_until_it_is_mended(store, calls) -> None:
    stages = study(calls)
    calls.fail(2)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2]), store=store)
    job = sweep.start()
    data = job.result(60)
    assert (job.progress.failed, job.progress.blocked, job.progress.pending) == (1, 3, 0)
    assert data.status_simulate.sel(size=2).values.tolist() == [tk.Status.BLOCKED] * 2
    assert data.status_mean.values.tolist() == [tk.Status.DONE, tk.Status.BLOCKED]
    assert np.isnan(data.signal.sel(size=2)).all()
    assert sweep.failures()[["size", "stage"]].values.tolist() == [[2, "fit"]]
    sweep.run(progress=False)
    assert calls.counts()["fit 2"] == 1
    calls.mend(2)
    mended = sweep.retry(progress=False)
    assert (mended.status_simulate == tk.Status.DONE).all()
    assert (mended.status_mean == tk.Status.DONE).all()
    assert calls.counts()["simulate 1 0.1"] == 1


def test_a_reduction_may_go_on_without_the_failed_parts(store) -> None:
    def score(size, fold):
        if fold == 1 or size == 3:
            raise ValueError("planted")
        return size * 10 + fold

    def make(missing):
        @tk.stage(over="fold", missing=missing)
        def mean(score):
            return float(score.mean())

        space = tk.grid(size=[1, 2, 3], fold=[0, 1, 2])
        return tk.Sweep([score, mean], space, store=store).run(progress=False)

    allowed = make("allow")
    assert allowed["mean"].values[:2].tolist() == [11.0, 21.0]
    assert allowed.status_mean.values.tolist() == [1, 1, tk.Status.BLOCKED]


def test_a_reduction_is_blocked_by_a_failed_part(store) -> None:
    def score(size, fold):
        if (size, fold) == (1, 1):
            raise ValueError("planted")
        return size

    @tk.stage(over="fold")
    def mean(score):
        return float(score.mean())

    data = tk.Sweep([score, mean], tk.grid(size=[1, 2], fold=[0, 1]), store=store).run(
        progress=False
    )
    assert data.status_mean.values.tolist() == [tk.Status.BLOCKED, tk.Status.DONE]


def test_what_is_not_kept_is_run_for_those_that_need_it_only(store, calls) -> None:
    stages = study(calls, keep=False)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2]), store=store)
    data = sweep.run(progress=False)
    assert "weights" not in data
    assert float(data.signal.sel(size=2, noise=0.2, time=1)) == 4.2
    assert calls.counts()["fit 1"] == 1
    sweep.run(progress=False)
    assert calls.counts()["fit 1"] == 1
    sweep.extend(size=[3]).run(progress=False)
    assert calls.counts()["fit 1"] == 1
    assert calls.counts()["fit 3"] == 1
    if store is not None:
        assert "weights" not in tk.open(store)


def test_stages_after_one_that_draws_run_once_for_each_replicate(store) -> None:
    def noise(rng):
        return rng.normal()

    def double(noise, gain):
        return noise * gain

    def still(gain):
        return gain + 1

    space = tk.grid(gain=[1, 2], trial=tk.replicates(3))
    data = tk.Sweep([noise, double, still], space, store=store).run(progress=False)
    assert data.noise.dims == ("trial",)
    assert data["double"].dims == ("gain", "trial")
    assert data.still.dims == ("gain",)
    np.testing.assert_array_equal(data["double"].sel(gain=2), 2 * data.noise)


def test_an_argument_named_like_a_stage_takes_all_that_it_returned(store) -> None:
    @tk.stage(outputs={"a": int, "b": ("x",)})
    def pair(n):
        return {"a": n, "b": np.ones(2) * n}

    def total(pair):
        assert list(pair) == ["a", "b"]
        return pair["a"] + float(pair["b"].sum())

    data = tk.Sweep([pair, total], tk.grid(n=[1, 2]), store=store).run(progress=False)
    assert data.total.values.tolist() == [3.0, 6.0]


def test_vectorized_stages_take_and_give_arrays(store) -> None:
    @tk.stage(vectorized=True)
    def square(n):
        return n**2

    @tk.stage(vectorized=True)
    def plus(square, m):
        assert square.shape == m.shape
        return square + m

    data = tk.Sweep([square, plus], tk.grid(n=[1, 2, 3], m=[0.5, 1.5]), store=store).run(
        progress=False
    )
    expected = np.array([1, 4, 9])[:, None] + np.array([0.5, 1.5])
    np.testing.assert_array_equal(data.plus, expected)


def test_dims_and_parameters_taken_whole_arrive_labelled(store) -> None:
    @tk.stage(over="dose")
    def fit(dose, response):
        assert dose.dims == response.dims == ("dose",)
        return float(np.polyfit(dose, response, 1)[0])

    def response(dose, slope):
        return dose * slope

    space = tk.grid(slope=[2.0, 3.0], dose=[1.0, 2.0, 4.0])
    data = tk.Sweep([fit, response], space, store=store).run(progress=False)
    np.testing.assert_allclose(data.fit, [2.0, 3.0])


def test_one_stage_alone_may_take_a_dim_whole(store) -> None:
    @tk.stage(over="t")
    def area(t, height):
        return float(np.trapezoid(t.values * 0 + height, t.values))

    data = tk.Sweep(area, tk.grid(height=[1.0, 2.0], t=[0.0, 0.5, 2.0]), store=store).run(
        progress=False
    )
    assert data.area.dims == ("height",)
    np.testing.assert_allclose(data.area, [2.0, 4.0])


def test_points_left_out_are_left_out_of_the_stages_before(store, calls) -> None:
    def a(x):
        calls.note("a")
        return x

    def b(a, y):
        calls.note("b")
        return a * y

    space = tk.grid(x=[1, 2, 3], y=[1, 2, 3]).where(lambda x, y: (x < 3) & (y <= x))
    data = tk.Sweep([a, b], space, store=store).run(progress=False)
    assert calls.counts() == {"a": 2, "b": 3}
    assert data.status_a.values.tolist() == [1, 1, tk.Status.SKIPPED]
    assert float(data.b.sel(x=2, y=2)) == 4


def test_a_parameter_that_matters_under_a_condition_brings_the_condition_along(
    store, calls
) -> None:
    def kernel_matrix(kernel, width=None):
        calls.note(f"{kernel} {width}")
        return 1.0 if width is None else width

    def score(kernel_matrix, c):
        return kernel_matrix * c

    space = tk.grid(kernel=["rbf", "linear"], width=[0.5, 2.0], c=[1.0, 10.0])
    space = space.when(width=lambda kernel: kernel == "rbf")
    data = tk.Sweep([kernel_matrix, score], space, store=store).run(progress=False)
    assert calls.counts() == {"rbf 0.5": 1, "rbf 2.0": 1, "linear None": 1}
    assert float(data.score.sel(kernel="rbf", width=2.0, c=10.0)) == 20.0
    assert data.score.sel(kernel="linear", c=10.0).values.tolist() == [10.0, 10.0]


def test_a_part_of_a_sweep_runs_what_it_needs(tmp_path, calls) -> None:
    stages = study(calls)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2]), store=tmp_path / "study.zarr")
    sweep.sel(size=2).run(progress=False)
    assert "fit 1" not in calls.counts()
    table = sweep.explain().stages
    assert table.stored.to_dict() == {"fit": 1, "simulate": 2, "mean": 1}
    assert table.missing.to_dict() == {"fit": 1, "simulate": 2, "mean": 1}


def test_explain_draws_the_stages(calls) -> None:
    stages = study(calls)
    plan = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2])).explain()
    text = str(plan)
    assert "fit over (size): 2 runs" in text
    assert "fit -> simulate over (size, noise): 4 runs" in text
    assert "simulate -> mean over (size): 2 runs" in text
    assert plan.total.runs == 8


@pytest.mark.parametrize("is_stored", [False, True])
def test_one_point_is_reproduced_with_what_it_needs(store, calls, is_stored) -> None:
    stages = study(calls)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2]), store=store)
    if is_stored:
        sweep.run(progress=False)
    assert sweep.reproduce(stage="mean", size=2) == pytest.approx(4.15)
    signal = sweep.reproduce(stage="simulate", size=2, noise=0.2)
    np.testing.assert_allclose(signal, np.arange(3) * 4.0 + 0.2)
    assert calls.counts()["fit 2"] == (1 if is_stored else 2)


def test_a_failed_stage_before_raises_where_a_point_is_reproduced(calls) -> None:
    stages = study(calls)
    calls.fail(2)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2], noise=[0.1, 0.2]))
    with pytest.raises(ValueError, match="planted"):
        sweep.reproduce(stage="simulate", size=2, noise=0.2)


def test_replace_takes_stages_by_name(store, calls) -> None:
    stages = study(calls)
    sweep = tk.Sweep(stages, tk.grid(size=[1], noise=[0.1]), store=store)
    sweep.run(progress=False)

    @tk.stage(over="noise", name="mean")
    def other(signal):
        return float(signal.max())

    mended = sweep.replace(stages=other)
    with pytest.warns(UserWarning, match="1 stored runs of stage 'mean' are stale"):
        mended.run(progress=False)
    data = mended.run(progress=False, rerun="stale")
    assert float(data["mean"].sel(size=1)) == pytest.approx(4.1)
    assert calls.counts()["simulate 1 0.1"] == 1
    with pytest.raises(tk.SweepError, match="no stage 'planted' to replace"):
        sweep.replace(stages=tk.stage(lambda signal: 1, name="planted"))


def test_changed_code_makes_what_comes_after_stale(tmp_path) -> None:
    def make(factor):
        @tk.stage(version=str(factor))
        def a(x):
            return x * factor

        def b(a):
            return a + 1

        return tk.Sweep([a, b], tk.grid(x=[1, 2]), store=tmp_path / "s.zarr")

    make(2).run(progress=False)
    table = make(3).explain().stages
    assert table.stale.to_dict() == {"a": 2, "b": 2}
    data = make(3).run(progress=False, rerun="stale")
    assert data.b.values.tolist() == [4, 7]


def test_what_is_not_kept_is_let_go_when_its_last_consumer_is_done(calls) -> None:
    stages = study(calls, keep=False)
    calls.fail(2)
    sweep = tk.Sweep(stages, tk.grid(size=[1, 2, 3], noise=[0.1]))
    sweep.run(progress=False)
    runs = sweep._results.look("fit")
    assert np.isnan(runs.read("weights", np.array([0, 2]))).all()
    assert sweep.failures()[["stage", "size"]].values.tolist() == [["fit", 2]]


def test_stages_over_other_labels_read_as_one_dataset(tmp_path) -> None:
    def a(model, x):
        return len(model) * x

    def b(a):
        return a + 1

    path = tmp_path / "s.zarr"
    tk.Sweep(a, tk.grid(model=["svm", "forest", "knn"], x=[1, 5]), store=path).run(progress=False)
    part = tk.grid(model=["forest"], x=[3])
    tk.Sweep([a, b], part, store=path).run(progress=False)
    data = tk.open(path)
    assert data.model.values.tolist() == ["svm", "forest", "knn"]
    assert data.x.values.tolist() == [1, 3, 5]
    assert data.status_b.dtype == data.attempts_b.dtype == np.uint8
    assert data.status_b.sel(model="forest").values.tolist() == [3, 1, 3]
    assert (data.status_b.sel(model="svm") == tk.Status.SKIPPED).all()
    assert np.isnan(data.b.sel(model="svm")).all()
    stored = tk.open(path, mask=False)
    assert stored.b.dtype == np.int64
    assert int(stored.b.sel(model="forest", x=3)) == 19


def test_a_reduction_leaves_out_what_its_space_leaves_out_though_it_is_stored(store) -> None:
    def a(x, k):
        return x * k

    @tk.stage(over="x")
    def total(a):
        return float(a.sum())

    whole = tk.grid(x=[1, 2, 3], k=[1, 10])
    sweep = tk.Sweep([a, total], whole, store=store)
    assert sweep.run(progress=False).total.values.tolist() == [6, 60]
    part = sweep.where(lambda x, k: (x < 3) | (k > 1))
    assert part.run(progress=False).total.values.tolist() == [3, 60]
    assert part.reproduce(stage="total", k=1) == 3
    assert sweep.run(progress=False).total.values.tolist() == [6, 60]


def test_a_dim_taken_whole_ascends_in_whatever_order_it_was_given(store) -> None:
    def draw(x, fold):
        return fold * 10

    @tk.stage(over="fold")
    def first(draw, fold):
        assert fold.values.tolist() == draw.fold.values.tolist()
        return draw.values[0]

    for folds in ([3, 1, 2], [2, 3, 1]):
        sweep = tk.Sweep([draw, first], tk.grid(x=[1], fold=folds), store=store)
        assert sweep.run(progress=False)["first"].values.tolist() == [10]
        assert sweep.lazy().first.values.tolist() == [10]
