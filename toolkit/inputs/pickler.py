"""Objects into a head and buffers; arrays and tensors become buffers, wherever they are."""

import hashlib
import io
import pickle
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np

from toolkit.errors import FrozenError
from toolkit.inputs import arrays, tensors
from toolkit.inputs.content import digest_of
from toolkit.inputs.own_modules import own_modules_by_value

_SMALL = 512  # bytes below which an array stays in the head, read-only as bytes are

Data = Any
"""What a reduced array refers to: a PickleBuffer, or bytes."""
Store = Callable[[np.ndarray[Any, Any], bool], Data]


@dataclass(frozen=True, kw_only=True)
class Pickled:
    """An object in parts.

    Parameters
    ----------
    head
        The pickle.
    buffers
        Its buffers, each contiguous bytes.
    digests
        Their hashes.
    is_writable
        For each buffer whether it is a tensor's, to be mapped copy-on-write.
    identity
        Equal for equal content in every process, where pickles may differ: those of sets do, and
        those of classes that go by value.
    """

    head: bytes
    buffers: list[memoryview]
    digests: list[bytes]
    is_writable: list[bool]
    identity: str


def pickled(value: object, name: str) -> Pickled:
    """Take an object apart.

    Raises
    ------
    FrozenError
        If it cannot be pickled.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        with own_modules_by_value():
            pickler.dump(value)
    except Exception as error:
        if isinstance(error, FrozenError):
            raise
        raise FrozenError(
            f"{name} cannot be frozen, because it cannot be pickled: "
            f"{type(error).__name__}: {error}. Freeze what it is made from, such as its arrays."
        ) from error
    views = [buffer.raw() for buffer in pickler.buffers]
    digests = [digest_of(view) for view in views]
    known = {_place(view): digest for view, digest in zip(views, digests, strict=True)}
    return Pickled(
        head=file.getvalue(),
        buffers=views,
        digests=digests,
        is_writable=[id(buffer) in pickler.writable for buffer in pickler.buffers],
        identity=_identity(value, pickler.computed, known) or "",
    )


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self.writable: set[int] = set()
        self.computed: dict[int, tuple[object, object]] = {}  # lazy objects and what they became
        super().__init__(file, protocol=5, buffer_callback=self.buffers.append)

    def reducer_override(self, value: Any) -> Any:
        reduced = _reduce(value, self._store, self.computed)
        return super().reducer_override(value) if reduced is NotImplemented else reduced

    def _store(self, data: np.ndarray[Any, Any], is_writable: bool) -> Data:
        if data.nbytes <= _SMALL:
            return data.tobytes()
        buffer = pickle.PickleBuffer(data.data)
        if is_writable:
            self.writable.add(id(buffer))
        return buffer


class _Identity(pickle.Pickler):
    """Writes what decides about equality: buffers as hashes, classes by name, sets in order."""

    def __init__(
        self,
        file: Any,
        computed: dict[int, tuple[object, object]],
        known: dict[tuple[int, int], bytes],
    ) -> None:
        self.computed, self.known = computed, known
        super().__init__(file, protocol=5)

    def persistent_id(self, value: Any) -> Any:
        kind = type(value)
        if kind is set or kind is frozenset:
            return kind.__name__, sorted(value, key=_order)
        if isinstance(value, type):
            return "class", value.__qualname__
        if kind is types.FunctionType:
            return "function", value.__qualname__, value.__code__.co_code
        if kind is types.ModuleType:
            return "module", value.__name__
        return None

    def reducer_override(self, value: Any) -> Any:
        return _reduce(value, self._store, self.computed)

    def _store(self, data: np.ndarray[Any, Any], is_writable: bool) -> Data:  # noqa: ARG002
        if data.nbytes <= _SMALL:
            return data.tobytes()
        # An array that had to be copied is copied again, and lies elsewhere.
        return self.known.get(_place(data.data)) or digest_of(data.data)


class _Hash:
    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=20)

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _identity(
    value: object,
    computed: dict[int, tuple[object, object]],
    known: dict[tuple[int, int], bytes],
) -> str | None:
    """Return the hash of the content, None for what only cloudpickle can take apart."""
    file = _Hash()
    try:
        _Identity(file, computed, known).dump(value)
    except Exception:  # noqa: BLE001 - sets that hold themselves, and whatever else refuses
        return None
    return file.hexdigest()


def _place(view: memoryview) -> tuple[int, int]:
    return (np.frombuffer(view, np.uint8).ctypes.data if view.nbytes else 0), view.nbytes


def _order(item: object) -> tuple[str, str]:
    return type(item).__qualname__, repr(item)


def _reduce(value: Any, store: Store, computed: dict[int, tuple[object, object]]) -> Any:
    """Return how an array or tensor is pickled, NotImplemented for other objects."""
    if isinstance(value, np.ndarray):
        return arrays.reduce(value, store)
    if tensors.is_tensor(value):
        data = store(tensors.as_bytes(value), True)
        return tensors.rebuild, (data, *tensors.describe(value))
    if hasattr(type(value), "__dask_graph__"):
        return _reduce_lazy(value, computed)
    return NotImplemented


def _reduce_lazy(value: Any, computed: dict[int, tuple[object, object]]) -> Any:
    """Have what is read from files or computed by Dask in memory: a path is no content."""
    if not _is_of_xarray(value):
        raise FrozenError(
            f"A {type(value).__name__} of Dask has no values yet. Freeze its .compute()."
        )
    if id(value) not in computed:
        loaded = value.compute()
        computed[id(value)], computed[id(loaded)] = (value, loaded), (loaded, loaded)
    _, loaded = computed[id(value)]
    return NotImplemented if loaded is value else (arrays.same, (loaded,))


def _is_of_xarray(value: object) -> bool:
    return any(kind.__module__.startswith("xarray.") for kind in type(value).__mro__)
