"""A lazy Dataset says what a run says: values, labels, dims, units."""

import numpy as np
import pytest
import xarray as xr

import toolkit as tk

pytestmark = pytest.mark.usefixtures("in_process")

STATES = ("status", "attempts", "seconds", "peak_memory")


def agree(sweep: tk.Sweep) -> xr.Dataset:
    """Return what the sweep computes lazily, after comparing it with what it runs."""
    lazy = sweep.lazy().compute()
    run = sweep.run(progress=False)
    run = run.drop_vars([name for name in run.coords if str(name).startswith(STATES)])
    for name in run.data_vars:
        if lazy[name].dtype == np.dtypes.StringDType():
            lazy[name] = lazy[name].astype(object)
    assert set(lazy.variables) == set(run.variables)
    xr.testing.assert_identical(lazy.drop_attrs(deep=False), run.drop_attrs(deep=False))
    return lazy


@tk.stage(outputs={"a": tk.Output(float, units="m", long_name="length"), "b": int})
def two(x, y):
    return {"a": x + y / 10, "b": round(x * y * 4)}


def test_a_grid_whose_labels_are_in_no_order():
    data = agree(tk.Sweep(two, tk.grid(x=[3, 1, 2], y=[0.5, 0.25])))
    assert data.x.values.tolist() == [1, 2, 3]
    assert data.a.attrs == {"units": "m", "long_name": "length"}


def test_constants_and_defaults_are_scalars():
    def f(x, y=2, model="sir"):
        return {"f": float(x * y), "name": model + str(x)}

    data = agree(tk.Sweep(tk.stage(f, outputs={"f": float, "name": str}), tk.grid(x=[1, 2])))
    assert data.model.item() == "sir"


def test_a_single_point():
    agree(tk.Sweep(two, tk.grid(x=1, y=2)))


def test_rows_tables_and_samples():
    agree(tk.Sweep(two, tk.zipped("site", x=[5, 4, 5], y=[1.0, 2.0, 1.0])))
    agree(tk.Sweep(two, tk.sample(8, x=(0.0, 1.0), y=tk.log(1, 10))))


def test_objects_as_labels():
    @tk.stage(outputs={"f": float})
    def f(x, weights):
        return float(x * weights.sum())

    agree(tk.Sweep(f, tk.grid(x=[2, 1], weights={"b": np.ones(3), "a": np.zeros(2)})))


def test_random_streams_are_those_of_a_run():
    @tk.stage(outputs={"f": float, "s": "int64"})
    def f(rng, run_seed, x):
        return {"f": rng.random() + x, "s": run_seed}

    space = tk.grid(x=[2, 1], trial=tk.replicates(3))
    agree(tk.Sweep(f, space, seed=5))
    part = tk.Sweep(f, space, seed=5).lazy().sel(x=1, trial=2).compute()
    whole = tk.Sweep(f, space, seed=5).lazy().compute()
    assert part.equals(whole.sel(x=1, trial=2))


def test_inner_dims_with_labels_dates_and_text():
    days = np.array(["2020-01-01", "2020-01-02"], "M8[ns]")

    @tk.stage(
        outputs={
            "v": tk.Output(float, "time", units="V", coords={"time": days}),
            "when": "M8[ns]",
            "word": str,
            "flag": bool,
        }
    )
    def f(x):
        word = "long " * x
        return {"v": np.array([x, -x]), "when": days[x % 2], "word": word, "flag": x > 1}

    data = agree(tk.Sweep(f, tk.grid(x=[0, 2, 1])))
    assert data.v.sel(x=2, time="2020-01-02").item() == -2
    lazy = tk.Sweep(f, tk.grid(x=[0, 2, 1])).lazy()
    assert lazy.v.isel(x=2, time=1).compute().item() == -2
    assert lazy.word.dtype == np.dtypes.StringDType()
    assert all(variable.dtype != object for variable in lazy.variables.values())


def test_left_out_cells_are_missing_and_whole_numbers_read_as_floats():
    space = tk.grid(x=[3, 1, 2], y=[1, 2, 3]).where(lambda x, y: x > y)
    data = agree(tk.Sweep(two, space))
    assert data.b.dtype == np.float64
    assert int(data.b.notnull().sum()) == 3


def test_parameters_that_matter_only_sometimes(calls):
    @tk.stage(outputs={"f": float})
    def f(kernel, width=7):
        calls.note("f")
        return float(width) if kernel == "rbf" else -1.0 * width

    space = tk.grid(kernel=["rbf", "linear"], width=[1, 2, 3])
    space = space.when(width=lambda kernel: kernel == "rbf")
    sweep = tk.Sweep(f, space)
    assert sweep.lazy().f.compute().sel(kernel="linear").values.tolist() == [-7, -7, -7]
    assert calls.taken("f") == 4
    agree(sweep)


def test_vectorized_stages():
    @tk.stage(outputs={"f": float}, vectorized=True)
    def f(x, y, run_seed):
        return x * 10 + y + run_seed % 7

    agree(tk.Sweep(f, tk.grid(x=range(5), y=range(4)), seed=3))


@tk.stage(outputs={"scaled": tk.Output(float, "t", coords={"t": [0, 1, 2]}), "n": int})
def first(x, size):
    return {"scaled": np.arange(3.0) * x, "n": size}


@tk.stage(outputs={"score": float})
def second(scaled, n, noise, fold):
    return float(scaled.sum()) + n * noise + fold / 100


@tk.stage(outputs={"best": float, "which": int}, over="fold")
def third(score, fold):
    return {"best": float(score.max("fold")), "which": int(fold[int(score.values.argmax())])}


@tk.stage(outputs={"last": float})
def fourth(best, first, fold):
    return best + first["n"] + fold


SPACE = tk.grid(x=[3, 1, 2], size=[10, 20], noise=[0.5, 0.1], fold=[2, 0, 1])


def test_stages_over_parts_of_one_space():
    data = agree(tk.Sweep([first, second, third, fourth], SPACE))
    assert data.scaled.dims == ("x", "size", "t")
    assert data.best.dims == ("x", "size", "noise")
    assert data["last"].dims == ("x", "size", "noise", "fold")


def test_parts_of_stages_are_parts_of_the_whole():
    sweep = tk.Sweep([first, second, third, fourth], SPACE)
    whole = sweep.lazy().compute()
    parts = [
        {"x": 1},
        {"fold": 0},
        {"x": [0, 2], "noise": 1},
        {"fold": slice(1, 3), "size": 0},
        {"x": [2, 0], "fold": [1]},
        {"x": slice(0, 2), "size": slice(1, 2), "noise": [1, 0]},
        {"x": -1, "size": 0, "noise": 0, "fold": 2},
        {"x": slice(None, None, -1)},
        {"x": [0, 0, 1]},
        {"x": np.array([True, False, True])},
        {"x": []},
        {"x": xr.DataArray([0, 1], dims="p"), "size": xr.DataArray([1, 0], dims="p")},
    ]
    for part in parts:
        xr.testing.assert_identical(sweep.lazy().isel(part).compute(), whole.isel(part))


def test_selections_of_selections():
    whole = tk.Sweep(two, tk.grid(x=range(20), y=range(10))).lazy().compute()
    lazy = tk.Sweep(two, tk.grid(x=range(20), y=range(10))).lazy()
    for one, other in [
        ({"x": slice(3, 17)}, {"x": 5}),
        ({"x": slice(3, 17)}, {"x": slice(2, 9)}),
        ({"x": [7, 3, 11]}, {"x": [2, 0]}),
        ({"x": [7, 3, 11]}, {"x": slice(1, 3), "y": [4]}),
        ({"x": 4}, {"y": slice(2, 5)}),
        ({"y": [4, 2]}, {"x": slice(5, 9)}),
    ]:
        xr.testing.assert_identical(
            lazy.isel(one).isel(other).compute(), whole.isel(one).isel(other)
        )


def test_it_composes_as_any_dask_dataset_does():
    lazy = tk.Sweep(two, tk.grid(x=range(6), y=range(4))).lazy()
    whole = lazy.compute()
    for make in (
        lambda d: d.mean("x"),
        lambda d: d.diff("x") * 2,
        lambda d: d.where(d.x > 2).sum(),
        lambda d: d.rolling(y=2).mean(),
        lambda d: d.stack(p=("x", "y")).isel(p=slice(2, 9)),
        lambda d: d.groupby(d.x % 2).max(),
        lambda d: xr.apply_ufunc(np.sqrt, d, dask="parallelized"),
        lambda d: d.to_array().max("variable"),
        lambda d: xr.concat([d.isel(x=0), d.isel(x=2)], "again"),
    ):
        xr.testing.assert_allclose(make(lazy).compute(), make(whole))


def test_a_pickled_lazy_dataset_is_the_same():
    import pickle

    lazy = tk.Sweep([first, second], SPACE).lazy()
    again = pickle.loads(pickle.dumps(lazy))
    assert again.score.isel(x=0, fold=0).data.name == lazy.score.isel(x=0, fold=0).data.name
    xr.testing.assert_identical(again.compute(), lazy.compute())


def test_objects_and_ragged_outputs_are_left_out_and_named():
    @tk.stage(outputs={"a": float, "model": object, "spikes": tk.ragged("spike")})
    def f(x):
        return {"a": 1.0 * x, "model": {x}, "spikes": np.arange(x)}

    lazy = tk.Sweep(f, {"x": [1, 2]}).lazy()
    assert list(lazy.data_vars) == ["a"]
    assert lazy.attrs["objects"] == ["model"]
    assert lazy.attrs["ragged"] == ["spikes"]


def test_errors_of_the_description_are_said_at_once():
    with pytest.raises(tk.SweepError, match="'raise' and 'missing'"):
        tk.Sweep(two, {"x": [1], "y": [1]}).lazy(errors="ignore")
