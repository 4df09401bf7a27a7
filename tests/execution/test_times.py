"""Which runs took longest, also among very many."""

import numpy as np
import pytest

from toolkit.execution.times import longest, median


@pytest.mark.parametrize("n", [0, 3, 1_000, 400_003])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_the_longest_are_those_of_a_full_sort(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    seconds = rng.exponential(size=n).astype(np.float32)
    seconds[rng.random(n) < share] = np.nan
    known = np.flatnonzero(np.isfinite(seconds))
    expected = known[np.argsort(-seconds[known], kind="stable")][:10]
    assert seconds[longest(seconds, 10)].tolist() == seconds[expected].tolist()


def test_the_median_of_very_many_is_that_of_some() -> None:
    seconds = np.random.default_rng(0).lognormal(size=3_000_000).astype(np.float32)
    assert median(seconds) == pytest.approx(1.0, rel=0.02)
    assert median(np.full(4, np.nan, np.float32)) is None
    assert median(np.array([3.0, np.nan, 1.0], np.float32)) == 2.0
    assert median(np.zeros(0, np.float32)) is None
