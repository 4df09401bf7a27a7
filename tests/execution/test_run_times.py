"""What is expected of runs by the times of those that ended."""

import numpy as np
import pytest

from toolkit.execution.run_times import RunTimes

SIZE = np.repeat(np.arange(1.0, 9.0), 250)
LOW_NOISE, HIGH_NOISE = 0.01, 0.8


def fitted(seconds: np.ndarray) -> RunTimes | None:
    return RunTimes.fit(seconds, [SIZE], [True], np.ones(len(SIZE)), may_differ=False)


@pytest.mark.parametrize(("noise", "margin"), [(LOW_NOISE, 1.25), (HIGH_NOISE, np.exp(HIGH_NOISE))])
def test_the_mean_is_met_and_five_of_six_take_no_longer(noise: float, margin: float) -> None:
    rng = np.random.default_rng(1)
    seconds = SIZE**2 * np.exp(noise * rng.normal(size=len(SIZE)))
    times = fitted(seconds)
    assert times is not None
    assert times.mean([SIZE]).sum() == pytest.approx(seconds.sum(), rel=0.05)
    assert times.margin == pytest.approx(margin, rel=0.1)
    others = SIZE**2 * np.exp(noise * rng.normal(size=len(SIZE)))
    assert np.mean(others <= times.most([SIZE])) >= 0.8


def test_runs_that_are_alike_or_unknown_are_not_told_apart() -> None:
    assert fitted(np.where(SIZE > 4, 1.0, 2.0)) is None
    seconds = np.full(len(SIZE), np.nan)
    seconds[0] = 3.0
    assert fitted(seconds) is None
    assert RunTimes.fit(seconds[:2], [SIZE[:2]], [True], np.ones(2), may_differ=True) is None


def test_two_runs_are_enough_for_a_first_guess() -> None:
    features = [np.array([1.0, 2.0])]
    times = RunTimes.fit(np.array([1.0, 9.0]), features, [True], np.ones(2), may_differ=True)
    assert times is not None
    assert (times.mean(features) > 0).all()
    assert times.margin == 4.0
