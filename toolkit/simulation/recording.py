"""What is recorded of runs: what, how often, and in which type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import Observed


@dataclass(frozen=True)
class Record:
    """One thing to be recorded.

    Attributes
    ----------
    name
        Of what the model observes, or of a field of its state.
    every
        Steps from one record to the next; the first is that of step 0.
    dtype
        In which it is kept, such as ``"uint8"``; None: its own. That nothing overflows is checked.
    """

    name: str
    every: int = 1
    dtype: DTypeLike | None = None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What was recorded of one thing.

    Attributes
    ----------
    values
        Shape ``(n_records, n_runs)``, or ``(n_records, n_agents, n_runs)`` of the state.
    every
        Steps from one record to the next.
    """

    values: NDArray[Any]
    every: int


def records_of(wanted: Any) -> tuple[Record, ...] | None:
    """Return what is wanted as records, None for all that the model observes.

    Raises
    ------
    SimulationError
        If a number of steps is below 1, or two records have one name.
    """
    if wanted is None:
        return None
    given = [wanted] if isinstance(wanted, str | Record) else list(wanted)
    found = tuple(each if isinstance(each, Record) else Record(str(each)) for each in given)
    for each in found:
        if not isinstance(each.every, int) or each.every < 1:
            raise SimulationError(f"Record({each.name!r}, every={each.every!r}): give 1 or more.")
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise SimulationError(f"Two records have one name: {', '.join(names)}.")
    if not found:
        raise SimulationError("record is empty: name what is to be recorded.")
    return found


class Recorder:
    """Keeps what is wanted of each step, on the device of the model.

    Parameters
    ----------
    steps
        How many there will be.
    wanted
        What is kept; None: all that is observed.
    """

    def __init__(self, steps: int, wanted: tuple[Record, ...] | None) -> None:
        self._steps, self._wanted = steps, wanted
        self._kept: dict[str, Any] = {}
        self._limits: dict[str, tuple[int, int]] = {}
        self._worst: dict[str, Any] = {}

    def note(self, t: int, seen: Mapping[str, Observed], state: object) -> None:
        """Keep what is wanted of a step."""
        if self._wanted is None:
            self._wanted = tuple(Record(name) for name in seen)
        for each in self._wanted:
            if t % each.every == 0:
                value = wanted_of(each.name, seen, state)
                self._keep(each, t // each.every, value, value)

    def spans(self, observables: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Return first steps and lengths of spans; see :func:`spans_of`."""
        return spans_of(self._steps, self._wanted, observables)

    def note_span(self, start: int, seen: Mapping[str, NDArray[np.int64]], state: object) -> None:
        """Keep what is wanted of a span.

        Parameters
        ----------
        start
            Its first step.
        seen
            What was observed, each of shape ``(steps, n_runs)``.
        state
            After it.
        """
        if self._wanted is None:
            self._wanted = tuple(Record(name) for name in seen)
        last = start + len(next(iter(seen.values()))) - 1
        for each in self._wanted:
            if each.name in seen:
                rows = seen[each.name][-start % each.every :: each.every]
                if len(rows):
                    first = -(-start // each.every)
                    self._keep(each, slice(first, first + len(rows)), rows, rows[0])
            elif last % each.every == 0:
                value = wanted_of(each.name, seen, state)
                self._keep(each, last // each.every, value, value)

    def _keep(self, record: Record, place: int | slice, value: Observed, one: Observed) -> None:
        """Keep one value or many at a place."""
        name = record.name
        if name not in self._kept:
            self._kept[name] = self._room(record, one)
        if name in self._limits:
            self._watch(name, value)
        self._kept[name][place] = value

    def end(self) -> dict[str, Recorded]:
        """Return all of it.

        Raises
        ------
        SimulationError
            If a value did not fit into the type in which it was to be kept.
        """
        for name, (low, high) in self._limits.items():
            least, most = (int(each) for each in self._worst[name])
            if least < low or most > high:
                raise SimulationError(
                    f"{name!r} goes from {least:,} to {most:,}, and the type in which it is "
                    f"recorded from {low:,} to {high:,}. Choose a larger one."
                )
        assert self._wanted is not None
        return {
            each.name: Recorded(values=_numpy(self._kept[each.name]), every=each.every)
            for each in self._wanted
        }

    def _room(self, record: Record, value: Observed) -> Any:
        n = -(-self._steps // record.every)
        kind, limits = kept_in(record, value)
        if limits is not None:
            self._limits[record.name] = limits
        if isinstance(value, Tensor):
            dtype = torch.from_numpy(np.zeros(0, kind)).dtype
            return value.new_empty((n, *value.shape), dtype=dtype)
        return np.empty((n, *value.shape), kind)

    def _watch(self, name: str, value: Observed) -> None:
        """Note the least and the greatest, without waiting for the device."""
        ends = (value.min(), value.max())
        before = self._worst.get(name)
        if before is not None:
            least = torch.minimum if isinstance(value, Tensor) else np.minimum
            most = torch.maximum if isinstance(value, Tensor) else np.maximum
            ends = (least(before[0], ends[0]), most(before[1], ends[1]))
        self._worst[name] = ends


def spans_of(
    steps: int, wanted: tuple[Record, ...] | None, observables: Sequence[str], *, most: int = 2**31
) -> Iterator[tuple[int, int]]:
    """Return first steps and lengths of spans; what is recorded of states is due at their ends.

    Parameters
    ----------
    steps
        In all.
    wanted
        What is recorded; None: what is observed.
    observables
        What is known of each step in a span.
    most
        Steps of a span.
    """
    due = [each.every for each in wanted or () if each.name not in observables]
    start = 0
    while start < steps:
        ends = [-(-start // every) * every + 1 for every in due]
        end = min([*ends, start + most, steps])
        yield start, end - start
        start = end


def wanted_of(name: str, seen: Mapping[str, Observed], state: object) -> Observed:
    """Return what is to be recorded under a name.

    Raises
    ------
    SimulationError
        If neither the model observes it nor its state has it.
    """
    return seen[name] if name in seen else _field(name, seen, state)


def kept_in(record: Record, value: Observed) -> "tuple[np.dtype[Any], tuple[int, int] | None]":
    """Return the type in which something is recorded, and its limits where they have to be watched.

    Raises
    ------
    SimulationError
        If fractions were lost.
    """
    kind = None if record.dtype is None else np.dtype(record.dtype)
    own = _numpy_dtype(value)
    if kind is not None and kind.kind in "iu" and own.kind in "iu" and kind != own:
        limits = np.iinfo(kind)
        return kind, (int(limits.min), int(limits.max))
    if kind is not None and kind.kind in "iub" and own.kind == "f":
        raise SimulationError(
            f"{record.name!r} is of {own}, and is to be recorded as {kind}, which has no fractions."
        )
    return own if kind is None else kind, None


def _field(name: str, seen: Mapping[str, Observed], state: object) -> Tensor:
    there = (
        [each.name for each in fields(state)]
        if is_dataclass(state) and not isinstance(state, type)
        else []
    )
    value = getattr(state, name, None) if name in there else None
    if not isinstance(value, Tensor):
        raise SimulationError(
            f"There is no {name!r} to record. The model observes {', '.join(seen)}; its state has "
            f"{', '.join(there) or 'no fields'}."
        )
    return value


def _numpy(kept: Any) -> NDArray[Any]:
    found: NDArray[Any] = kept.cpu().numpy() if isinstance(kept, Tensor) else kept
    return found


def _numpy_dtype(value: Observed) -> "np.dtype[Any]":
    if isinstance(value, Tensor):
        return np.dtype(str(value.dtype).removeprefix("torch.").replace("bfloat16", "float32"))
    return value.dtype
