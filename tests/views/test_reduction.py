"""Cells made fewer, with and without gaps."""

import numpy as np
import pytest

from toolkit.views.reduction import block_mean


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
