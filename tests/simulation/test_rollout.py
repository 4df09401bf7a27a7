"""Runs through which gradients flow: the same runs, and gradients in stated bands."""

import numpy as np
import pytest
import torch

from tests.simulation.networks import random_network
from tests.simulation.test_seir import MODELS
from toolkit.errors import SimulationError
from toolkit.simulation import SEIR, SIR, ContactNetwork, Runner, SimulationModel

SAMPLED = ["straight_through", "gumbel_softmax", "score_function"]


def one_contact(beta=0.3):
    """Return two agents of whom one is infectious for one step: beta is what is expected."""
    pair = ContactNetwork.from_edges([0], [1], 2)
    return Runner(SIR(pair, beta=beta, infectious_steps=1, initial_infected=[0]), device="cpu")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("estimator", [*SAMPLED, "finite_difference"])
def test_a_rollout_is_the_same_runs(name, estimator):
    runner = Runner(MODELS[name](), device="cpu")
    seeds, betas = [3, 2**40], torch.tensor([0.05, 0.11], requires_grad=True)
    runs = runner.run_batch(25, {"beta": [0.05, 0.11]}, seeds)
    seen = runner.rollout(25, {"beta": betas.double()}, seeds, estimator=estimator)
    assert set(seen) == set(map(str, runs.data_vars))
    for each, values in seen.items():
        assert values.shape == (25, 2)
        np.testing.assert_array_equal(values.detach().numpy(), runs[each].values)
    seen["new_infections"].sum().backward()
    assert torch.isfinite(betas.grad).all()


def test_the_straight_gradient_of_one_contact_is_exact():
    beta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    seen = one_contact().rollout(1, {"beta": beta}, range(50))
    seen["new_infections"].sum().backward()
    assert beta.grad.item() == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("estimator", "runs", "band"),
    [
        ("score_function", 4000, 0.15),
        ("gumbel_softmax", 4000, 0.25),
        ("finite_difference", 4000, 0.3),
    ],
)
def test_estimates_of_one_contact_are_near_one(estimator, runs, band):
    beta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    seen = one_contact().rollout(
        1, {"beta": beta}, range(runs), estimator=estimator, relative_step=0.1
    )
    seen["new_infections"].mean().backward()
    assert beta.grad.item() == pytest.approx(1.0, abs=band)


def test_a_model_keeps_its_own_gradient_where_no_parameter_is_given():
    runner = one_contact()
    runner.rollout(1, seeds=[0, 1])["new_infections"].sum().backward()
    assert runner.model.beta.grad.item() == pytest.approx(2.0)


@pytest.mark.parametrize("estimator", SAMPLED)
def test_checkpoints_change_no_value_and_no_gradient(estimator):
    runner = Runner(MODELS["all"](), device="cpu")
    found = []
    for every in (None, 1, 7):
        params = {
            name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
            for name, value in (("beta", 0.1), ("severity", 0.7))
        }
        seen = runner.rollout(20, params, range(3), estimator=estimator, checkpoint_every=every)
        (seen["dead"][-1].sum() + seen["new_infections"].sum()).backward()
        found.append([each.grad.item() for each in params.values()])
        assert all(found[-1])
    assert found[1] == pytest.approx(found[0], rel=1e-9)
    assert found[2] == pytest.approx(found[0], rel=1e-9)


def test_finite_differences_are_those_of_runs_with_the_same_seeds():
    runner = Runner(SEIR(random_network(300, 8), beta=0.05, initial_infected=5), device="cpu")
    beta = torch.tensor([0.05, 0.06, 0.07], dtype=torch.float64, requires_grad=True)
    seen = runner.rollout(
        30, {"beta": beta}, [1, 2, 3], estimator="finite_difference", relative_step=0.2
    )
    seen["recovered"][-1].sum().backward()
    values = beta.detach().numpy()
    up, down = (runner.run_batch(30, {"beta": values * by}, [1, 2, 3]) for by in (1.2, 0.8))
    expected = (up.recovered[-1] - down.recovered[-1]).values / (0.4 * values)
    np.testing.assert_allclose(beta.grad.numpy(), expected)


def test_a_parameter_that_is_0_is_stepped_up_only():
    layers = [random_network(300, 4, seed, name=name) for seed, name in enumerate(("home", "town"))]
    runner = Runner(
        SEIR(ContactNetwork.stacked(layers), beta=0.1, initial_infected=20), device="cpu"
    )
    weight = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    seen = runner.rollout(20, {"weight_home": weight}, [5, 5], estimator="finite_difference")
    seen["new_infections"].sum().backward()
    runs = runner.run_batch(20, {"weight_home": [0.0, 1e-3, 0.95, 1.05]}, [5] * 4)
    totals = runs.new_infections.sum("step").values
    expected = [(totals[1] - totals[0]) / 1e-3, (totals[3] - totals[2]) / 0.1]
    np.testing.assert_allclose(weight.grad.numpy(), expected)


def test_without_gradients_nothing_is_stepped_aside():
    runner = one_contact()
    with torch.no_grad():
        seen = runner.rollout(3, seeds=[1, 2], estimator="finite_difference")
    assert runner.stats().runs == 2
    np.testing.assert_array_equal(
        seen["infectious"].numpy(), runner.run_batch(3, seeds=[1, 2]).infectious.values
    )
    runner.rollout(3, seeds=[1, 2], estimator="finite_difference")
    assert runner.stats().runs == 6


def test_estimators_lie_in_the_bands_that_the_guide_states(capsys):
    runner = Runner(SEIR(random_network(1000, 8), beta=0.04, initial_infected=10), device="cpu")
    found = runner.check_gradient(30, "new_infections", {"beta": 0.04}, seeds=96, relative_step=0.1)
    ratio = found.ratio["beta"]
    assert ratio["finite_difference"] == 1.0
    assert 1.0 < ratio["straight_through"] < 2.0
    assert 0.2 < ratio["gumbel_softmax"] < 1.1
    assert (
        found.standard_error["beta"]["score_function"]
        > found.standard_error["beta"]["straight_through"]
    )
    assert "straight_through" in capsys.readouterr().out


class Still(SimulationModel):
    """A model of which no step has a gradient."""

    n_agents = 3

    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def initial_state(self, rng):
        return torch.zeros(3, rng.n_runs, dtype=torch.float64)

    def step(self, state, t, rng):
        del t, rng
        return state + self.rate.detach()

    def observe(self, state, t):
        del t
        return {"total": state.sum(0)}


def test_models_without_gradients_have_finite_differences_only():
    runner = Runner(Still(), device="cpu")
    with pytest.raises(SimulationError, match="finite_difference"):
        runner.rollout(3)
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    runner.rollout(3, {"rate": rate}, estimator="finite_difference")["total"][-1].sum().backward()
    assert rate.grad.item() == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "magic"}, "must be one of 'straight_through'"),
        ({"temperature": 0.0}, "temperature=0"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"params": {"betta": 1.0}}, "no parameter 'betta'"),
        ({"estimator": "finite_difference", "relative_step": 0.0}, "relative_step=0"),
    ],
)
def test_what_cannot_be_rolled_out_is_refused_in_words(options, message):
    with pytest.raises(SimulationError, match=message):
        one_contact().rollout(2, **options)
    with pytest.raises(SimulationError, match="no output 'deaths'"):
        one_contact().check_gradient(2, "deaths", {"beta": 0.3}, seeds=2)
