import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import SpaceError
from toolkit.spaces.axis import INACTIVE
from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.sample import sample
from toolkit.spaces.table import space as space_of

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=6, unique=True).filter(
    lambda values: len(set(np.round(values, 6))) == len(values)
)


def test_new_labels_stand_at_the_end_and_old_ones_are_ignored():
    space = grid(beta=[0.1, 0.3], gamma=[1, 2]).extend(beta=[0.2, 0.1 + 0.2])
    assert space.dim("beta").labels.tolist() == [0.1, 0.3, 0.2]
    assert space.sizes == {"beta": 3, "gamma": 2}


@given(numbers, numbers)
def test_extending_keeps_the_labels_and_digests_of_before(old, new):
    space = grid(x=old)
    more = space.extend(x=new)
    assert more.dim("x").labels[: len(old)].tolist() == space.dim("x").labels.tolist()
    assert np.array_equal(more.dim("x").digests()[: len(old)], space.dim("x").digests())
    assert len(more) == len(set(grid(x=old).dim("x").labels) | set(grid(x=new).dim("x").labels))
    assert more.extend(x=new) == more
    assert more.extend(x=old) == more


def test_a_constant_becomes_an_axis_that_keeps_its_old_value_first():
    space = grid(beta=[1, 2], gamma=0.5)
    assert space.extend(gamma=0.5) == space
    more = space.extend(gamma=[0.1, 0.5])
    assert more.sizes == {"beta": 2, "gamma": 2}
    assert more.dim("gamma").labels.tolist() == [0.5, 0.1]
    assert np.array_equal(more.dim("gamma").digests()[:1], space.dim("gamma").digests())


@pytest.mark.parametrize(
    ("default", "new"),
    [
        (None, ["rbf", 3]),
        (3, [None, "auto"]),
        (True, ["auto"]),
        (0.1 + 0.2, [None]),
        (float("inf"), [1.0]),
        ([1, 2], [None]),
        (max, [min]),
        ("scale", [0.5]),
    ],
)
def test_a_default_of_any_kind_may_become_an_axis_and_keeps_its_digest(default, new):
    space = grid().with_constants({"x": default})
    more = space.extend(x=new)
    assert len(more) == 1 + len(new)
    values = more.values(slice(None))["x"]
    assert values[0] == (0.3 if default == 0.1 + 0.2 else default)
    assert values[1:] == new
    assert np.array_equal(more.dim("x").digests()[:1], space.dim("x").digests())


def test_none_is_not_the_text_none():
    none, text = grid(x=None).dims[0].digests(), grid(x="None").dims[0].digests()
    assert none.tolist() != text.tolist()


def test_defaults_need_not_be_used_until_they_are_an_axis():
    space = grid(a=[1]).with_constants({"b": 2})
    assert space.required == {"a"}
    assert space.extend(b=3).required == {"a", "b"}


def test_labelled_objects_are_extended_by_labelled_objects():
    one, two = object(), object()
    space = grid(model={"one": one}).extend(model={"one": None, "two": two})
    assert space.values(slice(None))["model"] == [one, two]


def test_integers_extended_by_reals_are_the_same_labels():
    space = grid(n=[1, 2]).extend(n=[2.0, 2.5])
    assert space.dim("n").labels.tolist() == [1.0, 2.0, 2.5]
    assert np.array_equal(space.dim("n").digests()[:2], grid(n=[1, 2]).dim("n").digests())


def test_replicates_are_extended_to_a_new_total():
    space = grid(a=[1], trial=replicates(3)).extend(trial=replicates(5))
    assert space.sizes["trial"] == 5
    assert space.dim("trial").kind == "replicates"
    with pytest.raises(SpaceError, match=r"tk\.replicates\(6\)"):
        grid(trial=replicates(3)).extend(trial=[7])
    with pytest.raises(SpaceError, match="common=False"):
        grid(trial=replicates(3)).extend(trial=replicates(5, common=True))


def test_conditions_apply_again_to_the_whole():
    space = grid(beta=[1, 2], gamma=[1, 2]).where(lambda beta, gamma: beta > gamma)
    assert len(space.extend(beta=3)) == 3
    kernels = grid(kernel=["rbf", "linear"], width=[1, 2])
    kernels = kernels.when(width=lambda kernel: kernel == "rbf").extend(kernel="poly")
    assert kernels.values(slice(None))["width"].count(INACTIVE) == 2


def test_where_that_left_all_out_before_may_find_points_in_the_extension():
    space = grid(beta=[1, 5]).where(lambda beta: beta > 3).extend(beta=[2, 6])
    assert space.values(slice(None))["beta"] == [5, 6]


def test_a_sample_is_extended_by_a_larger_one():
    small, large = sample(512, a=(0, 1), b=(0, 5)), sample(1024, a=(0, 1), b=(0, 5))
    more = small.extend(sample=large)
    assert more == large
    assert np.array_equal(more.dims[0].digests()[:512], small.dims[0].digests())


def test_rows_are_extended_by_whole_rows():
    space = zipped("row", a=[1, 1], b=["x", "x"])
    assert space.extend(row={"a": [1, 1, 1, 2], "b": ["x", "x", "x", "y"]}).sizes == {"row": 4}
    table = pd.DataFrame({"b": ["x", "z"], "a": [1, 3]})
    assert space.extend(row=table).values([2]) == {"a": [3], "b": ["z"]}
    assert space.extend(row={"a": 1, "b": "x"}) is not None
    assert len(space.extend(row={"a": 1, "b": "x"})) == 2


def test_rows_labelled_by_a_column_are_extended_with_their_labels():
    space = zipped("site", site=["n", "s"], rate=[1, 2])
    assert space.extend(site={"site": ["s", "e"], "rate": [2, 3]}).sizes == {"site": 3}
    with pytest.raises(SpaceError, match="'s' more than once"):
        space.extend(site={"site": ["s"], "rate": [9]})


def test_rows_of_a_filtered_table_get_numbers_that_are_free():
    table = pd.DataFrame({"a": [1, 2, 3, 4]})
    space = space_of(table[table.a > 2]).extend(row={"a": [9]})
    assert space.dim("row").labels.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid(beta=[1]).extend(bata=[2]), "Did you mean 'beta'"),
        (lambda: grid(beta=[1]).extend(x=[2]), "Known are: 'beta'"),
        (lambda: grid(beta=[1]).extend(beta=[]), "is empty"),
        (lambda: zipped("s", a=[1], b=[2]).extend(a=[3]), "Extend whole rows"),
        (lambda: zipped("s", a=[1], b=[2]).extend(s={"a": [3]}), "needs whole rows with 'a', 'b'"),
        (lambda: zipped("s", a=[1], b=[2]).extend(s=[3]), "takes whole rows"),
        (lambda: zipped("s", a=[1]).extend(s=grid(a=[2])), "the one dim 's'"),
        (lambda: grid(a=1).with_constants({"a": 2}), "already a parameter"),
    ],
)
def test_a_wrong_extension_is_explained(make, message):
    with pytest.raises(SpaceError, match=message):
        make()
