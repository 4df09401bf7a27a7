"""Runs that are dropped: pending again, and what was made of them."""

import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import StoreError

CALLS: list[tuple[object, ...]] = []


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    CALLS.clear()
    return tmp_path / "s.zarr" if request.param == "disk" else None


def simulate(a, b):
    CALLS.append(("simulate", a, b))
    if a == 3:
        raise ValueError("no")
    return {"x": a + b / 10, "walk": np.arange(a) * 1.0}


STAGE = tk.stage(simulate, outputs={"x": float, "walk": tk.ragged("step")})


def test_dropped_runs_are_pending_and_are_made_again_on_request_only(store):
    sweep = tk.Sweep(STAGE, tk.grid(a=[1, 2, 3], b=[0, 1]), store=store)
    whole = sweep.run(progress=False)
    assert sweep.sel(a=[2, 3]).forget() == 4
    data = sweep.dataset()
    assert data.status.values.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert data.attempts.values.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert np.isnan(data.x.sel(a=2)).all()
    assert np.isnan(data.walk.sel(a=2)).all()
    assert np.isnan(data.seconds.sel(a=2)).all()
    np.testing.assert_array_equal(data.x.sel(a=1), whole.x.sel(a=1))
    assert len(sweep.failures()) == 0
    assert sweep.explain().total["missing"] == 4
    CALLS.clear()
    again = sweep.run(progress=False)
    assert sorted(CALLS) == [("simulate", a, b) for a in (2, 3) for b in (0, 1)]
    np.testing.assert_array_equal(again.x, whole.x)
    np.testing.assert_array_equal(again.walk, whole.walk)
    assert again.attempts.values.tolist() == [[1, 1], [1, 1], [1, 1]]
    assert len(sweep.failures()) == 2


def test_dropping_lasts_and_gives_room_back(tmp_path):
    path = tmp_path / "s.zarr"
    sweep = tk.Sweep(
        lambda a: {"v": np.random.default_rng(a).normal(size=20_000)},
        tk.grid(a=np.arange(40)),
        store=path,
    )
    sweep.run(progress=False)
    assert sweep.sel(a=slice(0, 35)).forget() == 36
    assert tk.status(path)["pending"].item() == 36
    assert tk.check(path).is_sound
    done = tk.compact(path)
    assert done.bytes_after < 0.6 * done.bytes_before
    assert tk.status(path)["done"].item() == 4
    assert sweep.forget() == 4
    assert sweep.forget() == 0


def test_forgetting_where_nothing_was_run_does_nothing(store):
    sweep = tk.Sweep(STAGE, tk.grid(a=[1], b=[0]), store=store)
    assert sweep.forget() == 0
    assert store is None or not store.exists()


def test_an_earlier_run_stays_while_another_run_was_made_of_it(store):
    def fit(a):
        CALLS.append(("fit", a))
        return a * 2.0

    def score(fit, b):
        CALLS.append(("score", fit, b))
        return fit + b

    sweep = tk.Sweep([fit, score], tk.grid(a=[1, 2], b=[0, 1]), store=store)
    whole = sweep.run(progress=False)
    assert sweep.sel(b=1).forget() == 2
    data = sweep.dataset()
    assert data.status_fit.values.tolist() == [1, 1]
    assert data.status_score.values.tolist() == [[1, 0], [1, 0]]
    assert sweep.sel(a=1).forget() == 2
    data = sweep.dataset()
    assert data.status_fit.values.tolist() == [0, 1]
    assert data.status_score.values.tolist() == [[0, 0], [1, 0]]
    CALLS.clear()
    again = sweep.run(progress=False)
    assert sorted(CALLS) == [("fit", 1), ("score", 2.0, 0), ("score", 2.0, 1), ("score", 4.0, 1)]
    np.testing.assert_array_equal(again.score, whole.score)


def test_what_took_a_dropped_run_whole_is_stale(store):
    def fit(a, b):
        return a * 2.0 + b

    def curve(fit):
        return float(fit.sum())

    sweep = tk.Sweep([fit, tk.stage(curve, over="a")], tk.grid(a=[1, 2, 3], b=[0, 1]), store=store)
    whole = sweep.run(progress=False)
    assert sweep.sel(a=[2], b=1).forget() >= 1
    data = sweep.dataset()
    assert data.status_fit.values.tolist() == [[1, 1], [1, 0], [1, 1]]
    assert data.status_curve.values.tolist() == [1, 4]
    with pytest.warns(UserWarning, match="stale"):
        sweep.run(progress=False)
    again = sweep.run(rerun="stale", progress=False)
    assert again.status_curve.values.tolist() == [1, 1]
    np.testing.assert_array_equal(again.curve, whole.curve)


def test_a_store_in_use_is_refused(tmp_path):
    from toolkit.stores.zarr_store import ZarrStore

    sweep = tk.Sweep(STAGE, tk.grid(a=[1], b=[0]), store=tmp_path / "s.zarr")
    sweep.run(progress=False)
    held = ZarrStore.create_or_open(tmp_path / "s.zarr")
    held.acquire()
    try:
        with pytest.raises(StoreError, match="in use"):
            sweep.forget()
    finally:
        held.release()
    assert sweep.forget() == 1
