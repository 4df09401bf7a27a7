import numpy as np
import pytest
import xarray as xr

import toolkit as tk


def area(width, height, scale=2.0):
    return width * height * scale


def run(function, space, **kwargs):
    return tk.Sweep(function, space, **kwargs).run(progress=False)


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "results.zarr"


def test_a_short_sweep_runs_here_and_comes_back_labelled(store):
    data = run(area, tk.grid(width=[3, 1, 2], height=[10, 20]), store=store)
    assert data.area.dims == ("width", "height")
    assert data.width.values.tolist() == [1, 2, 3]
    assert data.area.sel(width=2, height=20).item() == 80
    assert data.scale.item() == 2.0
    assert (data.status == tk.Status.DONE).all()


def test_a_mapping_is_a_grid():
    assert run(area, {"width": [1], "height": [2, 3]}).area.values.tolist() == [[4.0, 6.0]]


def test_what_is_stored_is_not_run_again(store):
    calls = []

    def square(x):
        calls.append(x)
        return x * x

    sweep = tk.Sweep(square, {"x": range(5)}, store=store)
    sweep.run(progress=False)
    sweep.run(progress=False)
    larger = sweep.extend(x=[3, 10])
    data = larger.run(progress=False)
    assert sorted(calls) == [0, 1, 2, 3, 4, 10]
    assert data.square.values.tolist() == [0, 1, 4, 9, 16, 100]
    assert data.square.dtype == np.int64


def test_a_part_of_the_space_can_be_run_first(store):
    sweep = tk.Sweep(area, tk.grid(width=range(10), height=[1, 2]), store=store)
    part = sweep.sel(width=slice(2, 4))
    assert part.run(progress=False).sizes == {"width": 3, "height": 2}
    whole = sweep.dataset()
    assert int((whole.status == tk.Status.DONE).sum()) == 6
    assert np.isnan(whole.area.sel(width=9)).all()


def test_a_constant_that_becomes_an_axis_keeps_its_results(store):
    sweep = tk.Sweep(area, tk.grid(width=[1, 2], height=5), store=store)
    first = sweep.run(progress=False)
    more = sweep.extend(height=[6]).run(progress=False)
    assert more.area.sel(height=5).values.tolist() == first.area.values.tolist()
    assert more.attempts.values.tolist() == [[1, 1], [1, 1]]


def test_a_default_that_becomes_an_axis_keeps_its_results(store):
    sweep = tk.Sweep(area, tk.grid(width=[1, 2], height=5), store=store)
    sweep.run(progress=False)
    wider = (
        tk.Sweep(area, tk.grid(width=[1, 2], height=5, scale=[2.0, 3.0]), store=store)
        if store
        else sweep.extend(width=[1])
    )
    plan = wider.explain()
    assert plan.stages.loc["area", "stored"] == 2


def test_points_left_out_are_never_run(store):
    seen = []

    def ratio(a, b):
        seen.append((a, b))
        return a / b

    space = tk.grid(a=[1, 2, 3], b=[1, 2, 3]).where(lambda a, b: a > b)
    data = run(ratio, space, store=store)
    assert sorted(seen) == [(2, 1), (3, 1), (3, 2)]
    assert int((data.status == tk.Status.SKIPPED).sum()) == 6


def test_a_parameter_that_does_not_matter_is_run_once_and_gets_its_default(store):
    seen = []

    def fit(kernel, width=0.5):
        seen.append((kernel, width))
        return len(kernel) + width

    space = tk.grid(kernel=["rbf", "linear"], width=[1.0, 2.0]).when(
        width=lambda kernel: kernel == "rbf"
    )
    data = run(fit, space, store=store)
    assert sorted(seen) == [("linear", 0.5), ("rbf", 1.0), ("rbf", 2.0)]
    assert data.fit.sel(kernel="linear").values.tolist() == [6.5, 6.5]


def test_random_streams_depend_on_labels_alone(store):
    def draw(beta, trial, rng):
        return rng.random()

    space = tk.grid(beta=[0.1, 0.2], trial=tk.replicates(3))
    with pytest.raises(tk.StageError, match=r"trial|replicates"):
        tk.Sweep(lambda beta: beta, space)
    small = run(draw, space, store=store)
    large = run(draw, tk.grid(trial=tk.replicates(3), beta=[0.05, 0.1, 0.2, 0.3]))
    assert np.array_equal(large.draw.sel(beta=small.beta).transpose(*small.draw.dims), small.draw)
    assert len(np.unique(large.draw)) == 12


def test_another_seed_gives_other_streams():
    def draw(x, run_seed):
        return run_seed

    space = {"x": [1, 2]}
    one, again, two = (run(draw, space, seed=seed).draw.values for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, two)


def test_failures_are_data(store):
    def root(x):
        if x < 0:
            raise ValueError(f"no root of {x}")
        return x**0.5

    sweep = tk.Sweep(root, {"x": [-4, 1, 4]}, store=store)
    data = sweep.run(progress=False)
    table = sweep.failures()
    assert np.isnan(data.root.sel(x=-4))
    assert table.x.tolist() == [-4]
    assert table.exception.tolist() == ["ValueError"]
    assert table.message.tolist() == ["no root of -4"]
    assert "in root" in table.traceback[0]
    with pytest.raises(ValueError, match="no root of -4"):
        sweep.reproduce(x=-4)
    with pytest.raises(ValueError, match="no root of -4"):
        sweep.reproduce(run=int(table.run[0]))
    assert sweep.reproduce(x=4) == 2.0


def test_failed_runs_stay_failed_until_they_are_retried(store):
    calls = []

    def flaky(x):
        calls.append(x)
        if x == 3 and len(calls) < 8:
            raise OSError("not yet")
        return x

    sweep = tk.Sweep(flaky, {"x": range(5)}, store=store)
    sweep.run(progress=False)
    sweep.run(progress=False)
    assert len(calls) == 5
    calls += [None] * 3
    data = sweep.retry(progress=False)
    assert data.flaky.sel(x=3) == 3
    assert data.attempts.sel(x=3) == 2
    assert sweep.failures().empty


def test_runs_of_changed_code_are_stale_until_they_are_run_again(store):
    def model(x):
        return x

    sweep = tk.Sweep(model, {"x": [1, 2]}, store=store)
    sweep.run(progress=False)

    def model(x):
        return x + 10

    mended = sweep.replace(stages=model)
    assert mended.explain().total.stale == 2
    with pytest.warns(UserWarning, match="2 stored runs of stage 'model' are stale"):
        data = mended.extend(x=[3]).run(progress=False)
    assert data.model.values.tolist() == [1, 2, 13]
    assert data.status.values.tolist() == [tk.Status.STALE, tk.Status.STALE, tk.Status.DONE]
    again = mended.run(progress=False, rerun="stale")
    assert again.model.values.tolist() == [11, 12]
    assert mended.explain().total.stale == 0


def test_objects_come_back_as_objects(store):
    def fit(x):
        if x == 3:
            raise ValueError("no fit")
        return {"model": {x, -x}, "score": float(x)}

    data = run(fit, {"x": [1, 2, 3]}, store=store)
    assert data["model"].values.tolist() == [{1, -1}, {2, -2}, None]
    assert data["model"].sel(x=2).item() == {2, -2}


def test_integers_that_floats_cannot_hold_do_not_end_a_sweep_with_a_failed_run(store):
    def label(x):
        if x == 2:
            raise ValueError("none")
        return 2**62 + x

    sweep = tk.Sweep(label, {"x": [1, 2, 3]}, store=store)
    data = sweep.run(progress=False)
    with pytest.raises(tk.StoreError, match="mask=False"):
        data.label.load()
    assert sweep.dataset(mask=False).label.sel(x=3) == 2**62 + 3


def test_a_default_of_none_becomes_an_axis_that_keeps_its_results(store):
    def model(x, mode=None):
        return x if mode is None else -x

    sweep = tk.Sweep(model, {"x": [1, 2]}, store=store)
    sweep.run(progress=False)
    wider = sweep.extend(mode=["turned"])
    assert wider.explain().total.stored == 2
    data = wider.run(progress=False)
    assert data.model.sel(mode="None").values.tolist() == [1, 2]
    assert data.model.sel(mode="turned").values.tolist() == [-1, -2]


def test_a_reproduced_run_knows_its_labels_and_seed(store):
    def model(x, run_seed):
        now = tk.current_run()
        return {"label": now.labels["x"], "is_same": now.seed == run_seed, "number": now.id}

    sweep = tk.Sweep(model, {"x": [5, 6]}, store=store)
    data = sweep.run(progress=False)
    assert sweep.reproduce(x=6) == {"label": 6, "is_same": True, "number": 1}
    assert data.is_same.all()
    assert tk.current_run().id == -1


def test_a_named_error_is_tried_again_at_once(store):
    calls = []

    @tk.stage(retry_on=ConnectionError, max_attempts=3)
    def fetch(x):
        calls.append(x)
        if x == 1 and calls.count(1) < 3:
            raise ConnectionError("gone")
        return x

    data = run(fetch, {"x": [0, 1, 2]}, store=store)
    assert calls.count(1) == 3
    assert data.attempts.values.tolist() == [1, 3, 1]


def test_a_function_that_always_fails_stops_after_the_first_wave(store):
    calls = []

    def broken(x):
        calls.append(x)
        raise ZeroDivisionError("always")

    with pytest.raises(tk.RunsFailedError, match="always"):
        run(broken, {"x": range(1000)}, store=store)
    assert len(calls) < 20


def test_max_failures_stops_and_keeps_what_is_done(store):
    def picky(x):
        if x % 2:
            raise ValueError("odd")
        return x

    sweep = tk.Sweep(picky, {"x": range(2000)}, store=store)
    with pytest.raises(tk.RunsFailedError, match="max_failures=5"):
        sweep.run(progress=False, max_failures=5, order="given")
    assert (sweep.dataset().status == tk.Status.DONE).any()


def test_a_later_value_that_does_not_fit_widens_the_variable(store):
    def mixed(x):
        return 0.5 if x == 700 else x

    data = run(mixed, {"x": range(1000)}, store=store)
    assert data.mixed.sel(x=700) == 0.5
    assert data.mixed.sel(x=999) == 999


def test_a_run_of_another_shape_fails_and_both_shapes_are_named(store):
    def ragged(x):
        return np.zeros(4 if x == 5 else 3)

    sweep = tk.Sweep(ragged, {"x": range(10)}, store=store)
    data = sweep.run(progress=False, order="given")
    [message] = sweep.failures().message
    assert data.ragged.shape == (10, 3)
    assert "(3,)" in message
    assert "(4,)" in message


def test_many_kinds_of_outputs_come_back_as_they_were(store):
    when = np.datetime64("2020-01-01", "ns")

    def everything(x):
        return {
            "flag": x > 1,
            "name": "n" * x,
            "count": x,
            "z": complex(x, 1),
            "when": when + np.timedelta64(x, "D"),
            "series": np.arange(3.0) * x,
            "nested": {"a": x, "b": -x},
        }

    data = run(everything, {"x": [0, 1, 2]}, store=store)
    assert data.flag.dtype == bool
    assert data.name.values.tolist() == ["", "n", "nn"]
    assert data.z.values.tolist() == [1j, 1 + 1j, 2 + 1j]
    assert data["when"].values[2] == np.datetime64("2020-01-03")
    assert data.series.sel(x=2).values.tolist() == [0.0, 2.0, 4.0]
    assert data["nested.b"].values.tolist() == [0, -1, -2]


def test_bookkeeping_survives_mean_and_arithmetic():
    data = run(area, tk.grid(width=[1, 2], height=[3, 4]))
    assert set(data.mean("width").data_vars) == {"area"}
    assert set((data * 2).data_vars) == {"area"}
    assert (data * 2).status.dtype == np.uint8


def test_a_global_generator_is_named_in_a_warning():
    def careless(x):
        return np.random.random() + x  # noqa: NPY002

    with pytest.warns(UserWarning, match=r"careless.*np\.random|careless.*numpy"):
        run(careless, {"x": range(3)})


def test_a_vectorized_stage_gets_arrays(store):
    @tk.stage(vectorized=True)
    def total(a, b):
        assert a.shape == b.shape
        return a + b

    data = run(total, tk.grid(a=np.arange(50), b=np.arange(40)), store=store)
    assert data.total.sel(a=7, b=5) == 12


def test_batch_size_never_changes_a_value(store):
    def noisy(x, rng):
        return x + rng.normal()

    whole = run(noisy, {"x": range(300)}, store=store)
    sweep = tk.Sweep(noisy, {"x": range(300)})
    for start in range(0, 300, 70):
        sweep.isel(x=slice(start, start + 70)).run(progress=False)
    assert np.array_equal(whole.noisy, sweep.dataset().noisy)


def test_the_run_in_progress_can_be_asked_for():
    def who(x):
        run = tk.current_run()
        return {"id": run.id, "label": run.labels["x"], "attempt": run.attempt}

    data = run(who, {"x": [5, 6]})
    assert data.id.values.tolist() == [0, 1]
    assert data.label.values.tolist() == [5, 6]
    assert tk.current_run().id == -1


def test_bad_descriptions_are_refused_before_anything_runs():
    with pytest.raises(tk.StageError, match="height"):
        tk.Sweep(area, {"width": [1]})
    with pytest.raises(tk.StageError, match="depth"):
        tk.Sweep(area, {"width": [1], "height": [1], "depth": [1]})
    with pytest.raises(tk.StageError, match="holds a function"):
        tk.Sweep(3, {"width": [1]})
    with pytest.raises(tk.SweepError, match="seed"):
        tk.Sweep(area, {"width": [1], "height": [1]}, seed=-1)
    with pytest.raises(tk.SweepError, match="rerun=3 is not known"):
        tk.Sweep(area, {"width": [1], "height": [1]}).run(rerun=3)
    with pytest.raises(tk.SweepError, match="max_failures='3'"):
        tk.Sweep(area, {"width": [1], "height": [1]}).run(max_failures="3")
    with pytest.raises(tk.StageError, match="retry_on has 3"):
        tk.stage(area, retry_on=3)
    with pytest.raises(tk.SweepError, match="'failed', 'stale', 'damaged', 'all'"):
        tk.Sweep(area, {"width": [1], "height": [1]}).run(rerun="broken")


def test_retry_of_a_redefined_function_asks_for_replace(monkeypatch):
    import sys
    import types

    module = types.ModuleType("some_notebook")
    monkeypatch.setitem(sys.modules, "some_notebook", module)
    exec("def model(x):\n    raise ValueError if x else None\n    return 1", module.__dict__)
    module.model.__module__ = "some_notebook"
    sweep = tk.Sweep(module.model, {"x": [0, 1]})
    exec("def model(x):\n    return 1", module.__dict__)
    module.model.__module__ = "some_notebook"
    with pytest.raises(tk.SweepError, match="replace"):
        sweep.retry(progress=False)


def test_an_output_or_parameter_named_c_keeps_its_name_for_plain_readers(tmp_path):
    store = tmp_path / "c.zarr"
    tk.Sweep(lambda b: {"c": b + 1}, {"b": [1, 2]}, store=store).run(progress=False)
    assert xr.open_zarr(store, chunks=None).c.values.tolist() == [2, 3]
    assert tk.open(store).c.values.tolist() == [2, 3]


def test_the_labels_of_the_current_run_are_python_scalars():
    def kind(x, y):
        return ",".join(type(label).__name__ for label in tk.current_run().labels.values())

    data = tk.Sweep(kind, {"x": [0.5], "y": ["a"]}).run(progress=False)
    assert data.kind.item() == "float,str"


def test_a_relative_store_stays_where_the_sweep_was_made(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    sweep = tk.Sweep(area, {"width": [1], "height": [2]}, store="here.zarr")
    monkeypatch.chdir(tmp_path / "below")
    sweep.run(progress=False)
    assert (tmp_path / "here.zarr").is_dir()
    assert str(sweep.store) == "here.zarr"
    assert sweep.dataset().area.item() == 4.0


def test_a_store_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(tk.StoreError, match="is a file"):
        run(area, {"width": [1], "height": [2]}, store=tmp_path / "notes")
