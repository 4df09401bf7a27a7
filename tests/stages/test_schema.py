import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.stages.columns import cast, concatenate, empty_columns, take
from toolkit.stages.schema import (
    Coord,
    RaggedColumn,
    Schema,
    SchemaMismatch,
    Variable,
    exact,
    widen,
)


def one(dtype="<f8", **options):
    return Schema(variables=(Variable(name="peak", dtype=dtype, **options),))


full = Schema(
    variables=(
        Variable(name="a", dtype="<i8", attrs={"units": "1"}),
        Variable(name="v", dtype="<f8", dims=("time",), shape=(3,)),
        Variable(name="t", kind="text", dims=("site",), shape=(2,)),
        Variable(name="r", kind="ragged", dtype="<f8", dims=("spike",)),
        Variable(name="o", kind="object"),
    ),
    coords={
        "time": Coord(dims=("time",), values=np.array([0.1, np.nan, 3])),
        "site": Coord(dims=("site",), values=np.array(["north", "süd"])),
        "day": Coord(dims=("time",), values=np.array(["2020", "2021", "NaT"], "M8[ns]")),
    },
    attrs={"title": "all kinds"},
)


def test_a_schema_survives_json():
    assert Schema.from_json(full.to_json()) == full
    assert Schema.from_json(full.to_json()).to_json() == full.to_json()


def test_only_plain_arrays_are_fixed():
    assert one().is_fixed
    assert not full.is_fixed
    assert one(shape=(4,), dims=("t",)).nbytes_per_run == 32


def test_ints_widen_to_float_and_to_longer_ints():
    assert widen(one("<i8"), one("<f8")).variables[0].dtype == "<f8"
    assert widen(one("<f8"), one("<i8")).variables[0].dtype == "<f8"
    assert widen(one("|i1"), one("<i4")).variables[0].dtype == "<i4"
    assert widen(one("<f4"), one("<f8")).variables[0].dtype == "<f8"
    assert widen(one("<f8"), one("<c16")).variables[0].dtype == "<c16"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (one("|b1"), one("<i8"), "bool then int64"),
        (one("<f8"), one("", kind="text"), "float64 then text"),
        (one("<i8"), one("<u8"), "int64 then uint64"),
        (one("<M8[ns]"), one("<f8"), "datetime then float64"),
        (one(shape=(3,), dims=("x",)), one(shape=(4,), dims=("x",)), r"\(3,\) then \(4,\)"),
        (one(shape=(3,), dims=("x",)), one(shape=(3,), dims=("y",)), "'x',.*then.*'y',"),
        (one(), Schema(variables=(Variable(name="other", dtype="<f8"),)), "peak; then other"),
    ],
)
def test_what_cannot_be_widened_names_both(a, b, words):
    with pytest.raises(SchemaMismatch, match=words):
        widen(a, b)


def test_other_inner_labels_do_not_mix():
    def labelled(values):
        coord = Coord(dims=("x",), values=np.array(values))
        return Schema(
            variables=(Variable(name="v", dtype="<f8", dims=("x",), shape=(2,)),),
            coords={"x": coord},
        )

    with pytest.raises(SchemaMismatch, match=r"\[1, 2\].*then \[1, 3\]"):
        widen(labelled([1, 2]), labelled([1, 3]))
    assert widen(labelled([1, 2]), labelled([1, 2])) == labelled([1, 2])


def test_the_order_of_names_does_not_matter():
    a = Schema(variables=(Variable(name="x", dtype="<i8"), Variable(name="y", dtype="<f8")))
    b = Schema(variables=tuple(reversed(a.variables)))
    assert widen(a, b) == a
    columns = cast([np.array([1.0]), np.array([2])], b, a)
    assert [c.tolist() for c in columns] == [[2], [1.0]]


def test_an_int_that_float_cannot_hold_is_not_cut():
    with pytest.raises(SchemaMismatch, match="9007199254740993"):
        cast([np.array([1, 2**53 + 1])], one("<i8"), one("<f8"))
    _, kept = exact(np.array([2**53, 2**53 + 1, -(2**63), 2**63 - 1]), "<f8")
    assert kept.tolist() == [True, False, True, False]


def test_missing_rows_are_empty():
    a, v, t, r, o = empty_columns(full, 2)
    assert a.tolist() == [0, 0]
    assert np.isnan(v).all()
    assert t.tolist() == [["", ""], ["", ""]]
    assert r.lengths.tolist() == o.lengths.tolist() == [0, 0]
    assert o.values.dtype == np.uint8
    assert np.isnat(empty_columns(one("<M8[ns]"), 1)[0]).all()


ragged_rows = st.lists(st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=8)


@given(ragged_rows, st.data())
def test_taking_and_joining_ragged_runs_is_taking_and_joining_lists(rows, data):
    lengths = np.array([len(row) for row in rows], np.int64)
    column = RaggedColumn(lengths, np.array([x for row in rows for x in row], np.int64))
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    (taken,) = take([column], np.array(chosen, np.int64))
    assert [taken.row(i).tolist() for i in range(len(chosen))] == [rows[i] for i in chosen]
    (joined,) = concatenate([[column], [taken]])
    assert [joined.row(i).tolist() for i in range(len(joined))] == rows + [rows[i] for i in chosen]
    (sliced,) = take([column], slice(1, 3))
    assert [sliced.row(i).tolist() for i in range(len(sliced))] == rows[1:3]
