"""The tree that learns what runs need."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.execution.tree import Tree


def parted(n: int, most: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return size, something without influence and kind of n runs, and what they need."""
    rng = np.random.default_rng(seed)
    size, kind = rng.integers(0, most, n).astype(float), rng.integers(0, 4, n).astype(float)
    return [size, rng.random(n), kind], ((size > 30) & (kind == 2)).astype(float)


def test_only_what_matters_is_cut() -> None:
    features, needed = parted(500, 40, seed=0)
    tree = Tree(features, needed, [True, True, False])
    others, needed = parted(900, 60, seed=1)
    assert np.mean((tree.predict(others) > 0.5) == (needed > 0.5)) > 0.98


def test_beyond_the_largest_it_is_as_at_the_largest() -> None:
    tree = Tree([np.array([1.0, 2.0, 30.0])], np.array([0.0, 0.0, 1.0]), [True])
    assert tree.predict([np.array([-5.0, 100.0, np.nan])]).tolist() == [0.0, 1.0, 1.0]


def test_names_are_parted_by_what_they_need_and_not_by_their_order() -> None:
    codes = np.tile(np.arange(6.0), 10)
    needed = np.isin(codes, [0, 3, 5]).astype(float)
    tree = Tree([codes], needed, [False], depth=1)
    assert np.array_equal(tree.predict([np.arange(6.0)]), [1, 0, 0, 1, 0, 1])


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0]])
def test_where_all_are_equal_there_is_one_answer(values: list[float]) -> None:
    tree = Tree([np.arange(float(len(values)))], np.array(values), [True])
    assert tree.predict([np.array([-1.0, 9.0])]).tolist() == [3.0, 3.0]


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(numbers, st.integers(0, 3), numbers), min_size=1, max_size=60))
def test_predictions_lie_between_the_values_and_deep_trees_repeat_them(
    rows: list[tuple[float, int, float]],
) -> None:
    x, kind, y = (np.array(each, float) for each in zip(*rows, strict=True))
    tree = Tree([x, kind], y, [True, False], depth=64)
    predicted = tree.predict([x, kind])
    slack = 1e-6 * (1 + np.abs(y).max())
    assert predicted.min() >= y.min() - slack
    assert predicted.max() <= y.max() + slack
    spread = float(((y - y.mean()) ** 2).sum())
    assert float(((predicted - y) ** 2).sum()) <= spread * (1 + 1e-9) + slack
    assert np.array_equal(predicted, tree.predict([x, kind]))
