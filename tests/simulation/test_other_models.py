"""Models that are no epidemics, against what theory says of them."""

import numpy as np
import pytest

from tests.simulation.networks import complete_network, random_network
from toolkit.errors import SimulationError
from toolkit.simulation import ContactNetwork, IntegrateAndFire, LotkaVolterra, Runner

MODELS = {
    "neurons": lambda: IntegrateAndFire(random_network(300, 10), drive=22.0, noise=3.0),
    "predators": lambda: LotkaVolterra(random_network(300, 4), birth=0.1, predation=0.2, death=0.1),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_run_has_the_same_bits_alone_and_in_a_batch(name):
    runner = Runner(MODELS[name](), device="cpu")
    batch = runner.run_batch(50, seeds=[4, 9, 2**40])
    for run, seed in enumerate([4, 9, 2**40]):
        alone = runner.run(50, seed=seed)
        for each in alone.data_vars:
            assert (alone[each].values == batch[each].isel(run=run).values).all()
    assert float(batch.to_array().std("run").max()) > 0


def test_an_unconnected_neuron_fires_with_the_period_of_theory():
    nobody = ContactNetwork.from_edges([], [], 1)
    tau, drive, threshold, dt = 20.0, np.array([21.0, 25.0, 40.0]), 20.0, 0.05
    model = IntegrateAndFire(
        nobody, drive=25.0, tau=tau, threshold=threshold, refractory=2.0, dt=dt
    )
    runs = Runner(model, device="cpu").run_batch(20_000, {"drive": drive}, seeds=[1, 2, 3])
    expected = 2.0 + tau * np.log(drive / (drive - threshold))
    for run, period in enumerate(expected):
        at = np.flatnonzero(runs.spikes.isel(run=run).values) * dt
        assert np.diff(at).mean() == pytest.approx(period, abs=1.5 * dt)
        assert np.ptp(np.diff(at)) <= 1.01 * dt


def test_below_threshold_nobody_fires_and_noise_has_its_size():
    nobody = ContactNetwork.from_edges([], [], 4000)
    model = IntegrateAndFire(nobody, drive=5.0, noise=2.0, threshold=100.0, tau=5.0, dt=0.5)
    run = Runner(model, device="cpu").run(400, seed=2)
    assert int(run.spikes.sum()) == 0
    last = run.potential[-200:]
    assert float(last.mean()) == pytest.approx(5.0, abs=0.05)
    # Neighboring steps are alike: as many independent ones as times tau goes into the steps.
    assert float(last.std()) == pytest.approx(2.0 / np.sqrt(4000), rel=0.5)


def test_excitation_makes_neurons_fire_and_inhibition_keeps_them_from_it():
    links = random_network(400, 20)
    quiet = random_network(400, 20, seed=1, name="inhibitory")
    spikes = {}
    for name, network in {
        "alone": ContactNetwork.from_edges([], [], 400),
        "excited": links,
        "balanced": ContactNetwork.stacked([links, quiet]),
    }.items():
        model = IntegrateAndFire(network, drive=21.0, noise=2.0, weight=0.3)
        spikes[name] = int(Runner(model, device="cpu").run(500, seed=3).spikes.sum())
    assert spikes["balanced"] < spikes["alone"] < spikes["excited"]


def test_where_all_meet_the_numbers_follow_lotka_and_volterra():
    n, steps = 1200, 60
    model = LotkaVolterra(
        complete_network(n), birth=0.15 / n, predation=0.5 / n, death=0.1, prey=0.5, predators=0.1
    )
    runs = Runner(model, device="cpu").run_batch(steps, seeds=range(12))
    prey, predators = 0.5, 0.1
    expected = []
    for _ in range(steps):
        born = (1 - prey - predators) * -np.expm1(-0.15 * prey)
        eaten = prey * -np.expm1(-0.5 * predators)
        prey, predators = prey + born - eaten, predators + eaten - 0.1 * predators
        expected.append((prey, predators))
    for at, name in enumerate(("prey", "predators")):
        found = runs[name].mean("run").values / n
        assert np.abs(found - np.array(expected)[:, at]).max() < 0.02


def test_predators_without_prey_die_out_and_prey_alone_fills_all_places():
    network = random_network(500, 6)
    hungry = LotkaVolterra(network, birth=0.3, predation=0.3, death=0.2, prey=0.0, predators=0.5)
    assert int(Runner(hungry, device="cpu").run(100).predators[-1]) == 0
    free = LotkaVolterra(network, birth=0.5, predation=0.3, death=0.2, prey=0.1, predators=0.0)
    linked = int((network.degree() > 0).sum())
    assert int(Runner(free, device="cpu").run(100).prey[-1]) >= linked - 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda network: IntegrateAndFire(network, drive=20.0, dt=0.0), "dt=0"),
        (lambda network: IntegrateAndFire(network, drive=20.0, refractory=50.0), "500 steps"),
        (lambda network: IntegrateAndFire(network, drive=20.0, refractory=25.5), "255 steps"),
        (lambda network: IntegrateAndFire(network, drive=20.0, tau=0.0), "tau must be above"),
        (lambda network: IntegrateAndFire(network, drive=20.0, noise=-1.0), "noise is a standard"),
        (lambda network: LotkaVolterra(network, birth=1.2, predation=0.1, death=0.1), "birth must"),
        (
            lambda network: LotkaVolterra(
                network, birth=0.1, predation=0.1, death=0.1, prey=0.9, predators=0.2
            ),
            "above 1 together",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(make, message):
    with pytest.raises(SimulationError, match=message):
        make(random_network(10, 2))
    runner = Runner(MODELS["predators"](), device="cpu")
    with pytest.raises(SimulationError, match="death must be"):
        runner.run_batch(3, {"death": [0.1, 1.5]})
