"""What this process holds of frozen inputs: each loaded once, let go with its last handle."""

import contextlib
import mmap
import os
import pickle
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from toolkit.errors import FrozenError
from toolkit.inputs import folder, tensors
from toolkit.inputs.content import check, read_layout

Fetch = Callable[[str, int, int], None]
"""Brings a file to this machine: takes token, size in bytes, and an open descriptor."""

loads: Counter[str] = Counter()
downloads: Counter[str] = Counter()
"""How often this process loaded and downloaded which token."""

_entries: dict[str, "_Entry"] = {}
_fetchers: dict[str, list[Fetch]] = {}
_lock = threading.Lock()
_gone: deque[str] = deque()


@dataclass(eq=False)
class Loaded:
    """An object with what watches over it.

    Parameters
    ----------
    value
        The object.
    maps
        The mapped file, read-only and copy-on-write; arrays lie in these.
    watch
        Notices that its tensors were written to.
    """

    value: Any
    maps: tuple[mmap.mmap, ...]
    watch: tensors.Watch


@dataclass(eq=False)
class _Entry:
    token: str
    handles: int = 0
    claim: int | None = None
    is_trusted: bool = False  # this process has written or checked the file that it has claimed
    loaded: Loaded | None = None
    on_devices: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def hold(token: str) -> None:
    """Count a handle in; :func:`let_go` counts it out."""
    with _exclusively():
        _entries.setdefault(token, _Entry(token)).handles += 1


def let_go(token: str, process: int) -> None:
    """Count a handle out. With the last, the object is dropped and the file given up.

    May be called by the garbage collector at any moment, also while this thread is in here.
    """
    if process == os.getpid():
        _gone.append(token)
        _settle()


def keep(token: str, descriptor: int) -> None:
    """Take over the claim on a file whose content was written or checked by this process."""
    with _entry(token).lock:
        entry = _entry(token)
        if entry.claim is not None:
            os.close(descriptor)
            return
        entry.claim, entry.is_trusted = descriptor, True


def has_claim(token: str) -> bool:
    """Whether this process has the content, written or checked, and keeps the file."""
    entry = _entries.get(token)
    return entry is not None and entry.claim is not None and entry.is_trusted


def load(token: str, nbytes: int, name: str) -> Loaded:
    """Return the object, loaded now or before.

    Raises
    ------
    FrozenError
        If it is neither on this machine nor can be fetched.
    """
    entry = _entry(token)
    with entry.lock:
        if entry.loaded is None:
            entry.loaded = _load(entry, nbytes, name)
            loads[token] += 1
        return entry.loaded


def load_on_device(token: str, nbytes: int, name: str, device: object) -> Any:
    """Return the copy on a device, made once."""
    value = load(token, nbytes, name).value
    entry = _entry(token)
    with entry.lock:
        if str(device) not in entry.on_devices:
            try:
                entry.on_devices[str(device)] = tensors.on_device(value, device)
            except TypeError as error:
                raise FrozenError(f"{name}: {error}.") from error
        return entry.on_devices[str(device)]


def drop(token: str) -> None:
    """Forget the object, which was written to: the next to ask loads it again."""
    entry = _entry(token)
    with entry.lock:
        entry.loaded = None
        entry.on_devices.clear()


def read(token: str, offset: int, length: int) -> bytes:
    """Return a piece of a file that this process keeps.

    Raises
    ------
    FrozenError
        If it keeps no such file.
    """
    entry = _entries.get(token)
    if entry is None or entry.claim is None:
        raise FrozenError(f"the frozen input {token} is not kept by this process any more")
    return os.pread(entry.claim, length, offset)


def inputs_around(array: Any) -> set[str]:
    """Return the tokens whose mapped files hold the memory of an array."""
    owner = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    found = set()
    for token, entry in list(_entries.items()):
        loaded = entry.loaded
        if loaded is not None and any(owner is each for each in loaded.maps):
            found.add(token)
    return found


def add_fetcher(token: str, fetch: Fetch) -> None:
    """Have a file fetched where this machine lacks it."""
    with _exclusively():
        _fetchers.setdefault(token, []).append(fetch)


def remove_fetcher(token: str, fetch: Fetch) -> None:
    """Forget a fetcher."""
    with _exclusively():
        with contextlib.suppress(KeyError, ValueError):
            _fetchers[token].remove(fetch)
        if not _fetchers.get(token):
            _fetchers.pop(token, None)


def _load(entry: _Entry, nbytes: int, name: str) -> Loaded:
    claimed = entry.claim is not None or _claim(entry, nbytes)
    if not claimed:
        _fetch(entry, nbytes, name)
    assert entry.claim is not None
    try:
        return _mapped(entry.claim, entry.token, nbytes, is_trusted=entry.is_trusted)
    except FrozenError:
        raise
    except Exception as error:
        raise FrozenError(
            f"Frozen input {name} cannot be loaded here: {type(error).__name__}: {error}."
        ) from error


def _claim(entry: _Entry, nbytes: int) -> bool:
    """Claim the file on this machine if it is there and right; a wrong one is removed."""
    descriptor = claim_checked(entry.token, nbytes)
    if descriptor is None:
        return False
    entry.claim, entry.is_trusted = descriptor, True
    return True


def claim_checked(token: str, nbytes: int) -> int | None:
    """Claim the file of a token, if it is this user's alone and its every byte is right.

    What is there and is not right is removed, and nothing of it is unpickled.
    """
    path = folder.path_of(token)
    try:
        descriptor = folder.claim(path)
    except FrozenError:
        folder.discard(path)
        return None
    if descriptor is None:
        return None
    try:
        _check(descriptor, token, nbytes)
    except FrozenError:
        os.close(descriptor)
        folder.discard(path)
        return None
    return descriptor


def _fetch(entry: _Entry, nbytes: int, name: str) -> None:
    """Download the file, unless another process of this machine is doing it: then wait for it."""
    token = entry.token
    with folder.alone(token):
        if _claim(entry, nbytes):
            return
        folder.sweep()
        problems = []
        for fetch in list(_fetchers.get(token, ())):
            try:
                with folder.new_file(token) as descriptor:
                    fetch(token, nbytes, descriptor)
                    _check(descriptor, token, nbytes)
            except Exception as error:  # noqa: BLE001 - another driver may still have it
                problems.append(f"{type(error).__name__}: {error}")
                continue
            downloads[token] += 1
            entry.claim, entry.is_trusted = descriptor, True
            return
    tried = "; ".join(problems) or "and there is no driver to fetch it from"
    raise FrozenError(
        f"Frozen input {name} ({nbytes:,} bytes) is not in {folder.folder()}: {tried}. Handles "
        "serve the sweep that they were given to; freeze the object again."
    )


def _check(descriptor: int, token: str, nbytes: int) -> None:
    size = os.fstat(descriptor).st_size
    if size != nbytes:
        raise FrozenError(f"it has {size:,} bytes where {nbytes:,} are expected")
    # Not closed by hand: the traceback of a refusal may still refer to parts of it.
    check(memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)), token, nbytes)


def _mapped(descriptor: int, token: str, nbytes: int, *, is_trusted: bool) -> Loaded:
    shared = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    view = memoryview(shared)
    layout = read_layout(view) if is_trusted else check(view, token, nbytes)
    maps = [shared]
    private = view
    if any(writable for _, _, writable in layout.entries):
        maps.append(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
        private = memoryview(maps[1])
    buffers = [
        (private if writable else view)[start : start + size]
        for start, size, writable in layout.entries
    ]
    tensors.begin_watch()
    value = pickle.loads(layout.head, buffers=buffers)
    return Loaded(value=value, maps=tuple(maps), watch=tensors.end_watch())


def _entry(token: str) -> _Entry:
    with _exclusively():
        return _entries.setdefault(token, _Entry(token))


@contextlib.contextmanager
def _exclusively() -> Iterator[None]:
    with _lock:
        yield
    _settle()


def _settle() -> None:
    """Count out the handles that are gone, unless somebody is in here: who leaves does it."""
    while _gone:
        if not _lock.acquire(blocking=False):
            return
        try:
            finished = _count_out()
        finally:
            _lock.release()
        for entry in finished:
            _give_up(entry)


def _count_out() -> list[_Entry]:
    finished = []
    while _gone:
        entry = _entries.get(_gone.popleft())
        if entry is None:
            continue
        entry.handles -= 1
        if entry.handles <= 0:
            finished.append(_entries.pop(entry.token))
    return finished


def _give_up(entry: _Entry) -> None:
    entry.loaded = None
    entry.on_devices.clear()
    claim, entry.claim = entry.claim, None
    if claim is not None:
        with contextlib.suppress(FrozenError):
            folder.give_up(claim, folder.path_of(entry.token))


def _after_fork() -> None:
    """Leave the claims of the parent alone: a child makes its own."""
    global _lock
    _lock = threading.Lock()
    for entry in _entries.values():
        if entry.claim is not None:
            os.close(entry.claim)
    _entries.clear()
    _gone.clear()


os.register_at_fork(after_in_child=_after_fork)
