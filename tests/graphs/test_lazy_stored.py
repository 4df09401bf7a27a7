"""What is stored is read and never run again; failures raise, or are missing."""

import pickle

import numpy as np
import pytest

import toolkit as tk
from toolkit.graphs.stored import MemoryShelf

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "results.zarr"


def test_what_is_stored_is_read(store, calls):
    @tk.stage(outputs={"f": float})
    def f(x, y):
        calls.note("f")
        return 10.0 * x + y

    sweep = tk.Sweep(f, tk.grid(x=range(6), y=[3, 1]), store=store)
    sweep.sel(x=slice(2, 3)).run(progress=False)
    assert calls.taken("f") == 4
    lazy = sweep.lazy()
    assert lazy.f.sel(x=[2, 3]).compute().values.tolist() == [[21, 23], [31, 33]]
    assert calls.taken("f") == 0
    assert np.array_equal(lazy.f.compute(), 10 * lazy.x + lazy.y)
    assert calls.taken("f") == 8
    assert int((sweep.dataset().status == tk.Status.DONE).sum()) == 4  # nothing was written


def test_a_part_of_a_sweep_stores_that_part(store):
    @tk.stage(outputs={"f": float})
    def f(beta):
        return beta * 2

    sweep = tk.Sweep(f, {"beta": np.linspace(0.1, 0.5, 41)}, store=store)
    part = sweep.sel(beta=slice(0.2, 0.3)).run(progress=False)
    assert part.sizes == {"beta": 11}
    assert int((sweep.dataset().status == tk.Status.DONE).sum()) == 11


def test_results_in_memory_travel_with_the_graph(calls):
    @tk.stage(outputs={"f": float})
    def f(x):
        calls.note("f")
        if x == 1:
            raise ValueError("one")
        return 10.0 * x

    sweep = tk.Sweep(f, {"x": range(4)})
    sweep.run(progress=False)
    calls.taken("f")
    shelf = pickle.loads(pickle.dumps(MemoryShelf(sweep._results)))
    runs = shelf.runs("f")
    assert runs.read("f", np.array([0, 3])).tolist() == [0, 30]
    assert runs.failures()[0]["exception"] == "ValueError"
    assert shelf.runs("g") is None


def test_types_come_from_the_store_or_from_one_run_that_is_named(store, calls):
    def f(x, y):
        calls.note("f")
        return {"v": np.arange(3.0) * x, "n": y}

    sweep = tk.Sweep(f, tk.grid(x=[0.5, 1.5], y=[1, 2]), store=store)
    with pytest.warns(UserWarning, match="run once, at x=0.5, y=1"):
        lazy = sweep.lazy()
    assert calls.taken("f") == 1
    assert lazy.v.dims == ("x", "y", "v_dim0")
    assert lazy.n.dtype == np.int64
    sweep.isel(x=0).run(progress=False)
    calls.taken("f")
    assert sweep.lazy().v.shape == (2, 2, 3)
    assert calls.taken("f") == 0


def test_one_run_shows_the_types_of_several_stages(calls):
    def a(x):
        calls.note("a")
        return {"u": x * 1.0}

    def b(a, y):
        calls.note("b")
        return a["u"] + y

    with pytest.warns(UserWarning, match="run once"):
        lazy = tk.Sweep([a, b], tk.grid(x=[1, 2], y=[1, 2])).lazy()
    assert (calls.taken("a"), calls.taken("b")) == (1, 1)
    assert lazy.b.dims == ("x", "y")


def test_a_function_that_always_fails_cannot_show_its_types():
    def f(x):
        raise ValueError("no luck")

    with (
        pytest.warns(UserWarning, match="run once"),
        pytest.raises(tk.StageError, match="no luck"),
    ):
        tk.Sweep(f, {"x": [1, 2]}).lazy()


@tk.stage(outputs={"root": float, "n": int, "word": str})
def fails(x):
    if x < 0:
        raise ValueError(f"{x} is negative")
    return {"root": x**0.5, "n": x, "word": "ok"}


def test_a_failing_run_raises_and_names_its_labels():
    lazy = tk.Sweep(fails, {"x": [-1, 4]}).lazy()
    assert lazy.root.sel(x=4).compute().item() == 2
    with pytest.raises(tk.RunsFailedError, match=r"fails failed at x=-1: ValueError: -1 is neg"):
        lazy.root.compute()


def test_failures_can_be_missing_values():
    data = tk.Sweep(fails, {"x": [-1, 4]}).lazy(errors="missing").compute()
    assert np.isnan(data.root.values).tolist() == [True, False]
    assert data.n.dtype == np.float64
    assert data.word.values.tolist() == ["", "ok"]


def test_stored_failures_stay_failed_and_say_what_they_died_of(store, calls):
    def g(x):
        calls.note("f")
        if x == 2:
            raise KeyError("gone")
        return float(x)

    sweep = tk.Sweep(tk.stage(g, outputs={"g": float}), {"x": range(4)}, store=store)
    sweep.run(progress=False)
    calls.taken("f")
    with pytest.raises(tk.RunsFailedError, match=r"is stored as failed at x=2: KeyError: 'gone'"):
        sweep.lazy().g.compute()
    assert sweep.lazy(errors="missing").g.sum().compute().item() == 4
    assert calls.taken("f") == 0


def test_what_needs_a_failed_run_raises_its_cause_or_goes_on_without(calls):
    @tk.stage(outputs={"a": float})
    def a(x):
        if x == 1:
            raise ValueError("bad one")
        return float(x)

    @tk.stage(outputs={"b": float})
    def b(a, y):
        calls.note("b")
        return a + y

    @tk.stage(outputs={"total": float}, over="x", missing="allow")
    def total(a):
        return float(a.sum())

    sweep = tk.Sweep([a, b, total], tk.grid(x=range(3), y=[0, 10]))
    with pytest.raises(tk.RunsFailedError, match="bad one"):
        sweep.lazy().b.compute()
    calls.taken("b")
    lazy = sweep.lazy(errors="missing")
    assert np.isnan(lazy.b.compute()).sum() == 2
    assert calls.taken("b") == 4
    assert sweep.lazy().total.compute().item() == 2


def test_stored_results_of_a_later_stage_need_no_earlier_run(tmp_path, calls):
    @tk.stage(outputs={"a": float}, keep=False)
    def a(x):
        calls.note("a")
        return float(x)

    @tk.stage(outputs={"b": float})
    def b(a, y):
        return a + y

    sweep = tk.Sweep([a, b], tk.grid(x=range(3), y=[0, 10]), store=tmp_path / "s.zarr")
    sweep.run(progress=False)
    calls.taken("a")
    lazy = sweep.lazy()
    assert list(lazy.data_vars) == ["b"]
    assert lazy.b.compute().sum().item() == 36
    assert calls.taken("a") == 0


def test_code_that_changed_since_is_said(store):
    def make(step):
        @tk.stage(name="f", outputs={"f": float}, version=step)
        def f(x):
            return float(x + step)

        return f

    sweep = tk.Sweep(make(1), {"x": [1, 2]}, store=store)
    sweep.run(progress=False)
    with pytest.warns(UserWarning, match="before the code changed"):
        lazy = sweep.replace(stages=make(2)).lazy()
    assert lazy.f.compute().values.tolist() == [2, 3]
