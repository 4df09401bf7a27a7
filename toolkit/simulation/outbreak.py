"""An epidemic stepped by those with whom something may happen: who is due, and who meets whom."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic, EpidemicState
    from toolkit.simulation.step_draws import StepDraws

Ids = NDArray[np.int64]

_PULL_COST = 0.25  # of a contact that is pulled, against one that is pushed


class Outbreak:
    """Steps an epidemic in place on the CPU, bit for bit as :meth:`Epidemic.step` does.

    Cells, an agent in a run each, are numbered ``agent * n_runs + run``. A time wheel holds by step
    the cells that leave their stage then, so that nobody looks at all agents. Contacts are counted
    by pushing from infectious agents or, where these have most of all contacts, by pulling to all.

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
    pushed, pulled
        How many steps counted contacts so.
    """

    def __init__(self, model: "Epidemic", state: "EpidemicState", t: int, *, contacts: str) -> None:
        self.state = state
        self.pushed = self.pulled = 0
        self._contacts = contacts
        self._n, self._n_runs = state.stage.shape
        self._stage = state.stage.numpy().reshape(-1)
        self._until = state.until.numpy().reshape(-1)
        self._set_rules(model)
        network = model.network
        self._layers = [network.rows(at) for at in range(network.n_layers)]
        self._degrees = [np.diff(offsets) for offsets, _ in self._layers]
        self._network = network
        self._back: list[tuple[NDArray[np.int32], NDArray[np.int32]]] | None = None
        self._n_edges = network.n_edges
        self._wheel: dict[int, list[Ids]] = defaultdict(list)
        self._infectious: dict[int, list[Ids]] = defaultdict(list)  # by the step when that ends
        self._due: dict[int, Ids] | None = None  # who is vaccinated when
        self._counts = np.stack(
            [(state.stage == code).sum(0).numpy() for code in model.codes.values()]
        ).astype(np.int64)
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
        self._chances = {
            code: model.chance_of_second(code).detach().numpy()
            for code, after in enumerate(self._then)
            if len(after) > 1
        }
        self._escapes = [each.detach().numpy() for each in model.escapes()]
        self._can_fall_ill = np.array([each.is_susceptible for each in model.compartments])
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
        cells, risk = self._at_risk(infectious)
        agents, runs = self._split(cells)
        new = cells[rng.each("infection", agents, runs) < risk] if len(cells) else cells
        self._infect(new, t)

    def observe(self, t: int) -> Mapping[str, Tensor]:
        """Return new infections, and how many agents are in each compartment."""
        del t
        return {
            "new_infections": self.state.new_infections,
            **{name: torch.from_numpy(self._counts[code]) for name, code in self._codes.items()},
        }

    def _fill(self, t: int) -> None:
        """Find once who is where."""
        timed = np.flatnonzero(self._until >= t)
        when = self._until[timed]
        for at in np.unique(when).tolist():
            cells = timed[when == at]
            self._wheel[at].append(cells)
            ill = cells[self._stage[cells] == self._ill]
            if len(ill):
                self._infectious[at].append(ill)

    def _move(self, t: int, rng: "StepDraws") -> None:
        """Make the transitions that are due."""
        self._infectious.pop(t, None)
        due = self._wheel.pop(t, None)
        if due is None:
            return
        cells = np.concatenate(due) if len(due) > 1 else due[0]
        stage = self._stage[cells]
        for code in np.unique(stage).tolist():
            some = cells[stage == code]
            after = self._then[code]
            if len(after) == 1:
                self._enter(some, code, after[0], t)
                continue
            agents, runs = self._split(some)
            chances = self._chances[code]
            group = 0 if self._group is None else self._group[agents]
            p = chances[group, 0 if runs is None or chances.shape[1] == 1 else runs]
            stream = f"after {self._model.compartments[code].name}"
            is_second = rng.each(stream, agents, runs) < p
            self._enter(some[~is_second], code, after[0], t)
            self._enter(some[is_second], code, after[1], t)

    def _enter(self, cells: Ids, before: int, code: int, t: int) -> None:
        """Have cells change their compartment."""
        if not len(cells):
            return
        self._stage[cells] = code
        self._count(cells, before, code)
        steps = self._steps[code]
        if steps is None:
            self._until[cells] = -1
        else:
            self._schedule(cells, t, steps, is_infectious=code == self._ill)

    def _vaccinate(self, t: int, rng: "StepDraws") -> None:
        if self._due is None:
            when = self._model.vaccination_steps(rng).numpy().reshape(-1)
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
        agents, runs = self._split(infectious)
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
        before = self._stage[cells]
        self._stage[cells] = self._first
        new = self._count(cells[before == 0], 0, self._first)
        if self._vaccination is not None:
            vaccinated = self._codes["vaccinated"]
            new = new + self._count(cells[before == vaccinated], vaccinated, self._first)
        self.state.new_infections = torch.from_numpy(new)
        is_infectious = self._first == self._ill
        self._schedule(cells, t, self._first_steps, is_infectious=is_infectious)

    def _schedule(self, cells: Ids, t: int, steps: int | Ids, *, is_infectious: bool) -> None:
        """Have cells leave their stage so many steps after ``t``."""
        if not len(cells):
            return
        if isinstance(steps, int):
            self._until[cells] = t + steps
            self._wheel[t + steps].append(cells)
            if is_infectious:
                self._infectious[t + steps].append(cells)
            return
        each = steps[cells % self._n_runs]
        for taken in np.unique(each).tolist():
            self._schedule(cells[each == taken], t, taken, is_infectious=is_infectious)

    def _at_risk(self, infectious: Ids) -> tuple[Ids, NDArray[np.float64]]:
        """Return cells that may be infected, and their risk."""
        if not len(infectious):
            return np.zeros(0, np.int64), np.zeros(0)
        agents, runs = self._split(infectious)
        if self._pulls(agents):
            self.pulled += 1
            return self._pull(infectious)
        self.pushed += 1
        return self._push(agents, runs)

    def _pulls(self, agents: Ids) -> bool:
        if self._contacts != "auto":
            return self._contacts == "pull"
        work = sum(int(degree[agents].sum()) for degree in self._degrees)
        return work > _PULL_COST * self._n_edges * self._n_runs

    def _push(self, agents: Ids, runs: Ids | None) -> tuple[Ids, NDArray[np.float64]]:
        """Go through the contacts of who is infectious."""
        found = []
        for (offsets, columns), degree in zip(self._layers, self._degrees, strict=True):
            many = degree[agents]
            ends = np.cumsum(many)
            total = int(ends[-1]) if len(ends) else 0
            edges = np.arange(total)
            edges += np.repeat(offsets[agents] - (ends - many), many)
            cells = columns[edges].astype(np.int64)
            if runs is not None:
                cells *= self._n_runs
                cells += np.repeat(runs, many)
            cells = cells[self._can_fall_ill[self._stage[cells]]]
            cells.sort()
            found.append(_counted(cells))
        if len(found) == 1:
            cells, counts = found[0]
            return cells, 1.0 - self._escape(0, counts, cells)
        cells = np.unique(np.concatenate([each for each, _ in found]))
        escape = np.ones(len(cells))
        for layer, (some, counts) in enumerate(found):
            escape[np.searchsorted(cells, some)] *= self._escape(layer, counts, some)
        return cells, 1.0 - escape

    def _pull(self, infectious: Ids) -> tuple[Ids, NDArray[np.float64]]:
        """Have all agents count their infectious contacts."""
        if self._back is None:
            back = self._network.reversed()
            self._back = [back.rows(at) for at in range(back.n_layers)]
        is_ill = np.zeros((self._n, self._n_runs), np.uint8)
        is_ill.reshape(-1)[infectious] = 1
        counts = [_sums(is_ill, offsets, columns).reshape(-1) for offsets, columns in self._back]
        some = counts[0] > 0
        for each in counts[1:]:
            some |= each > 0
        cells = np.flatnonzero(some & self._can_fall_ill[self._stage])
        escape = self._escape(0, counts[0][cells], cells)
        for layer, each in enumerate(counts[1:], start=1):
            escape = escape * self._escape(layer, each[cells], cells)
        return cells, 1.0 - escape

    def _escape(self, layer: int, counts: NDArray[np.integer], cells: Ids) -> NDArray[np.float64]:
        table = self._escapes[layer]
        agents, runs = self._split(cells)
        kind: int | NDArray[np.integer] = 0 if self._group is None else self._group[agents]
        if self._vaccination is not None:
            is_vaccinated = self._stage[cells] == self._codes["vaccinated"]
            kind = kind + self._model.n_groups * is_vaccinated
        found: NDArray[np.float64] = table[
            kind, counts, 0 if runs is None or table.shape[2] == 1 else runs
        ]
        return found

    def _split(self, cells: Ids) -> tuple[Ids, Ids | None]:
        """Return agents and runs of cells; None for one run."""
        if self._n_runs == 1:
            return cells, None
        agents = cells // self._n_runs
        return agents, cells - agents * self._n_runs

    def _count(self, cells: Ids, before: int, after: int) -> Ids:
        """Note that cells change their stage; return how many in each run."""
        if self._n_runs == 1:
            moved = np.array([len(cells)])
        else:
            moved = np.bincount(cells % self._n_runs, minlength=self._n_runs)
        self._counts[before] -= moved
        self._counts[after] += moved
        return moved

    def _by_run(self, steps: Tensor) -> int | Ids:
        values = steps.detach().numpy().reshape(-1)
        return int(values[0]) if (values == values[0]).all() else values.astype(np.int64)


def _counted(cells: Ids) -> tuple[Ids, Ids]:
    """Return each of ascending cells once, and how often it is there."""
    if not len(cells):
        return cells, cells
    starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
    return cells[starts], np.diff(starts, append=len(cells))


def _sums(
    given: NDArray[np.uint8], offsets: NDArray[np.int32], columns: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return for each agent the sum over its contacts, shape ``(n_agents, n_runs)``."""
    found = np.zeros(given.shape, np.int32)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        found[filled] = np.add.reduceat(given[columns], offsets[filled], axis=0, dtype=np.int32)
    return found
