"""What is recorded, how often and in which type; and what a model may not do."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.simulation.networks import random_network
from toolkit.errors import SimulationError
from toolkit.simulation import SEIR, Record, Runner, SimulationModel

WAYS = [{"mode": "dense"}, {"mode": "active"}]


def runner_of(**way):
    return Runner(SEIR(random_network(300, 6), beta=0.1, initial_infected=5), device="cpu", **way)


@pytest.mark.parametrize("way", WAYS)
def test_observables_and_states_are_recorded_as_often_as_asked_for(way):
    runner = runner_of(**way)
    whole = runner.run_batch(20, seeds=[1, 2])
    runs = runner.run_batch(
        20,
        seeds=[1, 2],
        record=[
            "new_infections",
            Record("stage", every=7),
            Record("infectious", every=5, dtype="int32"),
        ],
    )
    assert runs.new_infections.identical(whole.new_infections)
    assert runs.stage.dims == ("step_every_7", "agent", "run")
    assert runs.step_every_7.values.tolist() == [0, 7, 14]
    assert runs.stage.dtype == np.uint8
    assert runs.infectious.dtype == np.int32
    np.testing.assert_array_equal(runs.infectious, whole.infectious[::5])
    for code, name in enumerate(("susceptible", "exposed", "infectious", "recovered")):
        counted = (runs.stage == code).sum("agent")
        np.testing.assert_array_equal(counted, whole[name].isel(step=[0, 7, 14]))
    alone = runner.run(20, seed=2, record="infectious")
    np.testing.assert_array_equal(alone.infectious, whole.infectious.isel(run=1))


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_fit_into_its_type_is_an_error(way):
    with pytest.raises(SimulationError, match=r"'susceptible' goes from [0-9]+ to 29[0-9]"):
        runner_of(**way).run(10, record=Record("susceptible", dtype="uint8"))
    runner_of(**way).run(10, record=Record("new_infections", dtype="uint16"))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("deaths", "no 'deaths' to record. The model observes new_infections"),
        ([], "record is empty"),
        (["infectious", Record("infectious", 2)], "Two records have one name"),
        (Record("infectious", 0), "give 1 or more"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_words(record, message):
    with pytest.raises(SimulationError, match=message):
        runner_of().run(3, record=record)


@dataclass
class Heat:
    heat: Tensor


class Oven(SimulationModel):
    """Does with its state what it is told to."""

    n_agents = 4

    def __init__(self, step, observe=lambda state: {"mean": state.heat.mean(0)}):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self._does, self._sees = step, observe

    def initial_state(self, rng):
        return Heat(torch.zeros(4, rng.n_runs, dtype=torch.float64))

    def step(self, state, t, rng):
        del t, rng
        return self._does(state)

    def observe(self, state, t):
        del t
        return self._sees(state)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda state: Heat(state.heat[:2]),
            r"changed the shape of 'heat' from \(4, 1\) to \(2, 1\)",
        ),
        (lambda state: Heat(state.heat.float()), "changed the type of 'heat'"),
        (lambda state: Heat(state.heat / 0), "'heat' is not finite"),
        (lambda state: state.heat, "changed the fields of the state from heat to state"),
    ],
)
def test_a_step_that_breaks_its_state_is_named(step, message):
    seen = {"observe": lambda state: {"mean": torch.zeros(1)}}
    with pytest.raises(SimulationError, match=message):
        Runner(Oven(step, **seen), device="cpu").run(5)


def test_what_is_observed_is_one_number_for_each_run():
    with pytest.raises(SimulationError, match=r"observes 'heat' of shape \(4, 1\)"):
        Runner(Oven(lambda state: state, lambda state: {"heat": state.heat}), device="cpu").run(5)


def test_floats_are_not_recorded_as_whole_numbers():
    with pytest.raises(SimulationError, match="has no fractions"):
        Runner(Oven(lambda state: state), device="cpu").run(5, record=Record("mean", dtype="int32"))
