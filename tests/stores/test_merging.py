"""Stores of the same stages become one."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import toolkit as tk
from toolkit.errors import StoreError
from toolkit.stores.zarr_store import ZarrStore


def simulate(a, b, fail=()):
    if (a, b) in fail:
        raise ValueError(f"no {a} {b}")
    return {"x": a * 10.0 + b, "note": {"a": a}, "walk": np.arange(a) * 1.0, "word": f"{a}-{b}"}


OUTPUTS = {"x": float, "note": object, "walk": tk.ragged("step"), "word": str}


def stage(function=simulate, **options):
    return tk.stage(function, name="simulate", outputs=OUTPUTS, **options)


def run_at(path, a, b, function=simulate, **options):
    sweep = tk.Sweep(stage(function, **options), tk.grid(a=a, b=b), store=path)
    sweep.run(progress=False)
    return sweep


def assert_same(one, other, *, but=("seconds", "peak_memory", "attempts")):
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        if name not in but:
            left, right = one[name].values, other[name].values
            if left.dtype == object:
                assert left.tolist() == right.tolist(), name
            else:
                np.testing.assert_array_equal(left, right, err_msg=name)


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(
    cells=st.lists(st.booleans(), min_size=12, max_size=12),
    overlap=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_two_parts_make_the_whole(tmp_path_factory, cells, overlap):
    folder = tmp_path_factory.mktemp("halves")
    grid = np.array(cells).reshape(4, 3)
    twice = np.array(overlap).reshape(4, 3)

    def part(name, mask):
        if not mask.any():
            mask = np.ones_like(mask)
        space = tk.grid(a=np.arange(4), b=np.arange(3)).where(lambda a, b: mask[a, b])
        tk.Sweep(stage(), space, store=folder / name).run(progress=False)

    part("one", grid)
    part("two", ~grid | twice)
    whole = run_at(folder / "whole", np.arange(4), np.arange(3))
    both = tk.Sweep(
        stage(),
        tk.grid(a=np.arange(4), b=np.arange(3)),
        store=tk.merge(folder / "one", folder / "two", into=folder / "both"),
    )
    assert both.explain().total["missing"] == 0
    assert_same(both.dataset(), whole.dataset())
    assert tk.check(folder / "both").findings == ()


def test_a_value_beats_a_failure_of_the_same_code_and_the_first_store_wins(tmp_path):
    def code(times):
        def simulate(a, b):
            if a == 1 and times["fails"]:
                raise ValueError("at first")
            return {"x": times["x"], "note": None, "walk": np.zeros(1), "word": ""}

        return simulate

    first, second = {"fails": True, "x": 1.0}, {"fails": False, "x": 2.0}
    run_at(tmp_path / "one", [0, 1], [0], code(first), version="1")
    run_at(tmp_path / "two", [0, 1, 2], [0], code(second), version="1")
    run_at(tmp_path / "other", [0, 1, 3], [0], code(second), version="2")
    space = tk.grid(a=[0, 1, 2, 3], b=[0])
    path = tk.merge(tmp_path / "one", tmp_path / "two", into=tmp_path / "m1")
    both = tk.Sweep(stage(code(first), version="1"), space, store=path)
    data = both.dataset().isel(b=0)
    assert data.x.values[:3].tolist() == [1.0, 2.0, 2.0]
    assert data.status.values.tolist() == [1, 1, 1, 0]
    # What other code made never takes the place of a failure, and is stale.
    path = tk.merge(tmp_path / "one", tmp_path / "other", into=tmp_path / "m2")
    both = tk.Sweep(stage(code(first), version="1"), space, store=path)
    assert both.dataset().status.isel(b=0).values.tolist() == [1, 2, 0, 4]
    assert both.failures().message.tolist() == ["at first"]
    with pytest.warns(UserWarning, match="stale"):
        data = both.run(progress=False).isel(b=0)
    assert data.x.values.tolist()[2:] == [1.0, 2.0]
    other = tk.Sweep(stage(code(second), version="2"), space, store=path)
    assert other.dataset().status.isel(b=0).values.tolist() == [4, 2, 4, 1]
    first["fails"] = False
    assert both.retry(progress=False).status.isel(b=0).values.tolist() == [1, 1, 1, 4]


def test_several_stages_failures_and_constants_are_kept(tmp_path):
    def fit(a):
        if a == 3:
            raise ValueError("no fit")
        return a * 1.5

    def score(fit, b):
        return fit + b

    def sweep(name, a):
        made = tk.Sweep([fit, score], tk.grid(a=a, b=[0, 1]), store=tmp_path / name)
        made.run(progress=False)
        return made

    whole = sweep("whole", [1, 2, 3, 4])
    sweep("one", [1, 2])
    sweep("two", [2, 3])
    sweep("three", [4])
    tk.merge(*(tmp_path / name for name in ("one", "two", "three")), into=tmp_path / "both")
    both = tk.Sweep([fit, score], tk.grid(a=[1, 2, 3, 4], b=[0, 1]), store=tmp_path / "both")
    assert_same(
        both.dataset(),
        whole.dataset(),
        but=[f"{n}_{s}" for n in ("seconds", "peak_memory") for s in ("fit", "score")],
    )
    assert both.failures().message.tolist() == ["no fit"]
    assert both.failures().traceback[0]
    assert both.explain().total["missing"] == whole.explain().total["missing"]
    assert len(tk.status(tmp_path / "both")) == 2


def test_what_runs_said_comes_along_under_their_new_ids(tmp_path):
    def sweep(name, a, word, fail=False):
        def say(a, b):
            print(f"{word} {a}")  # noqa: T201 - the same for each b: one entry for two runs
            if fail and a == 2:
                raise ValueError("no")
            return float(a)

        made = tk.Sweep(
            tk.stage(say, name="say", version="1"), tk.grid(a=a, b=[0, 1]), store=tmp_path / name
        )
        made.run(progress=False)
        return made

    first = sweep("one", [1, 2], "one", fail=True)
    sweep("two", [5, 3, 2, 1], "two")
    path = tk.merge(tmp_path / "one", tmp_path / "two", into=tmp_path / "both")
    said = {1: "one 1", 2: "two 2", 3: "two 3", 5: "two 5"}
    both = tk.Sweep(first.stages[0], tk.grid(a=list(said), b=[0, 1]), store=path)
    for a, text in said.items():
        for b in (0, 1):
            assert tk.log_of(path, a=a, b=b) == f"{text}\n"
            assert both.log_of(a=a, b=b) == f"{text}\n"
    runs = ZarrStore.read(path).stage("say")
    assert [runs.log(run) for run in range(runs.n_runs)].count("") == 0
    assert tk.check(path).findings == ()


def test_logs_that_were_made_up_are_left_out(tmp_path):
    run_at(tmp_path / "one", [1], [0])
    run_at(tmp_path / "two", [2], [0])
    head = {"version": 1, "stage": "simulate", "attempt": 1}
    odd = [
        {"runs": [[-5, 1 << 70]], "text": "all"}, {"runs": [[1, 0]], "text": "none"},
        {"runs": [[0]], "text": "x"}, {"runs": [[0, 1]], "text": 3}, {"runs": "ab", "text": "x"},
    ]  # fmt: skip
    lines = "".join(f"{json.dumps(head | each)}\n" for each in odd) + '{"stage": "simulate"}\n'
    (tmp_path / "one/.journal/run_logs.jsonl").write_text(lines)
    path = tk.merge(tmp_path / "one", tmp_path / "two", into=tmp_path / "both")
    assert [tk.log_of(path, a=a, b=0) for a in (1, 2)] == ["all", ""]
    assert (path / ".journal/run_logs.jsonl").read_text().count("\n") == 1


def test_fields_over_two_dims_are_united_and_conflicts_named(tmp_path):
    import xarray as xr

    def model(rate):
        return rate * 2.0

    def at(name, sites, years, shift=0.0):
        rate = xr.DataArray(
            np.add.outer(np.array(sites) * 1.0, np.array(years) * 0.1) + shift,
            dims=("site", "year"),
            coords={"site": sites, "year": years},
            name="rate",
        )
        space = tk.space(xr.Dataset({"rate": rate}), dims=("site", "year"))
        made = tk.Sweep(model, space, store=tmp_path / name)
        made.run(progress=False)
        return made

    whole = at("whole", [1, 2, 3], [5, 6])
    at("one", [1, 2], [5, 6])
    at("two", [2, 3], [5, 6])
    at("wrong", [2, 3], [5, 6], shift=1.0)
    path = tk.merge(tmp_path / "one", tmp_path / "two", into=tmp_path / "both")
    assert_same(tk.open(path), whole.dataset())
    with pytest.raises(StoreError, match=r"wrong cannot be merged.*'rate' has other values"):
        tk.merge(tmp_path / "one", tmp_path / "wrong", into=tmp_path / "no")
    assert not (tmp_path / "no").exists()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_what_does_not_fit_is_an_error_that_names_it(tmp_path):

    def other(function, axes, name):
        tk.Sweep(tk.stage(function, name="model"), axes, store=tmp_path / name).run(progress=False)
        return tmp_path / name

    one = other(lambda a: {"x": a}, {"a": [1, 2]}, "one")
    two = other(lambda a, b: {"x": a + b}, {"a": [1], "b": [2]}, "two")
    three = other(lambda a: {"y": a}, {"a": [1]}, "three")
    with pytest.raises(StoreError, match=r"two cannot be merged.*parameter 'b'"):
        tk.merge(one, two, into=tmp_path / "no")
    with pytest.raises(StoreError, match=r"outputs of stage .*three are not those"):
        tk.merge(one, three, into=tmp_path / "no")
    with pytest.raises(StoreError, match="at least two"):
        tk.merge(one, into=tmp_path / "no")
    with pytest.raises(StoreError, match="something at"):
        tk.merge(one, two, into=one)
    with pytest.raises(StoreError, match="no store"):
        tk.merge(one, tmp_path / "none", into=tmp_path / "no")
    assert not (tmp_path / "no").exists()
