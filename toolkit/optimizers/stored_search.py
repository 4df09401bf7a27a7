"""What a store holds of a search: its evaluations by number, and the order in which they came."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats, Ids
from toolkit.optimizers.gradients import gradient_names, unit_gradients
from toolkit.optimizers.search import Search
from toolkit.optimizers.search_space import EVALUATION, FOLLOWS
from toolkit.optimizers.search_values import Reading, chosen_output, read_values, require_values
from toolkit.run_status import Status
from toolkit.spaces import build
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.space import Space
from toolkit.stores.runs.stage_runs import StageRuns

_ENDED = (Status.DONE, Status.STALE, Status.FAILED)


class StoredSearch:
    """The evaluations of a store, to be told again to a search that is made anew.

    Parameters
    ----------
    runs
        Of the objective.
    space
        The space of the sweep, whose constants the evaluations must have had.
    output
        The output to search by, None for the only one; or what reads the value of each run.
    defaults
        What older runs had, by the name of an argument that was added later.
    """

    def __init__(
        self,
        runs: StageRuns,
        space: Space,
        output: str | Reading | None,
        defaults: Mapping[str, object],
    ) -> None:
        self._runs, self._output = runs, output
        self._status = np.asarray(runs.state.status)
        rows = next(dim for dim in space.dims if dim.name == EVALUATION)
        self._names = [column.name for column in rows.columns]
        ids = np.zeros(0, np.int64)
        if set(self._names) <= set(runs.catalogue.names):
            ids = np.arange(runs.n_runs)
            for dim in space.dims:
                if dim.name != EVALUATION:
                    ids = ids[self._has(ids, dim.columns[0], defaults)]
        self._ids = ids
        self._labels: dict[str, npt.NDArray[np.generic]] = {}
        if len(ids):
            found = runs.catalogue.labels(ids, self._names)
            order = np.argsort(found[EVALUATION][0], kind="stable")
            self._ids = ids[order]
            self._labels = {name: labels[order] for name, (labels, _) in found.items()}

    def __len__(self) -> int:
        """Return the number of evaluations."""
        return len(self._ids)

    def replay(self, search: Search) -> None:
        """Let a search that has not begun go as far as the store tells it where to."""
        if not len(self):
            return
        if FOLLOWS in self._names:
            self._replay_in_order(search)
        left = []
        while (rows := search.take()) is not None:
            found = self._find(rows)
            self._tell(search, rows, found)
            if (found < 0).any():
                left.append(rows.take(np.flatnonzero(found < 0)))
        search.put_back(left)

    def _replay_in_order(self, search: Search) -> None:
        """Tell one value after the other, as long as the next point says which came before it."""
        under_way: dict[int, Dim] = {}
        before = self._order()
        at = 0
        while True:
            if (rows := search.take()) is not None:
                numbers = rows.labels.tolist()
                under_way |= {each: rows.take(np.array([n])) for n, each in enumerate(numbers)}
            if at == len(before) or before[at] not in under_way:
                break
            row = under_way[before[at]]
            found = self._find(row)
            if found[0] < 0:
                break
            del under_way[before[at]]
            self._tell(search, row, found)
            at += 1
        search.put_back(list(under_way.values()))

    def _order(self) -> list[int]:
        """Return the numbers of evaluations in the order in which they were told, first to last."""
        numbers, follows = self._labels[EVALUATION], self._labels[FOLLOWS]
        is_next = follows.astype(np.int64) >= 0
        order, first = np.unique(numbers[is_next], return_index=True)
        if len(order) < int(is_next.sum()):
            raise SweepError(
                "The store holds two searches in the steady state, and it cannot be told which "
                "evaluation is whose. Give each search a store of its own."
            )
        found: list[int] = follows[is_next][first].astype(np.int64).tolist()
        return found

    def _tell(self, search: Search, rows: Dim, found: Ids) -> None:
        known = np.flatnonzero(found >= 0)
        if not len(known):
            return
        ids, some = found[known], rows.take(known)
        evaluations = np.asarray(some.labels, np.int64)
        is_done = np.isin(self._status[ids], (Status.DONE, Status.STALE))
        values = np.full(len(ids), np.nan)
        if is_done.any():
            values[is_done] = self._values(evaluations[is_done], ids[is_done])
        status = np.where(is_done, Status.DONE, Status.FAILED).astype(np.uint8)
        seconds = np.asarray(self._runs.state.seconds)[ids]
        search.tell(
            evaluations,
            values,
            status,
            seconds,
            gradients=self._gradients(search, some, ids, is_done),
        )

    def _gradients(
        self, search: Search, rows: Dim, ids: Ids, is_done: npt.NDArray[np.bool_]
    ) -> Floats | None:
        """Return the gradients of runs by unit coordinates, None where there are none."""
        schema = self._runs.widest_schema
        names = () if schema is None else gradient_names(search.space)
        if schema is None or not set(names) <= set(schema.names):
            return None
        outputs = {name: np.full(len(ids), np.nan) for name in names}
        for name, column in outputs.items():
            column[is_done] = require_values(self._runs.read(name, ids[is_done]))
        points = {column.name: column.labels for column in rows.columns}
        return unit_gradients(search.space, points, outputs)

    def _values(self, evaluations: Ids, ids: Ids) -> Floats:
        schema = self._runs.widest_schema
        assert schema is not None, "a run is done"
        names: Sequence[str] = schema.names
        if not callable(self._output):
            names = [chosen_output(self._output, names)]
        outputs = {name: self._runs.read(name, ids) for name in names}
        return read_values(self._output, evaluations, outputs)

    def _find(self, rows: Dim) -> Ids:
        """Return the run of each evaluation that has ended, -1 where there is none."""
        numbers, wanted = self._labels[EVALUATION], rows.labels
        found = np.full(rows.size, -1, np.int64)
        first = np.searchsorted(numbers, wanted, "left")
        last = np.searchsorted(numbers, wanted, "right")
        for step in range(int((last - first).max(initial=0))):
            at = first + step
            open_ = np.flatnonzero((at < last) & (found < 0))
            place = at[open_]
            is_same = np.isin(self._status[self._ids[place]], _ENDED)
            for column in rows.columns:
                is_same &= lb.same(self._labels[column.name][place], column.labels[open_])
            found[open_[is_same]] = self._ids[place[is_same]]
        return found

    def _has(
        self, ids: Ids, constant: Column, defaults: Mapping[str, object]
    ) -> npt.NDArray[np.bool_]:
        """Return which runs had a constant."""
        name = constant.name
        if name in self._runs.catalogue.names:
            labels, inactive = self._runs.catalogue.labels(ids, [name])[name]
            return (lb.match(constant.labels, labels) >= 0) | inactive
        if name not in defaults:
            return np.zeros(len(ids), np.bool_)
        default = build.constant(name, defaults[name], lenient=True).columns[0]
        is_it = bool((lb.match(constant.labels, default.labels) >= 0).all())
        return np.full(len(ids), is_it)
