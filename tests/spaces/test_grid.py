import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import SpaceError
from toolkit.spaces.distribution import log
from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.space import Space

axes = st.dictionaries(
    st.sampled_from("abcd"),
    st.one_of(
        st.lists(st.integers(-99, 99), min_size=1, max_size=4, unique=True),
        st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True),
        st.integers(-9, 9),
        st.builds(replicates, st.integers(1, 4)),
    ),
    max_size=4,
)


def runs_of(space: Space) -> list[tuple[object, ...]]:
    """Every run as its values in the order of the names, which are sorted."""
    values = space.values(slice(None))
    return list(zip(*(values[name] for name in sorted(values)), strict=True)) if values else [()]


@given(axes)
def test_the_length_of_a_grid_is_the_number_of_runs_that_it_yields(axes):
    space = grid(axes)
    assert len(space) == len(runs_of(space)) == len(space.to_dataframe())
    assert all(len(p) == len(space) for p in space.points().positions(slice(None)))
    assert len(set(runs_of(space))) == len(space)


@given(axes, axes)
def test_a_product_multiplies_lengths_and_pairs_every_run_of_both(left, right):
    a = grid(left)
    b = grid({name.upper(): axis for name, axis in right.items()})
    both = a * b
    assert len(both) == len(a) * len(b)
    upper = runs_of(b)
    assert runs_of(both) == sorted_like(both, a, upper, b)


def sorted_like(both: Space, a: Space, upper: list[tuple[object, ...]], b: Space) -> list[object]:
    names = [*sorted(a.names), *sorted(b.names)]
    order = [names.index(name) for name in sorted(both.names)]
    pairs = [x + y for x in runs_of(a) for y in upper]
    return [tuple(pair[at] for at in order) for pair in pairs]


@given(axes, axes, axes)
def test_products_are_associative(left, middle, right):
    a = grid(left)
    b = grid({name.upper(): axis for name, axis in middle.items()})
    c = grid({name * 2: axis for name, axis in right.items()})
    assert (a * b) * c == a * (b * c)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xy")), min_size=1, max_size=9))
def test_a_zip_yields_its_rows_in_order_and_keeps_equal_rows_apart(rows):
    space = zipped("row", number=[n for n, _ in rows], text=[t for _, t in rows])
    assert len(space) == len(rows)
    assert runs_of(space) == rows
    dim = space.dims[0]
    keys = {tuple(digest.tolist()) for digest in dim.digests()}
    assert len(keys) == len(rows)


def test_dims_stand_in_the_order_written_and_constants_have_none():
    space = grid(gamma=[1, 2], model="sir", beta=[0.1, 0.2, 0.3])
    assert space.sizes == {"gamma": 2, "beta": 3}
    assert space.shape == (2, 1, 3)
    assert space.names == ("gamma", "model", "beta")


def test_axes_may_come_as_one_mapping_with_any_name():
    assert grid({"layer.0.R2": [1, 2]}, b=3).names == ("layer.0.R2", "b")


def test_an_empty_grid_is_one_run():
    assert len(grid()) == 1
    assert grid() * grid(a=[1]) == grid(a=[1])


def test_runs_receive_python_scalars_and_the_labelled_objects():
    one, two = np.arange(3), {"kind": "settings"}
    space = grid(
        number=np.array([1, 2]),
        real=np.array([0.5], dtype="f4"),
        day=np.array(["2020-01-01"], "M8[D]"),
        thing={"a": one, 2: two},
        mixed=[None, 3],
    )
    values = space.values([0, 1, len(space) - 1])
    assert [type(v[0]) for v in values.values()][:3] == [int, float, np.datetime64]
    assert values["thing"][0] is one
    assert values["thing"][-1] is two
    assert values["mixed"] == [None, 3, 3]


def test_a_mapping_with_number_labels_keeps_them_numbers():
    assert grid(size={10: "small", 20: "large"}).dims[0].labels.tolist() == [10, 20]


def test_attributes_of_a_data_array_are_kept():
    beta = xr.DataArray([0.1, 0.2], dims="x", attrs={"units": "1/day"})
    data = grid(beta=beta, gamma=xr.DataArray(0.5, attrs={"units": "1/day"})).to_dataset()
    assert data.beta.attrs == {"units": "1/day"}
    assert data.gamma.attrs == {"units": "1/day"}


@pytest.mark.parametrize("value", [3, 0.5, "svm", None, True, np.float64(2), np.array(2), max])
def test_a_scalar_text_or_object_is_a_constant(value):
    space = grid(x=value)
    assert len(space) == 1
    assert space.sizes == {}
    assert space.values([0])["x"] == [value]


@pytest.mark.parametrize(
    "given",
    [
        [1, 2],
        range(1, 3),
        np.array([1, 2]),
        pd.Index([1, 2]),
        pd.Series([1, 2]),
        xr.DataArray([1, 2], dims="q"),
    ],
)
def test_an_axis_may_come_in_many_forms(given):
    assert grid(x=given) == grid(x=[1, 2])


def test_a_label_that_names_the_rows_labels_them():
    space = zipped("site", site=["n", "s"], rate=[1, 2], size=7)
    assert space.to_dataset().indexes["site"].tolist() == ["n", "s"]
    assert space.to_dataset().rate.dims == ("site",)
    assert space.required == {"rate", "size"}
    assert zipped("site", rate=[1, 2]).to_dataset().indexes["site"].tolist() == [0, 1]


class Nameless:
    pass


BAD = [
    (lambda: grid(beta=[]), "'beta' is empty"),
    (lambda: grid(beta={}), "'beta' is empty"),
    (lambda: grid(beta=range(0)), "'beta' is empty"),
    (lambda: grid(beta=[0.1, float("nan")]), "non-finite value nan at position 1"),
    (lambda: grid(beta=[float("inf")]), "non-finite"),
    (lambda: grid(beta=[None, float("nan")]), "non-finite"),
    (lambda: grid(day=np.array(["NaT"], "M8[ns]")), "non-finite value NaT"),
    (lambda: grid(beta=[1, 2, 1]), "label 1 more than once"),
    (lambda: grid(beta=[0.3, 0.1 + 0.2]), "label 0.3 more than once"),
    (lambda: grid(beta=[1, 1.0]), "more than once"),
    (lambda: grid(beta=["1", 1]), "more than once"),
    (lambda: grid(beta=[[1], [2]]), "holds a list, which cannot be a label"),
    (lambda: grid(beta=[np.zeros(2), np.ones(2)]), "holds a ndarray"),
    (lambda: grid(beta=np.zeros((2, 3))), r"shape \(2, 3\)"),
    (lambda: grid(beta=(x for x in [1])), "Wrap it in a list"),
    (lambda: grid(beta=map(int, "12")), "Wrap it in a list"),
    (lambda: grid(beta={1: 1}.keys()), "Wrap it in a list"),
    (lambda: grid(beta={1, 2}), "is a set"),
    (lambda: grid(beta=(0.1, 0.5)), "is a tuple"),
    (lambda: grid(beta=log(1e-3, 1)), "tk.sample"),
    (lambda: grid(model=[Nameless(), Nameless()]), "Give it a label"),
    (lambda: grid(model=Nameless()), "Give it a label"),
    (lambda: grid(run=[1]), "keeps this name"),
    (lambda: grid({"status": 1}), "keeps this name"),
    (lambda: grid({"a/b": [1]}), "'/'"),
    (lambda: grid({1: [1]}), "names are texts"),
    (lambda: grid({"a": [1]}, a=[2]), "given twice"),
    (lambda: grid([1, 2]), "one mapping"),
    (lambda: replicates(0), "at least 1"),
    (lambda: replicates(2.5), "whole number"),
    (lambda: zipped("site", a=[1, 2], b=[1, 2, 3]), r"different lengths \(a: 2, b: 3\)"),
    (lambda: zipped("site", site=["n", "n"], a=[1, 2]), "'n' more than once"),
    (lambda: zipped("site", a=1), "at least one parameter"),
    (lambda: zipped([1], a=[1]), "name of the dim"),
    (lambda: zipped("rng", a=[1]), "keeps this name"),
    (lambda: zipped("site", a=[1.0, float("nan")]), "non-finite"),
    (lambda: grid({f"a{i}": range(1000) for i in range(7)}), "more than can be numbered"),
    (lambda: grid(a=[1]) * grid(a=[2]), "both spaces of the product have 'a'"),
    (lambda: grid(site=[1]) * zipped("site", a=[2]), "both spaces of the product have 'site'"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_a_wrong_axis_is_named_with_what_was_found(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


def test_infinite_constants_are_fine():
    assert grid(tol=float("inf")).values([0])["tol"] == [float("inf")]


def test_spaces_compare_by_labels_and_runs():
    assert grid(a=[1, 2]) == grid(a=[1.0, 2.0])
    assert grid(a=[1, 2]) != grid(a=[2, 1])
    assert grid(a=[1]) != grid(a=1)
    assert grid(a=[1, 2]).where(lambda a: a > 0) == grid(a=[1, 2])
    assert grid(a=[1, 2]) != "a"
