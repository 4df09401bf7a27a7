import itertools

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.spaces.grid import grid
from toolkit.spaces.projection import needed_dims, over_name, project, taken_label
from toolkit.spaces.table import space as space_of


def cells(space) -> set:
    names = [name for name in space.names if not name.startswith("over_")]
    values = space.values(slice(None), names)
    return set(zip(*values.values(), strict=True))


masks = st.lists(st.booleans(), min_size=24, max_size=24).filter(any)


@settings(max_examples=60, deadline=None)
@given(masks, st.sets(st.sampled_from("abc"), min_size=1))
def test_a_run_is_there_if_any_run_that_it_stands_for_is(mask, dims) -> None:
    kept = np.array(mask).reshape(2, 3, 4)
    whole = grid(a=[0, 1], b=[0, 1, 2], c=[0, 1, 2, 3]).where(lambda a, b, c: kept[a, b, c])
    part = project(whole, dims)
    order = [name for name in "abc" if name in dims]
    expected = {
        tuple(point[name] for name in order)
        for point in (
            dict(zip("abc", cell, strict=True))
            for cell in itertools.product(range(2), range(3), range(4))
        )
        if kept[point["a"], point["b"], point["c"]]
    }
    assert cells(part) == expected
    assert len(part) == len(expected)


def test_conditions_on_dims_that_stay_are_kept_as_they_are() -> None:
    whole = grid(a=[1, 2, 3], b=[1, 2, 3], c=[1, 2]).where(lambda a, b: a >= b)
    assert len(project(whole, ["a", "b"])) == 6
    assert len(project(whole, ["a"])) == 3
    assert len(project(whole, ["b", "c"])) == 6


def test_what_a_condition_asks_is_needed_too() -> None:
    whole = grid(kernel=["rbf", "linear"], width=[1, 2], c=[1, 2]).when(
        width=lambda kernel: kernel == "rbf"
    )
    assert needed_dims(whole, ["width"]) == ("kernel", "width")
    assert needed_dims(whole, ["c"]) == ("c",)
    assert len(project(whole, ["kernel", "width"])) == 3
    assert len(project(whole, ["c"])) == 2


def test_constants_stay_where_they_are_named() -> None:
    whole = grid(a=[1, 2], model="sir", b=[3])
    assert project(whole, ["a", "model"]).names == ("a", "model")
    assert project(whole, ["a"]).names == ("a",)


def test_labels_taken_whole_tell_spaces_apart_whatever_their_order() -> None:
    def label(values):
        return taken_label(grid(fold=values, x=[1]), "fold")

    assert label([0, 1, 2]) == label([2, 0, 1])
    assert label([0, 1, 2]) != label([0, 1])
    assert label([0, 1, 2]) != label([0, 1, 3])
    assert label([0, 1, 2]).startswith("3 labels ")


def test_cells_left_out_tell_labels_taken_whole_apart() -> None:
    whole = grid(fold=[0, 1], x=[1, 2])
    assert taken_label(whole, "fold") != taken_label(whole.where(lambda fold, x: fold < x), "fold")


def test_a_field_keeps_dims_that_are_taken_whole_inside() -> None:
    data = xr.Dataset(
        {"rain": (("site", "year"), np.arange(6.0).reshape(2, 3))},
        coords={"site": ["a", "b"], "year": [2000, 2001, 2002]},
    )
    part = project(space_of(data), ["site"], taken={"year": "3 labels"})
    assert part.names == ("site", over_name("year"), "rain")
    value = part.values([1], ["rain"])["rain"][0]
    assert value.dims == ("year",)
    assert value.values.tolist() == [3.0, 4.0, 5.0]
