import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from toolkit.execution.order import arrange, check_order


@given(st.integers(1, 400), st.sampled_from(["random", "coarse", "given"]), st.integers(0, 9))
def test_every_order_hands_out_each_run_once(n, order, seed):
    ids = np.arange(5, 5 + n)
    arranged = arrange(ids, order, [np.arange(n) // 7, np.arange(n) % 7], seed=seed)
    assert sorted(arranged.tolist()) == ids.tolist()


def test_coarse_order_begins_with_the_corners_and_ends_with_the_odd_cells():
    x, y = np.divmod(np.arange(81), 9)
    arranged = arrange(np.arange(81), "coarse", [x, y])
    assert set(arranged[:4].tolist()) == {0, 8, 72, 80}
    first_quarter = arranged[:25]
    assert (x[first_quarter] % 2 == 0).all()
    assert (y[first_quarter] % 2 == 0).all()


def test_an_unknown_order_lists_the_valid_ones():
    with pytest.raises(tk.SweepError, match="'random', 'coarse', 'given'"):
        check_order("fine")
