"""The random numbers of many runs at one step, by agent: no state, no order, no batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.simulation.compiled_loops import kernels
from toolkit.stages.draws_by_counter import Draws, stream_word

_COMPILED_FROM = 2**13  # draws at once, below which numba is not loaded for them

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class StepDraws:
    """Random numbers keyed by seed, step, stream and agent, those of ``tk.draws``.

    ``uniform("infection", agents)`` at step 7 of the run with seed 3 is
    ``tk.draws(3).uniform("infection", at=(7, agent))``: the same in any batch, on any device, and
    whichever other agents are asked for.

    Parameters
    ----------
    seeds
        Of the runs, int64, shape ``(n_runs,)``.
    step
        From 0 on; a tensor of no dims where a step is captured once for all.
    """

    def __init__(self, seeds: Tensor, step: "int | Tensor" = 0) -> None:
        self.seeds, self.step = seeds, step
        self._draws = Draws(seeds)
        self._rows = Draws(seeds.numpy()) if seeds.device.type == "cpu" else None

    @property
    def n_runs(self) -> int:
        """How many runs there are."""
        return len(self.seeds)

    @property
    def device(self) -> torch.device:
        """Where the numbers are made."""
        return self.seeds.device

    def at(self, step: "int | Tensor") -> "StepDraws":
        """Return the numbers of another step."""
        other = StepDraws.__new__(StepDraws)
        other.seeds, other.step = self.seeds, step
        other._draws, other._rows = self._draws, self._rows
        return other

    def uniform(self, stream: str, agents: Tensor | int) -> Tensor:
        """Return floats in [0, 1), float64, shape ``(n_agents, n_runs)``.

        Parameters
        ----------
        stream
            A word that says what they are for.
        agents
            Whole numbers, shape ``(n_agents,)``; a number stands for all agents below it.
        """
        return self._drawn("uniform", stream, agents)

    def normal(self, stream: str, agents: Tensor | int) -> Tensor:
        """Return standard normal deviates; arguments and result as for :meth:`uniform`."""
        return self._drawn("normal", stream, agents)

    def _drawn(self, kind: str, stream: str, agents: Tensor | int) -> Tensor:
        if isinstance(agents, int):
            agents = torch.arange(agents, device=self.device)
        n = len(agents) * self.n_runs
        if self._rows is not None and kind == "uniform" and n >= _COMPILED_FROM:
            found = self._compiled(stream, agents.numpy().astype(np.int64, copy=False))
            if found is not None:
                return found
        if self._rows is not None:  # numpy goes through pieces that the cache holds
            places = (np.int64(int(self.step)), agents.numpy()[:, None])
            made = getattr(self._rows, kind)(stream, at=places)
            return torch.from_numpy(np.ascontiguousarray(made))
        step = self.step
        if not isinstance(step, Tensor):  # filled on the device: copied from here, it would wait
            step = torch.full((), step, dtype=torch.int64, device=self.device)
        drawn: Tensor = getattr(self._draws, kind)(stream, at=(step, agents[:, None]))
        return drawn

    def _compiled(self, stream: str, agents: Ids) -> Tensor | None:
        """Return the floats of all runs by the compiled loop, None where there is none."""
        compiled = kernels()
        if compiled is None:
            return None
        found = compiled.uniform(self.seeds.numpy(), agents, int(self.step), stream_word(stream))
        return torch.from_numpy(found)

    def each(self, stream: str, agents: Ids, runs: Ids | None) -> Floats:
        """Return one float for each pair of an agent and a run, on the CPU.

        Parameters
        ----------
        stream
            As for :meth:`uniform`.
        agents, runs
            Whole numbers, shape ``(n,)``; None where there is one run.
        """
        assert self._rows is not None
        seeds = self._rows.seed
        draws = Draws(seeds if runs is None else seeds[runs])
        found: Floats = draws.uniform(stream, at=(np.int64(self.step), agents))
        return found
