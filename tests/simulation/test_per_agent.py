"""Rules of one agent, run for all."""

import logging
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from toolkit.simulation import Runner, SimulationModel, per_agent


@per_agent
def older(age, dies, limit):
    """Count years; who dies, or is too old, is followed by a child."""
    grown = age + 1
    return torch.where(dies | (grown > limit), 0, grown)


@per_agent
def older_by_if(age, dies, limit):
    """Count years in plain Python, which vmap cannot run."""
    if dies or age + 1 > limit:
        return torch.zeros_like(age)
    return age + 1


@dataclass
class Ages:
    age: Tensor


class Village(SimulationModel):
    """Agents that grow older and die."""

    n_agents = 30

    def __init__(self, rule):
        super().__init__()
        self.mortality = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
        self._rule = rule

    def initial_state(self, rng):
        return Ages(torch.zeros((30, rng.n_runs), dtype=torch.int64))

    def step(self, state, t, rng):
        del t
        dies = rng.uniform("death", self.n_agents) < self.mortality
        return Ages(self._rule(state.age, dies, 7))

    def observe(self, state, t):
        del t
        return {"years": state.age.sum(0), "oldest": state.age.amax(0)}


def test_a_rule_of_one_agent_is_one_call_for_all():
    runner = Runner(Village(older), device="cpu")
    runs = runner.run_batch(20, {"mortality": [0.0, 0.3]}, seeds=[1, 1])
    assert runs.oldest.isel(run=0).values.tolist() == [*range(1, 8), *range(8), *range(5)]
    assert int(runs.years.isel(run=1).max()) < 30 * 7
    assert runner.stats().looped == 0


def test_where_vmap_cannot_the_rule_is_looped_which_is_said_once_and_counted(caplog):
    quick, slow = Runner(Village(older), device="cpu"), Runner(Village(older_by_if), device="cpu")
    with caplog.at_level(logging.WARNING, logger="toolkit"):
        found = slow.run_batch(5, seeds=[1, 2])
        slow.run_batch(5, seeds=[1, 2])
    assert found.identical(quick.run_batch(5, seeds=[1, 2]))
    assert slow.stats().looped == 5 * 30 * 2
    [record] = caplog.records
    assert "older_by_if is called for one agent after the other" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_tuples_dicts_inner_dims_and_methods():
    class Model:
        factor = 3

        @per_agent
        def both(self, x, y):
            return {"sum": self.factor * (x + y), "pair": torch.stack([x, y])}

    x, y = torch.arange(6).reshape(3, 2), torch.tensor([10, 20])
    found = Model().both(x, y)
    assert found["sum"].tolist() == [[30, 63], [36, 69], [42, 75]]
    assert found["pair"].shape == (3, 2, 2)
    assert found["pair"][2, 1].tolist() == [5, 20]

    @per_agent
    def split(value):
        return (value // 2, value % 2 == 0) if value > 2 else (value, value == 0)

    halves, even = split(x)
    assert halves.tolist() == [[0, 1], [2, 1], [2, 2]]
    assert even.shape == (3, 2)


def test_errors_of_a_rule_are_its_own():
    @per_agent
    def wrong(x):
        raise ValueError("no such age")

    with pytest.raises(ValueError, match="no such age"):
        wrong(torch.zeros(3, 2))
