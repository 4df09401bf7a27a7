"""Runs are valid for the code that made them, whatever ran before or since."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

import toolkit as tk
from toolkit.stages.preparing import replaced
from toolkit.stores.files.storage import Folder
from toolkit.stores.reading.open import status as status_of
from toolkit.stores.runs.sink import close_sinks
from toolkit.stores.zarr_store import ZarrStore

DONE, STALE = tk.Status.DONE, tk.Status.STALE


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "results.zarr"


def adds(amount, calls=None):
    def model(x):
        if calls is not None:
            calls.append(x)
        return x + amount

    return model


def quietly(sweep, **kwargs):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* are stale")
        return sweep.run(progress=False, **kwargs)


def test_going_back_to_the_old_code_makes_its_runs_valid_again(store):
    old = tk.Sweep(adds(0), {"x": [1, 2, 3]}, store=store)
    old.run(progress=False)
    new = old.replace(stages=adds(10)).extend(x=[4])
    assert quietly(new).status.values.tolist() == [STALE] * 3 + [DONE]
    data = old.extend(x=[4]).dataset()
    assert data.status.values.tolist() == [DONE] * 3 + [STALE]
    calls = []
    with pytest.warns(UserWarning, match="1 stored runs of stage 'model' are stale"):
        again = old.replace(stages=adds(0, calls)).run(progress=False)
    assert calls == []
    assert again.model.values.tolist() == [1, 2, 3]
    assert (again.status == DONE).all()
    assert old.explain().total.stale == 0


def test_plan_warning_and_dataset_say_the_same_of_each_sweep(store):
    first = tk.Sweep(adds(0), {"x": range(6)}, store=store)
    first.sel(x=[0, 1]).run(progress=False)
    second = first.replace(stages=adds(1))
    quietly(second.sel(x=[1, 2, 3]), rerun="stale")
    third = first.replace(stages=adds(2))
    assert [sweep.explain().total.stale for sweep in (first, second, third)] == [3, 1, 4]
    for sweep in (first, second, third):
        found = sweep.dataset().status.values
        assert int((found == STALE).sum()) == sweep.explain().total.stale
    with pytest.warns(UserWarning, match="4 stored runs"):
        third.sel(x=[5]).run(progress=False)


def test_what_changed_is_named_in_warning_and_plan(store):
    base = tk.Sweep(adds(0), {"x": [1]}, store=store)
    base.run(progress=False)
    mended = base.replace(stages=adds(5))
    assert "1 of them stale (" in str(mended.explain())
    assert "amount changed)" in str(mended.explain())
    with pytest.warns(UserWarning, match="before .*amount changed"):
        mended.run(progress=False)


def test_a_helper_that_is_defined_anew_makes_runs_of_the_same_sweep_stale(store):
    names = {"__name__": "__main__"}
    exec("def helper(x): return x\ndef model(x): return helper(x)", names)
    sweep = tk.Sweep(names["model"], {"x": [1, 2]}, store=store)
    sweep.run(progress=False)
    exec("def helper(x): return -x", names)
    assert "(helper changed)" in str(sweep.explain())
    assert quietly(sweep, rerun="stale").model.values.tolist() == [-1, -2]


def test_stages_are_replaced_by_name():
    one, two = (tk.stage(adds(n), name=name) for n, name in enumerate(["one", "two"]))
    mended = tk.stage(adds(5), name="two")
    assert replaced([one, two], [mended]) == (one, mended)
    assert replaced([one], [mended]) == (mended,)
    with pytest.raises(tk.SweepError, match="no stage 'three' to replace; the sweep has 'one'"):
        replaced([one, two], [tk.stage(adds(1), name="three")])


def test_versions_stand_for_the_code(store):
    @tk.stage(name="model", version="1")
    def model(x):
        return x

    @tk.stage(name="model", version="1")
    def same(x):
        return x + 0

    @tk.stage(name="model", version="2")
    def other(x):
        return x

    sweep = tk.Sweep(model, {"x": [1, 2]}, store=store)
    sweep.run(progress=False)
    assert sweep.replace(stages=same).explain().total.stale == 0
    assert sweep.replace(stages=other).explain().total.stale == 2
    assert "(version= changed)" in str(sweep.replace(stages=other).explain())


def test_another_seed_makes_random_runs_stale_and_no_others(store):
    def noisy(x, rng):
        return x + rng.random()

    sweep = tk.Sweep(noisy, {"x": [1, 2]}, store=store, seed=0)
    sweep.run(progress=False)
    other = tk.Sweep(noisy, {"x": [1, 2]}, seed=1, _results=sweep._results)
    assert other.explain().total.stale == 2
    assert "(seed changed)" in str(other.explain())
    plain = tk.Sweep(adds(0), {"x": [1]})
    plain.run(progress=False)
    assert tk.Sweep(adds(0), {"x": [1]}, seed=5, _results=plain._results).explain().total.stale == 0


def test_swapped_arguments_are_another_identity(store):
    def difference(a, b):
        return a - b

    def stage(**rename):
        return tk.stage(difference, name="gap", rename=rename)

    sweep = tk.Sweep(stage(a="x", b="y"), {"x": [5], "y": [2]}, store=store)
    sweep.run(progress=False)
    assert sweep.replace(stages=stage(a="y", b="x")).explain().total.stale == 1


def test_code_that_made_no_run_that_is_left_is_forgotten(store):
    sweep = tk.Sweep(adds(0), {"x": [1]}, store=store)
    for amount in range(30):
        sweep = sweep.replace(stages=adds(amount))
        quietly(sweep, rerun="stale")
    makers = sweep._results.look("model").state.makers
    assert sum(each is not None for each in makers.identities) <= 3
    assert len(makers.identities) <= 4
    assert sweep.dataset().model.item() == 30
    assert sweep.dataset().status.item() == DONE


def test_one_code_costs_nothing_per_run(tmp_path):
    store = tmp_path / "one.zarr"
    tk.Sweep(adds(0), {"x": range(50)}, store=store).run(progress=False)
    tk.Sweep(adds(0), {"x": range(60)}, store=store).run(progress=False)
    assert not list(store.glob("**/*made_by*"))


def test_the_store_alone_shows_runs_as_the_last_driver_saw_them(tmp_path):
    store = tmp_path / "s.zarr"
    sweep = tk.Sweep(adds(0), {"x": [1, 2]}, store=store)
    sweep.run(progress=False)
    quietly(sweep.replace(stages=adds(1)).sel(x=[2]), rerun="stale")
    assert tk.open(store).status.values.tolist() == [STALE, DONE]
    assert status_of(store).stale.item() == 1
    import xarray as xr

    plain = xr.open_zarr(store, consolidated=True)
    assert plain.status.values.tolist() == [STALE, DONE]


SCRIPT = """
    import os, sys, time, warnings
    import toolkit as tk

    warnings.simplefilter("ignore")

    def model(x):
        if x == {stop_at}:
            time.sleep(60)
        return x + {amount} + 0 * {stop_at}

    sweep = tk.Sweep(model, {{"x": range(20)}}, store={store!r})
    if __name__ == "__main__":
        print("begun", flush=True)
        sweep.run(progress=False, order="given", rerun={rerun})
"""


def script(tmp_path, name, **values):
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(SCRIPT).format(store=str(tmp_path / "s.zarr"), **values))
    return path


def journalled(store, amount):
    """Return how many runs of the new code the store shows by now."""
    data = tk.open(store)
    return int((data.model == data.x + amount).sum())


@pytest.mark.faults
def test_after_kills_each_run_is_known_by_the_code_that_made_it(tmp_path):
    store = tmp_path / "s.zarr"
    first = script(tmp_path, "first", stop_at=-1, amount=0, rerun="()")
    subprocess.run([sys.executable, str(first)], check=True)
    second = script(tmp_path, "second", stop_at=12, amount=100, rerun="'stale'")
    with subprocess.Popen(
        [sys.executable, str(second)], stdout=subprocess.PIPE, start_new_session=True
    ) as driver:
        driver.stdout.readline()
        for _ in range(1200):
            if journalled(store, 100) >= 8:
                break
            assert driver.poll() is None
            time.sleep(0.05)
        os.killpg(driver.pid, signal.SIGKILL)
    data = tk.open(store)
    new = (data.model == data.x + 100).values
    assert new.sum() >= 8
    assert (data.status.values[new] == DONE).all()
    left = data.status.values[~new]
    assert np.isin(left, [STALE, tk.Status.PENDING]).all()
    # The next driver, with a third version, folds what is left and takes none for its own.
    third = script(tmp_path, "third", stop_at=-1, amount=7, rerun="()")
    subprocess.run([sys.executable, str(third)], check=True)
    data = tk.open(store)
    made_by_third = (data.model == data.x + 7).values
    assert (data.status.values == np.where(made_by_third, DONE, STALE)).all()
    subprocess.run([sys.executable, str(third)], check=True)
    assert (tk.open(store).model.values == data.model.values).all()


def test_at_every_write_a_crash_leaves_each_value_with_the_code_that_made_it(tmp_path, monkeypatch):
    store = tmp_path / "s.zarr"
    old = tk.Sweep(adds(0), {"x": range(20)}, store=store)
    old.run(progress=False)
    new = tk.Sweep(adds(100), {"x": range(25)}, store=store)
    put, copies = Folder.put, []

    def spied(self, key, data):
        put(self, key, data)
        copies.append(tmp_path / f"copy{len(copies)}.zarr")
        shutil.copytree(store, copies[-1], ignore=shutil.ignore_patterns("lock.json"))

    monkeypatch.setattr(Folder, "put", spied)
    quietly(new.sel(x=slice(0, 9)), rerun="stale")
    quietly(new)
    quietly(new, rerun="stale")
    monkeypatch.undo()
    assert len(copies) > 20
    for copy in copies:
        for _ in range(2):  # as a reader sees it, then as the next driver leaves it
            for amount in (0, 100):
                data = tk.Sweep(adds(amount), {"x": range(25)}, store=copy).dataset()
                made_by_it = (data.model == data.x + amount).values
                is_valid = (data.status == DONE).values
                assert (made_by_it[is_valid]).all(), copy
            ends = np.isin(data.status.values, [DONE, STALE])
            assert (ends == ~np.isnan(data.model.values)).all()
            taken = ZarrStore.create_or_open(copy)
            taken.acquire()
            taken.release()
    close_sinks()
    assert (new.dataset().status == DONE).all()
    assert (old.dataset().status == STALE).all()
