"""A simulation model as a stage of a sweep."""

import numpy as np
import pytest

import toolkit as tk
from tests.simulation.networks import random_network
from toolkit.errors import SimulationError
from toolkit.simulation import SEIR, Runner

N = 300_000  # agents: a network of more than the 1 MB that a function may bring along
SPACE = tk.grid(beta=[0.0, 0.05, 0.2], trial=tk.replicates(4))


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SEIR(random_network(400, 6), beta=0.08, initial_infected=5), device="cpu")


def test_each_run_is_stored_with_its_steps_and_has_the_bits_that_it_has_alone(runner, tmp_path):
    sweep = tk.Sweep(runner.as_stage(steps=30), SPACE, store=tmp_path / "s.zarr")
    data = sweep.run(progress=False)
    assert dict(data.new_infections.sizes) == {"beta": 3, "trial": 4, "step": 30}
    assert set(data.data_vars) == {
        "new_infections", "susceptible", "exposed", "infectious", "recovered",
    }  # fmt: skip
    total = data[["susceptible", "exposed", "infectious", "recovered"]].to_array().sum("variable")
    assert (total == 400).all()
    assert (data.new_infections.sel(beta=0.0) == 0).all()
    assert (data.new_infections.sel(beta=0.2).sum("step") > 100).all()
    alone = sweep.reproduce(beta=0.2, trial=3)
    np.testing.assert_array_equal(alone["infectious"][0], data.infectious.sel(beta=0.2, trial=3))
    assert len(np.unique(data.infectious.sel(beta=0.05, step=20))) > 1, "trials differ"


def test_any_parameter_is_varied_and_others_keep_the_value_of_the_model(runner):
    stage = runner.as_stage(steps=20, name="wave", observe="infectious")
    long = tk.Sweep(stage, tk.grid(infectious_steps=[1, 7], trial=tk.replicates(3)))
    data = long.run(progress=False)
    assert list(data.data_vars) == ["infectious"]
    assert (data.infectious.isel(step=15).sel(infectious_steps=7) > 5).all()
    same = tk.Sweep(stage, tk.grid(beta=0.08, infectious_steps=[1, 7], trial=tk.replicates(3)))
    np.testing.assert_array_equal(same.run(progress=False).infectious, data.infectious)


def test_the_model_is_frozen_and_workers_give_the_same_bits(tmp_path):
    network = random_network(N, 4)
    stage = Runner(SEIR(network, beta=0.2, initial_infected=9), device="cpu").as_stage(
        steps=5, observe=["new_infections"]
    )
    here = tk.Sweep(stage, SPACE, seed=3).run(progress=False)
    with tk.cluster("local", workers=2) as cluster:
        there = tk.Sweep(stage, SPACE, seed=3, store=tmp_path / "s.zarr").run(
            cluster, progress=False
        )
    np.testing.assert_array_equal(here.new_infections, there.new_infections)


def test_what_cannot_be_a_stage_is_refused_in_words(runner):
    with pytest.raises(SimulationError, match=r"does not observe .deaths.[^!]*new_infections"):
        runner.as_stage(steps=10, observe="deaths")
    with pytest.raises(SimulationError, match="steps=0"):
        runner.as_stage(steps=0)
