"""What is stored when a block is made: a folder that is looked at again, or what travels along."""

import os
import threading
import time
import uuid
import weakref
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.stages.columns import take
from toolkit.stages.schema import Column, Columns, Schema
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.results import Results
from toolkit.stores.zarr_store import ZarrStore

Ids = npt.NDArray[np.int64]

_LOOK_AGAIN_S = 1.0
_MOST_OPENED = 4


class StoredRuns(Protocol):
    """What a block needs of the stored runs of a stage."""

    @property
    def catalogue(self) -> Catalogue:
        """Which run id is which point."""

    @property
    def widest_schema(self) -> Schema | None:
        """What runs returned by now."""

    @property
    def n_runs(self) -> int:
        """Number of run ids."""

    def read(self, variable: str, ids: Ids | slice) -> Any:
        """Return an output, or part of the state, of some runs."""

    def failures(self) -> list[dict[str, Any]]:
        """Return for each failed run what it died of."""


class Shelf(Protocol):
    """Where the results of a sweep are looked up."""

    def runs(self, stage: str) -> StoredRuns | None:
        """Return the stored runs of a stage, as they are by now."""

    def identity(self) -> bytes:
        """Return what tells it from other places."""


@dataclass(frozen=True)
class FolderShelf:
    """A store on disk that every worker sees; what it holds is decided when a block is made."""

    folder: str

    def runs(self, stage: str) -> StoredRuns | None:
        """Return the stored runs of a stage, at most about a second old."""
        with _lock:
            opened, store = _opened.get(self.folder, (0.0, None))
            now = time.monotonic()
            if store is None or now - opened > _LOOK_AGAIN_S:
                if not os.path.exists(os.path.join(self.folder, "zarr.json")):
                    _opened.pop(self.folder, None)
                    return None
                while len(_opened) >= _MOST_OPENED:
                    _opened.pop(next(iter(_opened)))
                store = ZarrStore.read(self.folder)
                _opened[self.folder] = (time.monotonic(), store)
            return store.stage(stage) if stage in store.stage_names else None

    def identity(self) -> bytes:
        """Return the folder."""
        return self.folder.encode()


_opened: dict[str, tuple[float, ZarrStore]] = {}
_lock = threading.Lock()


class MemoryShelf:
    """Results in the memory of the process that describes the sweep; others get a copy."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def runs(self, stage: str) -> StoredRuns | None:
        """Return the runs of a stage in memory."""
        return self._results.look(stage)

    def identity(self) -> bytes:
        """Return what changes with each result that is added."""
        words = [_names.setdefault(self._results, uuid.uuid4().hex)]
        for stage in self._results.held_stages:
            runs = self._results.look(stage)
            if runs is not None:
                attempts = int(runs.state.attempts.sum(dtype=np.int64))
                counts = np.bincount(runs.state.status).tolist()
                words.append(f"{stage} {counts} {attempts}")
        return " ".join(words).encode()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as columns."""
        sent = {}
        for stage in self._results.held_stages:
            runs = self._results.look(stage)
            if runs is None:
                continue
            schema = runs.widest_schema or Schema()
            columns = [runs.read(name, slice(0, runs.n_runs)) for name in schema.names]
            sent[stage] = _SentRuns(
                runs.catalogue,
                runs.widest_schema,
                np.array(runs.state.status),
                columns,
                runs.failures(),
            )
        return _SentShelf, (sent,)


_names: weakref.WeakKeyDictionary[Results, str] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class _SentShelf:
    """Results that came along."""

    stages: dict[str, "_SentRuns"]

    def runs(self, stage: str) -> StoredRuns | None:
        return self.stages.get(stage)

    def identity(self) -> bytes:
        return b"sent"


@dataclass(frozen=True)
class _SentRuns:
    catalogue: Catalogue
    widest_schema: Schema | None
    status: npt.NDArray[np.uint8]
    columns: Columns
    failed: list[dict[str, Any]]

    @property
    def n_runs(self) -> int:
        return len(self.status)

    def read(self, variable: str, ids: Ids | slice) -> Column:
        if variable == "status":
            return self.status[ids]
        assert self.widest_schema is not None
        column = self.columns[self.widest_schema.names.index(variable)]
        return take([column], ids)[0]

    def failures(self) -> list[dict[str, Any]]:
        return self.failed
