"""Cells made fewer, with and without gaps."""

import numpy as np
import pytest

from toolkit.run_status import Status
from toolkit.views.reduction import any_of, block_mean, leading_state


@pytest.mark.parametrize("kind", ["<f4", "<f8", "<i8", "|u1"])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 4), (1, 5), (7, 1), (100, 100)])
def test_blocks_without_gaps_are_means_of_their_cells(kind: str, sizes: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 200, (10, 13)).astype(kind)
    found = block_mean(values, sizes)
    for row, y in enumerate(range(0, 10, sizes[0])):
        for column, x in enumerate(range(0, 13, sizes[1])):
            block = values[y : y + sizes[0], x : x + sizes[1]].astype(float)
            assert found[row, column] == pytest.approx(block.mean())


def test_gaps_are_left_out() -> None:
    values = np.array([[1.0, np.nan, 3.0, np.nan], [5.0, np.nan, np.nan, np.nan]])
    assert block_mean(values, (2, 2)).tolist() == [[3.0, 3.0]]
    assert np.isnan(block_mean(values, (1, 3))[1, 1])


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
@pytest.mark.parametrize("sizes", [(3, 4), (1, 5), (7, 1), (3, 70), (100, 100)])
def test_blocks_with_gaps_are_means_of_what_is_there(kind: str, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((10, 150)).astype(kind)
    values[rng.random(values.shape) < 0.6] = np.nan
    found = block_mean(values, sizes)
    for row, y in enumerate(range(0, 10, sizes[0])):
        for column, x in enumerate(range(0, 150, sizes[1])):
            block = values[y : y + sizes[0], x : x + sizes[1]].astype(float)
            there = block[~np.isnan(block)]
            mean = there.mean() if len(there) else np.nan
            assert found[row, column] == pytest.approx(mean, nan_ok=True)


@pytest.mark.parametrize("sizes", [(2, 3), (1, 1), (2, 90)])
def test_blocks_of_states_and_marks_take_the_leading_one(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    states = [Status.PENDING, Status.DONE, Status.FAILED]
    status = rng.choice(np.array(states, np.uint8), (5, 200), p=[0.5, 0.49, 0.01])
    found = leading_state(status, (), sizes)
    failed = any_of(status == Status.FAILED, (), sizes)
    for row, y in enumerate(range(0, 5, sizes[0])):
        for column, x in enumerate(range(0, 200, sizes[1])):
            block = status[y : y + sizes[0], x : x + sizes[1]]
            assert failed[row, column] == (block == Status.FAILED).any()
            leading = [each for each in states if (block == each).any()][-1]
            assert found[row, column] == leading
