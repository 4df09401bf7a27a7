"""Policies: what agents do by what they observe, in any batch and in any type of number."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import toolkit as tk
from tests.simulation.networks import random_network
from toolkit.errors import SimulationError
from toolkit.simulation import (
    SEIR,
    SIR,
    EpidemicPolicy,
    Isolation,
    IsolationPolicy,
    Policy,
    Runner,
    SimulationModel,
    per_agent,
)

AGE = np.arange(400) % 3


def perceptron(seed=0, scale=1.0):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    with torch.no_grad():
        for each in module.parameters():
            each.mul_(scale)
    return module


def model_of(policy, n=400, **given):
    way = {"beta": 0.12, "initial_infected": 8} | given
    return SEIR(random_network(n, 6), group=np.arange(n) % 3, isolation=policy, **way)


class Constant(EpidemicPolicy):
    """Acts with one probability, which is a parameter."""

    transition = IsolationPolicy.transition

    def __init__(self, p, **given):
        super().__init__(**given)
        self.p = nn.Parameter(torch.tensor(p, dtype=torch.float64))

    def decide(self, *observed):
        return self.p.expand(observed[0].shape)


class Elders(IsolationPolicy):
    """The old isolate for certain when ill, the others never: a rule of one agent."""

    @per_agent
    def decide(self, age, is_ill, prevalence):
        return torch.where((age == 2) & (is_ill > 0) & (prevalence > 0), 1.0, 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_run_has_the_same_bits_alone_and_in_any_batch(dtype):
    policy = IsolationPolicy(perceptron(), compute_dtype=dtype, tolerance=0.1)
    # 397: a product over all runs at once rounds some rows otherwise than one over 397.
    runner = Runner(model_of(policy, n=397), device="cpu")
    varied = {"beta": [0.05, 0.12, 0.2, 0.12, 0.3], "infectious_steps": [7, 1, 7, 12, 3]}
    seeds = [9, 4, 2**62, 4, 0]
    batch = runner.run_batch(40, varied, seeds)
    assert int(batch.isolated.max()) > 5
    for run, seed in enumerate(seeds):
        alone = runner.run(40, {name: each[run] for name, each in varied.items()}, seed)
        for name in alone.data_vars:
            assert (alone[name].values == batch[name].isel(run=run).values).all()
    assert runner.run_batch(40, varied, seeds).identical(batch)


def test_a_policy_of_one_probability_is_the_isolation_by_tests():
    """The same draws and the same probability: the same epidemic, to the last bit."""
    share = 0.25  # a number that float32 holds as it is
    plain = Runner(model_of(Isolation(detection=share, start=3)), device="cpu")
    policy = Constant(share, start=3, stream="isolation")
    found = Runner(model_of(policy), device="cpu").run_batch(40, seeds=range(3))
    assert found.identical(plain.run_batch(40, seeds=range(3)))
    assert int(found.isolated.max()) > 0


def test_parameters_of_a_policy_are_varied_by_their_names():
    runner = Runner(model_of(Constant(0.1)), device="cpu")
    assert "policy.p" in dict(runner.model.named_parameters())
    runs = runner.run_batch(60, {"policy.p": [0.0, 0.3, 1.0]}, seeds=[1, 1, 1])
    sizes = runs.new_infections.sum("step").values
    assert sizes[0] > sizes[1] > sizes[2] == 0
    assert runs["policy.p"].values.tolist() == [0.0, 0.3, 1.0]


def test_matrices_of_a_policy_are_given_for_all_runs_or_for_each():
    runner = Runner(model_of(IsolationPolicy(nn.Linear(3, 1))), device="cpu")
    never, when_ill = np.zeros((1, 3)), np.array([[0.0, 90.0, 0.0]])
    bias = {"policy.logits.bias": np.array([-60.0])}
    each = runner.run_batch(
        30, {"policy.logits.weight": np.stack([never, when_ill]), **bias}, seeds=[5, 5]
    )
    assert each.isolated.max("step").values.tolist()[0] == 0
    assert int(each.new_infections.isel(run=1).sum()) == 0
    for run, weight in enumerate((never, when_ill)):
        alone = runner.run(30, {"policy.logits.weight": weight, **bias}, seed=5)
        assert (alone.infectious.values == each.infectious.isel(run=run).values).all()
    with pytest.raises(SimulationError, match=r"has shape \(3,\): give shape \(1, 3\), or one"):
        runner.run(3, {"policy.logits.weight": np.zeros(3)})
    with pytest.raises(SimulationError, match=r"no parameter 'policy.weight'. It has: beta"):
        runner.run(3, {"policy.weight": 1.0})


def test_agents_act_by_what_they_observe():
    runner = Runner(model_of(Elders()), device="cpu")
    runs = runner.run(40, seed=2, record=["isolated", "stage"])
    isolated = (runs.stage == runner.model.codes["isolated"]).values
    infectious = (runs.stage == runner.model.infectious).values
    assert isolated[:, AGE == 2].any()
    assert not isolated[:, AGE != 2].any()
    assert not infectious[:, AGE == 2].any()
    assert infectious[:, AGE != 2].any()
    assert runner.stats().dense == 40


def test_what_is_observed_is_age_stage_and_prevalence():
    seen = []

    class Looks(Constant):
        def decide(self, *observed):
            seen.append([each.clone() for each in observed])
            return super().decide(*observed)

    runner = Runner(SIR(random_network(400, 6), beta=0.0, initial_infected=range(40), group=AGE,
                        isolation=Looks(0.0)), device="cpu")  # fmt: skip
    runner.run(2)
    age, is_ill, prevalence = seen[0]
    assert age.tolist() == AGE.tolist()
    assert is_ill.tolist() == [1.0] * 40 + [0.0] * 360
    assert set(prevalence.tolist()) == {float(np.float32(0.1))}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_for_the_policy_alone_and_is_compared_with_float32(dtype):
    """A unit of bfloat16 near 256 is 2: the difference of two large numbers is lost."""

    class Rounds(Constant):
        def decide(self, *observed):
            assert all(each.dtype == self.p.dtype for each in observed)
            types.add(self.p.dtype)
            return (4096.0 + self.p.expand(observed[0].shape)) - 4096.0

    types = set()
    policy = Rounds(0.5, compute_dtype=dtype)
    model = model_of(policy)
    with pytest.raises(SimulationError, match=r"decides otherwise than in float32 for [0-9.]+% of"):
        Runner(model, device="cpu").run(5)
    assert types == {dtype, torch.float32}
    assert policy.p.dtype == torch.float64
    types.clear()
    model_of(replaced := Rounds(0.5, compute_dtype=dtype, tolerance=1.0))
    Runner(model_of(replaced), device="cpu").run(5)
    assert types == {dtype}
    Runner(model_of(Rounds(0.5)), device="cpu").run(5)
    state = model.initial_state(tk_draws(2))
    assert (state.stage.dtype, state.until.dtype) == (torch.uint8, torch.int16)
    assert model.risk(state.stage == 2, state.stage).dtype == torch.float64


def tk_draws(n):
    from toolkit.simulation.step_draws import StepDraws

    return StepDraws(torch.arange(n))


def test_half_precision_of_a_well_scaled_network_changes_few_decisions():
    exact = Runner(model_of(IsolationPolicy(perceptron())), device="cpu").run_batch(
        40, seeds=range(48)
    )
    half = Runner(
        model_of(IsolationPolicy(perceptron(), compute_dtype=torch.bfloat16)), device="cpu"
    ).run_batch(40, seeds=range(48))
    sizes = [each.new_infections.sum("step").values for each in (exact, half)]
    error = np.sqrt(sum(each.var(ddof=1) for each in sizes) / 48)
    assert abs(sizes[0].mean() - sizes[1].mean()) <= 3 * error
    assert not exact.identical(half)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lambda: Constant(1.5), "are no probabilities, at step 0"),
        (lambda: Constant(float("nan")), "are no probabilities"),
        (lambda: IsolationPolicy(nn.Linear(3, 2)), r"decide returns shape \(400, 2\)"),
        (lambda: IsolationPolicy(), "needs a module, logits="),
        (lambda: Constant(0.5, start=-1), "start=-1"),
        (lambda: Constant(0.5, tolerance=2.0), "tolerance=2"),
        (lambda: Constant(0.5, compute_dtype=torch.float64), "it must be one of torch.float32"),
    ],
)
def test_bad_policies_are_refused_in_words(policy, message):
    with pytest.raises(SimulationError, match=message):
        Runner(model_of(policy()), device="cpu").run(3)


def test_policies_have_no_active_set_and_no_estimator():
    model = model_of(Constant(0.2))
    with pytest.raises(SimulationError, match="no active set: pass mode='dense'"):
        Runner(model, device="cpu", mode="active")
    runner = Runner(model, device="cpu")
    with pytest.raises(SimulationError, match=r"no estimator stands for. Pass"):
        runner.rollout(3)
    p = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    seen = runner.rollout(30, {"policy.p": p}, range(64), estimator="finite_difference")
    seen["new_infections"].sum().backward()
    assert p.grad < 0


def test_bits_do_not_depend_on_the_number_of_threads():
    runner = Runner(model_of(IsolationPolicy(perceptron())), device="cpu")
    before, found = torch.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found.append(runner.run_batch(15, seeds=[1, 2]))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(before)
    assert found[0].identical(found[1])
    assert found[0].identical(found[2])


def test_matrices_have_no_finite_differences():
    runner = Runner(model_of(IsolationPolicy(nn.Linear(3, 1))), device="cpu")
    beta = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    runner.rollout(5, {"beta": beta}, range(4), estimator="finite_difference")
    weight = torch.zeros(1, 3, requires_grad=True)
    with pytest.raises(SimulationError, match=r"policy.logits.weight: finite differences"):
        runner.rollout(5, {"policy.logits.weight": weight}, estimator="finite_difference")


def test_a_model_with_a_policy_is_a_stage():
    runner = Runner(model_of(Constant(0.2)), device="cpu")
    stage = runner.as_stage(steps=20, observe="new_infections")
    space = tk.grid({"beta": [0.1, 0.2], "policy.p": [0.0, 0.5], "trial": tk.replicates(2)})
    data = tk.Sweep(stage, space).run(progress=False)
    sizes = data.new_infections.sum("step").mean(["trial", "beta"])
    assert float(sizes.sel({"policy.p": 0.0})) > float(sizes.sel({"policy.p": 0.5}))
    network = Runner(model_of(IsolationPolicy(nn.Linear(3, 1))), device="cpu")
    again = tk.Sweep(network.as_stage(steps=5, observe="infectious"), tk.grid(beta=[0.1, 0.2]))
    assert again.run(progress=False).infectious.sizes == {"beta": 2, "step": 5}


@dataclass
class Savings:
    money: Tensor


class Market(SimulationModel):
    """Agents earn one unit in each step, and those who wish spend half of what they have."""

    def __init__(self, policy):
        super().__init__()
        self.n_agents = 50
        self.income = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.spending = policy

    def initial_state(self, rng):
        return Savings(10 * rng.uniform("money", self.n_agents))

    def step(self, state, t, rng):
        state = self.spending.act(self, state, t, rng)
        return replace(state, money=state.money + self.income)

    def observe(self, state, t):
        del t
        return {"least": state.money.amin(0), "most": state.money.amax(0)}


class Spends(Policy):
    def __init__(self, above):
        super().__init__()
        self.above = nn.Parameter(torch.tensor(above, dtype=torch.float64))

    def observe(self, model, state, t):
        del model, t
        return (state.money,)

    def decide(self, money):
        return (money > self.above).float()

    def transition(self, model, state, acts, t):
        del model, t
        return replace(state, money=torch.where(acts, state.money / 2, state.money))


def test_any_model_takes_a_policy():
    runner = Runner(Market(Spends(20.0)), device="cpu")
    varied = {"spending.above": [5.0, 20.0, 1e9], "income": [1.0, 1.0, 2.0]}
    runs = runner.run_batch(60, varied, seeds=[3, 3, 3])
    assert runs.most.isel(run=2).diff("step").values == pytest.approx(2.0)
    assert (runs.most.isel(run=0) <= 11).all()
    assert 16 < float(runs.most.isel(run=1)[-1]) <= 21
    for run in range(3):
        alone = runner.run(60, {name: each[run] for name, each in varied.items()}, seed=3)
        for name in ("least", "most"):
            assert (alone[name].values == runs[name].isel(run=run).values).all()


@pytest.mark.gpu
def test_a_policy_has_the_same_bits_alone_and_in_a_batch_on_a_gpu():
    policy = IsolationPolicy(perceptron(), compute_dtype=torch.float16, tolerance=0.1)
    runner = Runner(model_of(policy), device="cuda")
    batch = runner.run_batch(40, {"beta": [0.05, 0.12, 0.2]}, [9, 4, 0])
    for run, (beta, seed) in enumerate(zip([0.05, 0.12, 0.2], [9, 4, 0], strict=True)):
        alone = runner.run(40, {"beta": beta}, seed)
        assert (alone.infectious.values == batch.infectious.isel(run=run).values).all()
