"""``ODEProblem.check``: which engine to take, and how the data were made."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import toolkit as tk
from toolkit.optimizers import ODEProblem

pytest.importorskip("numba")

NAMES = ("alpha", "beta", "delta", "gamma")
TRUE = (1.1, 0.4, 0.1, 0.4)
TIMES = np.linspace(0, 100, 500)


def prey_and_predator(t, u, p):
    return [u[0] * (p.alpha - p.beta * u[1]), u[1] * (p.delta * u[0] - p.gamma)]


def made_by(**options):
    found = solve_ivp(
        lambda t, u: [u[0] * (1.1 - 0.4 * u[1]), u[1] * (0.1 * u[0] - 0.4)],
        (0, 100),
        (10.0, 5.0),
        t_eval=TIMES,
        **options,
    )
    noise = np.random.default_rng(0).normal(0, 0.3, (2, 500))
    return ODEProblem(
        prey_and_predator,
        times=TIMES,
        data=found.y + noise,
        initial=(10.0, 5.0),
        parameters=NAMES,
    )


def test_data_made_with_scipys_defaults_are_noticed_at_the_fit():
    problem = made_by()
    fit = tk.minimize(
        problem,
        {name: tk.log(0.01, 3) for name in NAMES},
        population=16,
        budget=1600,
        start={"alpha": 0.8, "beta": 0.3, "delta": 0.05, "gamma": 0.3},
        step_size=0.05,
        progress=False,
    )
    assert 250 < fit.value < 345  # and 90 would be noise
    found = problem.check(fit.x)
    assert found.squares["loose"] < 150
    assert "data look as if they were made so" in repr(found)
    assert found.recommended == "numba"
    assert not found.is_stiff


def test_data_of_an_exact_solver_are_above_suspicion():
    found = made_by(rtol=1e-9, atol=1e-9).check(TRUE)
    assert found.squares["own"] < 100
    assert "made so" not in repr(found)
    errors = found.table.cost_error.drop("diffsol:bdf", errors="ignore").dropna()
    assert (errors < 0.05).all()


def robertson(t, u, p):
    slow, fast = p.k1 * u[0], p.k3 * u[1] * u[2]
    back = p.k2 * u[1] * u[1]
    return [fast - slow, slow - fast - back, back]


def test_a_stiff_problem_is_known_and_the_fit_of_it_ends():
    pytest.importorskip("pydiffsol")
    times = np.geomspace(1e-2, 40, 20)
    given = {
        "times": times,
        "initial": {"a": 1.0, "b": 0.0, "c": 0.0},
        "parameters": ["k1", "k2", "k3"],
        "start_time": 0.0,
        "atol": 1e-10,
    }
    model = ODEProblem(robertson, data=np.zeros((3, 20)), engine="scipy:radau", **given)
    true = (0.04, 3e7, 1e4)
    data = model.solve(true).prediction.to_numpy()
    found = ODEProblem(robertson, data=data, **given).check(true)
    assert found.is_stiff
    assert found.stiffness > 10
    assert found.recommended.startswith(("diffsol:bdf", "scipy"))
    weights = 1 / data.max(axis=1) ** 2
    problem = ODEProblem(robertson, data=data, engine="diffsol", weights=weights, **given)
    assert problem(*true) < 1e-6
    assert problem(0.08, 3e7, 1e4) > 1e-3
