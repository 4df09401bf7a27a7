"""``tk.merge``: stores of the same stages become one; labels say which run is which."""

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stages.identity import Identity
from toolkit.stages.said import RunLog
from toolkit.stages.schema import Schema, SchemaMismatch, widen
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.makers import NOBODY, Makers
from toolkit.stores.catalogues.union import united
from toolkit.stores.files.storage import reported
from toolkit.stores.runs.provenance import provenance
from toolkit.stores.runs.sink import close_sinks
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.runs.state import HAS_VALUE
from toolkit.stores.transfer import row_pieces, typed
from toolkit.stores.zarr_store import ZarrStore

Ids = npt.NDArray[np.int64]

_SMALLEST_CHUNK = 1 << 10
_LOG_PIECE = 1 << 20
_NOTHING, _FAILED, _VALUE = 0, 1, 2


def merge(*stores: str | os.PathLike[str], into: str | os.PathLike[str]) -> Path:
    """Make one store of several that hold runs of the same stages.

    A run is known by its labels. Where several stores hold it, one that has values or a failure
    beats one that has neither; made by the same code and inputs, a value beats a failure;
    otherwise the store named first wins. Values, failures, attempts, times, what each run said
    and who made it are kept; runs made by other code than the first store's present one are
    stale. The stores themselves are only read.

    Parameters
    ----------
    stores
        Folders of the stores, at least two.
    into
        Folder of the new store; there must be nothing yet. It appears when all is in it.

    Returns
    -------
    Path
        The new store.

    Raises
    ------
    StoreError
        If one of them is no store, if their parameters or outputs do not fit together, or if
        there is something at ``into`` already.

    Examples
    --------
    >>> import tempfile, toolkit as tk
    >>> def double(x):
    ...     return x * 2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, labels in {"a": [1, 2], "b": [2, 3]}.items():
    ...         sweep = tk.Sweep(double, {"x": labels}, store=f"{folder}/{name}")
    ...         _ = sweep.run(progress=False)
    ...     whole = tk.merge(f"{folder}/a", f"{folder}/b", into=f"{folder}/c")
    ...     tk.open(whole).double.values.tolist()
    [2, 4, 6]
    """
    if len(stores) < 2:
        raise StoreError(
            "tk.merge takes at least two stores: tk.merge('a.zarr', 'b.zarr', into=…)."
        )
    target = Path(into).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"There is something at {into} already. Give a new path as into=.")
    sources = [(os.fspath(path), ZarrStore.read(os.path.expanduser(path))) for path in stores]
    place = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        store = ZarrStore.create_or_open(place, _provenance(sources))
        store.acquire()
        try:
            for name in dict.fromkeys(name for _, each in sources for name in each.stage_names):
                holders = [(path, each) for path, each in sources if name in each.stage_names]
                _merge_stage(store, name, holders)
        finally:
            store.release()
            close_sinks()
        with reported(str(target)):
            place.rename(target)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Path(into)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One store's runs of a stage, and where they are in the new one: run ids, shape ``(n,)``."""

    path: str
    store: ZarrStore
    runs: StageRuns
    ids: Ids
    found: Ids


def _merge_stage(store: ZarrStore, name: str, holders: Sequence[tuple[str, ZarrStore]]) -> None:
    catalogue, parts = Catalogue.empty(), list[_Part]()
    for path, each in holders:
        runs = each.stage(name)
        try:
            catalogue, ids, found = united(catalogue, runs.catalogue)
        except StoreError as error:
            raise StoreError(
                f"Stage {name!r} of {path} cannot be merged with that of {holders[0][0]}: {error}"
            ) from error
        parts.append(_Part(path=path, store=each, runs=runs, ids=ids, found=found))
    makers, numbers = _makers(parts)
    merged = store.stage(name, create=True)
    merged.adopt(catalogue, makers)
    schema = _schema(name, parts)
    if schema is not None:
        lengths = [part.runs.chunk_length for part in parts if part.runs.chunk_length]
        merged.set_schema(schema, lengths[0] if lengths else _SMALLEST_CHUNK)
    incomplete: dict[int, int] = {}
    for number, (part, chosen) in enumerate(
        zip(parts, _choices(parts, numbers, catalogue.n_runs), strict=True)
    ):
        ids, found = part.ids[chosen], part.found[chosen]
        order = np.argsort(found)
        _copy(part, ids[order], found[order], merged, numbers[number][ids[order]])
        place = dict(zip(ids.tolist(), found.tolist(), strict=True))
        _copy_failures(part, place, store, name)
        _copy_logs(part, ids[order], found[order], store, name)
        incomplete |= {place[run]: n for run, n in part.runs.incomplete.items() if run in place}
    if incomplete:
        merged.note_incomplete(
            np.array(list(incomplete), np.int64), np.array(list(incomplete.values()), np.int64)
        )
    merged.fold(force=True)


def _choices(
    parts: Sequence[_Part], numbers: Sequence[npt.NDArray[np.uint16]], n_runs: int
) -> list[npt.NDArray[np.bool_]]:
    """Return which runs of each part are taken, shape ``(n,)`` each."""
    owner = np.full(n_runs, -1)
    kind, made_by = np.zeros(n_runs, np.uint8), np.full(n_runs, NOBODY)
    for number, part in enumerate(parts):
        status = part.runs.state.status[part.ids]
        its_kind = np.where(HAS_VALUE[status], _VALUE, _NOTHING)
        its_kind[status == Status.FAILED] = _FAILED
        its_maker = numbers[number][part.ids]
        had = kind[part.found]
        is_same = (its_maker == made_by[part.found]) & (its_maker != NOBODY)
        taken = (had == _NOTHING) & (its_kind > _NOTHING)
        taken |= (had == _FAILED) & (its_kind == _VALUE) & is_same
        taken |= owner[part.found] < 0
        where = part.found[taken]
        owner[where], kind[where], made_by[where] = number, its_kind[taken], its_maker[taken]
    return [owner[part.found] == number for number, part in enumerate(parts)]


def _makers(parts: Sequence[_Part]) -> tuple[Makers, list[npt.NDArray[np.uint16]]]:
    """Return the identities of all parts as one list, and the number in it of each part's runs."""
    identities: list[Identity] = []
    numbers = []
    present = 0
    for part in parts:
        its = part.runs.state.makers
        table = np.full(NOBODY + 1, NOBODY, np.uint16)
        for old, identity in enumerate(its.identities):
            if identity is None:
                continue
            tokens = [each.token for each in identities]
            if identity.token not in tokens:
                identities.append(identity)
                tokens.append(identity.token)
            table[old] = tokens.index(identity.token)
        if part is parts[0] and its.identities:
            present = int(table[its.present])
        made_by = part.runs.state.made_by
        if made_by is None:
            made_by = np.zeros(part.runs.n_runs, np.uint16)
        numbers.append(table[made_by])
    makers = Makers(
        identities=tuple(identities),
        turns=((0, present),) if identities else (),
        present=present,
        is_varied=bool(identities)
        and any((each != present).any() for each in numbers if len(each)),
    )
    return makers, numbers


def _schema(name: str, parts: Sequence[_Part]) -> Schema | None:
    schema: Schema | None = None
    first = ""
    for part in parts:
        its = part.runs.widest_schema
        if its is None:
            continue
        try:
            schema = its if schema is None else widen(schema, its)
        except SchemaMismatch as error:
            raise StoreError(
                f"The outputs of stage {name!r} in {part.path} are not those in {first}: {error}"
            ) from error
        first = first or part.path
    return schema


def _copy(
    part: _Part, ids: Ids, found: Ids, merged: StageRuns, made_by: npt.NDArray[np.uint16]
) -> None:
    state, schema = part.runs.state, part.runs.widest_schema
    status = state.status[ids]
    has_value = HAS_VALUE[status]
    others = np.flatnonzero(~has_value & (status != Status.SKIPPED))
    merged.take_in(found[others], state, ids[others], made_by[others])
    if schema is None:
        return
    for rows in row_pieces(np.flatnonzero(has_value), schema):
        columns = [typed(part.runs.read(each.name, ids[rows]), each) for each in schema.variables]
        merged.take_in(found[rows], state, ids[rows], made_by[rows], columns, schema)


def _copy_failures(part: _Part, place: dict[int, int], store: ZarrStore, name: str) -> None:
    status = part.runs.state.status
    for line in part.store.failure_log.read(name):
        run = line["run"]
        if run in place and status[run] == Status.FAILED:
            said = {k: v for k, v in line.items() if k not in ("stage", "attempt", "time")}
            when, attempt = float(line.get("time", 0.0)), int(line.get("attempt", 1))
            store.failure_log.add(name, attempt, when, [{**said, "run": place[run]}])


def _copy_logs(part: _Part, ids: Ids, found: Ids, store: ZarrStore, name: str) -> None:
    """Copy what runs said, ``ids`` in their store and ``found`` in the new one."""
    order = np.argsort(ids)
    ids, found = ids[order], found[order]
    size = 0
    for attempt, log in part.store.run_logs.read(name):
        ends = [min(max(each, 0), part.runs.n_runs) for span in log.runs for each in span]
        at = np.searchsorted(ids, np.array(ends, np.int64)).reshape(-1, 2)
        moved = np.concatenate([found[:0], *(found[first:last] for first, last in at)])
        if len(moved):
            store.run_logs.add(name, attempt, [RunLog(_ranges(moved), log.text)])
            size += len(log.text or "")
        if size > _LOG_PIECE:
            store.run_logs.flush()
            size = 0
    store.run_logs.flush()


def _ranges(runs: Ids) -> tuple[tuple[int, int], ...]:
    """Return the half-open ranges that runs make, ascending."""
    runs = np.unique(runs)
    breaks = np.flatnonzero(np.diff(runs) > 1)
    firsts = runs[np.r_[0, breaks + 1]]
    lasts = runs[np.r_[breaks, len(runs) - 1]] + 1
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _provenance(sources: Sequence[tuple[str, ZarrStore]]) -> dict[str, Any]:
    """Return what made the first store, with what the others add to it."""
    found = [store.provenance for _, store in sources]
    both: dict[str, Any] = {}
    for name in ("code", "inputs"):
        for each in reversed(found):
            both[name] = {**both.get(name, {}), **(each.get(name) or {})}
    merged = [
        {"store": os.path.abspath(path), "identity": store.identity} for path, store in sources
    ]
    known = {name: part for name, part in both.items() if part}
    return {**provenance(code={}), **found[0], **known, "merged": merged}
