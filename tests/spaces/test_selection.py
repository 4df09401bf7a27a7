import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import SpaceError
from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.sample import sample
from toolkit.spaces.seeds import Streams

SPACE = grid(beta=np.linspace(0.1, 0.5, 41), model=["svm", "tree"], gamma=0.5)


def test_one_label_turns_an_axis_into_a_constant():
    one = SPACE.sel(beta=0.3, model="svm")
    assert len(one) == 1
    assert one.sizes == {}
    assert one.values([0]) == {"beta": [0.3], "model": ["svm"], "gamma": [0.5]}
    assert one.dim("beta").kind == "constant"


def test_lists_and_slices_keep_the_dim():
    assert SPACE.sel(beta=[0.2, 0.1]).dim("beta").labels.tolist() == [0.2, 0.1]
    assert SPACE.sel(beta=slice(0.2, 0.3)).sizes == {"beta": 11, "model": 2}
    assert SPACE.sel(beta=slice(None, 0.3, 10)).dim("beta").labels.tolist() == [0.1, 0.2, 0.3]
    assert SPACE.sel(model=slice("svm", None)).sizes["model"] == 2


def test_floats_are_looked_up_within_1e_9_and_the_nearest_on_request():
    assert SPACE.sel(beta=0.3 * (1 + 1e-10)).values([0])["beta"] == [0.3]
    assert SPACE.sel(beta=0.3141, method="nearest").values([0])["beta"] == [0.31]
    with pytest.raises(SpaceError, match=r"no label 0\.3141"):
        SPACE.sel(beta=0.3141)


def test_dates_are_selected_by_texts():
    days = grid(day=np.arange("2020-01-01", "2020-03-01", dtype="M8[D]"))
    assert days.sel(day=slice("2020-01-30", "2020-02")).sizes == {"day": 31}
    assert len(days.sel(day="2020-01-05")) == 1
    assert len(days.sel(day=datetime.date(2020, 1, 5))) == 1
    assert len(days.sel(day=[np.datetime64("2020-01-05"), np.datetime64("2020-01-06")])) == 2


def test_mixed_values_are_selected_as_they_were_written():
    space = grid(depth=[None, 3, 0.3])
    assert space.sel(depth=None).values([0]) == {"depth": [None]}
    assert space.sel(depth=[3, 0.1 + 0.2]).values(slice(None)) == {"depth": [3, 0.3]}


def test_a_constant_may_be_selected_by_its_value_only():
    assert SPACE.sel(gamma=0.5) == SPACE
    with pytest.raises(SpaceError, match=r"'gamma' has no label 0\.6"):
        SPACE.sel(gamma=0.6)


def test_rows_keep_their_numbers_and_their_streams_when_selected():
    space = sample(8, a=(0, 1), b=(0, 1)) * grid(c=[1, 2])
    one = space.sel(sample=5, c=1)
    assert one.sizes == {}
    assert one.values([0])["a"] == [space.dim("sample").columns[0].labels[5]]
    some = space.sel(sample=[5, 3]).isel(sample=1)
    assert some.dim("sample").labels.tolist() == [3]
    assert space.sel(sample=slice(2, 4)).sizes == {"sample": 3, "c": 2}


def test_one_of_several_equal_rows_keeps_its_streams_when_selected():
    space = zipped("row", a=[1, 1, 2])
    all_seeds = seeds(space)
    assert len(set(all_seeds)) == 3
    assert seeds(space.isel(row=[1])) == all_seeds[1:2]
    assert seeds(space.isel(row=[1]).extend(row={"a": [1, 3]}))[0] == all_seeds[1]


def seeds(space):
    return Streams(0, "f", space.dims).run_seeds(space.points().positions(slice(None))).tolist()


def test_replicates_keep_their_numbers():
    space = grid(a=[1, 2], trial=replicates(4, common=True)).isel(trial=[1, 3])
    assert space.dim("trial").labels.tolist() == [1, 3]
    one = space.sel(trial=3)
    assert one.sizes == {"a": 2}
    assert one.dim("trial").common


@given(st.data())
def test_a_selection_has_exactly_the_runs_of_the_space_at_these_labels(data):
    space = grid(a=range(4), b=range(3), c=range(2)).where(lambda a, b: a * a != b + 3)
    space = space.when(c=lambda b: b > 0)
    a = data.draw(st.lists(st.integers(0, 3), min_size=1, unique=True))
    b = data.draw(st.integers(0, 2))
    table = space.to_dataframe()
    wanted = table[table.a.isin(a) & (table.b == b)]
    if wanted.empty:
        with pytest.raises(SpaceError, match="leaves no run"):
            space.sel(a=a, b=b)
        return
    part = space.sel(a=a, b=b)
    found = part.to_dataframe()
    assert len(part) == len(found)
    rows = {tuple(row) for row in wanted.fillna(-1).itertuples(index=False)}
    assert {tuple(row) for row in found.fillna(-1).itertuples(index=False)} == rows


def test_a_condition_on_the_whole_axis_is_not_asked_again_by_a_selection():
    space = grid(a=[1, 2, 3, 4]).where(lambda a: a > a.mean())
    assert space.isel(a=slice(2, None)).values(slice(None)) == {"a": [3, 4]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SPACE.sel(bta=0.3), "Did you mean 'beta'"),
        (lambda: SPACE.sel(model="forest"), "no label 'forest'"),
        (lambda: SPACE.sel(beta=[]), "leaves nothing"),
        (lambda: SPACE.sel(beta=slice(0.6, None)), "leaves nothing"),
        (lambda: SPACE.sel(beta=[0.1, 0.1]), "more than once"),
        (lambda: SPACE.sel(beta="x"), "no label 'x'"),
        (lambda: SPACE.sel(beta=slice("x", None)), "cannot be compared"),
        (lambda: SPACE.sel(beta=0.3, method="pad"), "method 'pad'"),
        (lambda: SPACE.sel(model="svm", method="nearest"), "needs numbers or dates"),
        (lambda: SPACE.isel(beta=41), "has 41 positions"),
        (lambda: SPACE.isel(beta=[]), "leaves nothing"),
        (lambda: SPACE.isel(beta=[0, -41]), "more than once"),
        (lambda: SPACE.isel(beta="x"), "does not fit"),
        (lambda: zipped("site", a=[1, 2], b=[3, 4]).sel(a=1), "Use where"),
    ],
)
def test_a_wrong_selection_is_explained(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


def test_positions_may_be_integers_lists_booleans_and_slices():
    assert SPACE.isel(beta=-1).values([0])["beta"] == [0.5]
    assert SPACE.isel(beta=[0, -1]).sizes["beta"] == 2
    assert SPACE.isel(model=[True, False]).sizes["model"] == 1
    assert SPACE.isel(beta=np.arange(3)).sizes["beta"] == 3
    assert SPACE.isel(beta=slice(None, None, 10)).sizes["beta"] == 5
