"""SIR and SEIR: the same bits in every way of running them, and what they are compared with."""

import itertools
import math

import numpy as np
import pytest
import torch

import toolkit as tk
from tests.simulation.networks import complete_network, random_network
from toolkit.errors import SimulationError
from toolkit.simulation import (
    SEIR,
    SEIRD,
    SIR,
    ContactNetwork,
    Isolation,
    Record,
    Runner,
    Vaccination,
)
from toolkit.simulation.epidemic import Compartment, Epidemic
from toolkit.simulation.epidemic_input import whole
from toolkit.simulation.outbreak import Outbreak
from toolkit.simulation.step_draws import StepDraws

WAYS = [
    {"mode": "dense"},
    {"mode": "active", "contacts": "push"},
    {"mode": "active", "contacts": "pull"},
    {"mode": "active", "contacts": "auto"},
]


def layered(n=400, *, symmetric=True):
    return ContactNetwork.stacked(
        [
            random_network(n, 3, 1, name="household", weight=2.0, symmetric=symmetric),
            random_network(n, 6, 2, name="community", weight=0.5, symmetric=symmetric),
        ]
    )


class SIRS(Epidemic):
    """Who has recovered falls ill again, some steps later."""

    compartments = (
        *SIR.compartments[:2],
        Compartment(name="recovered", lasts="immune_steps", then=("susceptible",)),
    )

    def __init__(self, network, *, immune_steps, **given):
        super().__init__(network, **given)
        self.infectious_steps, self.immune_steps = whole(7), whole(immune_steps)
        self.check()


MODELS = {
    "SEIR": lambda: SEIR(random_network(400, 6), beta=0.08, initial_infected=5),
    "SIR": lambda: SIR(random_network(400, 6), beta=0.05, initial_infected=[3, 17, 399]),
    "layers": lambda: SEIR(layered(), beta=0.1, incubation_steps=1, initial_infected=4),
    "one way": lambda: SIR(layered(symmetric=False), beta=0.1, initial_infected=4),
    "again": lambda: SIRS(layered(), beta=0.1, immune_steps=4, initial_infected=5),
    "groups": lambda: SEIRD(
        layered(),
        beta=0.2,
        fatality=[0.0, 0.1, 0.6],
        group=np.arange(400) % 3,
        susceptibility=[0.5, 1.0, 1.5],
        initial_infected=6,
    ),
    "vaccinated": lambda: SEIR(
        random_network(400, 6),
        beta=0.1,
        vaccination=Vaccination(start=3, per_step=0.04, efficacy=0.7, coverage=0.6),
        initial_infected=8,
    ),
    "isolated": lambda: SIR(
        random_network(400, 6),
        beta=0.15,
        isolation=Isolation(detection=0.2, start=2),
        initial_infected=8,
    ),
    "all": lambda: SEIRD(
        layered(),
        beta=0.2,
        fatality=[0.2, 0.5],
        group=np.arange(400) % 2,
        vaccination=Vaccination(per_step=0.1, efficacy=1.0, coverage=0.3),
        isolation=Isolation(detection=0.1),
        initial_infected=10,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_way_gives_the_same_bits_alone_and_in_any_batch(name):
    model = MODELS[name]()
    varied = {"beta": [0.0, 0.05, 0.08, 0.11, 0.3], "infectious_steps": [7, 1, 7, 12, 3]}
    seeds = [9, 4, 2**62, 4, 0]
    batches = [Runner(model, device="cpu", **way).run_batch(40, varied, seeds) for way in WAYS]
    for other in batches[1:]:
        assert batches[0].identical(other)
    assert int(batches[0].new_infections.sum()) > 100
    for run, seed in enumerate(seeds):
        chosen = {each: values[run] for each, values in varied.items()}
        alone = Runner(model, device="cpu").run(40, chosen, seed)
        for variable in alone.data_vars:
            assert (alone[variable].values == batches[0][variable].isel(run=run).values).all()
    again = Runner(model, device="cpu").run_batch(40, varied, seeds)
    assert again.identical(batches[0])


@pytest.mark.parametrize("name", MODELS)
def test_numpy_gives_the_bits_of_the_compiled_loops(name, monkeypatch):
    from toolkit.simulation import compiled as loops

    assert loops.kernels() is not None, "numba is among what the tests need"
    model = MODELS[name]()
    varied = {"beta": [0.0, 0.05, 0.3], "infectious_steps": [7, 12, 3]}
    compiled = [Runner(model, device="cpu", **way).run_batch(40, varied) for way in WAYS]
    monkeypatch.setattr(loops, "kernels", lambda: None)
    for way, found in zip(WAYS, compiled, strict=True):
        assert Runner(model, device="cpu", **way).run_batch(40, varied).identical(found)
        alone = Runner(model, device="cpu", **way).run(
            40, {"beta": 0.05, "infectious_steps": 12}, 1
        )
        assert (alone.new_infections.values == found.new_infections.isel(run=1).values).all()


@pytest.mark.parametrize("name", MODELS)
def test_many_steps_in_one_call_are_the_bits_of_single_ones(name):
    model = MODELS[name]()
    varied = {"beta": [0.0, 0.05, 0.3], "infectious_steps": [7, 12, 3]}
    for contacts in ("push", "pull", "auto"):
        runner = Runner(model, device="cpu", mode="active", contacts=contacts)
        whole = runner.run_batch(30, varied)
        for every in (1, 7):  # calls end where the state is recorded
            some = [*whole.data_vars, Record("stage", every=every), Record("until", every=every)]
            found = runner.run_batch(30, varied, record=some)
            dense = Runner(model, device="cpu", mode="dense").run_batch(30, varied, record=some)
            assert found.identical(dense)
            assert found[list(whole.data_vars)].identical(whole)


def test_contacts_are_counted_anew_where_most_of_them_change():
    """All of an agent's contacts come and leave at once: auto does both, with the same bits."""
    model = SEIR(random_network(400, 6), beta=0.3, initial_infected=200, infectious_steps=3)
    runner = Runner(model, device="cpu", mode="active", contacts="auto")
    found = runner.run_batch(30, seeds=range(3))
    assert runner.stats().pulled >= 2
    assert runner.stats().pushed >= 10
    for contacts in ("push", "pull"):
        other = Runner(model, device="cpu", mode="active", contacts=contacts)
        assert other.run_batch(30, seeds=range(3)).identical(found)
        assert (other.stats().pulled > 0) == (contacts == "pull")


@pytest.mark.parametrize("threads", [2, 3])
def test_runs_of_a_batch_are_the_same_by_several_threads(threads, monkeypatch):
    from toolkit.simulation import compiled as loops

    taken = []
    play = loops.kernels().play
    monkeypatch.setattr(
        loops.kernels(), "play", lambda *given: (taken.append(given[3]), play(*given))
    )
    monkeypatch.setattr(loops, "_WORTH", 1)
    varied = {"beta": np.linspace(0.0, 0.3, 11), "infectious_steps": range(2, 13)}
    runner, before = Runner(MODELS["SEIR"](), device="cpu"), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = runner.run_batch(40, varied)
        assert taken == [(0, 11)]
        torch.set_num_threads(threads)
        assert runner.run_batch(40, varied).identical(alone)
    finally:
        torch.set_num_threads(before)
    parts = sorted(taken[1:])
    assert len(parts) == min(11, 4 * threads)
    assert [run for part in parts for run in range(*part)] == list(range(11))


def test_who_has_more_contacts_than_are_counted_is_simulated_all_the_same(monkeypatch):
    from toolkit.simulation import compiled as loops

    model = MODELS["SEIR"]()
    wanted = Runner(model, device="cpu").run_batch(30)
    monkeypatch.setattr(loops.kernels(), "MOST_COUNTED", 3)
    runner = Runner(model, device="cpu")
    assert isinstance(
        model.stepper(model.initial_state(StepDraws(torch.arange(1))), 0, "auto"), Outbreak
    )
    assert runner.run_batch(30).identical(wanted)


def test_a_model_with_a_step_or_observables_of_its_own_is_stepped_by_these():
    class Counted(SEIR):
        def observe(self, state, t):
            return {"ever": (state.stage > 0).sum(0)}

    model = Counted(random_network(400, 6), beta=0.08, initial_infected=5)
    runs = Runner(model, device="cpu").run_batch(30, seeds=[3, 4])
    usual = Runner(MODELS["SEIR"](), device="cpu").run_batch(30, seeds=[3, 4])
    assert list(runs.data_vars) == ["ever"]
    assert (runs.ever == 400 - usual.susceptible).all()


def test_more_steps_than_the_state_can_count_are_refused():
    runner = Runner(MODELS["SEIR"](), device="cpu")
    with pytest.raises(SimulationError, match="give at most 32,760"):
        runner.run(40_000)
    with pytest.raises(SimulationError, match="give at most 2,767"):
        runner.run_batch(3_000, {"infectious_steps": [7, 30_000]})


def test_weights_of_layers_are_parameters_where_there_are_several():
    model = MODELS["layers"]()
    names = [name for name in dict(model.named_parameters()) if name.startswith("weight_")]
    assert names == [f"weight_{name}" for name in model.network.names]
    runs = Runner(model, device="cpu").run_batch(
        40, {names[0]: [0.0, 1.0, 3.0], names[1]: 0.0}, seeds=[1, 1, 1]
    )
    total = runs.new_infections.sum("step").values
    assert total[0] == 0
    assert total[1] < total[2]
    assert "weight_" not in str(list(dict(MODELS["SEIR"]().named_parameters())))
    with pytest.raises(SimulationError, match=f"{names[0]}=-1"):
        Runner(model, device="cpu").run(3, {names[0]: -1.0})


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_gives_the_bits_of_a_cpu(name):
    model = MODELS[name]()
    here = Runner(model, device="cpu").run_batch(40, {"beta": [0.05, 0.1]}, [1, 2])
    there = Runner(model, device="cuda").run_batch(40, {"beta": [0.05, 0.1]}, [1, 2])
    assert here.identical(there)


def test_large_batches_are_run_in_parts(monkeypatch):
    from toolkit.simulation import playing

    model = MODELS["SEIR"]()
    whole = Runner(model, device="cpu").run_batch(20, {"beta": np.linspace(0, 0.2, 7)})
    monkeypatch.setattr(playing, "_CELLS_AT_ONCE", 900)
    parts = Runner(model, device="cpu").run_batch(20, {"beta": np.linspace(0, 0.2, 7)})
    assert whole.identical(parts)


def test_the_draws_are_those_of_the_toolkit():
    """One contact: who is infected when is told by the published generator alone."""
    network = ContactNetwork.from_edges([0], [1], 2)
    for seed in range(20):
        model = SIR(network, beta=0.3, infectious_steps=5, initial_infected=[0])
        found = Runner(model, device="cpu").run(8, seed=seed).new_infections.values
        draws = [float(tk.draws(seed).uniform("infection", at=(t, 1))) for t in range(5)]
        wanted = next((t for t, u in enumerate(draws) if u < 1 - (1 - 0.3)), None)
        assert found.nonzero()[0].tolist() == ([] if wanted is None else [wanted])


def plain(network, beta, incubation, infectious, first, steps, rng):
    """Return new infections of a loop over agents, as one would write it down."""
    n = network.n_agents
    offsets, columns = network.rows()
    stage, until = ["S"] * n, [None] * n
    for agent in first:
        stage[agent], until[agent] = "I", infectious
    found = []
    for t in range(steps):
        for agent in range(n):
            if until[agent] == t and stage[agent] == "E":
                stage[agent], until[agent] = "I", t + infectious
            elif until[agent] == t and stage[agent] == "I":
                stage[agent], until[agent] = "R", None
        new = [
            contact
            for agent in range(n)
            if stage[agent] == "I"
            for contact in columns[offsets[agent] : offsets[agent + 1]].tolist()
            if stage[contact] == "S" and rng.random() < beta
        ]
        new = set(new)
        for agent in new:
            stage[agent], until[agent] = "E", t + incubation
        found.append(len(new))
    return found


def test_mean_trajectories_are_those_of_a_plain_loop():
    network = random_network(150, 6)
    rng = np.random.default_rng(5)
    theirs = np.array(
        [plain(network, 0.06, 2, 4, range(5), 25, rng) for _ in range(200)], dtype=float
    ).cumsum(1)
    model = SEIR(
        network, beta=0.06, incubation_steps=2, infectious_steps=4, initial_infected=range(5)
    )
    ours = Runner(model, device="cpu").run_batch(25, seeds=np.arange(200) + 1000)
    mine = ours.new_infections.values.T.astype(float).cumsum(1)
    error = np.sqrt((theirs.var(0) + mine.var(0)) / 200)
    apart = np.abs(theirs.mean(0) - mine.mean(0))
    assert (apart <= 3 * error + 1e-12).all()


def test_the_well_mixed_limit_is_the_deterministic_epidemic():
    """Everybody meets everybody, with durations in steps: a renewal equation, exact for large n."""
    n, r0, infectious = 1_500, 2.5, 4
    beta = r0 / (n * infectious)
    model = SIR(
        complete_network(n), beta=beta, infectious_steps=infectious, initial_infected=range(60)
    )
    runs = Runner(model, device="cpu").run_batch(60, seeds=range(30))
    susceptible, new = float(n - 60), []
    for t in range(60):
        ill = (60.0 if t < infectious else 0.0) + sum(new[max(0, t - infectious) : t])
        new.append(susceptible * (1 - math.exp(ill * math.log1p(-beta))))
        susceptible -= new[-1]
    mean = runs.new_infections.mean("run").values
    assert np.abs(mean.cumsum() - np.cumsum(new)).max() < 0.02 * n
    # The final size solves log(s) = -R0 (1 - s / (1 + first)), W. Kermack and A. McKendrick, 1927.
    size = runs.new_infections.sum("step").mean().item() / n
    s0, s = 1 - 60 / n, 0.5
    for _ in range(200):
        s = s0 * math.exp(-r0 * (1 - s))
    assert size == pytest.approx(s0 - s, abs=0.02)


def test_r0_and_generation_interval_are_as_set():
    """One case among many who are susceptible: whom it infects, and when."""
    n, degree = 4_001, 10
    hub = ContactNetwork.from_edges(
        np.repeat(np.arange(400), degree), np.arange(4_000) + 400, 4_400
    )
    model = SIR(hub, beta=0.05, infectious_steps=6, initial_infected=range(400))
    found = Runner(model, device="cpu").run_batch(6, seeds=range(10)).new_infections
    expected = degree * (1 - 0.95**6)
    per_case = found.sum("step").mean().item() / 400
    assert n > degree
    assert per_case == pytest.approx(expected, rel=0.05)
    when = (found.mean("run") * np.arange(6)).sum().item() / found.mean("run").sum().item()
    weights = 0.95 ** np.arange(6)
    assert when == pytest.approx((weights * np.arange(6)).sum() / weights.sum(), abs=0.1)


def test_agents_are_conserved_and_pass_through_the_stages_in_order():
    runs = Runner(MODELS["SEIR"](), device="cpu").run_batch(60, {"beta": [0.05, 0.2]})
    total = runs.susceptible + runs.exposed + runs.infectious + runs.recovered
    assert (total == 400).all()
    assert (runs.susceptible.diff("step") == -runs.new_infections.isel(step=slice(1, None))).all()
    assert (runs.recovered.diff("step") >= 0).all()


@pytest.mark.parametrize("name", ["groups", "vaccinated", "isolated", "all"])
def test_agents_are_conserved_whatever_is_done(name):
    model = MODELS[name]()
    runs = Runner(model, device="cpu").run_batch(60, seeds=range(3))
    assert (sum(runs[each] for each in model.codes) == 400).all()


def test_the_dead_are_a_share_of_those_whose_illness_has_ended():
    n = 3_000
    model = SEIRD(
        random_network(n, 8),
        beta=0.2,
        fatality=[0.0, 0.4],
        group=np.arange(n) % 2,
        initial_infected=50,
    )
    runs = Runner(model, device="cpu").run_batch(120, {"severity": [0.0, 0.5, 1.0]}, [1, 1, 1])
    last = runs.isel(step=-1)
    assert (last.infectious + last.exposed == 0).all()
    assert (last.recovered + last.dead > 0.98 * n).all()
    assert last.dead.values[0] == 0
    # Half of those who were ill are of the group of which some die.
    assert last.dead.values[1:] / n == pytest.approx([0.1, 0.2], abs=0.02)


def test_vaccines_go_out_as_said_and_protect():
    n = 4_000
    plan = Vaccination(start=5, per_step=0.05, efficacy=1.0, coverage=0.4)
    quiet = SIR(random_network(n, 6), beta=0.0, initial_infected=1, vaccination=plan)
    share = Runner(quiet, device="cpu").run(20).vaccinated.values / n
    assert share[:5].max() == 0
    assert share[5] == pytest.approx(0.05, abs=0.01)
    assert share[8] == pytest.approx(0.2, abs=0.02)
    assert share[-1] == pytest.approx(0.4, abs=0.02)
    cases = [
        Runner(
            SIR(random_network(n, 6), beta=0.05, initial_infected=20, vaccination=each),
            device="cpu",
        ).run(80, seed=3)
        for each in (None, Vaccination(per_step=1.0, efficacy=1.0, coverage=0.6))
    ]
    sizes = [int(each.new_infections.sum()) for each in cases]
    assert sizes[1] < 0.5 * sizes[0]
    # Nobody who is protected for certain is infected.
    assert int(cases[1].vaccinated[-1]) == int(cases[1].vaccinated.max())


def test_who_is_isolated_infects_nobody():
    network = random_network(500, 6)
    at_once = SIR(network, beta=0.5, initial_infected=20, isolation=Isolation(detection=1.0))
    runs = Runner(at_once, device="cpu").run(12)
    assert int(runs.new_infections.sum()) == 0
    assert runs.isolated.values[:7].tolist() == [20] * 7
    assert runs.recovered.values[7:].tolist() == [20] * 5


def test_groups_that_are_immune_stay_well():
    n = 600
    model = SIR(
        random_network(n, 10),
        beta=0.3,
        group=np.arange(n) % 2,
        susceptibility=[1.0, 0.0],
        initial_infected=range(0, 40, 2),
    )
    runs = Runner(model, device="cpu").run(60)
    assert 200 < int(runs.new_infections.sum()) <= n // 2 - 20


def test_the_first_cases_are_as_many_as_asked_for_whatever_else_is_in_the_batch():
    model = SIR(random_network(60, 4), beta=0.0, initial_infected=1, infectious_steps=3)
    counts = [0, 1, 30, 60]
    runs = Runner(model, device="cpu").run_batch(1, {"initial_infected": counts}, [5] * 4)
    assert runs.infectious.values.tolist() == [counts]


def test_runs_are_labelled():
    model = MODELS["SIR"]()
    runs = Runner(model, device="cpu").run_batch(3, {"beta": [0.1, 0.2]}, seeds=[7, 8])
    assert runs.new_infections.dims == ("step", "run")
    assert runs.beta.values.tolist() == [0.1, 0.2]
    assert runs.seed.values.tolist() == [7, 8]
    assert "exposed" not in runs
    one = Runner(model, device="cpu").run(3, {"beta": 0.1}, seed=7)
    assert one.new_infections.dims == ("step",)
    assert float(one.beta) == 0.1


def test_three_bytes_are_held_for_each_agent_and_run():
    from toolkit.simulation.step_draws import StepDraws

    state = MODELS["SEIR"]().initial_state(StepDraws(torch.arange(8)))
    held = sum(each.element_size() for each in (state.stage, state.until))
    assert held == 3
    assert state.stage.shape == state.until.shape == (400, 8)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda model: Runner(model).run(0), "steps=0"),
        (lambda model: Runner(model).run(2.5), "steps=2.5"),
        (lambda model: Runner(model).run(2, {"bta": 0.1}), "no parameter 'bta'. It has: beta, inc"),
        (lambda model: Runner(model).run(2, {"beta": [0.1]}), "run.. takes one number"),
        (lambda model: Runner(model).run(2, {"beta": float("nan")}), "not finite"),
        (lambda model: Runner(model).run(2, {"beta": -0.1}), "beta=-0.1: it must be from 0 to 1"),
        (lambda model: Runner(model).run(2, {"beta": 1.5}), "beta=1.5"),
        (lambda model: Runner(model).run(2, {"infectious_steps": 2.5}), "give whole numbers"),
        (lambda model: Runner(model).run(2, {"infectious_steps": 40_000}), "from 1 to 32767"),
        (lambda model: Runner(model).run_batch(2, {"beta": [[0.1]]}), r"shape \(1, 1\)"),
        (lambda model: Runner(model).run_batch(2, {"beta": [0.1]}, [1, 2]), "beta: 1, seeds: 2"),
        (lambda model: Runner(model).run_batch(2, seeds=[0.5]), "seeds must be whole numbers"),
        (lambda model: Runner(model).run_batch(2, seeds=np.zeros(0, int)), "arrays are empty"),
        (lambda model: Runner(model, mode="fast"), "mode='fast': it must be one of 'auto'"),
        (
            lambda model: SIR(model.network, beta=0.1, initial_infected=9_999),
            "initial_infected=9999",
        ),
        (lambda model: SIR(model.network, beta=0.1, initial_infected=[400]), "there are 400"),
        (lambda model: SIR(model.network, beta=0.1, initial_infected=0.5), "no whole number"),
        (lambda _: SIR(layered(), beta=0.7), "is 1.4: a probability is at most 1"),
        (lambda _: SIR(layered(), beta=0.1, group=[0, 1]), r"group is of int64 with shape \(2,\)"),
        (lambda _: SIR(layered(), beta=0.1, group=np.full(400, 256)), "from 0 to 255"),
        (lambda _: SIR(layered(), beta=0.1, susceptibility=[-1.0]), "give numbers from 0 on"),
        (
            lambda _: SEIRD(layered(), beta=0.1, fatality=[0.1], group=np.arange(400) % 2),
            "there are 2 groups: give a number for each",
        ),
        (
            lambda _: SEIRD(layered(), beta=0.1, fatality=[0.6], severity=2.0),
            "largest fatality=1.2",
        ),
        (lambda _: Vaccination(per_step=0.0, efficacy=0.5), "per_step=0: it must be above 0 to 1"),
        (lambda _: Vaccination(per_step=0.1, efficacy=1.5), "efficacy=1.5: it must be from 0 to 1"),
        (lambda _: Isolation(detection=0.1, start=-1), "start=-1: give a step"),
    ],
)
def test_bad_input_is_refused_in_words(run, message):
    with pytest.raises(SimulationError, match=message):
        run(MODELS["SEIR"]())


def test_what_a_call_took_is_told():
    runner = Runner(MODELS["SEIR"](), device="cpu", contacts="push")
    runner.run_batch(10, seeds=range(3))
    stats = runner.stats()
    assert (stats.steps, stats.runs, stats.agent_steps) == (10, 3, 12_000)
    assert (stats.pushed, stats.pulled, stats.dense) == (10, 0, 0)
    assert set(stats.seconds) == {"init", "step", "record", "label"}
    assert all(seconds > 0 for seconds in stats.seconds.values())
    assert list(itertools.islice(stats.device, 3)) == ["c", "p", "u"]
