import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import SpaceError
from toolkit.spaces.axis import INACTIVE
from toolkit.spaces.grid import grid, replicates, zipped


def runs(space):
    values = space.values(slice(None))
    return list(zip(*values.values(), strict=True))


def test_where_leaves_points_out():
    space = grid(beta=[1, 2, 3], gamma=[1, 2, 3]).where(lambda beta, gamma: beta > gamma)
    assert runs(space) == [(2, 1), (3, 1), (3, 2)]
    assert space.points().owner.tolist() == [-1, -1, -1, 0, -1, -1, 1, 2, -1]


def test_where_is_called_once_with_arrays_over_the_dims_that_it_needs():
    calls = []

    def condition(beta, gamma):
        calls.append((beta.shape, gamma.shape))
        return beta > gamma

    space = grid(a=range(50), beta=[1, 2, 3], b=range(50), gamma=[1, 2]).where(condition)
    assert len(space) == 50 * 50 * 3
    space.isel(a=0).where(lambda b: b > 3).with_constants({"c": 1})
    assert calls == [((3, 1), (1, 2))]


def test_where_may_use_and_or_not_constants_and_columns_of_rows():
    space = zipped("site", rate=[1, 2, 3], size=[3, 2, 1]) * grid(limit=2, n=[0, 1])
    left = space.where(lambda rate, size, limit, n: (rate >= limit) & ~(size == 1) | (n == 1))
    assert len(left) == 4


def test_where_sees_values_as_they_were_written_and_labels_of_mappings():
    assert len(grid(depth=[None, 3, 5]).where(lambda depth: depth == 3)) == 1
    model = {"svm": object(), "tree": object()}
    assert len(grid(model=model).where(lambda model: model == "svm")) == 1
    assert len(grid(f=[max, min]).where(lambda f: f == max)) == 1


@given(st.integers(0, 2**12 - 1), st.integers(0, 2**12 - 1))
def test_a_product_of_spaces_with_conditions_multiplies(first, second):
    def part(name, bits):
        space = grid({name: range(4), name * 2: range(3)})
        keep = np.array([bits >> i & 1 for i in range(12)], dtype=bool)
        both = {f"{name}": None}
        source = {
            "a": lambda a, aa: keep[a * 3 + aa],
            "b": lambda b, bb: keep[b * 3 + bb],
        }[name]
        return space.where(source) if keep.any() and both else space

    a, b = part("a", first), part("b", second)
    assert len(a * b) == len(a) * len(b)
    assert runs(a * b) == [x + y for x, y in itertools.product(runs(a), runs(b))]
    assert len((a * b).to_dataframe()) == len(a * b)


def test_when_makes_one_run_stand_for_all_values_that_do_not_matter():
    space = grid(kernel=["rbf", "linear"], width=[0.1, 1, 10], c=[1, 2])
    space = space.when(width=lambda kernel: kernel == "rbf")
    assert len(space) == 2 * 3 + 2
    assert [run for run in runs(space) if run[0] == "linear"] == [
        ("linear", INACTIVE, 1),
        ("linear", INACTIVE, 2),
    ]
    assert space.to_dataframe().width.isna().sum() == 2
    points = space.points()
    assert points.positions([6])[1].tolist() == [-1]
    assert points.owner.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 6, 7]


def test_when_and_where_together_keep_a_run_if_any_point_that_it_stands_for_is_kept():
    space = grid(kernel=["rbf", "linear"], width=[0.1, 1, 10])
    space = space.when(width=lambda kernel: kernel == "rbf").where(lambda width: width > 0.5)
    assert runs(space) == [("rbf", 1.0), ("rbf", 10.0), ("linear", INACTIVE)]
    assert space.points().owner.tolist() == [-1, 0, 1, -1, 2, 2]
    swapped = grid(kernel=["rbf", "linear"], width=[0.1, 1, 10])
    swapped = swapped.where(lambda width: width > 0.5).when(width=lambda kernel: kernel == "rbf")
    assert swapped == space


def test_what_depends_on_a_parameter_that_does_not_matter_does_not_matter_either():
    space = grid(model=["svm", "tree"], kernel=["rbf", "poly"], degree=[2, 3])
    space = space.when(degree=lambda kernel: kernel == "poly", kernel=lambda model: model == "svm")
    assert runs(space) == [
        ("svm", "rbf", INACTIVE),
        ("svm", "poly", 2),
        ("svm", "poly", 3),
        ("tree", INACTIVE, INACTIVE),
    ]


def test_a_constant_may_matter_conditionally_and_does_so_after_it_became_an_axis():
    space = grid(kernel=["rbf", "linear"], width=1.0).when(width=lambda kernel: kernel == "rbf")
    assert runs(space) == [("rbf", 1.0), ("linear", INACTIVE)]
    assert len(space.extend(width=[2, 3])) == 4


def test_replicates_may_matter_only_somewhere():
    space = grid(solver=["exact", "random"], trial=replicates(5))
    assert len(space.when(trial=lambda solver: solver == "random")) == 6


@given(
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_runs_under_conditions_are_the_distinct_kept_points(keep, matters):
    keep, matters = np.array(keep), np.array(matters)
    space = grid(a=range(3), b=range(4))
    expected = list(
        dict.fromkeys(
            (a, b if matters[a] else INACTIVE)
            for a in range(3)
            for b in range(4)
            if keep[a * 4 + b]
        )
    )
    space = space.when(b=lambda a: matters[a])
    if not expected:
        with pytest.raises(SpaceError, match="leaves no run"):
            space.where(lambda a, b: keep[a * 4 + b])
        return
    space = space.where(lambda a, b: keep[a * 4 + b])
    assert len(space) == len(expected)
    assert set(runs(space)) == set(expected)
    owner = space.points().owner
    for cell, run in enumerate(owner.tolist()):
        a, b = divmod(cell, 4)
        assert (run >= 0) == keep[cell]
        if run >= 0:
            assert runs(space)[run] == (a, b if matters[a] else INACTIVE)


def uses_and(beta, gamma):
    return beta > 1 and gamma > 1


KERNELS = {"kernel": ["rbf", "linear"], "width": [1, 2]}
BAD = [
    (lambda: grid(a=[1, 2]).where(lambda a: a > 5), "leaves no run of 2 points"),
    (lambda: grid(beta=[1, 2], gamma=[1, 2]).where(uses_and), "write & for and"),
    (lambda: grid(a=[1, 2]).where(lambda a: a in (1, 5)), r"np\.isin"),
    (lambda: grid(a=[1, 2]).where(lambda a: 1 / 0), "ZeroDivisionError"),
    (lambda: grid(alpha=[1, 2]).where(lambda alpah: alpah > 1), "Did you mean 'alpha'"),
    (lambda: grid(a=[1, 2]).where(lambda a: a), "True or False was expected"),
    (lambda: grid(a=[1, 2]).where(lambda a: np.ones(3, bool)), r"returned shape \(3,\)"),
    (lambda: grid(a=[1, 2]).where(3), "takes a function"),
    (
        lambda: grid({c: range(10_000) for c in "abc"}).where(lambda a: a > 1),
        "look at every point",
    ),
    (lambda: grid(KERNELS).when(widht=lambda kernel: kernel == "rbf"), "Did you mean 'width'"),
    (lambda: grid(KERNELS).when(width=lambda width: width > 1), "asks 'width' itself"),
    (
        lambda: grid(KERNELS).when(
            width=lambda kernel: kernel == "rbf", kernel=lambda width: width > 1
        ),
        "no end",
    ),
    (
        lambda: (zipped("s", a=[1, 2], b=[1, 2]) * grid(c=[1])).when(a=lambda c: c > 0),
        "along 's'",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_a_wrong_condition_is_explained(make, message):
    with pytest.raises(SpaceError, match=message):
        make()
