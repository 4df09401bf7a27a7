"""Who is infected in a step, by numpy: contacts are counted from the infectious, or to others."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic
    from toolkit.simulation.step_draws import StepDraws

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

NEVER = -1  # in until: who can fall ill
GONE = -(2**15)  # and who stays where they are
INFECTION = "infection"  # the stream of its random numbers
PULL_COST = 0.25  # of a contact that is pulled, against one that is pushed


class Transmission:
    """Transmission along the contacts of a network, on the CPU.

    Contacts are counted by pushing from infectious agents or, where these have most of all
    contacts, by pulling to all who can fall ill.

    Parameters
    ----------
    model
        Whose rules these are, with the parameters of the runs.
    stage
        Of each cell, ``run * n_agents + agent``: uint8, as it is at each call.
    contacts
        ``"push"``, ``"pull"`` or ``"auto"``.

    Attributes
    ----------
    pushed, pulled
        How many steps counted contacts so.
    """

    def __init__(
        self,
        model: "Epidemic",
        stage: NDArray[np.uint8],
        *,
        contacts: str,
    ) -> None:
        self.pushed = self.pulled = 0
        self._stage, self._n = stage, model.n_agents
        self._n_runs = len(stage) // max(1, model.n_agents)
        self._contacts = contacts
        self._ill, self._n_groups = model.infectious, model.n_groups
        self._vaccinated = model.codes.get("vaccinated", -1)
        self._escapes = [each.detach().numpy() for each in model.escapes()]
        self._can_fall_ill = np.array([each.is_susceptible for each in model.compartments])
        self._group = model.group.numpy()
        self._network = model.network
        self._layers = [model.network.rows(at) for at in range(model.network.n_layers)]
        self._degrees = [np.diff(offsets) for offsets, _ in self._layers]
        self._back: list[tuple[NDArray[np.int32], NDArray[np.int32]]] | None = None

    def infected(self, infectious: Ids, rng: "StepDraws") -> Ids:
        """Return the cells that are infected, in any order.

        Parameters
        ----------
        infectious
            The cells that are so.
        rng
            Of this step.
        """
        if not len(infectious):
            return infectious
        if self._pulls(infectious):
            self.pulled += 1
            cells, risk = self._pull(infectious)
        else:
            self.pushed += 1
            cells, risk = self._push(infectious)
        agents, runs = self._split(cells)
        return cells[rng.each(INFECTION, agents, runs) < risk] if len(cells) else cells

    def _pulls(self, infectious: Ids) -> bool:
        if self._contacts != "auto":
            return self._contacts == "pull"
        agents, _ = self._split(infectious)
        work = sum(int(degree[agents].sum()) for degree in self._degrees)
        return work > PULL_COST * self._network.n_edges * self._n_runs

    def _met(self, infectious: Ids, layer: int) -> tuple[Ids, Ids]:
        """Return who has infectious contacts in a layer, and how many."""
        offsets, columns = self._layers[layer]
        agents, runs = self._split(infectious)
        many = self._degrees[layer][agents]
        ends = np.cumsum(many)
        total = int(ends[-1]) if len(ends) else 0
        edges = np.arange(total)
        edges += np.repeat(offsets[agents] - (ends - many), many)
        cells = columns[edges].astype(np.int64)
        if runs is not None:
            cells += np.repeat(runs * self._n, many)
        cells = cells[self._can_fall_ill[self._stage[cells]]]
        cells.sort()
        return _counted(cells)

    def _push(self, infectious: Ids) -> tuple[Ids, Floats]:
        """Go through the contacts of the infectious; return who may be infected, and the risk."""
        found = [self._met(infectious, layer) for layer in range(len(self._layers))]
        if len(found) == 1:
            cells, counts = found[0]
            return cells, 1.0 - self._escape(0, counts, cells)
        cells = np.unique(np.concatenate([each for each, _ in found]))
        escape = np.ones(len(cells))
        for layer, (some, counts) in enumerate(found):
            escape[np.searchsorted(cells, some)] *= self._escape(layer, counts, some)
        return cells, 1.0 - escape

    def _pull(self, infectious: Ids) -> tuple[Ids, Floats]:
        """Have all agents count their infectious contacts."""
        flags = np.zeros(len(self._stage), np.uint8)
        flags[infectious] = 1
        is_ill = np.ascontiguousarray(flags.reshape(self._n_runs, self._n).T)
        counts = [_sums(is_ill, *rows).T.reshape(-1) for rows in self._reversed()]
        some = counts[0] > 0
        for each in counts[1:]:
            some |= each > 0
        cells = np.flatnonzero(some & self._can_fall_ill[self._stage])
        escape = self._escape(0, counts[0][cells], cells)
        for layer, each in enumerate(counts[1:], start=1):
            escape = escape * self._escape(layer, each[cells], cells)
        return cells, 1.0 - escape

    def _reversed(self) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        if self._back is None:
            back = self._network.reversed()
            self._back = [back.rows(at) for at in range(back.n_layers)]
        return self._back

    def _escape(self, layer: int, counts: NDArray[np.integer], cells: Ids) -> Floats:
        table = self._escapes[layer]
        agents, runs = self._split(cells)
        kind: int | NDArray[np.integer] = 0
        if self._n_groups > 1:
            kind = self._group[agents].astype(np.int64)
        if self._vaccinated >= 0:
            kind = kind + self._n_groups * (self._stage[cells] == self._vaccinated)
        found: Floats = table[kind, counts, 0 if runs is None or table.shape[2] == 1 else runs]
        return found

    def _split(self, cells: Ids) -> tuple[Ids, Ids | None]:
        """Return agents and runs of cells; None for one run."""
        return split(cells, self._n, self._n_runs)


def split(cells: Ids, n_agents: int, n_runs: int) -> tuple[Ids, Ids | None]:
    """Return agents and runs of cells, ``run * n_agents + agent``; None for one run."""
    if n_runs == 1:
        return cells, None
    runs = cells // n_agents
    return cells - runs * n_agents, runs


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
