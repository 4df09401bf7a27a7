"""Repair: what is damaged is taken out of a store, so that its runs can be made again."""

import json
import os

import numpy as np

from toolkit.run_status import Status
from toolkit.stores.arrays.chunks import array_name, as_stored, chunk_key, join
from toolkit.stores.arrays.hierarchy import METADATA, Hierarchy
from toolkit.stores.arrays.layout import ATTRIBUTE, state_key
from toolkit.stores.catalogues.makers import MADE_BY, NOBODY
from toolkit.stores.files.lock import Lock
from toolkit.stores.files.storage import JOURNALS, reported
from toolkit.stores.journals.journal import SUFFIX
from toolkit.stores.upkeep.damage import Ids, stage_damage
from toolkit.stores.upkeep.stage_check import StageCheck, readable_rows
from toolkit.stores.zarr_store import MARKER, ZarrStore


def repair(path: str | os.PathLike[str]) -> dict[str, Ids]:
    """Make the runs pending whose stored values are damaged; return them by stage.

    Chunks that cannot be decoded are deleted once the runs that had values there are pending on
    disk. What can be known from elsewhere, such as the parameters of every run, is written anew.
    All other runs stay as they are.

    Parameters
    ----------
    path
        Folder of the store.

    Raises
    ------
    StoreError
        If a driver is at work on it, or the labels of its runs are damaged: then only a copy
        helps.
    """
    folder = os.path.abspath(path)
    found = _repair(folder)
    if any(name.endswith(SUFFIX) for name in os.listdir(os.path.join(folder, JOURNALS))):
        # What was journalled and not folded may be in damaged chunks too.
        store = ZarrStore.create_or_open(folder)
        store.acquire()
        store.release()
        for stage, ids in _repair(folder).items():
            found[stage] = np.union1d(found[stage], ids) if stage in found else ids
    return {stage: ids for stage, ids in found.items() if len(ids)}


def _repair(folder: str) -> dict[str, Ids]:
    store = ZarrStore.create_or_open(folder)  # refuses what is no store, reads no labels
    lock = Lock(folder)
    lock.acquire()
    try:
        hierarchy = store.hierarchy
        hierarchy.finish_replacing()
        found = {}
        for item in hierarchy.attributes("")[ATTRIBUTE]["stages"]:
            found[item["name"]] = _repair_stage(folder, hierarchy, item["name"], item["group"])
        _write_documents(hierarchy)
        return found
    finally:
        lock.release()


def _repair_stage(folder: str, hierarchy: Hierarchy, name: str, group: str) -> Ids:
    stage = StageCheck(hierarchy, name, group)
    _repair_state(hierarchy, stage, group)
    if list(stage.parameter_damage()):
        _forget_parameters(hierarchy, name)
    schema = stage.schema
    if schema is None:
        return np.zeros(0, np.int64)
    for key, _, _ in list(stage.coord_damage()):
        for coord, held in schema.coords.items():
            if join(group, array_name(coord)) == key:
                hierarchy.write(key, 0, as_stored(held.values))
    has_value = stage.has_value()
    damages = list(stage_damage(hierarchy, group, schema, stage.chunk_length, has_value))
    runs = np.unique(np.concatenate([np.zeros(0, np.int64), *(each.runs for each in damages)]))
    if len(runs):
        status = readable_rows(hierarchy, state_key(group, "status"))
        status[runs] = Status.PENDING
        hierarchy.write(state_key(group, "status"), 0, status)
    for each in damages:
        if each.number >= 0:
            _delete(folder, chunk_key(hierarchy.array(each.key), each.number))
    return runs


def _repair_state(hierarchy: Hierarchy, stage: StageCheck, group: str) -> None:
    """Write pieces of the state anew that cannot be read: their runs are pending."""
    for key, number, _ in list(stage.state_damage()):
        array = hierarchy.array(key)
        blank = array.blank(hierarchy.fill(key))
        if key == state_key(group, MADE_BY):
            blank[:] = NOBODY
        hierarchy.write_chunk(key, number, blank)


def _forget_parameters(hierarchy: Hierarchy, stage: str) -> None:
    """Have the next fold write the parameters of every run anew."""
    raw = hierarchy.storage.get(MARKER)
    try:
        marker = json.loads(raw or b"{}")
        marker["stages"][stage]["parameters"] = {}
    except (ValueError, KeyError, TypeError):
        return  # without a marker they are written anyway
    hierarchy.storage.put(MARKER, json.dumps(marker).encode())


def _write_documents(hierarchy: Hierarchy) -> None:
    """Give each array and group the metadata that the store's say of it."""
    for key, document in hierarchy.documents.items():
        raw = hierarchy.storage.get(f"{key}/{METADATA}") if key else b""
        try:
            is_same = not key or (raw is not None and json.loads(raw) == document)
        except ValueError:
            is_same = False
        if not is_same:
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            hierarchy.storage.put(f"{key}/{METADATA}", text.encode())


def _delete(folder: str, key: str) -> None:
    with reported(folder):
        try:
            os.unlink(os.path.join(folder, key))
        except FileNotFoundError:
            return
