"""What is recorded of runs, written to a store while they go on: memory does not grow with steps.

A block holds so many records. While one is filled, the one before it is written by a thread. On
the CPU that is the block itself; on a GPU a copy of it in pinned memory, which a stream of its own
makes once an event says that the block is filled. The loop over the steps waits for neither, only
for a disk that is slower than the model.
"""

import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import Observed
from toolkit.simulation.recording import Record, kept_in, spans_of, wanted_of
from toolkit.stores.arrays.growing import GrowingArrays

_BLOCK_BYTES = 2**24
_MOST_RECORDS = 256  # in a block, so that runs of few numbers are seen while they go on as well
_BLOCKS = 2

Array = NDArray[Any]


class RunStore:
    """A store into which the runs of one call are written.

    Parameters
    ----------
    path
        A folder that is not there, or empty.
    steps
        Of each run.
    labels
        By name: arrays along ``run``.
    runs_at_once
        How many runs are stepped together: the runs of a chunk.

    Raises
    ------
    StoreError
        If there is something already.
    """

    def __init__(
        self, path: str, steps: int, labels: Mapping[str, Array], *, runs_at_once: int
    ) -> None:
        self.steps, self.n_runs = steps, len(labels["run"])
        self.runs_at_once = min(runs_at_once, self.n_runs)
        coordinates = " ".join(name for name in labels if name != "run")
        self._arrays = GrowingArrays(path, {"coordinates": coordinates})
        for name, values in labels.items():
            self._arrays.put(name, values, ["run"])
        self._records: dict[str, int] = {}  # in a block, by dim: the same in all parts
        self._long: dict[str, int] = {}
        self._jobs: queue.Queue[_Block | None] = queue.Queue(_BLOCKS)
        self._error: BaseException | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._work, name="runs-writer", daemon=True)
        self._thread.start()

    def part(self, number: int, wanted: tuple[Record, ...] | None) -> "StreamedRecorder":
        """Return what takes the records of the runs that are stepped as this part."""
        return StreamedRecorder(self, number, wanted)

    def add(self, track: "_Track") -> None:
        """Make room for what is recorded equally often."""
        is_known = track.dim in self._records
        track.records = self._records.setdefault(track.dim, track.records)
        if is_known:
            return
        self._arrays.put(track.dim, np.arange(0, self.steps, track.every), [track.dim])
        for name, (shape, dtype) in track.forms.items():
            agents = ["agent"] * (len(shape) - 1)
            self._arrays.add(
                name,
                [track.dim, *agents, "run"],
                dtype,
                inner=(*shape[:-1], self.n_runs),
                chunk=(track.records, *shape[:-1], self.runs_at_once),
            )
        self._arrays.grow({track.dim: 0})

    def send(self, block: "_Block") -> None:
        """Have a block written; it is free again once that is done."""
        self._raise()
        block.is_free.clear()
        self._jobs.put(block)

    def finish(self) -> None:
        """Wait until all is written.

        Raises
        ------
        SimulationError
            If a value did not fit into its type.
        StoreError
            If the store could not be written to.
        """
        self.stop()
        self._raise()
        self._arrays.finish()

    def stop(self) -> None:
        """End the thread; what was sent is written, and the store stays incomplete."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (block := self._jobs.get()) is not None:
            begun = time.perf_counter()
            if self._error is None:
                try:
                    self._write(block)
                except BaseException as error:  # noqa: BLE001  (it is raised in the loop)
                    self._error = error
            block.is_free.set()
            self.seconds += time.perf_counter() - begun

    def _write(self, block: "_Block") -> None:
        arrays = block.carrier.arrived()
        track = block.track
        for name, limits in track.limits.items():
            _check_fits(name, arrays[f"{name} ends"][: block.n], limits)
        for name, (shape, _) in track.forms.items():
            place = (block.number, *[0] * (len(shape) - 1), block.part)
            self._arrays.write(name, place, arrays[name][: block.n])
        end = block.number * track.records + block.n
        if end > self._long.get(track.dim, 0):
            self._long[track.dim] = end
            self._arrays.grow(dict.fromkeys((track.dim, *track.forms), end))


class StreamedRecorder:
    """Keeps what is wanted of each step in blocks, and sends these to a store.

    Parameters
    ----------
    store
        Where they are written.
    part
        Which of the parts that are stepped one after the other.
    wanted
        What is kept; None: all that is observed.
    """

    def __init__(self, store: RunStore, part: int, wanted: tuple[Record, ...] | None) -> None:
        self._store, self._part, self._wanted = store, part, wanted
        self._tracks: list[_Track] | None = None

    def note(self, t: int, seen: Mapping[str, Observed], state: object) -> None:
        """Keep what is wanted of a step."""
        if self._tracks is None:
            self._tracks = self._set_up(seen, state)
        for track in self._tracks:
            if t % track.every:
                continue
            at = t // track.every
            row = at % track.records
            block = track.block(at // track.records, self._part)
            for record in track.wanted:
                value = wanted_of(record.name, seen, state)
                block.carrier.put(record.name, row, value)
                if record.name in track.limits:
                    block.carrier.put_ends(f"{record.name} ends", row, value)
            if row == track.records - 1 or at == track.last:
                block.n = row + 1
                block.carrier.send()
                self._store.send(block)

    def spans(self, observables: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Return first steps and lengths of spans; see :func:`spans_of`."""
        return spans_of(self._store.steps, self._wanted, observables, most=_MOST_RECORDS)

    def note_span(self, start: int, seen: Mapping[str, Array], state: object) -> None:
        """Keep what is wanted of a span, of which the state is that at its end."""
        for at in range(len(next(iter(seen.values())))):
            self.note(start + at, {name: each[at] for name, each in seen.items()}, state)

    def _set_up(self, seen: Mapping[str, Observed], state: object) -> "list[_Track]":
        wanted = self._wanted or tuple(Record(name) for name in seen)
        found = []
        for every in dict.fromkeys(each.every for each in wanted):
            some = tuple(each for each in wanted if each.every == every)
            values = {each.name: wanted_of(each.name, seen, state) for each in some}
            track = _Track(some, values, self._store.steps)
            self._store.add(track)
            found.append(track)
        return found


class _Track:
    """What is recorded equally often, and the two blocks that are filled in turns."""

    def __init__(
        self, wanted: tuple[Record, ...], values: Mapping[str, Observed], steps: int
    ) -> None:
        self.wanted, self.every = wanted, wanted[0].every
        self.dim = "step" if self.every == 1 else f"step_every_{self.every}"
        self.last = (steps - 1) // self.every
        self.forms: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        self.limits: dict[str, tuple[int, int]] = {}
        for record in wanted:
            dtype, limits = kept_in(record, values[record.name])
            self.forms[record.name] = tuple(values[record.name].shape), dtype
            if limits is not None:
                self.limits[record.name] = limits
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.forms.values())
        self.records = int(np.clip(_BLOCK_BYTES // max(1, size), 1, _MOST_RECORDS))
        self.records = min(self.records, self.last + 1)
        devices = {each.device for each in values.values() if isinstance(each, Tensor)}
        self._device = next((each for each in devices if each.type != "cpu"), torch.device("cpu"))
        self._blocks: list[_Block] = []

    def block(self, number: int, part: int) -> "_Block":
        """Return the block that holds these records, once it is free."""
        if len(self._blocks) <= number % _BLOCKS:
            self._blocks.append(_Block(track=self, carrier=_carrier(self._rows(), self._device)))
        block = self._blocks[number % _BLOCKS]
        if block.number != number:
            block.is_free.wait()
            block.carrier.reuse()
            block.number, block.part = number, part
        return block

    def _rows(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        found = {name: ((self.records, *shape), kind) for name, (shape, kind) in self.forms.items()}
        ends = ((self.records, 2), np.dtype(np.int64))
        return found | {f"{name} ends": ends for name in self.limits}


class _Carrier(Protocol):
    """Holds the rows of a block, and brings them to the thread that writes."""

    def put(self, name: str, row: int, value: Observed) -> None:
        """Fill a row."""

    def put_ends(self, name: str, row: int, value: Observed) -> None:
        """Fill a row with the least and the greatest of a value."""

    def send(self) -> None:
        """Begin to bring what is filled; does not wait."""

    def arrived(self) -> dict[str, Array]:
        """Return the rows on the host; called by the thread that writes, which may wait."""

    def reuse(self) -> None:
        """Make sure that rows are not filled again before they have been read; does not wait."""


@dataclass(eq=False, kw_only=True)
class _Block:
    """So many records."""

    track: _Track
    carrier: _Carrier
    number: int = -1
    part: int = 0
    n: int = 0
    is_free: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.is_free.set()


class HostCarrier:
    """Rows on the CPU, which the thread reads where they are."""

    def __init__(self, forms: Mapping[str, tuple[tuple[int, ...], "np.dtype[Any]"]]) -> None:
        self._arrays = {name: np.empty(shape, dtype) for name, (shape, dtype) in forms.items()}

    def put(self, name: str, row: int, value: Observed) -> None:
        """Fill a row."""
        self._arrays[name][row] = value.numpy() if isinstance(value, Tensor) else value

    def put_ends(self, name: str, row: int, value: Observed) -> None:
        """Fill a row with the least and the greatest of a value."""
        self._arrays[name][row] = int(value.min()), int(value.max())

    def send(self) -> None:
        """Do nothing: they are there."""

    def arrived(self) -> dict[str, Array]:
        """Return the rows themselves."""
        return self._arrays

    def reuse(self) -> None:
        """Do nothing: the thread has read them."""


class DeviceCarrier:
    """Rows on a GPU, copied to pinned memory by a stream of their own.

    Parameters
    ----------
    forms
        By name: shape and type.
    device
        Where they are filled.
    """

    def __init__(
        self,
        forms: Mapping[str, tuple[tuple[int, ...], "np.dtype[Any]"]],
        device: torch.device,
    ) -> None:
        kinds = {
            name: torch.from_numpy(np.zeros(0, kind)).dtype for name, (_, kind) in forms.items()
        }
        self._device = device
        self._rows = {
            name: torch.empty(shape, dtype=kinds[name], device=device)
            for name, (shape, _) in forms.items()
        }
        self._pinned = {
            name: torch.empty(shape, dtype=kinds[name], pin_memory=True)
            for name, (shape, _) in forms.items()
        }
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(device)
        self._filled, self._copied = cuda.Event(), cuda.Event()

    def put(self, name: str, row: int, value: Observed) -> None:
        """Fill a row, on the device."""
        self._rows[name][row].copy_(torch.as_tensor(value, device=self._device))

    def put_ends(self, name: str, row: int, value: Observed) -> None:
        """Fill a row with the least and the greatest of a value, on the device."""
        whole = torch.as_tensor(value, device=self._device)
        torch.stack([whole.amin(), whole.amax()], out=self._rows[name][row])

    def send(self) -> None:
        """Have the stream copy the rows once they are filled."""
        self._filled.record(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._filled)
            for name, pinned in self._pinned.items():
                pinned.copy_(self._rows[name], non_blocking=True)
            self._copied.record(self._stream)

    def arrived(self) -> dict[str, Array]:
        """Wait for the copy, in the thread that writes."""
        self._copied.synchronize()
        return {name: pinned.numpy() for name, pinned in self._pinned.items()}

    def reuse(self) -> None:
        """Have what fills the rows wait, on the device, until they have been copied."""
        torch.cuda.current_stream(self._device).wait_event(self._copied)


def _carrier(
    forms: Mapping[str, tuple[tuple[int, ...], "np.dtype[Any]"]], device: torch.device
) -> _Carrier:
    return HostCarrier(forms) if device.type == "cpu" else DeviceCarrier(forms, device)


def _check_fits(name: str, ends: Array, limits: tuple[int, int]) -> None:
    least, most = int(ends[:, 0].min()), int(ends[:, 1].max())
    if least < limits[0] or most > limits[1]:
        raise SimulationError(
            f"{name!r} goes from {least:,} to {most:,}, and the type in which it is recorded from "
            f"{limits[0]:,} to {limits[1]:,}. Choose a larger one."
        )
