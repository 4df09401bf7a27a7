"""What a report is made of: read once from a store, which may be written at the same time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.spaces.axis import Dim
from toolkit.stages.identity import Identity
from toolkit.stores.catalogues.held_field import HeldField
from toolkit.stores.files.checking import readable
from toolkit.stores.runs.state import HAS_VALUE
from toolkit.stores.zarr_store import ZarrStore
from toolkit.views.snapshot import Snapshot

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.stores.runs.stage_runs import StageRuns

Statuses = npt.NDArray[np.uint8]
Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class StageMaterial:
    """What is known of one stage.

    Attributes
    ----------
    name
        Of the stage.
    dims, fields
        Of its runs: the parameters along each dim, and those over several.
    status, seconds, memory
        Of each run, shape ``(n_runs,)``: see ``Status``; wall time in seconds and peak memory in
        bytes, NaN where there is none.
    identities, present
        Code that made runs, by number, and the number of what is valid now.
    made
        Runs with values by the number of what made them.
    data
        Its outputs, over dims or along ``run``, read where they are used; None where that cannot
        be done.
    unreadable
        Why not, ``""`` where it can.
    """

    name: str
    dims: tuple[Dim, ...]
    fields: tuple[HeldField, ...]
    status: Statuses
    seconds: Floats32
    memory: Floats32
    identities: tuple[Identity | None, ...]
    present: int
    made: Mapping[int, int]
    data: "xr.Dataset | None"
    unreadable: str = ""

    @property
    def measured(self) -> Floats32:
        """Wall times of the runs that have one, in seconds."""
        found: Floats32 = self.seconds[np.isfinite(self.seconds) & (self.status != Status.PENDING)]
        return found

    @property
    def peaks(self) -> Floats32:
        """Peak memory of the runs of which it is known, in bytes."""
        found: Floats32 = self.memory[np.isfinite(self.memory) & (self.status != Status.PENDING)]
        return found


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that a report shows of a store.

    Attributes
    ----------
    path
        Absolute path of the store.
    snapshot
        How it stands.
    provenance
        What made it: whatever its author chose.
    sessions
        Each start of the sweep and its end, as the log has them, the oldest first.
    stages
        In the order in which they are run.
    """

    path: str
    snapshot: Snapshot
    provenance: Mapping[str, Any]
    sessions: tuple[Mapping[str, Any], ...]
    stages: tuple[StageMaterial, ...]

    @property
    def name(self) -> str:
        """Name of the store's folder."""
        return os.path.basename(self.path) or self.path


def material_of(path: str | os.PathLike[str], snapshot: Snapshot) -> Material:
    """Return what a report shows of a store.

    Raises
    ------
    StoreError
        If there is no store at the path, or it cannot be read.
    """
    store = ZarrStore.read(os.path.expanduser(path))
    with readable(store.path):
        provenance = store.provenance if isinstance(store.provenance, Mapping) else {}
        return Material(
            path=os.path.abspath(os.path.expanduser(path)),
            snapshot=snapshot,
            provenance=provenance,
            sessions=_sessions(store),
            stages=tuple(_stage(store.stage(name)) for name in store.stage_names),
        )


def _stage(runs: "StageRuns") -> StageMaterial:
    from toolkit.stores.reading.view import labelled

    data, unreadable = None, ""
    try:
        with readable(runs.name):
            data = labelled(runs, load=False)
    except ToolkitError as error:  # more than memory holds, say: all else is still worth showing
        unreadable = str(error)
    state = runs.state
    status = state.status.copy()  # one moment, whatever is written meanwhile
    makers = state.makers
    has_value = HAS_VALUE[status]
    made = {makers.present: int(has_value.sum())}
    if state.made_by is not None:
        numbers, counts = np.unique(state.made_by[has_value], return_counts=True)
        made = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    return StageMaterial(
        name=runs.name,
        dims=runs.catalogue.dims,
        fields=tuple(runs.catalogue.fields),
        status=status,
        seconds=state.seconds.copy(),
        memory=state.peak_memory.copy(),
        identities=makers.identities,
        present=makers.present,
        made=made,
        data=data,
        unreadable=unreadable,
    )


def _sessions(store: ZarrStore) -> tuple[Mapping[str, Any], ...]:
    """Return the starts of the sweep, each with its ``end``, None where none is noted."""
    found: dict[str, dict[str, Any]] = {}
    begun: list[dict[str, Any]] = []
    for event in store.events.read():
        if event["event"] == "sweep_started":
            started = {**event, "end": None}
            found[str(event.get("session"))] = started
            begun.append(started)
        elif event["event"] == "sweep_ended" and str(event.get("session")) in found:
            found[str(event.get("session"))]["end"] = event
    return tuple(begun)
