"""The random numbers of a step: the same bits however they are made."""

import numpy as np
import pytest
import torch

import toolkit as tk
from toolkit.simulation import step_draws
from toolkit.simulation.step_draws import StepDraws

SEEDS = [3, 2**62, -5]


@pytest.mark.parametrize("seeds", [SEEDS, SEEDS[:1]])
@pytest.mark.parametrize("agents", [9_000, torch.tensor([7, 3, 2**31 - 1, 3]).repeat(3_000)])
def test_compiled_draws_are_those_of_numpy_and_of_torch(seeds, agents, monkeypatch):
    rng = StepDraws(torch.tensor(seeds)).at(11)
    compiled = rng.uniform("infection", agents)
    assert rng._compiled("infection", np.arange(5)) is not None, "numba is among what tests need"
    monkeypatch.setattr(step_draws, "kernels", lambda: None)
    by_numpy = rng.uniform("infection", agents)
    rng._rows = None
    by_torch = rng.uniform("infection", agents)
    assert torch.equal(compiled, by_numpy)
    assert torch.equal(compiled, by_torch)
    which = np.arange(agents) if isinstance(agents, int) else agents.numpy()
    for run, seed in enumerate(seeds):
        own = tk.draws(seed).uniform("infection", at=(11, which))
        np.testing.assert_array_equal(compiled[:, run], own)


def test_a_step_may_be_a_tensor():
    rng = StepDraws(torch.tensor(SEEDS))
    for agents in (10, 9_000):
        by_number = rng.at(6).uniform("infection", agents)
        assert torch.equal(rng.at(torch.tensor(6)).uniform("infection", agents), by_number)
        assert torch.equal(
            rng.at(torch.tensor(6)).normal("noise", agents), rng.at(6).normal("noise", agents)
        )
