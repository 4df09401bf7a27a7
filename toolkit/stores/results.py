"""The results of a sweep, on disk or in memory: taken to run, looked at at any time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import StoreError
from toolkit.spaces.space import Space
from toolkit.stages.identity import Identity
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.journals.journal import Durability
from toolkit.stores.memory_store import MemoryStore
from toolkit.stores.reading.failures import failures_frame, joined
from toolkit.stores.runs.provenance import provenance
from toolkit.stores.runs.seen import Seen
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.transfer import Shelf, note_of
from toolkit.stores.zarr_store import ZarrStore

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Part = tuple[str, Space, Mapping[str, object]]


class Results:
    """Where a sweep and those made from it keep what they computed.

    Parameters
    ----------
    path
        Folder of the store; None for memory.
    durability
        See :class:`toolkit.Sweep`.

    Attributes
    ----------
    script
        The file and name that the sweep was loaded from, which its store then remembers.
    """

    def __init__(self, path: str | Path | None, *, durability: Durability = "process") -> None:
        self.path = None if path is None else Path(path).expanduser()
        # A script may change its folder later; its results stay in one place.
        self._folder = None if self.path is None else self.path.absolute()
        self.durability = durability
        self.script: Mapping[str, object] | None = None
        self._memory: MemoryStore | None = None
        self._disk: ZarrStore | None = None
        self._passing: dict[str, MemoryStore] = {}

    @property
    def folder(self) -> Path | None:
        """Folder of the store as it was when the sweep was made; None for memory."""
        return self._folder

    @property
    def held_stages(self) -> tuple[str, ...]:
        """Names of the stages whose results are in memory."""
        held = () if self._memory is None else self._memory.stage_names
        return tuple(dict.fromkeys([*held, *self._passing]))

    def acquire(self, *, code: Mapping[str, object]) -> None:
        """Take the store to write into it, made if there is none.

        Raises
        ------
        StoreError
            If somebody else runs it, or it cannot be read or written.
        """
        self._passing.clear()
        if self._folder is None:
            self._memory = self._memory or MemoryStore(provenance(code=code))
            self._memory.acquire()
            return
        if self._disk is not None:
            raise StoreError(
                f"A sweep is running on {self.path} in this process. Wait for its result, or "
                "cancel it."
            )
        if self._folder.exists() and not self._folder.is_dir():
            raise StoreError(f"{self.path} is a file, and a store is a folder. Give another path.")
        is_new = not (self._folder / "zarr.json").exists()
        made_by = provenance(code=code) if is_new else None
        disk = ZarrStore.create_or_open(self._folder, made_by, durability=self.durability)
        disk.acquire()
        self._disk = disk
        if self.script is not None and disk.provenance.get("script") != self.script:
            disk.set_attributes({"provenance": {**disk.provenance, "script": dict(self.script)}})

    @property
    def ended_in(self) -> list[tuple[str, int]]:
        """Runs, with their stages, in which the driver before this one died in its own process."""
        return [] if self._disk is None else self._disk.ended_in

    @property
    def is_there(self) -> bool:
        """Whether there is a store."""
        if self._folder is None:
            return self._memory is not None
        return (self._folder / "zarr.json").exists()

    def holds(self, name: str) -> bool:
        """Whether the acquired store has a stage of this name."""
        store = self._disk or self._memory
        return store is not None and name in store.stage_names

    def repair(self) -> int:
        """Make runs pending whose stored values are damaged; return how many.

        Raises
        ------
        StoreError
            If somebody else runs the store, or its labels are damaged.
        """
        from toolkit.stores.upkeep.repair import repair

        if self._folder is None or not self.is_there:
            return 0
        return sum(map(len, repair(self._folder).values()))

    def release(self) -> None:
        """Fold everything and let go of the store."""
        disk, self._disk = self._disk, None
        if disk is not None:
            disk.release()
        elif self._memory is not None:
            self._memory.release()

    def stage(self, name: str) -> StageRuns:
        """Return the runs of a stage in the acquired store, made if they are new."""
        store = self._disk or self._memory
        assert store is not None, "acquire comes first"
        return store.stage(name, create=True)

    def passing(self, name: str) -> StageRuns:
        """Return new runs in memory, of a stage whose results are not kept.

        They are there until the store is taken again, so that their failures can be looked at.
        """
        self._passing[name] = MemoryStore()
        if self._disk is not None:  # one log for all stages
            self._passing[name].events = self._disk.events
        return self._passing[name].stage(name, create=True)

    def let_go(self, name: str) -> None:
        """Drop what the runs of a stage that is not kept returned; state and failures stay."""
        self._passing[name].stage(name).drop_values()

    def note(self, event: str, **fields: object) -> None:
        """Note an event in the log of the acquired store; without one, nothing."""
        store = self._disk or self._memory
        if store is not None:
            store.events.note(event, **fields)

    def note_inputs(self, inputs: Mapping[str, Mapping[str, object]]) -> None:
        """Note what was frozen, by name, in the provenance of the acquired store."""
        store = self._disk or self._memory
        assert store is not None, "acquire comes first"
        known = store.provenance.get("inputs") or {}
        if {**known, **inputs} != known:
            made_by = {**store.provenance, "inputs": {**known, **inputs}}
            store.hierarchy.set_attributes("", {"provenance": made_by})
            store.hierarchy.commit()

    def settle_identity(self, name: str, identity: Identity) -> None:
        """Let runs of a stage be done where this identity made them, and stale where another did.

        Parameters
        ----------
        name
            The stage, of the acquired store.
        identity
            Of the stage as it is now.
        """
        store = self._disk or self._memory
        assert store is not None, "acquire comes first"
        store.stage(name, create=True).settle_identity(identity)
        made_by = store.provenance
        known = made_by.get("code") or {}
        if known.get(name) != identity.to_json():
            made_by = {**made_by, "code": {**known, name: identity.to_json()}}
            store.hierarchy.set_attributes("", {"provenance": made_by})
            store.hierarchy.commit()

    def note_reused(self, shelf: Shelf, count: int) -> None:
        """Note in the acquired store's provenance that runs were copied from another store."""
        store = self._disk or self._memory
        assert store is not None, "acquire comes first"
        made_by = store.provenance
        reused = note_of(shelf, count, made_by.get("reused") or [])
        store.hierarchy.set_attributes("", {"provenance": {**made_by, "reused": reused}})
        store.hierarchy.commit()

    def open(self) -> ZarrStore | MemoryStore:
        """Return the store as it is by now, for reading.

        Raises
        ------
        StoreError
            If there is none.
        """
        if self._folder is not None:
            return ZarrStore.read(self._folder)
        if self._memory is None:
            raise StoreError("This sweep has not run yet, and its results are in memory only.")
        return self._memory

    def is_same(self, other: "Results") -> bool:
        """Whether another value stands for the same store."""
        if self._folder is None or other._folder is None:
            return self is other
        return self._folder.resolve() == other._folder.resolve()

    def look(self, name: str) -> StageRuns | None:
        """Return the runs of a stage as they are by now, None where there are none yet."""
        if name in self._passing:
            return self._passing[name].stage(name)
        store: ZarrStore | MemoryStore | None = self._memory
        if self._folder is not None:
            store = ZarrStore.read(self._folder) if (self._folder / "zarr.json").exists() else None
        if store is None or name not in store.stage_names:
            return None
        return store.stage(name)

    def output_names(self, name: str) -> tuple[str, ...]:
        """Return the outputs that stored runs of a stage have; none where nothing is stored."""
        try:
            runs = self.look(name)
        except StoreError:  # said where the store is to be read or written
            return ()
        return () if runs is None or runs.schema is None else runs.schema.names

    def dataset(
        self,
        parts: Sequence[Part],
        identities: Mapping[str, Identity] | None = None,
        *,
        mask: bool = True,
    ) -> "xr.Dataset":
        """Return what is stored of some stages, each over its space, labelled, as one Dataset.

        Parameters
        ----------
        parts
            Of each stage its name, its space and its defaults.
        identities
            By stage: runs that another identity made are stale. None: another than the last
            that ran.
        mask
            Whether only runs that are done or stale show values.
        """
        from toolkit.stores.reading.merged import merged
        from toolkit.stores.reading.view import labelled  # xarray takes 2 s to load

        found = {}
        for name, space, defaults in parts:
            runs = self.look(name)
            found[name] = labelled(
                None if runs is None else Seen(runs, (identities or {}).get(name)),
                space,
                name=name,
                mask=mask,
                defaults=defaults,
                attrs=self._attrs(),
                qualified=len(parts) > 1,
                unpickle=True,
            )
        return merged(found, mask=mask)

    def failures(self, parts: Sequence[Part]) -> "pd.DataFrame":
        """Return the failed runs of some stages, each over its space, a row each."""
        frames = []
        for name, space, defaults in parts:
            runs = self.look(name)
            if runs is None:
                frames.append(failures_frame(None, np.zeros(0, np.int64)))
                continue
            ids = as_array(runs.catalogue.find(space, defaults=defaults))
            frames.append(failures_frame(runs, ids[ids >= 0]))
        return frames[0] if len(frames) == 1 else joined(frames)

    def _attrs(self) -> dict[str, object]:
        return {"store": "in memory" if self.path is None else str(self.path)}

    def attributes(self) -> dict[str, Any]:
        """Return what made the store; empty where there is none yet."""
        if self._folder is None:
            return {} if self._memory is None else self._memory.provenance
        if not (self._folder / "zarr.json").exists():
            return {}
        return ZarrStore.read(self._folder).provenance
