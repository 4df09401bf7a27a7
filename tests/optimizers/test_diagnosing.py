"""What a fit says of itself."""

import numpy as np
import pytest

import toolkit as tk


def noted(objective, axes, **given):
    return tk.minimize(objective, axes, progress=False, **given)


def test_a_good_fit_needs_no_note():
    found = noted(lambda x, y: (x - 1) ** 2 + (y + 2) ** 2, {"x": (-5, 5), "y": (-5, 5)}, seed=3)
    assert found.converged
    assert found.notes == ()
    assert found.seconds.sizes == found.history["value"].sizes
    assert (found.seconds > 0).all()


def test_no_convergence_and_what_to_do_are_said():
    found = noted(lambda x: x**2, {"x": (-5.0, 4.0)}, budget=20, seed=3)
    assert "did not converge" in found.notes[0]
    assert found.notes[0] in repr(found)


def test_a_parameter_on_its_bound_is_named_with_the_bound():
    found = noted(lambda x, y: x + (y - 1) ** 2, {"x": (2.0, 5.0), "y": (-5, 5)}, seed=3)
    assert any("x=2 lies on the low bound of its axis (2)" in note for note in found.notes)
    assert not any(note.startswith("y=") for note in found.notes)


def test_a_scale_by_magnitude_is_offered():
    def cost(rate):
        return np.log(rate / 0.02) ** 2

    found = noted(cost, {"rate": (0.001, 10.0)}, seed=3)
    assert any("rate=tk.log(0.001, 10)" in note for note in found.notes)
    assert not any("tk.log" in note for note in noted(cost, {"rate": tk.log(0.001, 10)}).notes)


def test_starts_that_end_at_other_values_disagree():
    def valleys(x):
        return float(0.02 * x**2 - np.cos(x))

    given = {"start": {"x": 18}, "step_size": 0.01, "starts": 5, "population": 6, "budget": 3000}
    found = noted(valleys, {"x": (-20, 20)}, **given)
    assert any("The starts disagree: " in note for note in found.notes)


def test_starts_that_end_at_one_value_and_several_points_are_told_apart():
    axes = {"a": (-5.0, 5.0), "b": (-5.0, 5.0)}
    found = noted(lambda a, b: (a + b) ** 2, axes, starts=4, seed=1, budget=4000)
    assert any("the data do not say what a, b should be" in note for note in found.notes)


def test_values_that_are_not_finite_or_all_equal_are_counted():
    def half(x):
        return float("nan") if x > 0 else x**2

    found = noted(half, {"x": (-5.0, 5.0)}, budget=100, seed=1)
    assert any("values are NaN or infinite" in note for note in found.notes)
    found = noted(lambda x: 3.0, {"x": (-5.0, 5.0)}, population=16)
    assert any("All 48 values are equal (3)" in note for note in found.notes)


def test_many_failures_are_said():
    def broken(x):
        if x > -4:
            raise ValueError("too far right")
        return x**2

    found = noted(broken, {"x": (-5.0, 5.0)}, budget=60, seed=1, method="random")
    assert any("evaluations failed. Give narrower axes" in note for note in found.notes)


def test_somebody_may_watch_the_history_as_it_grows(monkeypatch):
    monkeypatch.setattr("toolkit.optimizers.watching._APART", 0.0)
    sizes = []
    found = noted(
        lambda x: x**2,
        {"x": (-5.0, 5.0)},
        budget=60,
        watch=lambda history: sizes.append(history.sizes["evaluation"]),
    )
    assert sizes == sorted(sizes)
    assert sizes[-1] == found.evaluations
    with pytest.raises(tk.SweepError, match="must be a function of the history"):
        noted(lambda x: x**2, {"x": (-5.0, 5.0)}, watch=3)
