import numpy as np
import pytest
import xarray as xr

from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.output import ragged
from toolkit.stages.passing import passed, passed_together, passed_whole
from toolkit.stages.stage import stage


def outputs(values: list, **options):
    call = bind(stage(lambda i: values[i], name="out", **options), {"i": "axis"}).call
    result = run_batch(call, {"i": list(range(len(values)))}, range(len(values)))
    assert not result.errors, result.errors
    return result.schema.variables[0], result.schema, result.columns[0]


@pytest.mark.parametrize(
    "values",
    [
        [1.5, float("nan")],
        [1, -(2**62)],
        [True, False],
        ["a", "longer"],
        [1j],
        [np.datetime64("2020-01-01", "ns")],
        [{1: "an object"}, {2: None}],
        [np.arange(3.0), np.ones(3)],
        [np.array([["a", "b"]]), np.array([["c", "d"]])],
    ],
)
def test_what_was_returned_arrives(values) -> None:
    found = passed(*outputs(values))
    for one, other in zip(found, values, strict=True):
        assert type(one) is type(other)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert repr(one) == repr(other)


def test_named_dims_arrive_as_dataarrays_with_their_coords() -> None:
    array = xr.DataArray([1.0, 2.0], dims="time", coords={"time": [0.0, 0.5]})
    (found,) = passed(*outputs([array]))
    xr.testing.assert_equal(found, array)
    (declared,) = passed(*outputs([np.ones(2)], outputs={"out": ("time",)}))
    assert declared.dims == ("time",)


def test_arrays_that_runs_share_cannot_be_written() -> None:
    found = passed(*outputs([np.zeros(3), np.ones(3)]))
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 1


def test_ragged_outputs_arrive_with_their_length() -> None:
    variable, schema, column = outputs(
        [np.arange(2.0), np.arange(0.0)], outputs={"out": ragged("spike")}
    )
    assert [each.tolist() for each in passed(variable, schema, column)] == [[0.0, 1.0], []]


def test_a_vectorized_stage_gets_one_array() -> None:
    found = passed_together(*outputs([np.arange(3.0), np.ones(3)]))
    assert found.shape == (2, 3)


def test_a_dim_taken_whole_arrives_labelled_with_gaps_where_runs_failed() -> None:
    variable, schema, column = outputs([1, 2, 3, 4])
    labels = {"fold": np.array([10, 20]), "seed": np.array([0, 1])}
    there = np.array([True, False, True, True])
    found = passed_whole(variable, schema, column, labels, there)
    assert found.dims == ("fold", "seed")
    assert found.sel(fold=20).values.tolist() == [3.0, 4.0]
    assert np.isnan(found.sel(fold=10, seed=1))


def test_objects_taken_whole_arrive_as_an_array_of_objects() -> None:
    variable, schema, column = outputs([{1: 2}, {3: 4}])
    labels = {"fold": np.array([0, 1])}
    found = passed_whole(variable, schema, column, labels, np.array([True, False]))
    assert found.dtype == object
    assert found.values.tolist() == [{1: 2}, None]
