"""A store on disk: a zarr v3 folder with journals beside the arrays."""

import contextlib
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.stores.arrays.hierarchy import METADATA, Hierarchy
from toolkit.stores.arrays.layout import ATTRIBUTE, FORMAT_VERSION
from toolkit.stores.files.checking import readable
from toolkit.stores.files.epoch import Turn, read_turn, write_turn
from toolkit.stores.files.inside import leads_out, open_plain
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.lock import HEARTBEAT_S, Holder, Lock, read_holder
from toolkit.stores.files.storage import JOURNALS, Folder, reported
from toolkit.stores.journals.events import Events, FileEvents
from toolkit.stores.journals.failure_log import FailureLog, FileLog
from toolkit.stores.journals.journal import Durability
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.journals.records import Origin
from toolkit.stores.journals.run_logs import FileRunLogs, RunLogs
from toolkit.stores.journals.tails import Tails, journal_names
from toolkit.stores.runs.roster import Roster, new_hierarchy
from toolkit.stores.runs.stage_runs import StageRuns

MARKER = f"{JOURNALS}/fold.json"
_LEFT_OVER_S = 3600.0
_LATE_SECONDS = 60.0  # NFS keeps what it knows of a file for up to a minute
_LOOK_SECONDS = 0.2
_READINGS = 20  # a driver replaces arrays and deletes journals now and then


class ZarrStore:
    """Results in a folder that ``xarray.open_zarr`` reads without this package.

    Made by ``create_or_open`` for a driver, which then acquires it, and by ``read`` for looking
    at it while others may be writing.
    """

    def __init__(
        self,
        path: str,
        hierarchy: Hierarchy,
        turn: Turn,
        *,
        is_writable: bool,
        durability: Durability = "process",
        heartbeat_s: float = HEARTBEAT_S,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.path: str | None = path
        self.identity, self.epoch = turn
        self.durability = durability
        self.is_writable = is_writable
        self.accepts_late = True
        self.ended_in: list[tuple[str, int]] = []
        self.lock: AbstractContextManager[Any] = threading.RLock()
        self.hierarchy = hierarchy
        self.failure_log: FailureLog = FileLog(path)
        self.run_logs: RunLogs = FileRunLogs(path)
        self.events: Events = FileEvents(path)
        self._folder = path
        self._turn = turn
        self._lock = Lock(path, heartbeat_s=heartbeat_s, say=say)
        self._prepare()

    @classmethod
    def create_or_open(
        cls,
        path: str | os.PathLike[str],
        provenance: dict[str, Any] | None = None,
        *,
        durability: Durability = "process",
        heartbeat_s: float = HEARTBEAT_S,
        say: Callable[[str], None] | None = None,
    ) -> "ZarrStore":
        """Open a store for writing, made if there is none; ``acquire`` comes next.

        Raises
        ------
        StoreError
            If the folder holds something else or a store of a newer format, or if it cannot be
            written to.
        """
        folder = os.path.abspath(path)
        storage = Folder(folder, durability)
        with reported(folder):
            os.makedirs(folder, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", folder)
            is_empty = set(os.listdir(folder)) <= {JOURNALS}
        if is_empty:
            hierarchy = Hierarchy(storage)
            identity = new_hierarchy(hierarchy, provenance or {})
            with reported(folder):
                os.makedirs(os.path.join(folder, JOURNALS), exist_ok=True)
                write_turn(folder, Turn(identity, 0))
            hierarchy.commit()
        hierarchy, turn = _load(folder, storage)
        return cls(
            folder,
            hierarchy,
            turn,
            is_writable=True,
            durability=durability,
            heartbeat_s=heartbeat_s,
            say=say,
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ZarrStore":
        """Open a store for reading: no lock is taken, nothing is written, nothing is unpickled.

        What is journalled and not yet folded is there too.

        Raises
        ------
        StoreError
            If there is no store at the path, or what is there is damaged, leads out of its
            folder, or asks for more memory than there is.
        """
        folder = os.path.abspath(path)
        storage = Folder(folder)
        for reading in range(_READINGS):
            with readable(folder):
                before = storage.get(METADATA) if os.path.isdir(folder) else None
                journals = journal_names(folder)
            try:
                store = cls._look(folder, storage)
            except StoreError:
                # A driver may have replaced an array between our looks at metadata and array.
                if reading == _READINGS - 1 or before is None or storage.get(METADATA) == before:
                    raise
                continue
            # And it may have folded and deleted a journal after we had read the arrays.
            if journals <= journal_names(folder):
                break
        return store

    @classmethod
    def _look(cls, folder: str, storage: Folder) -> "ZarrStore":
        with readable(folder):
            hierarchy, turn = _load(folder, storage)
            hierarchy.see_replacing()
            store = cls(folder, hierarchy, turn, is_writable=False)
            store._roster.open_all()
            with reported(folder):
                store.pull(())
        return store

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, in the order in which they were made."""
        return self._roster.names

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the store."""
        found: dict[str, Any] = self.hierarchy.attributes("").get("provenance", {})
        return found

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        """Add or replace attributes of the store, such as the hashes of its stages' code."""
        self.hierarchy.set_attributes("", attributes)
        self.hierarchy.commit()

    def stage(self, name: str, *, create: bool = False) -> StageRuns:
        """Return the runs of a stage, made if it is new and ``create`` says so."""
        return self._roster.stage(name, create=create)

    def acquire(self) -> None:
        """Take the store over: nobody else writes from here on.

        What the last driver's workers left is folded, the epoch raised so that they stop, what
        they wrote meanwhile folded too, and their journals are deleted.

        Raises
        ------
        StoreError
            If a living process holds the store, or it is damaged.
        """
        before = read_holder(self._folder)
        self._lock.acquire()
        try:
            with readable(self._folder):
                self._acquire(before)
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Fold everything, delete the journals, and let go of the store."""
        try:
            if self._lock.is_held:
                self._await_journals()
                self._fold_all()
                self._warn_of_damage()
                self._delete_folded(lambda _: True)
        finally:
            self._lock.release()

    def _await_journals(self) -> None:
        """Wait until what workers on other machines have written is in sight here."""
        deadline = time.monotonic() + _LATE_SECONDS
        while self._tails.late() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            self.pull()

    def _warn_of_damage(self) -> None:
        for name, offset in sorted(self._tails.unread().items()):
            warnings.warn(
                f"Journal {name} of store {self._folder} cannot be read from byte {offset:,} on, "
                "though more was written to it: was it damaged, or has a shared file system lost "
                "a part? The runs that it held there are pending: run the sweep again.",
                stacklevel=2,
            )

    def check(self) -> None:
        """Raise if another driver has taken the store over, or if it is gone."""
        if not self._lock.is_held:
            raise StoreError(
                f"Store {self._folder} is not acquired: only its driver writes into it."
            )
        turn = read_turn(self._folder)
        if turn is None or turn.identity != self.identity:
            raise StoreError(
                f"Store {self._folder} was deleted or replaced while it was in use. "
                "Run the sweep again: it makes a new one."
            )
        self._lock.check()

    def pull(self, receipts: Iterable[Receipt] = ()) -> None:
        """Hand what is new in the journals to its stages; receipts say how long these are."""
        for receipt in receipts:
            self._tails.expect(receipt.journal, receipt.offset)
        self._roster.route(self._tails.read())
        self._roster.drain()

    def pass_over(self, journal: str, origin: Origin) -> bool:
        """Count a piece of a journal as read, if it is what comes next; say whether it is."""
        return self._tails.pass_over(journal, origin)

    def offsets(self) -> dict[str, int]:
        """Return how far each journal was read."""
        return self._tails.offsets()

    def marks(self, stage: str) -> dict[str, set[int]]:
        """Return the runs that the journals' pages note as in progress, by journal."""
        found: dict[str, set[int]] = {}
        for journal, name, run in self._tails.marks():
            if name == stage:
                found.setdefault(journal, set()).add(run)
        return found

    def write_marker(self) -> None:
        """Write up to where each stage has folded each journal."""
        document = {"epoch": self.epoch, "stages": self._roster.marker()}
        self.hierarchy.storage.put(MARKER, json.dumps(document).encode())

    def _prepare(self) -> None:
        """Begin reading from where the last fold ended."""
        marker = _read_marker(self._folder)
        self._roster = Roster(self, marker)
        names = self._roster.names
        journals = {journal for stage in marker.values() for journal in stage.get("offsets", {})}
        done = {
            journal: min(
                (marker.get(name, {}).get("offsets", {}).get(journal, 0) for name in names),
                default=0,
            )
            for journal in journals
        }
        self._tails = Tails(self._folder, self.identity, done)

    def _acquire(self, before: Holder | None) -> None:
        # What was read before the lock may be old by now.
        self.hierarchy, self._turn = _load(self._folder, self.hierarchy.storage)
        self.identity, self.epoch = self._turn
        self.hierarchy.finish_replacing()
        self._prepare()
        self._roster.open_all()
        self.accepts_late = True
        self.pull()
        self._turn = Turn(self.identity, self.epoch + 1)
        with reported(self._folder):
            write_turn(self._folder, self._turn)
        self.epoch = self._turn.epoch
        self._fold_all()
        self.accepts_late = False
        left = len(self._tails.tails)
        self.ended_in = [] if before is None else self._in_progress_of(before)
        self._delete_folded(lambda epoch: epoch < self.epoch)
        if left:  # the last driver did not end as it should, or its workers outlived it
            self.events.note("taken_over", epoch=self.epoch, journals=left)
        self._sweep_out()

    def _in_progress_of(self, holder: Holder) -> list[tuple[str, int]]:
        """Return the runs, with their stages, in which a driver that is gone was itself."""
        pages = {name: tail.page for name, tail in self._tails.tails.items()}
        return [
            (runs.name, run)
            for runs in self._roster.open_runs
            for journal, ids in self.marks(runs.name).items()
            for run in sorted(ids)
            if (pages[journal].host, pages[journal].pid) == (holder.host, holder.pid)
            and 0 <= run < runs.n_runs
            and runs.state.status[run] == Status.PENDING
        ]

    def _fold_all(self) -> None:
        self.pull()
        for runs in self._roster.open_runs:
            runs.fold(force=True)

    def _delete_folded(self, is_meant: Callable[[int], bool]) -> None:
        """Delete journals that every stage has folded to their end."""
        self.write_marker()
        offsets = self._tails.offsets()
        gone = [
            name
            for name, tail in self._tails.tails.items()
            if is_meant(tail.page.epoch)
            and all(runs.folded.get(name, 0) >= offsets[name] for runs in self._roster.open_runs)
        ]
        with reported(self._folder):
            left = self._tails.delete(gone)
        for runs in self._roster.open_runs:
            runs.forget(gone)
        if left:
            self._roster.route(left)
            self._roster.drain()
            for runs in self._roster.open_runs:
                runs.fold(force=True)

    def _sweep_out(self) -> None:
        """Delete what kills have left half done, once it is old enough to be nobody's."""
        folder = os.path.join(self._folder, JOURNALS)
        for name in os.listdir(folder):
            if not name.endswith(".tmp"):
                continue
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if os.path.isdir(path):
                    self.hierarchy.storage.delete_tree(f"{JOURNALS}/{name}")
                elif time.time() - os.stat(path).st_mtime > _LEFT_OVER_S:
                    os.unlink(path)


def _without_metadata(folder: str) -> StoreError:
    if set(os.listdir(folder)) == {JOURNALS}:
        what, remedy = "has just been begun", "Look again when its sweep runs."
    else:
        what, remedy = f"has lost its {METADATA}", "Restore that file from a copy."
    return StoreError(f"Store {folder} {what}. {remedy}")


def _load(folder: str, storage: Any) -> tuple[Hierarchy, Turn]:
    """Return what is in the folder, or say why it is no store that can be opened."""
    remedy = "Give the path of a store that this package made, or a new path."
    if not os.path.isdir(folder):
        is_file = os.path.lexists(folder)
        raise StoreError(
            f"{folder} is a file, and a store is a folder. {remedy}"
            if is_file
            else f"There is no store at {folder}. {remedy}"
        )
    if os.path.islink(os.path.join(folder, JOURNALS)):
        raise leads_out(folder, JOURNALS)
    try:
        hierarchy = Hierarchy.load(storage)
        ours = None if hierarchy is None else hierarchy.attributes("").get(ATTRIBUTE)
        if hierarchy is None and os.path.isdir(os.path.join(folder, JOURNALS)):
            raise _without_metadata(folder)
        if hierarchy is None or not isinstance(ours, dict):
            what = "no zarr group" if hierarchy is None else "a zarr group of another program"
            found = ", ".join(sorted(os.listdir(folder))[:5])
            raise StoreError(f"{folder} is no store: it is {what} (it holds: {found}). {remedy}")
        version = int(ours["format_version"])
        if version > FORMAT_VERSION:
            raise StoreError(
                f"Store {folder} has format version {version}; this version of the package reads "
                f"versions up to {FORMAT_VERSION}. Install a newer version of the package."
            )
        identity = str(ours["identity"])
        _check_stages(hierarchy, ours["stages"])
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError,
    ) as error:  # fmt: skip
        raise StoreError(
            f"The metadata of store {folder} is damaged, or of another version ({METADATA}: "
            f"{error}). Restore that file from a copy, or run the sweep into a new store."
        ) from error
    turn = read_turn(folder)
    if turn is None or turn.identity != identity:
        turn = Turn(identity, 0 if turn is None else turn.epoch)
    return hierarchy, turn


def _check_stages(hierarchy: Hierarchy, stages: Any) -> None:
    """Refuse stages without a group of their own; raise ValueError, KeyError or TypeError."""
    if not isinstance(stages, list):
        raise TypeError("no list of stages")
    for item in stages:
        if not isinstance(item["name"], str):
            raise TypeError(f"a stage named {item['name']!r}")
        if not isinstance(hierarchy.attributes(item["group"]).get(ATTRIBUTE, {}), dict):
            raise TypeError(f"stage {item['name']!r} is not described")
    for key in ("name", "group"):
        if len({item[key] for item in stages}) < len(stages):
            raise ValueError(f"two stages with one {key}")
    if not isinstance(hierarchy.attributes("").get("provenance", {}), dict):
        raise TypeError("no provenance")


def _read_marker(folder: str) -> dict[str, Any]:
    """Return how far each stage is folded; nothing where that is not known."""
    try:
        with open(os.path.join(folder, MARKER), "rb", opener=open_plain) as file:
            require_room(4 * os.fstat(file.fileno()).st_size, f"{MARKER} of store {folder}")
            stages = json.load(file)["stages"]
        for stage in stages.values():
            for numbers in (stage.setdefault("offsets", {}), stage.setdefault("parameters", {})):
                if not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers.values()):
                    return {}
        found: dict[str, Any] = stages
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return found
