"""One search: optimizers from one start or several, the budget, and what became of each point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Asked, Expecting, Floats, Ids, Optimizer
from toolkit.optimizers.search_space import EVALUATION, FOLLOWS, NUMBERS, SearchSpace
from toolkit.run_status import Status
from toolkit.spaces.axis import Dim
from toolkit.stages.failure import RunFailure
from toolkit.stores.runs.adding import joined

if TYPE_CHECKING:
    import xarray as xr

_PENDING = int(Status.PENDING)  # NumPy takes five times as long for an enum
_MOST_LEFT_OUT = 10_000  # points in a row that a constraint does not allow


class Search:
    """Numbers the points that optimizers give, tells them values, and remembers all.

    The point with number ``i`` of start ``s`` is evaluation ``i * n_starts + s``, whatever is
    evaluated when. Each start is told a generation at a time, so the points of a search depend on
    its seed only, and a search over known values goes the same way again.

    Parameters
    ----------
    space
        What is searched.
    optimizers
        One for each start.
    budget
        Most evaluations of all starts together, shared equally. Points that the constraint does
        not allow are none.
    """

    def __init__(self, space: SearchSpace, optimizers: Sequence[Optimizer], budget: int) -> None:
        self.space, self._optimizers, self.budget = space, tuple(optimizers), budget
        # Looked at once: where an optimizer is one of these is asked of each of its attributes.
        self._endless = [each if isinstance(each, Expecting) else None for each in self._optimizers]
        n = len(self._optimizers)
        self._rooms = [budget // n + (start < budget % n) for start in range(n)]
        self._values = np.full(64, np.nan)
        self._seconds = np.full(64, np.nan, np.float32)
        self._status = np.full(64, Status.PENDING, np.uint8)
        self._left_out = 0  # points in a row that the constraint does not allow
        self._blocks: list[Dim] = []
        self._ready: Dim | None = None  # drawn, and not given yet
        self.failures: list[RunFailure] = []

    @property
    def left(self) -> int:
        """How many points it may still give."""
        ready = 0 if self._ready is None else self._ready.size
        if self._left_out >= _MOST_LEFT_OUT:
            return ready
        return ready + sum(
            room if endless is None else min(room, endless.expected)
            for room, optimizer, endless in zip(
                self._rooms, self._optimizers, self._endless, strict=True
            )
            if not optimizer.stopped
        )

    @property
    def together(self) -> int:
        """How many evaluations may be made at once."""
        return sum(optimizer.population for optimizer in self._optimizers)

    @property
    def n_evaluated(self) -> int:
        """How many points were evaluated, failed ones included."""
        return int(np.isin(self._status, (Status.DONE, Status.FAILED)).sum())

    @property
    def n_failed(self) -> int:
        """How many evaluations failed, or gave a value that is not finite."""
        return int((self._status == Status.FAILED).sum() + self._is_done_without_value().sum())

    def take(self, most: int | None = None) -> Dim | None:
        """Return further points to evaluate, as rows with their numbers.

        Parameters
        ----------
        most
            How many; None for all that can be told without further values.

        Returns
        -------
        Dim or None
            None while all points are under way, and at the end.
        """
        ready, self._ready = self._ready, None
        if ready is None:
            return self._draw(most)
        if most is not None and most < ready.size:
            self._ready = ready.take(np.arange(most, ready.size))
            return ready.take(np.arange(most))
        return ready

    def first(self) -> Dim:
        """Return the first point, which is still to be taken.

        Raises
        ------
        SweepError
            If the constraint allows none.
        """
        self._ready = self._ready or self._draw(None)
        if self._ready is None:
            raise SweepError(
                f"constraints= allows none of the first {int(self._told().sum()):,} points. Begin "
                "where it is true (start=), or with larger steps."
            )
        return self._ready.take(np.zeros(1, np.int64))

    def _draw(self, most: int | None) -> Dim | None:
        while True:
            asked = [] if self._left_out >= _MOST_LEFT_OUT else self._ask(most)
            if not asked:
                return None
            numbers = self._numbers(asked)
            evaluations = numbers[EVALUATION]
            columns = self.space.columns(_end_to_end([each.points for _, each in asked]))
            rows = self.space.rows(columns, numbers)
            self._note(rows, evaluations)
            if self.space.constraint is None:
                return rows
            allowed = self.space.is_allowed(rows)
            if not allowed.all():
                self._leave_out(evaluations[~allowed])
            if allowed.any():
                self._left_out = 0
                return rows.take(np.flatnonzero(allowed))
            if self._left_out >= _MOST_LEFT_OUT:
                return None

    def _numbers(self, asked: Sequence[tuple[int, Asked]]) -> dict[str, Ids]:
        """Return what numbers the points that the starts gave, by name."""
        n = len(self._optimizers)
        parts = [
            (
                each.ids * n + start,
                self._generations(start, each),
                np.full(len(each.ids), start),
            )
            for start, each in asked
        ]
        numbers = dict(zip(NUMBERS, map(_end_to_end, zip(*parts, strict=True)), strict=True))
        if asked[0][1].follows is not None:
            follows = [
                np.where(each.follows < 0, -1, each.follows * n + start)
                for start, each in asked
                if each.follows is not None
            ]
            numbers[FOLLOWS] = _end_to_end(follows)
        return numbers

    def _leave_out(self, evaluations: Ids) -> None:
        """Tell points that the constraint does not allow, which cost nothing of the budget."""
        self._left_out += len(evaluations)
        for start, count in zip(
            *np.unique(evaluations % len(self._optimizers), return_counts=True), strict=True
        ):
            self._rooms[start] += int(count)
        self.tell(evaluations, np.full(len(evaluations), np.nan), Status.SKIPPED)

    def put_back(self, rows: Sequence[Dim]) -> None:
        """Take back points that were given and have no value yet, to be given again."""
        if rows:
            self._ready = joined([*rows, *([] if self._ready is None else [self._ready])])

    def tell(
        self,
        evaluations: Ids,
        values: Floats,
        status: npt.NDArray[np.uint8] | Status,
        seconds: npt.ArrayLike = np.nan,
        *,
        gradients: Floats | None = None,
    ) -> None:
        """Learn what became of some points, each shape ``(n,)``; NaN where one has no value.

        Gradients are by unit coordinates, shape ``(n, n_dims)``.
        """
        new = self._status[evaluations] == _PENDING
        if not new.all():
            status = np.broadcast_to(status, new.shape)[new]
            seconds = np.broadcast_to(np.asarray(seconds), new.shape)[new]
            evaluations, values = evaluations[new], values[new]
        self._status[evaluations] = status
        self._seconds[evaluations] = seconds
        self._values[evaluations] = values
        gradients = None if gradients is None else gradients[new]
        n = len(self._optimizers)
        if n == 1:
            self._optimizers[0].tell(evaluations, values, gradients)
            return
        for start in np.unique(evaluations % n).tolist():
            own = evaluations % n == start
            slopes = None if gradients is None else gradients[own]
            self._optimizers[start].tell(evaluations[own] // n, values[own], slopes)

    @property
    def best(self) -> int | None:
        """The evaluation with the least value, None where there is none."""
        finite = np.where(np.isfinite(self._values), self._values, np.inf)
        at = int(np.argmin(finite))
        return at if np.isfinite(self._values[at]) else None

    @property
    def is_converged(self) -> bool:
        """Whether the start that found the best value says so."""
        return self.best is not None and self._best_optimizer().is_converged

    @property
    def message(self) -> str:
        """Why it ended, of the start that found the best value, and what failed."""
        said = self._best_optimizer().stopped
        if not said and self._left_out >= _MOST_LEFT_OUT:
            said = (
                f"constraints= allowed none of the last {self._left_out:,} points: it leaves too "
                "little of the space where the search went"
            )
        if not said:
            said = f"the budget of {self.budget:,} evaluations is spent"
        if self.n_failed:
            said += f"; {self.n_failed:,} of {self.n_evaluated:,} evaluations failed"
            if self.failures:
                first = self.failures[0]
                said += f", the first with {first.exception}: {first.message}"
        return said

    def history(self) -> "xr.Dataset":
        """Return all points in the order of their numbers, along ``evaluation``."""
        import xarray as xr

        columns = self._columns()
        order = np.argsort(columns[EVALUATION], kind="stable")
        told = columns[EVALUATION][order]
        ended = self._status[told] != Status.PENDING
        order, told = order[ended], told[ended]
        data = xr.Dataset(
            {"value": (EVALUATION, self._values[told], {"long_name": "value of the objective"})},
            coords={name: (EVALUATION, labels[order]) for name, labels in columns.items()}
            | {"status": (EVALUATION, self._status[told], _flags())},
        )
        for dim in self.space.constants:
            data = data.assign_coords({dim.name: dim.columns[0].labels[0]})
        return data

    def seconds(self) -> "xr.DataArray":
        """Return how long each point of the history took, in seconds, along ``evaluation``."""
        import xarray as xr

        told = np.sort(np.concatenate([block.labels for block in self._blocks]))
        told = told[self._status[told] != Status.PENDING]
        attrs = {"units": "s", "long_name": "wall time of the evaluation"}
        coords = {EVALUATION: told}
        return xr.DataArray(self._seconds[told], coords, [EVALUATION], name="seconds", attrs=attrs)

    def labels_of(self, evaluation: int) -> dict[str, object]:
        """Return the parameters of an evaluation by name, as its run received them."""
        for block in self._blocks:
            (found,) = np.nonzero(block.labels == evaluation)
            if len(found):
                own = [column for column in block.columns if column.name in self.space.axes]
                return {column.name: column.values(found)[0] for column in own}
        raise KeyError(evaluation)

    def _ask(self, most: int | None) -> list[tuple[int, Asked]]:
        asked: list[tuple[int, Asked]] = []
        left = most
        for start, optimizer in enumerate(self._optimizers):
            room = self._rooms[start] if left is None else min(self._rooms[start], left)
            if room <= 0:
                continue
            given = optimizer.ask(room)
            if len(given.ids):
                self._rooms[start] -= len(given.ids)
                left = None if left is None else left - len(given.ids)
                asked.append((start, given))
        return asked

    def _generations(self, start: int, asked: Asked) -> Ids:
        if asked.generations is None:
            return asked.ids // self._optimizers[start].population
        return asked.generations

    def _note(self, rows: Dim, evaluations: Ids) -> None:
        self._blocks.append(rows)
        size, needed = len(self._values), int(evaluations.max()) + 1
        if needed > size:
            more = max(needed, 2 * size) - size
            self._values = np.append(self._values, np.full(more, np.nan))
            self._seconds = np.append(self._seconds, np.full(more, np.nan, np.float32))
            pending = np.full(more, Status.PENDING, np.uint8)
            self._status = np.append(self._status, pending)

    def _columns(self) -> dict[str, npt.NDArray[np.generic]]:
        held: dict[str, list[npt.NDArray[np.generic]]] = {}
        for block in self._blocks:
            for column in block.columns:
                held.setdefault(column.name, []).append(column.labels)
        return {name: np.concatenate(parts) for name, parts in held.items()}

    def _best_optimizer(self) -> Optimizer:
        best = self.best
        return self._optimizers[0 if best is None else best % len(self._optimizers)]

    def _told(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self._status != Status.PENDING)

    def _is_done_without_value(self) -> npt.NDArray[np.bool_]:
        return np.asarray((self._status == Status.DONE) & ~np.isfinite(self._values))


def _end_to_end(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _flags() -> dict[str, object]:
    return {
        "flag_values": np.array([int(each) for each in Status], np.uint8),
        "flag_meanings": " ".join(each.name.lower() for each in Status),
    }
