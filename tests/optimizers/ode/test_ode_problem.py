"""``ODEProblem``: costs, engines, failures, and what is refused."""

import math
import pickle
import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

import toolkit as tk
from toolkit.errors import SweepError
from toolkit.optimizers import ODEProblem
from toolkit.optimizers.ode.solutions import IntegrationError

NAMES = ("alpha", "beta", "delta", "gamma")
TRUE = (1.1, 0.4, 0.1, 0.4)
TIMES = np.linspace(0, 20, 81)
STARTS = {"prey": 10.0, "predator": 5.0}


def prey_and_predator(t, u, p):
    return [u[0] * (p.alpha - p.beta * u[1]), u[1] * (p.delta * u[0] - p.gamma)]


def exact(values=TRUE, times=TIMES, start=(10.0, 5.0)):
    a, b, d, g = values
    found = solve_ivp(
        lambda t, u: [u[0] * (a - b * u[1]), u[1] * (d * u[0] - g)],
        (0, times[-1]),
        start,
        t_eval=times,
        method="DOP853",
        rtol=1e-11,
        atol=1e-11,
    )
    return found.y


DATA = exact() + np.random.default_rng(0).normal(0, 0.3, (2, len(TIMES)))


def problem_of(rhs=prey_and_predator, **changed):
    given = {"times": TIMES, "data": DATA, "initial": STARTS, "parameters": NAMES, **changed}
    return ODEProblem(rhs, **given)


def decay(**changed):
    times = np.linspace(0, 3, 7)
    given = {
        "times": times,
        "data": [2 * np.exp(-0.7 * times)],
        "initial": [2.0],
        "parameters": ["rate"],
    }
    return ODEProblem(lambda t, u, p: [-p.rate * u[0]], **{**given, **changed})


ENGINES = ["numba", "scipy", "scipy:radau", "diffsol", "diffsol:tsit45", "torch"]


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_with_a_solution_that_is_exact(engine):
    package = {"numba": "numba", "diffsol": "pydiffsol", "torch": "torch"}.get(engine.split(":")[0])
    if package:
        pytest.importorskip(package)
    problem = problem_of(engine=engine, rtol=1e-8, atol=1e-10)
    points = np.array([TRUE, (0.9, 0.5, 0.12, 0.3), (1.4, 0.3, 0.1, 0.6)])
    found = problem(*points.T)
    expected = [((exact(point) - DATA) ** 2).sum() for point in points]
    assert found == pytest.approx(expected, rel=1e-4)
    assert problem.engine.startswith(engine)
    states = problem.solve(points[1]).prediction
    assert states.dims == ("state", "time")
    assert states.sel(state="predator").to_numpy() == pytest.approx(exact(points[1])[1], rel=1e-4)


def test_compiled_steps_are_those_of_scipy():
    pytest.importorskip("numba")
    problem = problem_of(engine="numba")
    named = {name: np.array([value]) for name, value in zip(NAMES, TRUE, strict=True)}
    found = problem._experiments[0].solve(named, keep=True)
    scipy = solve_ivp(
        lambda t, u: prey_and_predator(t, u, problem._experiments[0].system.row(*TRUE)),
        (0, 20),
        (10.0, 5.0),
        t_eval=TIMES,
        rtol=1e-6,
        atol=1e-8,
    )
    assert found.values is not None
    assert found.values[0] == pytest.approx(scipy.y, rel=1e-9)
    assert found.steps[0] == pytest.approx(scipy.nfev / 6, abs=2)


@pytest.mark.parametrize("n_lanes", [1, 7, 64])
def test_a_point_has_the_same_value_alone_and_among_others(n_lanes):
    problem = problem_of()
    rng = np.random.default_rng(1)
    points = np.array(TRUE)[:, None] * rng.uniform(0.8, 1.2, (4, n_lanes))
    together = problem(*points)
    assert [problem(*point) for point in points.T] == together.tolist()


def test_threads_change_nothing():
    points = np.array(TRUE)[:, None] * np.random.default_rng(2).uniform(0.8, 1.2, (4, 50))
    assert problem_of(threads=3)(*points).tolist() == problem_of()(*points).tolist()


def test_parameters_are_taken_by_name_by_position_and_from_a_mapping():
    problem = problem_of()
    by_name = dict(zip(NAMES, TRUE, strict=True))
    assert problem(**by_name) == problem(*TRUE) == problem(by_name)
    grid = problem(alpha=np.array([[1.0], [1.1]]), beta=np.array([0.3, 0.4]), delta=0.1, gamma=0.4)
    assert grid.shape == (2, 2)
    assert grid[1, 1] == problem(*TRUE)


@pytest.mark.parametrize(
    "rhs",
    [
        lambda t, u, p: (u[0] * (p[0] - p[1] * u[1]), u[1] * (p[2] * u[0] - p[3])),
        lambda t, u, p: np.array(
            [u[0] * (p.alpha - p.beta * u[1]), u[1] * (p.delta * u[0] - p.gamma)]
        ),
    ],
    ids=["tuple, by number", "array"],
)
def test_a_right_hand_side_may_return_what_it_likes(rhs):
    assert problem_of(rhs)(*TRUE) == pytest.approx(problem_of()(*TRUE), rel=1e-9)


def test_costs_are_those_of_their_definitions():
    off = DATA - exact()
    exactly = {"rtol": 1e-10, "atol": 1e-12}
    weights = np.array([1.0, 4.0])
    weighted = (weights[:, None] * off**2).sum()
    assert problem_of(weights=weights, **exactly)(*TRUE) == pytest.approx(weighted, rel=1e-6)
    rmse = problem_of(cost="rmse", **exactly)
    assert rmse(*TRUE) == pytest.approx(math.sqrt((off**2).mean()), rel=1e-6)
    sd = np.array([0.3, 0.5])[:, None]
    logs = -0.5 * (off / sd) ** 2 - np.log(sd * math.sqrt(2 * math.pi))
    gaussian = problem_of(cost="gaussian", noise=[0.3, 0.5], **exactly)
    assert gaussian(*TRUE) == pytest.approx(-logs.sum(), rel=1e-6)
    assert gaussian.log_likelihood(*TRUE) == -gaussian(*TRUE)


def test_the_noise_may_be_a_parameter():
    problem = problem_of(cost="gaussian", noise={"prey": "sigma", "predator": 0.3})
    assert problem.parameters == (*NAMES, "sigma")
    known = problem_of(cost="gaussian", noise=[0.25, 0.3])
    assert problem(*TRUE, sigma=0.25) == pytest.approx(known(*TRUE), rel=1e-12)
    assert math.isnan(problem(*TRUE, sigma=-1.0))


def test_missing_values_and_states_that_nobody_observed_count_for_nothing():
    data = DATA.copy()
    data[1] = np.nan
    data[0, ::3] = np.nan
    expected = np.nansum((data - exact()) ** 2)
    assert problem_of(data=data, rtol=1e-9)(*TRUE) == pytest.approx(expected, rel=1e-5)
    by_name = problem_of(data=xr.Dataset({"prey": ("time", data[0])}))
    assert by_name(*TRUE) == problem_of(data=data)(*TRUE)
    assert by_name.residuals(*[TRUE]).residual.isnull().sum() == 81 + 27


def test_initial_values_may_be_parameters_or_a_function_of_them():
    by_name = problem_of(initial={"prey": "start", "predator": 5.0}, parameters=(*NAMES, "start"))
    assert by_name(*TRUE, 10.0) == problem_of()(*TRUE)
    assert by_name(*TRUE, 9.0) > by_name(*TRUE, 10.0)
    whole = problem_of(initial=lambda p: [p.start, 15 - p.start], parameters=(*NAMES, "start"))
    assert whole(*TRUE, 10.0) == problem_of()(*TRUE)
    assert whole.solve((*TRUE, 10.0)).state.values.tolist() == ["u0", "u1"]


def test_the_start_may_lie_before_the_data():
    late = problem_of(times=TIMES[20:], data=DATA[:, 20:], start_time=0.0, rtol=1e-9)
    expected = ((DATA - exact()) ** 2)[:, 20:].sum()
    assert late(*TRUE) == pytest.approx(expected, rel=1e-5)


def test_problems_are_added():
    other = problem_of(data=exact((1.1, 0.4, 0.1, 0.4), start=(5.0, 2.0)), initial=(5.0, 2.0))
    both = problem_of() + other
    assert both.parameters == NAMES
    assert both(*TRUE) == pytest.approx(problem_of()(*TRUE) + other(*TRUE), rel=1e-12)
    assert dict(both.residuals(TRUE).sizes)["dataset"] == 2
    with pytest.raises(SweepError, match="cannot be added"):
        problem_of() + problem_of(cost="rmse")


def test_a_fit_finds_the_parameters():
    axes = {name: tk.log(0.05, 3.0) for name in NAMES}
    problem = problem_of()
    found = tk.minimize(problem, axes, population=24, budget=4800, seed=1, progress=False)
    assert found.value <= problem(*TRUE)
    assert [found.x[name] for name in NAMES] == pytest.approx(TRUE, rel=0.1)
    scaled = problem_of(noise=0.3).residuals(found.x).scaled_residual
    assert float(scaled.std()) == pytest.approx(1.0, abs=0.15)


def test_the_published_fit_succeeds_in_log_parameters_from_nearly_every_seed():
    pytest.importorskip("numba")
    times = np.linspace(0, 100, 500)
    made = solve_ivp(
        lambda t, u: [1.1 * u[0] - 0.4 * u[0] * u[1], 0.1 * u[0] * u[1] - 0.4 * u[1]],
        (0, 100),
        (10.0, 5.0),
        t_eval=times,
    )
    noise = np.random.RandomState(42).normal(0, 0.3, (500, 2)).T
    problem = problem_of(times=times, data=made.y + noise)
    ends = [
        tk.minimize(
            problem,
            {name: tk.log(0.01, 3) for name in NAMES},
            population=16,
            budget=1600,
            start={"alpha": 0.8, "beta": 0.3, "delta": 0.05, "gamma": 0.3},
            step_size=0.3 / math.log(300),
            seed=seed,
            progress=False,
        ).value
        for seed in range(10)
    ]
    assert sum(end < 330 for end in ends) >= 9


def explodes(t, u, p):
    return [p.rate * u[0] ** 2]


def exploding(**changed):
    times = np.linspace(0, 1, 11)
    given = {"initial": [1.0], "parameters": ["rate"], "data": [1 / (1 - 0.5 * times)]}
    return ODEProblem(explodes, times=times, **{**given, **changed})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failed_integration_has_no_cost_and_says_why(engine):
    package = {"numba": "numba", "diffsol": "pydiffsol", "torch": "torch"}.get(engine.split(":")[0])
    if package:
        pytest.importorskip(package)
    problem = exploding(engine=engine, max_steps=5000)
    found = problem(rate=np.array([0.5, 2.0, 0.4]))
    assert np.isnan(found).tolist() == [False, True, False]
    with pytest.raises(IntegrationError, match=r"small|finite|steps|diffsol"):
        problem.solve(rate=2.0)


def test_failures_of_a_search_are_listed_with_their_reasons(tmp_path):
    store = tmp_path / "fit.zarr"
    axes = {"rate": (0.1, 3.0)}
    given = {"budget": 60, "population": 6, "start": {"rate": 0.6}, "step_size": 0.3}
    found = tk.minimize(exploding(), axes, **given, store=store, progress=False)
    assert found.x["rate"] == pytest.approx(0.5, abs=0.01)
    failures = tk.failures(store)
    assert len(failures) == int(found.history.value.isnull().sum()) > 0
    assert set(failures.exception) == {"toolkit.optimizers.ode.solutions.IntegrationError"}
    assert failures.message.str.contains("step became too small|not finite").all()
    here = tk.minimize(exploding(), axes, **given, progress=False)
    assert here.history.value.equals(found.history.value)
    assert "IntegrationError" in here.message


def test_steps_have_a_limit():
    slow = decay(engine="numba", max_steps=10, data=np.ones((1, 7)))
    assert math.isnan(slow(rate=5000.0))
    with pytest.raises(IntegrationError, match=r"10 steps led to t=.*problem.check"):
        slow.solve(rate=5000.0)


def test_a_problem_travels_and_is_known_by_what_it_depends_on():
    problem = problem_of()
    assert pickle.loads(pickle.dumps(problem))(*TRUE) == problem(*TRUE)
    same = problem.toolkit_stage().code.token
    assert problem_of().toolkit_stage().code.token == same
    for changed in ({"data": DATA + 1}, {"rtol": 1e-5}, {"weights": 2.0}, {"initial": (9, 5)}):
        assert problem_of(**changed).toolkit_stage().code.token != same
    assert problem.toolkit_stage("rmse").code.token != same


def test_without_a_compiler_scipy_is_taken_and_says_so():
    class Box:
        factor = 2.0

    box = Box()
    with pytest.warns(UserWarning, match="integrated by scipy, which takes .* times as long"):
        problem = decay_with(lambda t, u, p: [-p.rate * u[0] * box.factor / 2])
    assert problem.engine == "scipy:lsoda"
    with pytest.raises(SweepError, match="cannot compile rhs"):
        decay_with(lambda t, u, p: [-p.rate * u[0] * box.factor / 2], engine="numba")


def test_data_may_have_a_row_for_each_time():
    given = problem_of()
    turned = problem_of(data=DATA.T)
    assert turned(*TRUE) == given(*TRUE)
    assert turned.residuals(TRUE).identical(given.residuals(TRUE))
    weights = np.random.default_rng(1).random(DATA.shape)
    assert problem_of(weights=weights.T)(*TRUE) == problem_of(weights=weights)(*TRUE)


def decay_with(rhs, **changed):
    times = np.linspace(0, 3, 7)
    problem = ODEProblem(
        rhs, times=times, data=np.exp(-times), initial=[1.0], parameters=["rate"], **changed
    )
    problem(rate=1.0)
    return problem


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": DATA[:, 1:].T}, "or the other way round"),
        ({"data": DATA[:, :5]}, r"has shape \(2, 5\), and must have \(2, 81\)"),
        ({"data": {"wolf": DATA[0]}}, "wolf"),
        ({"data": np.full_like(DATA, np.nan)}, "no value to fit"),
        ({"times": TIMES[::-1]}, "must ascend"),
        ({"times": [[0, 1]]}, "list of times"),
        ({"start_time": 3.0}, "lies after the first"),
        ({"parameters": ["alpha", "alpha", "b", "c"]}, "twice"),
        ({"parameters": "alpha"}, "must list names"),
        ({"parameters": ["class"]}, "must list names"),
        ({"initial": None}, "initial= is missing"),
        ({"initial": (10.0, "start")}, "start"),
        ({"initial": (10.0, np.nan)}, "finite number"),
        ({"cost": "mse"}, "mse"),
        ({"cost": "gaussian"}, "needs noise="),
        ({"noise": -1.0}, "above 0"),
        ({"noise": 1.0, "weights": 1.0}, "Give weights= or noise="),
        ({"weights": -1.0}, "at least 0"),
        ({"weights": np.ones(7)}, "weights= has shape"),
        ({"engine": "euler"}, "euler"),
        ({"rtol": 2.0}, "between 0 and 1"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_what_does_not_fit_is_refused(changed, said):
    with pytest.raises(SweepError, match=said):
        problem_of(**changed)


def test_a_right_hand_side_that_does_not_fit_is_refused_at_the_first_point():
    with pytest.raises(SweepError, match="returns 1 values, and there are 2 states"):
        problem_of(lambda t, u, p: [u[0]])(*TRUE)
    with pytest.raises(SweepError, match=r"AttributeError.*p has alpha, beta"):
        problem_of(lambda t, u, p: [u[0] * p.alhpa, u[1]])(*TRUE)
    with pytest.raises(SweepError, match="'wrong'"):
        problem_of()(wrong=1.0)
    with pytest.raises(SweepError, match="'gamma' is missing"):
        problem_of()(1.0, 2.0, 3.0)
    with pytest.raises(SweepError, match="needs noise="):
        problem_of().log_likelihood  # noqa: B018


def test_text_is_taken_where_pydiffsol_is_installed():
    pytest.importorskip("pydiffsol")
    text = """
    in_i { a = 1.0, b = 1.0, d = 1.0, g = 1.0 }
    u_i { x = 10.0, y = 5.0 }
    F_i { a * x - b * x * y, d * x * y - g * y }
    """
    problem = problem_of(text, initial=None, rtol=1e-8, atol=1e-10)
    assert problem.engine == "diffsol:bdf"
    assert problem(*TRUE) == pytest.approx(problem_of(rtol=1e-8)(*TRUE), rel=1e-4)
    with pytest.raises(SweepError, match="has 4 inputs, and parameters= names 3"):
        problem_of(text, initial=None, parameters=NAMES[:3])(1.0, 1.0, 1.0)
    with pytest.raises(SweepError, match="needs engine='diffsol'"):
        problem_of(text, initial=None, engine="numba")(*TRUE)


def test_what_symbols_cannot_follow_is_named():
    pytest.importorskip("pydiffsol")
    for rhs, said in (
        (lambda t, u, p: [-p.rate * math.exp(u[0])], "take that of numpy"),
        (lambda t, u, p: [-p.rate if u[0] > 1 else p.rate], "comparison"),
    ):
        with pytest.raises(SweepError, match=said):
            decay_with(rhs, engine="diffsol")


def test_warnings_of_solvers_do_not_reach_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(exploding(engine="scipy", max_steps=2000)(rate=5.0))
