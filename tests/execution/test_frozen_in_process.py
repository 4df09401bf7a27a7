import json

import numpy as np
import pytest

import toolkit as tk
from toolkit.inputs import folder

TABLE = np.zeros((500, 500))


def area(x, data):
    return float(data[x].sum())


def total(x, data, other=2.0):
    return float(data.sum()) * other + x


@pytest.fixture
def data():
    return np.arange(10_000.0).reshape(100, 100)


def test_runs_here_get_the_object_read_only(data):
    def writes(x, data):
        data[x] = 1

    sweep = tk.Sweep(area, {"x": range(5)}, frozen={"data": data})
    assert sweep.run(progress=False).area.values.tolist() == data[:5].sum(axis=1).tolist()
    failing = tk.Sweep(tk.stage(writes, outputs="effects"), {"x": [1]}, frozen={"data": data})
    with pytest.raises(tk.RunsFailedError, match="read-only: 'data' is a frozen input"):
        failing.run(progress=False)
    with pytest.raises(ValueError, match="read-only: 'data' is a frozen input"):
        failing.reproduce(x=1)


def test_what_a_point_gives_again_is_what_it_gave(data):
    sweep = tk.Sweep(area, {"x": range(5)}, frozen={"data": data})
    assert sweep.reproduce(x=3) == sweep.run(progress=False).area.sel(x=3)
    assert not np.shares_memory(sweep.frozen["data"].get(), data)


def test_the_verbs_keep_the_inputs(data):
    sweep = tk.Sweep(area, {"x": range(5)}, frozen={"data": data})
    for other in (
        sweep.sel(x=[1, 2]),
        sweep.isel(x=[0]),
        sweep.extend(x=[7]),
        sweep.where(lambda x: x > 1),
        sweep.replace(stages=lambda x, data: data[x, 0]),
    ):
        assert other.frozen["data"] is sweep.frozen["data"]
        other.run(progress=False)


def test_an_input_serves_several_sweeps_and_other_names(data):
    frozen = tk.freeze(data, name="grid")
    renamed = tk.stage(area, rename={"data": "grid"})
    one = tk.Sweep(renamed, {"x": [1]}, frozen={"grid": frozen})
    two = tk.Sweep(area, {"x": [1]}, frozen={"data": frozen})
    assert one.run(progress=False).area == two.run(progress=False).area
    assert two.frozen["data"].name == "data"
    assert two.frozen["data"] == frozen


def test_a_vectorized_stage_gets_the_object_itself(data):
    def rows(x, data):
        assert data.shape == (100, 100)
        return data[x].sum(axis=1)

    found = tk.Sweep(tk.stage(rows, vectorized=True), {"x": range(100)}, frozen={"data": data}).run(
        progress=False
    )
    assert np.array_equal(found.rows, data.sum(axis=1))


def test_an_input_goes_before_the_default_of_its_argument(data):
    def scaled(x, data=None, *, factor=None):
        return x * (0 if data is None else factor["by"])

    found = tk.Sweep(scaled, {"x": [3]}, frozen={"factor": {"by": 5}, "data": data})
    assert found.run(progress=False).scaled == 15


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        ({"data": 1, "extra": 2}, r"Nothing uses the frozen input 'extra'.*'area' takes x, data"),
        ({"data": 1, "x": 2}, "'x' has two sources.*parameter and frozen input"),
        ({"rng": 1, "data": 1}, "'rng' is the name of frozen input, and reserved"),
        ({}, "takes 'data', and nothing provides it"),
    ],
)
def test_names_that_fit_nothing_are_errors(frozen, message):
    with pytest.raises(tk.StageError, match=message):
        tk.Sweep(area, {"x": [1]}, frozen=frozen)


def test_frozen_must_be_a_mapping(data):
    with pytest.raises(tk.SweepError, match="mapping of the argument's name"):
        tk.Sweep(area, {"x": [1]}, frozen=[data])


def test_a_changed_input_makes_stored_runs_stale_and_is_named(data, tmp_path):
    def sweep(array):
        return tk.Sweep(area, {"x": range(5)}, frozen={"data": array}, store=tmp_path / "a.zarr")

    sweep(data).run(progress=False)
    sweep(data.copy()).run(progress=False)  # equal content is no change
    changed = data.copy()
    changed[3, 3] += 1
    assert sweep(data).explain().total.stale == 0
    assert sweep(changed).explain().total.stale == 5
    with pytest.warns(
        UserWarning, match=r"5 stored runs .* made before frozen input 'data' changed"
    ):
        found = sweep(changed).run(progress=False)
    assert (found.status == tk.Status.STALE).all()
    found = sweep(changed).run(progress=False, rerun="stale")
    assert found.area.sel(x=3) == changed[3].sum()
    assert (found.status == tk.Status.DONE).all()


def test_an_input_that_the_stage_does_not_take_any_more_counts_as_a_change(data, tmp_path):
    store = tmp_path / "t.zarr"
    tk.Sweep(total, {"x": [1]}, frozen={"data": data, "other": 3.0}, store=store).run(
        progress=False
    )
    with pytest.warns(UserWarning, match="frozen input 'other' changed"):
        tk.Sweep(total, {"x": [1]}, frozen={"data": data, "other": 4.0}, store=store).run(
            progress=False
        )


def test_the_store_notes_what_was_frozen(data, tmp_path):
    sweep = tk.Sweep(area, {"x": [1]}, frozen={"data": data}, store=tmp_path / "a.zarr")
    sweep.run(progress=False)
    attributes = json.loads((tmp_path / "a.zarr/zarr.json").read_text())["attributes"]
    noted = attributes["provenance"]["inputs"]["data"]
    assert noted["token"] == sweep.frozen["data"].identity
    assert noted["holds"] == "ndarray (100, 100) float64"


def test_a_sweep_shows_its_inputs(data):
    sweep = tk.Sweep(area, {"x": [1]}, frozen={"data": data})
    assert "frozen: data" in repr(sweep)
    assert "&lt;frozen &#x27;data&#x27;: ndarray (100, 100) float64" in sweep._repr_html_()


def test_a_sweep_that_is_gone_takes_its_inputs_along(tmp_path, monkeypatch, data):
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    unlike_any = data + 0.25  # what another test still holds is kept where that test wrote it
    sweep = tk.Sweep(area, {"x": range(5)}, frozen={"data": unlike_any})
    sweep.run(progress=False)
    job = sweep.start()
    job.result()
    assert len(list(folder.folder().iterdir())) == 1
    del sweep, job
    assert list(folder.folder().iterdir()) == []


def uses_global(x):
    return float(TABLE[x].sum())


def calls_another(x):
    return uses_global(x)


def closes_over():
    table = TABLE.copy()
    return lambda x: float(table[x].sum())


def has_default(x, *rest, table=TABLE):
    return x


def just_fits():
    table = np.zeros(112_000)
    return lambda x: float(table[x])


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (uses_global, "TABLE"),
        (calls_another, "TABLE"),
        (closes_over(), "table"),
        (has_default, "table"),
    ],
)
def test_a_function_that_brings_much_along_is_refused_with_the_name(function, name):
    stage = tk.stage(function, name="model")
    message = rf"'model' refers to 2\.0 MB of data, most of it in '{name}' \(ndarray, 2\.0 MB\)"
    with pytest.raises(tk.StageError, match=rf"{message}.*frozen={{'{name}': …}}"):
        tk.Sweep(stage, {"x": [1]}).run(progress=False)


def test_a_function_that_brings_a_little_less_than_1_mb_runs():
    assert tk.Sweep(just_fits(), {"x": [1]}).run(progress=False).sizes == {"x": 1}
