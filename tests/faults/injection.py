"""Named points at which a process kills itself, put into the product from outside.

The product knows nothing of this. :func:`install` replaces, in a process that is to be killed,
some functions by others that count. What is armed lies in a file, so that the workers of many
rounds need no restart: the first process to reach the point takes the file away and dies.

A point is a phase (what the product is doing, such as folding), which entry into it, which of its
changes to the file system, and whether the kill comes before that change, in the middle of what
it writes, or after it.
"""

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PHASES: dict[str, tuple[str, str]] = {
    "create": ("toolkit.stores.zarr_store", "ZarrStore.create_or_open"),
    "take over": ("toolkit.stores.zarr_store", "ZarrStore._acquire"),
    "extend": ("toolkit.stores.runs.stage_runs", "StageRuns.register"),
    "schema": ("toolkit.stores.runs.stage_runs", "StageRuns.set_schema"),
    "journal": ("toolkit.stores.journals.journal", "Journal.append"),
    "new journal": ("toolkit.stores.journals.journal", "Journal.__init__"),
    "chunk": ("toolkit.stores.runs.sink", "Sink._write_chunk"),
    "patch": ("toolkit.stores.arrays.values", "Values.patch"),
    "fold": ("toolkit.stores.runs.stage_runs", "StageRuns.fold"),
    "state": ("toolkit.stores.runs.fold", "Fold.write_state"),
    "marker": ("toolkit.stores.zarr_store", "ZarrStore.write_marker"),
    "delete": ("toolkit.stores.journals.tails", "Tails.delete"),
    "release": ("toolkit.stores.zarr_store", "ZarrStore.release"),
    "compact": ("toolkit.stores.upkeep.compaction", "compact"),
}
"""Where each phase is: module and function. One whose module is not there has no points."""

CHANGES = ("write", "writev", "replace", "rename", "unlink", "link", "ftruncate", "mkdir", "rmdir")
"""Functions of ``os`` that change a file system; ``open`` counts where it makes a file."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where to kill.

    Parameters
    ----------
    phase
        Key of ``PHASES``.
    entry
        At which entry of the process into the phase, from 1.
    change
        At which change to the file system in that entry, from 0; an entry with fewer ends in a
        kill when it is left.
    when
        ``"before"``, ``"after"``, or ``"torn"``: in the middle of the first writing from there on.
    """

    phase: str
    entry: int = 1
    change: int = 0
    when: str = "before"


def arm(file: Path, point: Point) -> None:
    """Arm a point: the first process that looks at this file and reaches it dies."""
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(point)))
    temporary.replace(file)


def disarm(file: Path) -> None:
    """Take a point back that nobody has reached."""
    file.unlink(missing_ok=True)


def fired(file: Path) -> dict[str, str] | None:
    """Return what a process was doing when it killed itself, None where none did.

    Keys: ``phase``, ``when`` (``"before"``, ``"torn"``, ``"after"`` a change, or ``"end"``: the
    phase made fewer) and ``what`` the change was.
    """
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, str] = json.loads(file.with_suffix(".fired").read_text())
        return found
    return None


def is_there(phase: str) -> bool:
    """Whether the product has what the phase is about."""
    module, _ = PHASES[phase]
    return importlib.util.find_spec(module) is not None


def install(file: Path) -> None:
    """Put the points into this process; ``file`` says which is armed."""
    _state.file = file
    if _state.is_installed:
        return
    _state.is_installed = True
    for phase, (module, name) in PHASES.items():
        if is_there(phase):
            _wrap_phase(phase, importlib.import_module(module), name)
    for name in CHANGES:
        setattr(os, name, _counting(name, getattr(os, name)))
    os.open = _counting_open(os.open)


class _State(threading.local):
    point: Point | None = None
    changes = 0


class _Process:
    def __init__(self) -> None:
        self.file = Path()
        self.is_installed = False
        self.signature: tuple[int, int] | None = None
        self.point: Point | None = None
        self.entries = 0
        self.here = _State()

    def look(self) -> Point | None:
        """Return what is armed; entries are counted from when it was."""
        try:
            found = os.stat(self.file)
        except FileNotFoundError:
            self.point = self.signature = None
            return None
        signature = (found.st_ino, found.st_mtime_ns)
        if signature != self.signature:
            with contextlib.suppress(OSError, ValueError):
                self.point = Point(**json.loads(self.file.read_text()))
                self.signature, self.entries = signature, 0
        return self.point


_state = _Process()
_unlink, _rename = os.unlink, os.rename


def _wrap_phase(phase: str, module: Any, name: str) -> None:
    owner_name, _, method = name.rpartition(".")
    owner = getattr(module, owner_name) if owner_name else module
    raw = vars(owner)[method]
    function = raw.__func__ if isinstance(raw, classmethod) else raw

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        here = _state.here
        point = _state.look()
        if point is None or point.phase != phase or here.point is not None:
            return function(*args, **kwargs)
        _state.entries += 1
        if _state.entries != point.entry:
            return function(*args, **kwargs)
        here.point, here.changes = point, 0
        try:
            result = function(*args, **kwargs)
            if here.point is not None and _claim():
                _die("end", "")
            return result
        finally:
            here.point = None

    setattr(owner, method, classmethod(counted) if isinstance(raw, classmethod) else counted)


def _counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        point = _state.here.point
        if point is None or not _is_next(point, name) or not _claim():
            return function(*args, **kwargs)
        where = f"{name} {args[0] if isinstance(args[0], str) else ''}"
        if point.when == "before":
            _die("before", where)
        if point.when == "torn" and name == "write":
            function(args[0], memoryview(args[1]).cast("B")[: len(args[1]) // 2])
            _die("torn", where)
        if point.when == "torn" and name == "writev":
            data = b"".join(args[1])
            os.pwrite(args[0], data[: 2 * len(data) // 3], 0)  # O_APPEND: the offset is ignored
            _die("torn", where)
        result = function(*args, **kwargs)
        _die("after", where)
        return result

    return counted


def _counting_open(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def counted(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        point = _state.here.point
        if point is None or not flags & os.O_CREAT or not _is_next(point, "open") or not _claim():
            return function(path, flags, *args, **kwargs)
        if point.when == "before":
            _die("before", f"open {path}")
        descriptor = function(path, flags, *args, **kwargs)
        _die("after", f"open {path}")
        return descriptor

    return counted


def _is_next(point: Point, name: str) -> bool:
    here = _state.here
    here.changes += 1
    if point.when == "torn":
        return here.changes > point.change and name in ("write", "writev")
    return here.changes - 1 == point.change


def _claim() -> bool:
    """Whether it is this process that dies: not if another one was first, or all is taken back."""
    try:
        _rename(_state.file, _mine())
    except FileNotFoundError:
        _state.here.point = None
        return False
    return True


def _die(when: str, what: str) -> None:
    """Kill this process, which has claimed it."""
    point = _state.here.point
    assert point is not None
    mine = _mine()
    mine.write_text(json.dumps({"phase": point.phase, "when": when, "what": what}))
    _rename(mine, _state.file.with_suffix(".fired"))
    os.kill(os.getpid(), signal.SIGKILL)


def _mine() -> Path:
    return _state.file.with_suffix(f".{os.getpid()}")
