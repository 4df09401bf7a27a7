"""``tk.check``: reads all of a store and says what of it is damaged, and whose runs that are."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import StoreError
from toolkit.stages.schema import Schema
from toolkit.stores.axes import AXES, load_catalogue
from toolkit.stores.catalogue import Catalogue
from toolkit.stores.chunks import array_name, join
from toolkit.stores.damage import (
    NO_RUNS,
    Ids,
    Mask,
    chunk_numbers,
    place_of,
    stage_damage,
    unsound_chunks,
)
from toolkit.stores.hierarchy import METADATA, DamagedChunk, Hierarchy
from toolkit.stores.journal import SUFFIX
from toolkit.stores.journal_check import examine_journals
from toolkit.stores.layout import ATTRIBUTE, state_key
from toolkit.stores.left_over import left_overs
from toolkit.stores.lock import is_in_use
from toolkit.stores.makers import MADE_BY
from toolkit.stores.state import FIELDS, HAS_VALUE
from toolkit.stores.storage import JOURNALS, Folder
from toolkit.stores.zarr_store import MARKER, ZarrStore

if TYPE_CHECKING:
    import pandas as pd

_RERUN = "toolkit retry --damaged FILE.py:sweep, or sweep.run(rerun='damaged')"
_MEND = "toolkit retry --damaged writes it anew; no run is concerned"
_COPY = "restore the store from a copy"


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


@dataclass(frozen=True, kw_only=True)
class Report:
    """What ``tk.check`` found.

    Parameters
    ----------
    store
        Folder of the store.
    findings
        What is wrong, damage first.
    n_chunks
        How many chunks were read.
    is_in_use
        Whether a driver was at work meanwhile.
    """

    store: str
    findings: tuple[Finding, ...]
    n_chunks: int
    is_in_use: bool = False
    _catalogues: dict[str, Catalogue] = field(default_factory=dict, repr=False)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged; left-overs are no damage."""
        return not any(finding.is_damage for finding in self.findings)

    def damaged(self, stage: str) -> Ids:
        """Return the runs of a stage whose stored values are damaged, ascending."""
        parts = [each.runs for each in self.findings if each.stage == stage and each.is_damage]
        return np.unique(np.concatenate([NO_RUNS, *parts]))

    def runs(self) -> "pd.DataFrame":
        """Return one row for each damaged run: its labels, then ``stage`` and ``run``."""
        import pandas as pd

        tables = []
        for stage, catalogue in self._catalogues.items():
            ids = self.damaged(stage)
            table: dict[str, Any] = {}
            for name, (labels, inactive) in catalogue.labels(ids).items():
                column = pd.Series(labels)
                table[name] = column.where(~inactive, None) if inactive.any() else column
            tables.append(pd.DataFrame({**table, "stage": stage, "run": ids}))
        filled = [table for table in tables if len(table)]
        if len(filled) > 1:
            return pd.concat(filled, ignore_index=True)
        return filled[0] if filled else pd.DataFrame({"stage": [], "run": []})

    def __str__(self) -> str:
        damage = [each for each in self.findings if each.is_damage]
        n_runs = sum(len(self.damaged(stage)) for stage in self._catalogues)
        word = "sound" if not damage else f"{len(damage):,} damaged, {n_runs:,} runs concerned"
        lines = [f"{self.store}: {self.n_chunks:,} chunks read, {word}"]
        if self.is_in_use:
            lines.append("  a driver is at work on it: what it is writing may be named here")
        lines += [f"  {finding}" for finding in self.findings]
        return "\n".join(lines)


def check(path: str | os.PathLike[str]) -> Report:
    """Read all of a store and say what is damaged; nothing is written and nothing unpickled.

    Every chunk is read and decoded; a flipped bit is found by the chunk's checksum. A chunk that
    was never written, for none of its runs is done, is no damage.

    Parameters
    ----------
    path
        Folder of the store. A driver may be at work on it.

    Returns
    -------
    Report
        ``.is_sound``, ``.findings``, ``.runs()``; prints well.

    Raises
    ------
    StoreError
        If there is no store at the path.

    Examples
    --------
    >>> import tempfile, toolkit as tk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = tk.Sweep(lambda x: x * 2, {"x": [1, 2]}, store=f"{folder}/s").run(progress=False)
    ...     tk.check(f"{folder}/s").is_sound
    True
    """
    folder = os.path.abspath(os.path.expanduser(path))
    found = _look(folder)
    if found.is_in_use and not found.is_sound:
        # What was seen between two writes of the driver is whole by now.
        again = {finding.place for finding in _look(folder).findings if finding.is_damage}
        still = [each for each in found.findings if not each.is_damage or each.place in again]
        found = Report(
            store=found.store,
            findings=tuple(still),
            n_chunks=found.n_chunks,
            is_in_use=True,
            _catalogues=found._catalogues,
        )
    return found


def _look(folder: str) -> Report:
    storage = Folder(folder)
    store: ZarrStore | None = None
    try:
        store = ZarrStore.read(folder)
        hierarchy = store.hierarchy
    except StoreError as error:
        opened = _hierarchy(storage)
        if opened is None:
            raise
        hierarchy = opened
        if not isinstance(error, DamagedChunk):
            broken = Finding(place=METADATA, what=f"is damaged: {error}", remedy=_COPY)
            if _stages(hierarchy) is None:
                return Report(store=folder, findings=(broken,), n_chunks=0)
    findings: list[Finding] = []
    catalogues: dict[str, Catalogue] = {}
    for name, group in _stages(hierarchy) or ():
        stage = StageCheck(hierarchy, name, group, store)
        findings += stage.findings()
        catalogues[name] = stage.catalogue or Catalogue.empty()
    findings += _documents(hierarchy)
    identity = str((hierarchy.attributes("").get(ATTRIBUTE) or {}).get("identity", ""))
    alive = is_in_use(folder)
    for place, what, is_damage in examine_journals(folder, identity, is_in_use=alive):
        remedy = "run the sweep again: what it held behind that is made anew"
        if not is_damage:
            remedy = "nothing is to be done: the next run reads it up to there and deletes it"
        findings.append(Finding(place=place, what=what, remedy=remedy, is_damage=is_damage))
    if not alive:
        for place, what in left_overs(folder, hierarchy):
            findings.append(
                Finding(
                    place=place, what=what, remedy="toolkit compact deletes it", is_damage=False
                )
            )
    findings.sort(key=lambda each: not each.is_damage)
    arrays = [key for key, document in hierarchy.documents.items() if "shape" in document]
    return Report(
        store=folder,
        findings=tuple(findings),
        n_chunks=sum(len(chunk_numbers(hierarchy, key)) for key in arrays),
        is_in_use=alive,
        _catalogues=catalogues,
    )


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
            yield self._finding(key, number, f"(labels of the runs) {what}", _COPY)
        for key, number, what in self.state_damage():
            is_status = key == state_key(self.group, "status")
            remedy = (
                "toolkit retry --damaged: runs that it was of read as pending and are made anew"
            )
            yield self._finding(key, number, what, remedy if is_status else _MEND)
        for key, number, what in [*self.parameter_damage(), *self.coord_damage()]:
            yield self._finding(key, number, what, _MEND)
        has_value = self.has_value()
        if self.catalogue is not None and len(has_value) != self.catalogue.n_runs:
            what = f"has {len(has_value):,} rows for {self.catalogue.n_runs:,} runs"
            yield self._finding(state_key(self.group, "status"), -1, what, _COPY)
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
        return -(-self.hierarchy.length(key) // self.hierarchy.array(key).chunk[0])

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


def _hierarchy(storage: Folder) -> Hierarchy | None:
    """Return what the metadata describes; an empty hierarchy where it cannot be read."""
    try:
        return Hierarchy.load(storage)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Hierarchy(storage, {"": {"attributes": {}}})


def _stages(hierarchy: Hierarchy) -> list[tuple[str, str]] | None:
    ours = hierarchy.attributes("").get(ATTRIBUTE)
    try:
        return [(str(each["name"]), str(each["group"])) for each in ours["stages"]]  # type: ignore[index]
    except (TypeError, KeyError):
        return None


def _parameters_done(hierarchy: Hierarchy, stage: str) -> dict[str, int]:
    try:
        marker = json.loads(hierarchy.storage.get(MARKER) or b"{}")
        return {str(k): int(n) for k, n in marker["stages"][stage]["parameters"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _documents(hierarchy: Hierarchy) -> Iterator[Finding]:
    """Yield the arrays and groups whose own metadata is not what the store's says."""
    for key, document in hierarchy.documents.items():
        if not key:
            continue
        place = f"{key}/{METADATA}"
        raw = hierarchy.storage.get(place)
        try:
            what = "is gone" if raw is None else ""
            if raw is not None and json.loads(raw) != document:
                what = f"is not what {METADATA} of the store says"
        except ValueError:
            what = "cannot be read"
        if what:
            yield Finding(place=place, what=what, remedy=_MEND)
