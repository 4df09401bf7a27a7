"""The examination of one stage of a store, also of one that can no longer be opened."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.errors import StoreError
from toolkit.stages.schema import Schema
from toolkit.stores.arrays.axes import AXES, load_catalogue
from toolkit.stores.arrays.chunks import array_name, join
from toolkit.stores.arrays.hierarchy import DamagedChunk, Hierarchy
from toolkit.stores.arrays.layout import ATTRIBUTE, state_key
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.makers import MADE_BY
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.storage import JOURNALS
from toolkit.stores.journals.journal import SUFFIX
from toolkit.stores.runs.state import FIELDS, HAS_VALUE
from toolkit.stores.upkeep.damage import (
    NO_RUNS,
    Ids,
    Mask,
    chunk_numbers,
    place_of,
    stage_damage,
    unsound_chunks,
)
from toolkit.stores.zarr_store import MARKER, ZarrStore

_RERUN = "toolkit retry --damaged FILE.py:sweep, or sweep.run(rerun='damaged')"
MEND = "toolkit retry --damaged writes it anew; no run is concerned"
COPY = "restore the store from a copy"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong in a store.

    Parameters
    ----------
    place
        File or array, from the store's folder on.
    what
        What is wrong with it.
    remedy
        What to do.
    stage
        The stage it belongs to; ``""`` for the store.
    runs
        Ids of the runs whose stored values are concerned, shape ``(n,)``.
    is_damage
        False for what a kill leaves behind and the next run or ``compact`` clears away.
    """

    place: str
    what: str
    remedy: str
    stage: str = ""
    runs: Ids = field(default_factory=lambda: NO_RUNS)
    is_damage: bool = True

    def __str__(self) -> str:
        count = f" ({len(self.runs):,} runs)" if len(self.runs) else ""
        return f"{self.place} {self.what}{count}: {self.remedy}"


class StageCheck:
    """The examination of one stage, also of one that can no longer be opened.

    Parameters
    ----------
    hierarchy, name, group
        Where it is.
    store
        Opened for reading, so that what is journalled counts; None where that fails.
    """

    def __init__(
        self, hierarchy: Hierarchy, name: str, group: str, store: ZarrStore | None = None
    ) -> None:
        self.hierarchy, self.name, self.group = hierarchy, name, group
        self._ours: dict[str, Any] = hierarchy.attributes(group).get(ATTRIBUTE, {})
        self._runs = None if store is None else store.stage(name)
        self.lost_labels: list[tuple[str, int, str]] = list(self._axes())
        self.catalogue: Catalogue | None = None
        if not self.lost_labels and self._ours.get("catalogue") is not None:
            try:
                self.catalogue = load_catalogue(hierarchy, group, self._ours["catalogue"])
            except (StoreError, ValueError, KeyError, TypeError) as error:
                self.lost_labels.append((join(group, AXES), -1, f"does not fit ({error})"))

    @property
    def schema(self) -> Schema | None:
        """What is stored of each run; None while nothing is."""
        text = self._ours.get("schema")
        return None if text is None else Schema.from_json(text)

    @property
    def chunk_length(self) -> int:
        """Runs in a chunk."""
        return int(self._ours.get("chunk_length", 1))

    def state_damage(self) -> Iterator[tuple[str, int, str]]:
        """Yield key, number and state of unsound chunks of the state."""
        # Written in this order when the first outcomes are folded, so that a later one tells that
        # those before it were. The last, memory, may have been known of no run.
        followers = {"status": "attempts", "attempts": "seconds"}
        for name in (*FIELDS, MADE_BY):
            key = state_key(self.group, name)
            if key not in self.hierarchy.documents:
                continue
            needed = np.zeros(self._n_chunks(key), bool)
            if name in followers:
                after = chunk_numbers(self.hierarchy, state_key(self.group, followers[name]))
                needed[[number for number in after if number < len(needed)]] = True
            elif name == "seconds" and not self._is_journalled():
                before = chunk_numbers(self.hierarchy, state_key(self.group, "attempts"))
                needed[[number for number in before if number < len(needed)]] = True
            for number, what in unsound_chunks(self.hierarchy, key, needed):
                yield key, number, what

    def parameter_damage(self) -> Iterator[tuple[str, int, str]]:
        """Yield the same of the parameters along ``run``, which are written from the axes."""
        if self.catalogue is None:
            return
        done = _parameters_done(self.hierarchy, self.name)
        for name in self.catalogue.labels(NO_RUNS):
            key = join(self.group, array_name(name))
            if key in self.hierarchy.documents:
                length = self.hierarchy.array(key).chunk[0]
                needed = np.arange(self._n_chunks(key)) < -(-done.get(name, 0) // length)
                for number, what in unsound_chunks(self.hierarchy, key, needed):
                    yield key, number, what

    def coord_damage(self) -> Iterator[tuple[str, int, str]]:
        """Yield the same of the inner coordinates, which the attributes hold too."""
        for name in self.schema.coords if self.schema is not None else ():
            key = join(self.group, array_name(name))
            if key in self.hierarchy.documents:
                needed = np.ones(self._n_chunks(key), bool)
                for number, what in unsound_chunks(self.hierarchy, key, needed):
                    yield key, number, what

    def has_value(self) -> Mask:
        """Return which runs' values should be in their chunks, as far as it can be known."""
        if self._runs is not None:
            try:
                found = HAS_VALUE[self._runs.state.status]
            except DamagedChunk:
                pass
            else:
                found[self._runs.waiting()] = False
                return found
        key = state_key(self.group, "status")
        if key not in self.hierarchy.documents:
            return np.zeros(0, bool)
        stored: Mask = HAS_VALUE[readable_rows(self.hierarchy, key)]
        return stored

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the stage."""
        for key, number, what in self.lost_labels:
            yield self._finding(key, number, f"(labels of the runs) {what}", COPY)
        for key, number, what in self.state_damage():
            is_status = key == state_key(self.group, "status")
            remedy = (
                "toolkit retry --damaged: runs that it was of read as pending and are made anew"
            )
            yield self._finding(key, number, what, remedy if is_status else MEND)
        for key, number, what in [*self.parameter_damage(), *self.coord_damage()]:
            yield self._finding(key, number, what, MEND)
        has_value = self.has_value()
        if self.catalogue is not None and len(has_value) != self.catalogue.n_runs:
            what = f"has {len(has_value):,} rows for {self.catalogue.n_runs:,} runs"
            yield self._finding(state_key(self.group, "status"), -1, what, COPY)
        if self.schema is None:
            return
        for damage in stage_damage(
            self.hierarchy, self.group, self.schema, self.chunk_length, has_value
        ):
            if len(damage.runs):
                place = place_of(self.hierarchy, damage)
                yield Finding(
                    place=place, what=damage.what, remedy=_RERUN, stage=self.name, runs=damage.runs
                )
            else:
                yield Finding(
                    place=place_of(self.hierarchy, damage),
                    what=f"{damage.what}; no run that is done has values there",
                    remedy="toolkit compact deletes it",
                    stage=self.name,
                    is_damage=False,
                )

    def _axes(self) -> Iterator[tuple[str, int, str]]:
        for stored in (self._ours.get("catalogue") or {}).get("arrays", {}).values():
            key = join(join(self.group, AXES), str(stored))
            if key not in self.hierarchy.documents:
                yield key, -1, "is not in the metadata (zarr.json)"
                continue
            needed = np.ones(self._n_chunks(key), bool)
            for number, what in unsound_chunks(self.hierarchy, key, needed):
                yield key, number, what

    def _is_journalled(self) -> bool:
        folder = getattr(self.hierarchy.storage, "path", "")
        names = os.listdir(os.path.join(folder, JOURNALS))
        return any(name.endswith(SUFFIX) for name in names)

    def _n_chunks(self, key: str) -> int:
        count = -(-self.hierarchy.length(key) // self.hierarchy.array(key).chunk[0])
        require_room(9 * count, f"A list of the {count:,} chunks that {key!r} is said to have")
        return count

    def _finding(self, key: str, number: int, what: str, remedy: str) -> Finding:
        place = key if number < 0 else f"{key}/c.{number}"
        return Finding(place=place, what=what, remedy=remedy, stage=self.name)


def readable_rows(hierarchy: Hierarchy, key: str) -> Any:
    """Return an array along ``run``, with its fill value where a chunk cannot be read."""
    length, n_runs = hierarchy.array(key).chunk[0], hierarchy.length(key)
    rows = np.full(n_runs, hierarchy.fill(key), hierarchy.array(key).dtype)
    for number in range(-(-n_runs // length)):
        try:
            chunk = hierarchy.read_chunk(key, number)
        except DamagedChunk:
            continue
        if chunk is not None:
            part = rows[number * length : (number + 1) * length]
            part[:] = chunk[: len(part)]
    return rows


def _parameters_done(hierarchy: Hierarchy, stage: str) -> dict[str, int]:
    try:
        marker = json.loads(hierarchy.storage.get(MARKER) or b"{}")
        return {str(k): int(n) for k, n in marker["stages"][stage]["parameters"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
