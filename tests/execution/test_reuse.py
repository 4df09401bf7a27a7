"""``reuse=``: what other stores hold of the same content is read, and not run."""

import hashlib
import warnings

import numpy as np
import pytest

import toolkit as tk
from toolkit.clusters import running_cluster


def model(x, y=2.0):
    CALLS.append(x)
    return {"total": x + y, "name": f"run {x}", "wave": np.arange(3) * x}


CALLS: list = []


@pytest.fixture(params=["memory", "disk"])
def target(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "second.zarr"


@pytest.fixture
def first(tmp_path):
    path = tmp_path / "first.zarr"
    tk.Sweep(model, {"x": [1, 2, 3]}, store=path).run(progress=False)
    CALLS.clear()
    return path


def content(path):
    files = sorted(each for each in path.rglob("*") if each.is_file())
    texts = [f"{each.relative_to(path)}".encode() + each.read_bytes() for each in files]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def test_what_another_store_holds_is_copied_and_only_the_rest_is_run(first, target):
    before = content(first)
    sweep = tk.Sweep(model, {"x": [4, 3, 2]}, store=target, reuse=[first])
    plan = sweep.explain()
    assert (plan.total.reused, plan.total.missing, plan.total.stored) == (2, 1, 0)
    assert "2 to be reused from other stores" in str(plan)
    assert plan.stages.reused.item() == 2
    data = sweep.run(progress=False)
    assert CALLS == [4]
    old = tk.open(first).load()
    for name in ("total", "name", "wave", "seconds", "attempts", "peak_memory"):
        np.testing.assert_array_equal(data[name].sel(x=[2, 3]), old[name].sel(x=[2, 3]))
    assert (data.status == tk.Status.DONE).all()
    assert sweep.explain().total.reused == 0
    made_by = sweep._results.attributes()["reused"]
    assert [(each["store"], each["stage"], each["runs"]) for each in made_by] == [
        (str(first), "model", 2)
    ]
    assert content(first) == before
    sweep.run(progress=False)
    assert CALLS == [4]


def test_all_of_it_can_be_reused_and_stays_in_the_store_alone(first, tmp_path):
    path = tmp_path / "copy.zarr"
    tk.Sweep(model, {"x": [1, 2, 3]}, store=path, reuse=first).run(progress=False)
    assert CALLS == []
    assert tk.open(path).equals(tk.open(first))
    later = tk.Sweep(model, {"x": [1, 2, 3]}, store=path)
    assert later.run(progress=False).total.values.tolist() == [3, 4, 5]
    assert CALLS == []


def test_a_constant_an_axis_and_a_default_are_the_same_labels(first):
    grid = tk.grid(x=[1, 2], y=[2.0, 5.0])
    assert tk.Sweep(model, grid, reuse=[first]).explain().total.reused == 2
    assert tk.Sweep(model, tk.grid(x=[1], y=5.0), reuse=[first]).explain().total.reused == 0


def test_other_code_other_seeds_and_stale_runs_are_not_reused(tmp_path):
    def noisy(x, rng):
        return x + rng.random()

    path = tmp_path / "noisy.zarr"
    made = tk.Sweep(noisy, {"x": [1, 2]}, store=path, seed=3)
    made.run(progress=False)

    def reused(function, **kwargs):
        return tk.Sweep(function, {"x": [1, 2]}, reuse=[path], **kwargs).explain().total.reused

    assert reused(noisy, seed=3) == 2
    assert reused(noisy, seed=4) == 0
    assert reused(tk.stage(noisy, name="other"), seed=3) == 0
    old = noisy

    def noisy(x, rng):
        return x - rng.random()

    assert reused(noisy, seed=3) == 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* are stale")
        made.replace(stages=noisy).sel(x=[1]).run(progress=False, rerun="stale")
    assert (reused(noisy, seed=3), reused(old, seed=3)) == (1, 1)


def test_several_stores_sweeps_and_part_of_what_is_stored(first, target):
    more = tk.Sweep(model, {"x": [3, 4, 5]})
    more.run(progress=False)
    CALLS.clear()
    sweep = tk.Sweep(model, {"x": range(7)}, store=target, reuse=[first, more])
    sweep.sel(x=[0, 4]).run(progress=False)
    assert CALLS == [0]
    data = sweep.run(progress=False)
    assert sorted(CALLS) == [0, 6]
    assert data.total.values.tolist() == [x + 2.0 for x in range(7)]
    counts = {each["store"]: each["runs"] for each in sweep._results.attributes()["reused"]}
    assert counts == {str(first): 3, "memory": 2}


def test_failed_runs_are_run_and_rerun_all_runs_all(tmp_path):
    def fragile(x):
        CALLS.append(x)
        if x == 2 and len(CALLS) < 3:
            raise ValueError("no")
        return x

    path = tmp_path / "fragile.zarr"
    CALLS.clear()
    tk.Sweep(fragile, {"x": [1, 2]}, store=path).run(progress=False)
    sweep = tk.Sweep(fragile, {"x": [1, 2]}, reuse=[path])
    assert sweep.run(progress=False).fragile.values.tolist() == [1, 2]
    assert CALLS == [1, 2, 2]
    sweep.run(progress=False, rerun="all")
    assert sorted(CALLS) == [1, 1, 2, 2, 2]


def test_a_store_with_other_parameters_holds_nothing_of_use(first):
    assert tk.Sweep(model, tk.grid(x=[1], y=["a"]), reuse=[first]).explain().total.reused == 0


@pytest.mark.parametrize("verb", ["run", "explain"])
def test_a_store_that_cannot_be_read_is_an_error_before_anything_runs(tmp_path, verb, first):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "zarr.json").write_text("{}")
    for wrong in ("nowhere.zarr", "foreign"):
        sweep = tk.Sweep(model, {"x": [9]}, store=tmp_path / "t.zarr", reuse=[tmp_path / wrong])
        with pytest.raises(tk.StoreError, match=f"reuse= cannot read .*{wrong}"):
            getattr(sweep, verb)()
    assert CALLS == []
    assert not (tmp_path / "t.zarr").exists()
    with pytest.raises(tk.SweepError, match="own store"):
        tk.Sweep(model, {"x": [9]}, store=first, reuse=[first]).explain()
    with pytest.raises(tk.SweepError, match="names no store"):
        tk.Sweep(model, {"x": [9]}, reuse=3)


def test_where_nothing_is_left_to_run_no_cluster_is_started(first, target, monkeypatch):
    def started(*_, **__):
        raise AssertionError("a cluster is started")

    monkeypatch.setattr(running_cluster, "RunningCluster", started)
    sweep = tk.Sweep(model, {"x": [1, 2, 3]}, store=target, reuse=[first])
    assert sweep.run("local", progress=False).total.sum() == 12
    assert sweep.run("local", progress=False).total.sum() == 12
    with pytest.raises(AssertionError):
        sweep.run("local", progress=False, rerun="all")
    with pytest.raises(tk.ClusterError):
        sweep.run("no such profile", progress=False)


def test_many_runs_are_copied_in_bulk(tmp_path):
    @tk.stage(vectorized=True)
    def square(x):
        return x * x

    path, n = tmp_path / "many.zarr", 100_000
    tk.Sweep(square, {"x": np.arange(n)}, store=path).run(progress=False)
    sweep = tk.Sweep(square, {"x": np.arange(10, n + 10)}, store=tmp_path / "t.zarr", reuse=[path])
    assert sweep.explain().total.reused == n - 10
    data = sweep.run(progress=False)
    assert (data.square.values == np.arange(10.0, n + 10) ** 2).all()


@pytest.mark.parametrize("store", [3, b"x", ["a"]])
def test_a_store_that_is_no_path_is_an_error_that_says_what_to_do(store):
    with pytest.raises(tk.SweepError, match="Give a folder such as"):
        tk.Sweep(model, {"x": [1]}, store=store)


def test_a_dataset_names_its_store_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tk.Sweep(model, {"x": [1]}, store="here.zarr").run(progress=False)
    assert data.attrs["store"] == tk.open("here.zarr").attrs["store"] == "here.zarr"
