"""An outbreak stepped by numpy: only those with whom something may happen."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.simulation.model import Observed
from toolkit.simulation.transmission import GONE, NEVER, Transmission, split

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic, EpidemicState
    from toolkit.simulation.step_draws import StepDraws

Ids = NDArray[np.int64]


class Outbreak:
    """Steps an epidemic in place on the CPU, bit for bit as :meth:`Epidemic.step` does.

    Cells, an agent in a run each, are numbered ``run * n_agents + agent``: each run lies together
    in the cache. A time wheel holds by step the cells that leave their stage then, so that nobody
    looks at all agents.

    Parameters
    ----------
    model
        Whose rules these are, with the parameters of the runs.
    state
        Before step ``t``; changed in place.
    t
        The next step.
    contacts
        ``"push"``, ``"pull"`` or ``"auto"``.

    Attributes
    ----------
    state
        After the latest step.
    """

    def __init__(self, model: "Epidemic", state: "EpidemicState", t: int, *, contacts: str) -> None:
        self.state = state
        self._n, self._n_runs = state.stage.shape
        state.stage, state.until = (each.T.contiguous().T for each in (state.stage, state.until))
        self._stage = state.stage.T.numpy().reshape(-1)
        self._until = state.until.T.numpy().reshape(-1)
        self._set_rules(model)
        self._transmission = Transmission(model, self._stage, contacts=contacts)
        self._wheel: dict[int, list[tuple[int, Ids]]] = defaultdict(list)  # and from which stage
        self._infectious: dict[int, list[Ids]] = defaultdict(list)  # by the step when that ends
        self._due: dict[int, Ids] | None = None  # who is vaccinated when
        by_run = self._stage.reshape(self._n_runs, self._n)
        n_codes = len(model.codes)
        self._counts = np.stack([np.bincount(each, minlength=n_codes) for each in by_run], axis=1)
        self._new: Ids = np.zeros(self._n_runs, np.int64)
        self._fill(t)

    def _set_rules(self, model: "Epidemic") -> None:
        """Take the model's rules with the parameters that are in it now."""
        self._model = model
        self._codes = model.codes
        self._ill, self._first = model.infectious, model.first
        self._first_steps = self._by_run(model.first_steps)
        steps = [model.steps_in(code) for code in model.codes.values()]
        self._steps = [None if each is None else self._by_run(each) for each in steps]
        self._then = [[model.codes[name] for name in each.then] for each in model.compartments]
        self._is_open = [each.is_susceptible for each in model.compartments]
        self._chances = {
            code: model.chance_of_second(code).detach().numpy()
            for code, after in enumerate(self._then)
            if len(after) > 1
        }
        self._group = model.group.numpy() if model.n_groups > 1 else None
        self._vaccination, self._isolation = model.vaccination, model.isolation

    def step(self, t: int, rng: "StepDraws") -> None:
        """Go on by step ``t``."""
        self._move(t, rng)
        if self._vaccination is not None:
            self._vaccinate(t, rng)
        infectious = self._now_infectious()
        if self._isolation is not None and t >= self._isolation.start:
            infectious = self._isolate(infectious, rng)
        self._infect(self._transmission.infected(infectious, rng), t)

    @property
    def pushed(self) -> int:
        """How many steps counted contacts from the infectious."""
        return self._transmission.pushed

    @property
    def pulled(self) -> int:
        """How many steps counted contacts by all who can fall ill."""
        return self._transmission.pulled

    def observe(self, t: int) -> Mapping[str, Observed]:
        """Return new infections, and how many agents are in each compartment."""
        del t
        counts = {name: self._counts[code] for name, code in self._codes.items()}
        return {"new_infections": self._new, **counts}

    def _fill(self, t: int) -> None:
        """Find once who is where."""
        timed = np.flatnonzero(self._until >= t)
        when = self._until[timed]
        for at in np.unique(when).tolist():
            cells = timed[when == at]
            for code in np.unique(self._stage[cells]).tolist():
                some = cells[self._stage[cells] == code]
                self._wheel[at].append((code, some))
                if code == self._ill:
                    self._infectious[at].append(some)

    def _move(self, t: int, rng: "StepDraws") -> None:
        """Make the transitions that are due."""
        self._infectious.pop(t, None)
        for code, cells in self._wheel.pop(t, ()):
            if self._isolation is not None and code == self._ill:
                is_found = self._stage[cells] != code
                self._leave(cells[is_found], self._codes["isolated"], t, rng)
                cells = cells[~is_found]
            self._leave(cells, code, t, rng)

    def _leave(self, cells: Ids, code: int, t: int, rng: "StepDraws") -> None:
        """Have cells go on from a compartment to what follows it."""
        after = self._then[code]
        if len(after) == 1:
            self._enter(cells, code, after[0], t)
            return
        agents, runs = split(cells, self._n, self._n_runs)
        chances = self._chances[code]
        group = 0 if self._group is None else self._group[agents]
        p = chances[group, 0 if runs is None or chances.shape[1] == 1 else runs]
        stream = f"after {self._model.compartments[code].name}"
        is_second = rng.each(stream, agents, runs) < p
        self._enter(cells[~is_second], code, after[0], t)
        self._enter(cells[is_second], code, after[1], t)

    def _enter(self, cells: Ids, before: int, code: int, t: int) -> None:
        """Have cells change their compartment."""
        if not len(cells):
            return
        self._stage[cells] = code
        self._count(cells, before, code)
        steps = self._steps[code]
        if steps is None:
            self._until[cells] = NEVER if self._is_open[code] else GONE
        else:
            self._schedule(cells, t, steps, code)

    def _vaccinate(self, t: int, rng: "StepDraws") -> None:
        if self._due is None:
            when = self._model.vaccination_steps(rng).T.contiguous().numpy().reshape(-1)
            order = np.argsort(when, kind="stable")
            steps, starts = np.unique(when[order], return_index=True)
            parts = np.split(order, starts[1:])
            self._due = dict(zip(steps.tolist(), parts, strict=True))
        cells = self._due.pop(t, None)
        if cells is not None:
            cells = cells[self._stage[cells] == 0]
            self._stage[cells] = self._codes["vaccinated"]
            self._count(cells, 0, self._codes["vaccinated"])

    def _isolate(self, infectious: Ids, rng: "StepDraws") -> Ids:
        """Return who of the infectious is not found."""
        assert self._isolation is not None
        if not len(infectious):
            return infectious
        agents, runs = split(infectious, self._n, self._n_runs)
        is_found = rng.each("isolation", agents, runs) < self._isolation.detection
        found = infectious[is_found]
        self._stage[found] = self._codes["isolated"]
        self._count(found, self._ill, self._codes["isolated"])
        return infectious[~is_found]

    def _now_infectious(self) -> Ids:
        cohorts = [cells for each in self._infectious.values() for cells in each]
        if not cohorts:
            return np.zeros(0, np.int64)
        found = np.concatenate(cohorts)
        return found if self._isolation is None else found[self._stage[found] == self._ill]

    def _infect(self, cells: Ids, t: int) -> None:
        if self._vaccination is None:
            self._new = self._count(cells, 0, self._first)
        else:
            vaccinated = self._codes["vaccinated"]
            is_vaccinated = self._stage[cells] == vaccinated
            self._new = self._count(cells[~is_vaccinated], 0, self._first)
            self._new += self._count(cells[is_vaccinated], vaccinated, self._first)
        self._stage[cells] = self._first
        self._schedule(cells, t, self._first_steps, self._first)

    def _schedule(self, cells: Ids, t: int, steps: int | Ids, code: int) -> None:
        """Have cells leave a stage so many steps after ``t``."""
        if not len(cells):
            return
        if isinstance(steps, int):
            self._until[cells] = t + steps
            self._wheel[t + steps].append((code, cells))
            if code == self._ill:
                self._infectious[t + steps].append(cells)
            return
        each = steps[cells // self._n]
        for taken in np.unique(each).tolist():
            self._schedule(cells[each == taken], t, taken, code)

    def _count(self, cells: Ids, before: int, after: int) -> Ids:
        """Note that cells change their stage; return how many in each run."""
        if self._n_runs == 1:
            moved = np.array([len(cells)])
        else:
            moved = np.bincount(cells // self._n, minlength=self._n_runs)
        self._counts[before] -= moved
        self._counts[after] += moved
        return moved

    def _by_run(self, steps: Tensor) -> int | Ids:
        values = steps.detach().numpy().reshape(-1)
        return int(values[0]) if (values == values[0]).all() else values.astype(np.int64)
