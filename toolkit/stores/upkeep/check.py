"""``tk.check``: reads all of a store and says what of it is damaged, and whose runs that are."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import StoreError
from toolkit.stores.arrays.hierarchy import METADATA, DamagedChunk, Hierarchy
from toolkit.stores.arrays.layout import ATTRIBUTE
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.files.checking import readable
from toolkit.stores.files.lock import is_in_use
from toolkit.stores.files.storage import Folder
from toolkit.stores.upkeep.damage import NO_RUNS, Ids, chunk_numbers
from toolkit.stores.upkeep.journal_check import examine_journals
from toolkit.stores.upkeep.left_over import left_overs
from toolkit.stores.upkeep.stage_check import COPY, MEND, Finding, StageCheck
from toolkit.stores.zarr_store import ZarrStore

if TYPE_CHECKING:
    import pandas as pd


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
    with readable(folder):
        found = _look(folder)
    if found.is_in_use and not found.is_sound:
        # What was seen between two writes of the driver is whole by now.
        with readable(folder):
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
            broken = Finding(place=METADATA, what=f"is damaged: {error}", remedy=COPY)
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
            yield Finding(place=place, what=what, remedy=MEND)
