import datetime
import fractions
import pickle
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from toolkit.errors import StageError
from toolkit.stages.infer import Rules, read_result
from toolkit.stages.output import Output, parse_outputs, ragged

Pair = namedtuple("Pair", "left right")


def read(value, outputs=None, **rules):
    return read_result(value, Rules("sir", parse_outputs(outputs), **rules))


def shape_of(value, outputs=None):
    return {
        v.name: (v.kind, v.dtype, v.dims, v.shape) for v in read(value, outputs).schema.variables
    }


@pytest.mark.parametrize(
    ("value", "kind", "dtype"),
    [
        (1.0, "fixed", "<f8"),
        (1, "fixed", "<i8"),
        (True, "fixed", "|b1"),
        (2j, "fixed", "<c16"),
        ("text", "text", ""),
        (np.float32(1), "fixed", "<f4"),
        (np.array(3), "fixed", "<i8"),
        (np.datetime64("2020"), "fixed", "<M8[ns]"),
        (datetime.date(2020, 1, 1), "fixed", "<M8[ns]"),
        (datetime.datetime(2020, 1, 1), "fixed", "<M8[ns]"),  # noqa: DTZ001
        (pd.Timestamp("2020-01-01 00:00:00.000000001"), "fixed", "<M8[ns]"),
        (datetime.timedelta(1), "fixed", "<m8[ns]"),
        ({1, 2}, "object", ""),
        (fractions.Fraction(1, 3), "object", ""),
        ({0.5: "not a name"}, "object", ""),
        (b"bytes", "object", ""),
    ],
)
def test_a_bare_value_is_named_after_its_stage(value, kind, dtype):
    assert shape_of(value) == {"sir": (kind, dtype, (), ())}


def test_arrays_get_numbered_dims():
    assert shape_of(np.zeros((2, 3))) == {"sir": ("fixed", "<f8", ("sir_dim0", "sir_dim1"), (2, 3))}
    assert shape_of(["a", "b"]) == {"sir": ("text", "", ("sir_dim0",), (2,))}
    assert shape_of([1, "a"])["sir"][0] == "object"
    assert shape_of([[1], [1, 2]])["sir"][0] == "object"


def test_nested_dicts_become_groups():
    assert list(shape_of({"a": 1, "g": {"b": 2.0, "h": {"c": "x"}}})) == ["a", "g.b", "g.h.c"]
    assert list(shape_of(Pair(1, 2))) == ["left", "right"]


def test_xarray_and_pandas_bring_dims_labels_and_attributes():
    array = xr.DataArray(
        [1.0, 2.0], dims="time", coords={"time": [3, 4], "beta": 0.5}, attrs={"units": "m"}
    )
    reading = read({"v": array})
    assert reading.schema.variables[0].dims == ("time",)
    assert reading.schema.variables[0].attrs == {"units": "m"}
    assert list(reading.schema.coords) == ["time"]
    reading = read(xr.Dataset({"v": array, "n": 1}, attrs={"title": "t"}))
    assert reading.schema.names == ("v", "n")
    assert reading.schema.attrs == {"title": "t"}
    reading = read(pd.Series([1, 2], index=pd.Index(["a", "b"], name="site")))
    assert reading.schema.coords["site"].values.tolist() == ["a", "b"]
    assert read(pd.DataFrame({"u": [1, 2], "v": ["a", "b"]})).schema.names == ("u", "v")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "returned None.*effects"),
        ({"a": None}, "'a' is None"),
        ((1, 2), r"tuple of 2.*outputs=\["),
        ({}, "empty dict"),
        ((i for i in [1]), "generator.*list"),
        (map(int, []), "map"),
        (2**70, "beyond 64 bits"),
        (np.longdouble(1), "float128|longdouble"),
        (datetime.datetime(1500, 1, 1), "1677 to 2262"),  # noqa: DTZ001
        (datetime.datetime.now(datetime.UTC), "time zone"),
        ({"status": 1}, "reserved"),
        ({"a/b": 1}, "cannot be named"),
        (lambda: None, "^$"),
    ],
)
def test_what_cannot_be_stored_says_what_to_do(value, words):
    if words == "^$":
        assert shape_of(value)["sir"][0] == "object"  # even a lambda: it travels by value
        return
    with pytest.raises(StageError, match=words):
        read(value)


def test_a_coroutine_is_refused_without_a_warning():
    async def late():
        return 1

    with pytest.raises(StageError, match=r"coroutine.*asyncio\.run"):
        read(late())


def test_a_parameter_is_not_an_output_nor_an_inner_dim():
    with pytest.raises(StageError, match="'beta' is a parameter and an output"):
        read({"beta": 1}, parameters=frozenset({"beta"}))
    array = xr.DataArray([1.0], dims="beta")
    with pytest.raises(StageError, match="'beta' is a parameter and an inner dim"):
        read(array, parameters=frozenset({"beta"}))
    assert read(array, parameters=frozenset({"beta"}), over=("beta",)).schema.names == ("sir",)


@pytest.mark.parametrize(
    ("outputs", "value", "words"),
    [
        ({"a": int}, 0.5, "declared int64 and returned float64 0.5"),
        ({"a": "i2"}, 40000, "declared int16"),
        ({"a": "f4"}, 1e300, "declared float32"),
        ({"a": float}, 2**53 + 1, "declared float64"),
        ({"a": bool}, 1, "declared bool"),
        ({"a": str}, 3, "declared text"),
        ({"a": float}, [1.0, 2.0], "no inner dim"),
        (["a", "b"], (1, 2, 3), "2 outputs.*3 values"),
        (["a", "b"], {"a": 1, "c": 2}, "declared a, b; returned a, c"),
        ({"s": ragged("k")}, 3.0, "declared ragged"),
        ({"s": Output(float, "t", coords={"t": [1, 2]})}, [1.0, 2.0, 3.0], "'t' has 3.*and 2"),
    ],
)
def test_what_does_not_fit_its_declaration_names_both(outputs, value, words):
    with pytest.raises(StageError, match=words):
        read(value, outputs)


def test_declared_types_dims_and_labels_are_given():
    reading = read(1, {"a": Output(float, units="m")})
    assert reading.data[0].dtype == np.float64
    assert reading.schema.variables[0].attrs == {"units": "m"}
    reading = read([1, 2], {"v": Output(float, ("t",), coords={"t": [10, 20]})})
    assert reading.schema.coords["t"].values.tolist() == [10, 20]
    assert shape_of((1, 2.0), ["a", "b"]) == {
        "a": ("fixed", "<i8", (), ()),
        "b": ("fixed", "<f8", (), ()),
    }
    assert read(300, {"a": "i2"}).data[0] == np.int16(300)
    template = xr.Dataset({"v": ("t", [0.0, 0.0])}, {"t": [1, 2]}, {"title": "t"})
    assert read({"v": [1, 2]}, template).data[0].tolist() == [1.0, 2.0]
    with pytest.raises(StageError, match=r"\(2,\) and has shape \(3,\)"):
        read({"v": [1.0, 2.0, 3.0]}, template)


def test_ragged_outputs_keep_their_labels():
    value = xr.DataArray([5.0, 6.0], dims="spike", coords={"spike": [0.1, 0.2]})
    reading = read({"v": value}, {"v": ragged("spike")})
    assert reading.schema.names == ("v", "v_spike")
    assert reading.data[1].tolist() == [0.1, 0.2]


def test_declared_objects_are_pickled_as_they_are():
    reading = read(3, {"a": object})
    assert pickle.loads(reading.data[0].tobytes()) == 3


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ("peak", "'effects'"),
        (["a", "a"], "same name"),
        ([], "names nothing"),
        (["run"], "reserved"),
        ({"a": "no type"}, "no type"),
        ({"t": float, "v": ("t",)}, "output and an inner dim"),
        ({"v": Output(float, "t", coords={"u": [1]})}, "'u'"),
        (3, "int"),
    ],
)
def test_a_declaration_without_meaning_is_refused(outputs, words):
    with pytest.raises(StageError, match=words):
        parse_outputs(outputs)
