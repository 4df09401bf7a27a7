"""Households, places and regions: against a plain loop, and against theory."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import toolkit as tk
from toolkit.errors import SimulationError
from toolkit.simulation import (
    MobilitySEIR,
    Population,
    Record,
    Runner,
    StayHomePolicy,
)

N = 240
TOWN = {**Population.synthetic(N, seed=3), "region": np.arange(N) // 80}
RATES = {"household": 0.25, "school": 0.3, "work": 0.2, "community": 0.25}
COMMUTE = np.array([[0.7, 0.2, 0.1], [0.3, 0.7, 0.0], [0.1, 0.1, 0.8]])


def model_of(people=TOWN, **given):
    way = {"rates": RATES, "mobility": COMMUTE, "initial_infected": 6} | given
    return MobilitySEIR(people, **way)


class StaysWhenIll(StayHomePolicy):
    """Who is infectious stays at home with a probability that is a parameter."""

    def __init__(self, p, **given):
        super().__init__(**given)
        self.p = nn.Parameter(torch.tensor(p, dtype=torch.float64))

    def decide(self, age, is_ill, prevalence):
        del age, prevalence
        return self.p * is_ill


@pytest.mark.parametrize("is_recurrent", [True, False])
def test_a_run_has_the_same_bits_alone_and_in_any_batch(is_recurrent):
    network = nn.Linear(3, 1)
    runner = Runner(
        model_of(is_recurrent=is_recurrent, policy=StayHomePolicy(network)), device="cpu"
    )
    varied = {
        "beta_household": [0.0, 0.3, 0.25, 0.6, 0.2],
        "household_exponent": [0.8, 0.5, 1.0, 0.0, 0.7],
        "infectious_steps": [7, 1, 7, 12, 3],
    }
    seeds = [9, 4, 2**62, 4, 0]
    batch = runner.run_batch(40, varied, seeds)
    assert int(batch.new_infections.sum()) > 200
    for run, seed in enumerate(seeds):
        alone = runner.run(40, {name: each[run] for name, each in varied.items()}, seed)
        for name in alone.data_vars:
            assert (alone[name].values == batch[name].isel(run=run).values).all()
    assert runner.run_batch(40, varied, seeds).identical(batch)


def plain(people, rates, commute, exponent, durations, first, steps, rng):
    """Return new infections of a loop over agents, as one would write it down."""
    n = len(people["household"])
    incubation, infectious = durations
    stage, until = ["S"] * n, [None] * n
    for agent in first:
        stage[agent], until[agent] = "I", infectious
    works_in = [rng.choice(len(commute), p=commute[home]) for home in people["region"]]
    found = []
    for t in range(steps):
        for agent in range(n):
            if until[agent] == t and stage[agent] == "E":
                stage[agent], until[agent] = "I", t + infectious
            elif until[agent] == t and stage[agent] == "I":
                stage[agent], until[agent] = "R", None
        hazard = [0.0] * n
        for kind, rate in rates.items():
            where = works_in if kind == "community" else people[kind]
            members = {}
            for agent in range(n):
                if where[agent] >= 0:
                    members.setdefault(int(where[agent]), []).append(agent)
            for those in members.values():
                ill = sum(stage[agent] == "I" for agent in those)
                size = len(those) ** (exponent if kind == "household" else 1)
                for agent in those:
                    hazard[agent] += rate * ill / size
        new = [
            agent
            for agent in range(n)
            if stage[agent] == "S" and rng.random() < 1 - math.exp(-hazard[agent])
        ]
        for agent in new:
            stage[agent], until[agent] = "E", t + incubation
        found.append(len(new))
    return found


def test_mean_trajectories_are_those_of_a_plain_loop():
    people = {name: np.asarray(values)[:120] for name, values in TOWN.items()}
    people["region"] = np.arange(120) // 40
    rng = np.random.default_rng(1)
    theirs = np.array(
        [plain(people, RATES, COMMUTE, 0.8, (2, 4), range(5), 20, rng) for _ in range(200)],
        dtype=float,
    ).cumsum(1)
    model = model_of(people, incubation_steps=2, infectious_steps=4, initial_infected=range(5))
    ours = Runner(model, device="cpu").run_batch(20, seeds=np.arange(200) + 1000)
    mine = ours.new_infections.values.T.astype(float).cumsum(1)
    error = np.sqrt((theirs.var(0) + mine.var(0)) / 200)
    assert (np.abs(theirs.mean(0) - mine.mean(0)) <= 3 * error + 1e-12).all()
    assert 20 < mine.mean(0)[-1] < 110


@pytest.mark.parametrize("size", [2, 3, 5])
def test_households_alone_have_the_final_sizes_of_theory(size):
    """One case in each household: the chain binomial's final size, of N. Bailey, 1975, ch. 14.

    With a fixed infectious time the sizes are those of Reed and Frost, in which each infectious
    member is escaped with probability q (D. Ludwig, Math. Biosci. 23, 33, 1975).
    """
    households, rate, infectious = 2_000, 0.3, 4
    people = {"household": np.repeat(np.arange(households), size)}
    first = np.arange(households) * size
    model = MobilitySEIR(
        people,
        rates={"household": rate},
        household_exponent=0.8,
        incubation_steps=2,
        infectious_steps=infectious,
        initial_infected=first,
    )
    run = Runner(model, device="cpu").run(60, seed=4, record=Record("stage", every=59))
    ill = (run.stage.values[-1] != 0).reshape(households, size).sum(1) - 1
    q = math.exp(-rate * infectious / size**0.8)
    expected = final_sizes(size - 1, q)
    found = np.bincount(ill, minlength=size) / households
    error = np.sqrt(expected * (1 - expected) / households)
    assert (np.abs(found - expected) <= 3.5 * error).all()


def final_sizes(susceptible, q):
    """Return how probable each number of further cases is, with one case to begin with."""
    every = []  # how probable it is that of k given members, alone with the case, all are infected
    for k in range(susceptible + 1):
        fewer = (math.comb(k, j) * every[j] * q ** ((1 + j) * (k - j)) for j in range(k))
        every.append(1 - sum(fewer))
    p = np.array(
        [
            math.comb(susceptible, k) * every[k] * q ** ((1 + k) * (susceptible - k))
            for k in range(susceptible + 1)
        ]
    )
    assert p.sum() == pytest.approx(1.0)
    return p


def test_one_community_is_the_deterministic_epidemic():
    n, r0, infectious = 6_000, 2.2, 5
    people = {"household": np.arange(n)}
    model = MobilitySEIR(
        people,
        rates={"community": r0 / infectious},
        incubation_steps=2,
        infectious_steps=infectious,
        initial_infected=range(120),
    )
    runs = Runner(model, device="cpu").run_batch(80, seeds=range(6))
    susceptible, new = n - 120.0, []
    for t in range(80):
        ill = (120.0 if t < infectious else 0.0) + sum(
            new[max(0, t - infectious - 1) : max(0, t - 1)]
        )
        new.append(susceptible * -math.expm1(-r0 / infectious * ill / n))
        susceptible -= new[-1]
    mean = runs.new_infections.mean("run").values
    assert np.abs(mean.cumsum() - np.cumsum(new)).max() < 0.03 * n
    s0, s = 1 - 120 / n, 0.5
    for _ in range(200):  # W. Kermack and A. McKendrick, 1927
        s = s0 * math.exp(-r0 * (1 - s))
    assert runs.new_infections.sum("step").mean().item() / n == pytest.approx(s0 - s, abs=0.02)


def test_regions_infect_each_other_as_people_move():
    """Two regions: without travel one stays well, with it both follow the equations."""
    n, infectious, rate = 8_000, 4, 0.5
    people = {"region": np.arange(n) // (n // 2)}
    given = {
        "rates": {"community": rate},
        "incubation_steps": 1,
        "infectious_steps": infectious,
        "initial_infected": range(200),
        "by_region": True,
        "is_recurrent": False,
    }
    stay = Runner(MobilitySEIR(people, **given), device="cpu").run(60)
    assert int(stay.infectious_in_1.max()) == 0 < int(stay.infectious_in_0.max())
    share = np.array([[0.9, 0.1], [0.2, 0.8]])
    moving = MobilitySEIR(people, mobility=share, **given)
    runs = Runner(moving, device="cpu").run_batch(60, seeds=range(6))
    home = np.array([n / 2, n / 2])
    susceptible, new = home - [200, 0], []
    curve = []
    for t in range(60):
        ill = np.array([200.0, 0.0]) * (t < infectious) + sum(
            new[max(0, t - infectious) : t], start=np.zeros(2)
        )
        curve.append(ill)
        force = rate * (ill @ share) / (home @ share)  # in each region, by who is there
        new.append(susceptible * (share @ -np.expm1(-force)))
        susceptible = susceptible - new[-1]
    for region in range(2):
        mean = runs[f"infectious_in_{region}"].mean("run").values
        assert np.abs(mean - np.array(curve)[:, region]).max() < 0.04 * n / 2


def test_who_stays_at_home_infects_the_household_only():
    people = {"household": np.repeat(np.arange(200), 3)}
    rates = {"household": 0.5, "community": 0.6}
    first = np.arange(0, 60, 3)
    runner = Runner(
        MobilitySEIR(people, rates=rates, initial_infected=first, policy=StaysWhenIll(0.0)),
        device="cpu",
    )
    kept = ["at_home", "stage"]
    runs = runner.run_batch(60, {"policy.p": [0.0, 1.0]}, [1, 1], record=kept)
    assert runs.at_home.isel(run=0).max() == 0
    infected = runs.stage.values[-1, :, 1].reshape(200, 3) != 0
    assert infected[:20].all(1).any()
    assert not infected[20:].any()
    free = runs.stage.values[-1, :, 0].reshape(200, 3) != 0
    assert free[20:].any()
    # Stages are recorded after the step's infections, in which nobody begins to be infectious.
    assert (runs.at_home.isel(run=1) == (runs.stage.isel(run=1) == 2).sum("agent")).all()


def test_fear_of_prevalence_keeps_the_healthy_at_home():
    class Afraid(StayHomePolicy):
        decide = staticmethod(lambda age, is_ill, prevalence: (prevalence > 0.02).to(age.dtype))

    calm, afraid = (
        Runner(model_of(policy=each), device="cpu").run_batch(60, seeds=range(8))
        for each in (None, Afraid())
    )
    assert int(afraid.at_home.max()) == N
    assert float(afraid.new_infections.sum()) < 0.7 * float(calm.new_infections.sum())


def test_the_old_may_be_less_susceptible():
    children = np.flatnonzero(TOWN["age_group"] == 0)
    model = model_of(susceptibility=[1.0, 1.0, 0.0], initial_infected=children[:6])
    run = Runner(model, device="cpu").run(80, record="stage")
    ill = run.stage.values[-1] != 0
    assert not ill[TOWN["age_group"] == 2].any()
    assert ill[TOWN["age_group"] == 1].any()


def test_four_bytes_are_held_for_each_agent_and_run():
    from toolkit.simulation.step_draws import StepDraws

    state = model_of().initial_state(StepDraws(torch.arange(8)))
    held = (state.stage, state.until, state.is_home)
    assert sum(each.element_size() for each in held) == 4
    assert all(each.shape == (N, 8) for each in held)
    assert (state.stage == 2).sum(0).tolist() == [6] * 8


def test_it_is_a_stage_of_a_sweep_and_its_agents_are_conserved():
    stage = Runner(model_of(policy=StaysWhenIll(0.5)), device="cpu").as_stage(steps=30)
    space = tk.grid({"beta_household": [0.1, 0.4], "policy.p": [0.0, 1.0]})
    data = tk.Sweep(stage, space).run(progress=False)
    total = data.susceptible + data.exposed + data.infectious + data.recovered
    assert (total == N).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rates": {"pub": 0.1}}, "rates names 'pub'; people meet in: household, school, work"),
        ({"rates": {}}, "rates is empty"),
        ({"rates": {"household": -0.1}}, "beta_household=-0.1: it must be from 0"),
        ({"mobility": np.eye(2)}, r"has shape \(2, 2\): agents live in 3 regions"),
        ({"mobility": np.full((3, 3), 0.5)}, "rows are shares"),
        ({"mobility": -np.eye(3)}, "rows are shares"),
        ({"household_exponent": -1.0}, "household_exponent=-1"),
        ({"initial_infected": [N]}, f"there are {N}, from 0 on"),
        ({"initial_infected": N + 1}, f"initial_infected={N + 1}"),
        ({"susceptibility": [1.0]}, "there are 3 groups"),
        ({"incubation_steps": 0}, "incubation_steps=0: it must be from 1"),
        ({"people": {"household": [0.5]}}, "'household' is of float64"),
        ({"people": {"household": [0], "work": [0, 1]}}, "household: 1, work: 2"),
        ({"people": {}}, "found nothing"),
        ({"people": dict(TOWN) | {"region": np.full(N, -1)}}, "region has -1"),
    ],
)
def test_bad_input_is_refused_in_words(given, message):
    people = given.pop("people", TOWN)
    with pytest.raises(SimulationError, match=message):
        model_of(people, **given)
