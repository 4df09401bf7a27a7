"""An outbreak stepped by compiled loops, where numba is installed."""

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.simulation.compiled_loops import kernels
from toolkit.simulation.model import ManyStepper
from toolkit.simulation.outbreak_rules import rules_of

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic, EpidemicState
    from toolkit.simulation.step_draws import StepDraws

Counts = NDArray[np.int64]

_WORTH = 100_000  # agents times steps: below, to hand a part to a thread costs more than it does
_PARTS = 4  # for each thread: runs of large outbreaks take longer


class CompiledOutbreak(ManyStepper):
    """Steps an epidemic in place on the CPU, bit for bit as :meth:`Epidemic.step` does.

    Many steps are one call, in which one run goes after the other, and as many at once as torch
    may use threads. All that is kept from one call to the next is the state: three bytes for each
    agent and run.

    Parameters
    ----------
    model
        Whose rules these are, with the parameters of the runs; :func:`kernels` must be there, and
        nobody have more contacts in a layer than they count.
    state
        Before the next step; changed in place.
    contacts
        ``"push"``, ``"pull"`` or ``"auto"``.

    Attributes
    ----------
    state
        After the latest step.
    observables
        The names of what is observed.
    pushed, pulled
        In how many steps runs counted contacts so.
    """

    def __init__(self, model: "Epidemic", state: "EpidemicState", *, contacts: str) -> None:
        self.state = state
        state.stage, state.until = (each.T.contiguous().T for each in (state.stage, state.until))
        self.observables = ("new_infections", *model.codes)
        self.pushed = self.pulled = 0
        self._kernels: Any = kernels()
        self._rules = rules_of(model, contacts)
        self._latest: Mapping[str, Counts] = {}

    def play(self, start: int, steps: int, rng: "StepDraws") -> dict[str, Counts]:
        """Go on by many steps; return what is observed after each, shape ``(steps, n_runs)``."""
        found = np.empty((steps, len(self.observables), rng.n_runs), np.int64)
        stage, until = (each.T.numpy() for each in (self.state.stage, self.state.until))
        rules = self._rules._replace(seeds=rng.seeds.numpy())

        def play(runs: tuple[int, int]) -> NDArray[np.uint8]:
            ways = np.zeros(steps, np.uint8)
            self._kernels.play(stage, until, rules, runs, start, steps, found, ways)
            return ways

        parts = _shared(rng.n_runs, steps * stage.shape[1])
        if len(parts) == 1:
            ways = play(parts[0])
        else:
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                ways = np.bitwise_or.reduce(list(pool.map(play, parts)))
        self.pushed += int(((ways & self._kernels.PUSHED) > 0).sum())
        self.pulled += int(((ways & self._kernels.PULLED) > 0).sum())
        *codes, new = (found[:, at] for at in range(found.shape[1]))
        return dict(zip(self.observables, (new, *codes), strict=True))

    def step(self, t: int, rng: "StepDraws") -> None:
        """Go on by step ``t``."""
        self._latest = {name: each[0] for name, each in self.play(t, 1, rng).items()}

    def observe(self, t: int) -> Mapping[str, Counts]:
        """Return new infections, and how many agents are in each compartment."""
        del t
        return self._latest


def is_countable(model: "Epidemic") -> bool:
    """Return whether there are compiled loops, and they count an agent's contacts in 14 bits."""
    found = kernels()
    most = max(len(each[0]) - 1 for each in model.escapes())
    return found is not None and most <= found.MOST_COUNTED


def _shared(n_runs: int, cells: int) -> list[tuple[int, int]]:
    """Return which runs threads take one after the other, each of so many agents times steps."""
    threads = torch.get_num_threads()
    most = n_runs * cells // _WORTH if threads > 1 else 1
    edges = np.linspace(0, n_runs, max(1, min(n_runs, most, _PARTS * threads)) + 1).astype(int)
    return [(int(low), int(high)) for low, high in itertools.pairwise(edges)]
