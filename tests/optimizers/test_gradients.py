"""Methods that follow gradients."""

import numpy as np
import pytest

import toolkit as tk
from toolkit.optimizers.methods import make_optimizer

torch = pytest.importorskip("torch")

AXES = {"x": (-2.0, 2.0), "y": tk.log(0.1, 10.0)}


def valley(x, y):
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def told(optimizer, function):
    """Search over the unit square by a function that returns values and gradients."""
    n = 0
    while not optimizer.stopped and n < 3000:
        asked = optimizer.ask(10)
        optimizer.tell(asked.ids, *function(asked.points))
        n += len(asked.ids)
    return n


def bowl(points):
    away = points - np.array([0.3, 1.4])  # outside of the second bound
    slopes = np.array([1.0, 50.0])
    return (slopes * away**2).sum(axis=1), 2 * slopes * away


@pytest.mark.parametrize(("method", "most"), [("lbfgs", 20), ("adam", 2500)])
def test_a_minimum_on_a_bound_is_found(method, most):
    optimizer = make_optimizer(method, np.array([0.8, 0.2]))
    points = []

    def watched(given):
        points.append(given[0])
        return bowl(given)

    assert told(optimizer, watched) <= most
    assert optimizer.is_converged
    best = min(points, key=lambda point: bowl(point[None])[0][0])
    assert best == pytest.approx([0.3, 1.0], abs=1e-5)


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_a_restored_state_goes_on_bit_for_bit_and_failures_are_stepped_back_from(method):
    def cliff(points):
        values, gradients = bowl(points)
        return np.where(points[:, 0] < 0.35, np.nan, values), gradients

    one = make_optimizer(method, np.array([0.9, 0.5]))
    for _ in range(7):
        asked = one.ask(1)
        one.tell(asked.ids, *cliff(asked.points))
    other = make_optimizer(method, np.array([0.1, 0.1]))
    other.restore(one.state())
    for _ in range(10):
        first, second = one.ask(1), other.ask(1)
        assert np.array_equal(first.points, second.points)
        one.tell(first.ids, *cliff(first.points))
        other.tell(second.ids, *cliff(second.points))
    told(one, cliff)
    assert one.stopped


def test_lbfgs_follows_the_gradients_of_a_plain_function_of_tensors(tmp_path):
    given = {"method": "lbfgs", "start": {"x": 0.5, "y": 2.0}, "progress": False}
    found = tk.minimize(valley, AXES, **given)
    assert found.converged
    assert found.x == pytest.approx({"x": 1, "y": 1}, abs=1e-5)
    assert found.evaluations < 150
    store = tmp_path / "fit.zarr"
    part = tk.minimize(valley, AXES, **given, budget=15, store=store)
    further = tk.minimize(valley, AXES, **given, store=store)
    assert part.evaluations == 15
    assert further.history.identical(found.history)
    runs = tk.open(store)
    assert np.isfinite(runs.gradient_x).all()


def test_lbfgs_differentiates_torch_code_of_one_run_under_vmap():
    times = torch.linspace(0, 3, 20, dtype=torch.float64)
    data = np.asarray(2.0 * torch.exp(-0.7 * times))

    def misfit(scale, rate, data):
        return ((scale * torch.exp(-rate * times) - data) ** 2).sum()

    axes = {"scale": (0.1, 5), "rate": tk.log(0.01, 10)}
    found = tk.minimize(
        tk.stage(misfit, vectorized="torch"),
        axes,
        method="lbfgs",
        starts=2,
        budget=60,
        frozen={"data": data},
        progress=False,
    )
    assert found.x == pytest.approx({"scale": 2, "rate": 0.7}, rel=1e-4)
    assert set(found.history.start.values) == {0, 1}


def test_gradients_that_an_objective_returns_itself_are_taken():
    def model(x, y):
        return {
            "loss": (x - 1) ** 2 + 3 * (y - 2) ** 2,
            "gradient_x": 2 * (x - 1),
            "gradient_y": 6 * (y - 2),
        }

    names = {"loss": float, "gradient_x": float, "gradient_y": float}
    found = tk.minimize(
        tk.stage(model, outputs=names), AXES, method="lbfgs", value="loss", progress=False
    )
    assert found.x == pytest.approx({"x": 1, "y": 2}, abs=1e-5)
    assert found.evaluations < 40


@pytest.mark.parametrize("schedule", ["generation", "steady-state"])
def test_methods_that_need_no_gradients_leave_those_that_an_objective_returns(schedule, tmp_path):
    def with_its_gradient(x):
        return {"value": (x - 1) ** 2, "gradient_x": 2 * (x - 1)}

    objective = tk.stage(with_its_gradient, outputs=("value", "gradient_x"))
    given = {"value": "value", "schedule": schedule, "store": tmp_path / "fit.zarr"}
    found = tk.minimize(objective, {"x": (-5, 5)}, budget=400, **given)
    assert found.x["x"] == pytest.approx(1, abs=1e-3)
    again = tk.minimize(objective, {"x": (-5, 5)}, budget=400, **given)
    assert again.history.identical(found.history)


def test_an_objective_that_knows_no_gradients_is_told_so():
    with pytest.raises(tk.RunsFailedError, match="does not depend on x, y through torch"):
        tk.minimize(lambda x, y: x.item() + y.item(), AXES, method="adam", progress=False)
    stage = tk.stage(valley, vectorized=True)
    with pytest.raises(tk.SweepError, match="takes the arrays of a batch"):
        tk.minimize(stage, AXES, method="lbfgs", progress=False)


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(tk.SweepError, match=r"gradients by torch.*toolkit\[torch\]"):
        tk.minimize(valley, AXES, method="lbfgs", progress=False)
