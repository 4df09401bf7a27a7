"""``tk.compact``: an idle store is made smaller; what is stored stays as it is.

A kill at any moment loses nothing. Elements of ragged outputs are first written to a place that
nobody reads, then each chunk of ``start`` is pointed there in one rename, and only then are the
old ones deleted. Arrays that are cut otherwise are exchanged as when their type is widened.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stages.schema import Schema
from toolkit.stores.arrays.axes import AXES
from toolkit.stores.arrays.chunks import array_name, chunk_key, join
from toolkit.stores.arrays.hierarchy import Hierarchy, pieces
from toolkit.stores.arrays.layout import ATTRIBUTE, RUN, state_key
from toolkit.stores.arrays.parameters import chunk_for
from toolkit.stores.files.lock import FILE as LOCK
from toolkit.stores.files.lock import Lock
from toolkit.stores.files.storage import JOURNALS, reported
from toolkit.stores.journals.failure_log import FileLog
from toolkit.stores.journals.journal import SUFFIX
from toolkit.stores.runs.state import HAS_VALUE
from toolkit.stores.upkeep.damage import Ids, Mask, chunk_numbers, chunks_with, stage_damage
from toolkit.stores.upkeep.left_over import left_overs
from toolkit.stores.zarr_store import ZarrStore

_PIECE = 1 << 22  # elements that are moved at once


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """How large a store was before it was compacted, and is now: bytes and number of files."""

    store: str
    bytes_before: int
    bytes_after: int
    files_before: int
    files_after: int

    def __str__(self) -> str:
        return (
            f"{self.store}: {self.bytes_before:,} bytes in {self.files_before:,} files before, "
            f"{self.bytes_after:,} in {self.files_after:,} now"
        )


def compact(path: str | os.PathLike[str]) -> Compacted:
    """Make a store smaller while nobody runs it.

    Journals are folded and deleted. Ragged values and objects of runs that were run again or
    forgotten, chunks without a run that has values, and failures of runs that have succeeded since
    are dropped; arrays in many small pieces are written in fewer; what kills left behind is
    deleted. A kill at any moment loses nothing: compacting again goes on.

    Open the store anew afterwards: a Dataset that was opened before may look for what is gone.

    Parameters
    ----------
    path
        Folder of the store.

    Raises
    ------
    StoreError
        If there is no store, a driver or a worker is at work on it, or it is damaged (see
        ``tk.check``): nothing is dropped then.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    ZarrStore.read(folder)  # says what is wrong with the path before anything is made there
    before = _size(folder)
    store = ZarrStore.create_or_open(folder)
    store.acquire()
    store.release()
    lock = Lock(folder)
    lock.acquire()
    try:
        _compact(folder)
        after = _size(folder)
        found = Compacted(
            store=os.fspath(path),
            bytes_before=before[0],
            bytes_after=after[0],
            files_before=before[1],
            files_after=after[1],
        )
        store.events.note("compacted", **{k: v for k, v in asdict(found).items() if k != "store"})
    finally:
        lock.release()
    return found


def _compact(folder: str) -> None:
    began = time.time()
    if any(name.endswith(SUFFIX) for name in os.listdir(os.path.join(folder, JOURNALS))):
        raise StoreError(
            f"Workers still write to store {folder}, though no driver is at work on it. Wait until "
            "they have ended (a minute at most), then compact it."
        )
    hierarchy = ZarrStore.create_or_open(folder).hierarchy
    hierarchy.finish_replacing()
    stages = [
        (item["name"], item["group"]) for item in hierarchy.attributes("")[ATTRIBUTE]["stages"]
    ]
    parts = [(group, *_outputs(hierarchy, group)) for _, group in stages]
    for group, schema, chunk_length, status in parts:
        has_value = HAS_VALUE[status]
        for damage in stage_damage(hierarchy, group, schema, chunk_length, has_value):
            if len(damage.runs):
                raise StoreError(
                    f"Store {folder} is damaged ({damage.key} {damage.what}), so it is left as it "
                    "is. `toolkit check` says what to do."
                )
    for group, schema, chunk_length, status in parts:
        _compact_stage(folder, hierarchy, group, schema, chunk_length, HAS_VALUE[status])
    hierarchy.commit()
    _rewrite_failures(
        folder, {name: part[3] for (name, _), part in zip(stages, parts, strict=True)}
    )
    for place, _ in list(left_overs(folder, hierarchy)):
        _delete(os.path.join(folder, place), older_than=began)


def _outputs(hierarchy: Hierarchy, group: str) -> tuple[Schema, int, npt.NDArray[np.uint8]]:
    """Return schema, chunk length and status of a stage, as they are on disk."""
    ours = hierarchy.attributes(group).get(ATTRIBUTE, {})
    schema = Schema() if ours.get("schema") is None else Schema.from_json(ours["schema"])
    key = state_key(group, "status")
    status: Any = np.zeros(0, np.uint8)
    if key in hierarchy.documents:
        status = hierarchy.read(key, 0, hierarchy.length(key), whole=True)
    return schema, int(ours.get("chunk_length", 1)), status


def _compact_stage(
    folder: str,
    hierarchy: Hierarchy,
    group: str,
    schema: Schema,
    chunk_length: int,
    has_value: Mask,
) -> None:
    used = chunks_with(has_value, chunk_length)
    outputs = set()
    for variable in schema.variables:
        key = join(group, array_name(variable.name))
        outputs |= {key, f"{key}.start", f"{key}.length"}
        keys = [key]
        if variable.kind in ("ragged", "object"):
            Elements(folder, hierarchy, key, chunk_length, has_value).compact()
            keys = [f"{key}.start", f"{key}.length"]
        for each in keys:
            empty = [n for n in chunk_numbers(hierarchy, each) if n < len(used) and not used[n]]
            _delete_chunks(folder, hierarchy, each, empty)
    for key, document in list(hierarchy.documents.items()):
        inside = key.rpartition("/")[0] in (group, join(group, AXES))
        if inside and key not in outputs and len(document.get("shape", ())) == 1:
            _join(hierarchy, key)


def _join(hierarchy: Hierarchy, key: str) -> None:
    """Write an array that the coordinator writes in as few chunks as one of its length has."""
    document, n_rows = hierarchy.documents[key], hierarchy.length(key)
    length = chunk_for(n_rows)
    before = hierarchy.array(key).chunk[0]
    if before >= min(length, n_rows):
        return
    grid = {"name": "regular", "configuration": {"chunk_shape": [length]}}
    rows = hierarchy.read(key, 0, n_rows, whole=document["dimension_names"] != [RUN])
    chunks = ((number, rows[at]) for number, at, _ in pieces(0, n_rows, length))
    hierarchy.replace(key, {**document, "chunk_grid": grid}, chunks)


class Elements:
    """The elements of one ragged output, or the bytes of objects, and the runs they belong to."""

    def __init__(
        self, folder: str, hierarchy: Hierarchy, key: str, chunk_length: int, has_value: Mask
    ) -> None:
        self._folder, self._hierarchy, self._key = folder, hierarchy, key
        self._chunk_length = chunk_length
        self._room = hierarchy.array(key).chunk[0]
        n_runs = len(has_value)
        self._starts = hierarchy.read(f"{key}.start", 0, n_runs)
        self._lengths = hierarchy.read(f"{key}.length", 0, n_runs)
        is_empty = ~has_value | (self._lengths == 0)
        self._is_dead = is_empty & ((self._lengths != 0) | (self._starts != 0))
        self._runs: Ids = np.flatnonzero(has_value & (self._lengths > 0))

    def compact(self) -> None:
        """Bring all elements that a run has to the front, in the order of the runs."""
        self._drop_dead()
        starts, lengths = self._starts[self._runs], self._lengths[self._runs]
        total = int(lengths.sum())
        used = int((starts + lengths).max()) if len(self._runs) else 0
        if used > total:
            if int(starts.min()) < self._rounded(total):
                # Behind all first: at the front there is no room that nobody reads.
                self._move(self._rounded(used))
            self._move(0)
        self._hierarchy.resize(self._key, total)
        self._hierarchy.commit()
        self._delete_outside(0, total)

    def _drop_dead(self) -> None:
        """Let runs without values have no elements."""
        dead = chunks_with(self._is_dead, self._chunk_length)
        self._lengths[self._is_dead] = 0
        self._starts[self._is_dead] = 0
        self._write("length", self._lengths, dead)
        self._write("start", self._starts, dead)

    def _move(self, to: int) -> None:
        hierarchy, key = self._hierarchy, self._key
        lengths = self._lengths[self._runs]
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        if to + total > hierarchy.length(key):
            hierarchy.resize(key, to + total)
            hierarchy.commit()
        self._delete_within(to, to + total)  # of a compaction that was killed
        for first, last in _spans(ends):
            starts, counts = self._starts[self._runs[first:last]], lengths[first:last]
            before = ends[first:last] - counts - (ends[first] - counts[0])
            within = np.arange(int(counts.sum())) - np.repeat(before, counts)
            values = hierarchy.take(key, np.repeat(starts, counts) + within)
            hierarchy.write(key, to + int(ends[first] - counts[0]), values)
        self._starts[self._runs] = to + ends - lengths
        has_runs = np.zeros(len(self._starts), bool)
        has_runs[self._runs] = True
        self._write("start", self._starts, chunks_with(has_runs, self._chunk_length))
        self._delete_outside(to, to + total)

    def _write(self, name: str, rows: npt.NDArray[Any], chunks: Mask) -> None:
        for number in np.flatnonzero(chunks).tolist():
            part = rows[number * self._chunk_length : (number + 1) * self._chunk_length]
            self._hierarchy.write_chunk(f"{self._key}.{name}", number, part)

    def _delete_within(self, first: int, last: int) -> None:
        inside = range(first // self._room, -(-last // self._room))
        numbers = [n for n in chunk_numbers(self._hierarchy, self._key) if n in inside]
        _delete_chunks(self._folder, self._hierarchy, self._key, numbers)

    def _delete_outside(self, first: int, last: int) -> None:
        inside = range(first // self._room, -(-last // self._room))
        numbers = [n for n in chunk_numbers(self._hierarchy, self._key) if n not in inside]
        _delete_chunks(self._folder, self._hierarchy, self._key, numbers)

    def _rounded(self, elements: int) -> int:
        return -(-elements // self._room) * self._room


def _spans(ends: Ids) -> Iterator[tuple[int, int]]:
    """Yield ranges of runs whose elements are moved together."""
    first = 0
    while first < len(ends):
        base = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, base + _PIECE, side="right")), first + 1)
        yield first, last
        first = last


def _delete_chunks(folder: str, hierarchy: Hierarchy, key: str, numbers: list[int]) -> None:
    for number in numbers:
        _delete(os.path.join(folder, chunk_key(hierarchy.array(key), number)))


def _delete(path: str, *, older_than: float | None = None) -> None:
    """Delete a file or a folder, unless it is younger: then it is somebody's who works now."""
    with reported(path):
        try:
            if older_than is not None and os.stat(path).st_mtime > older_than:
                is_ours = os.path.basename(path).startswith("old-")
                if not is_ours:
                    return
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            return


def _rewrite_failures(folder: str, status: dict[str, npt.NDArray[np.uint8]]) -> None:
    """Drop the failures of runs that have not failed any more."""

    def is_failed(line: dict[str, Any]) -> bool:
        found, run = status.get(str(line["stage"])), int(line["run"])
        return found is not None and 0 <= run < len(found) and found[run] == Status.FAILED

    FileLog(folder).keep(is_failed)


def _size(folder: str) -> tuple[int, int]:
    """Return bytes and number of the files in a store, its lock aside."""
    total = count = 0
    lock = os.path.join(folder, LOCK)
    for place, _, names in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            if path == lock:
                continue
            try:
                total += os.stat(path).st_size
            except FileNotFoundError:
                continue
            count += 1
    return total, count
