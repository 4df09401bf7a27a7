"""Constants as text: equal text for equal content, in every process."""

import enum
import hashlib
import random
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from toolkit.stages.own_code import is_own, module_of

_PLAIN = (type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented))
_DRAWING = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
_MOST_OBJECTS = 20_000

CODE = (
    types.FunctionType,
    type,
    types.MethodType,
    types.BuiltinFunctionType,
    types.ModuleType,
    np.ufunc,
)


class Constants:
    """Puts constants into words.

    Parameters
    ----------
    refer
        Returns what a function, class or other callable is known by, and has it looked at.
    changing
        Returns the attributes of an object that its own methods change: these are no constants.
    """

    def __init__(
        self, refer: Callable[[Any], str | None], changing: Callable[[Any], frozenset[str]]
    ) -> None:
        self._refer = refer
        self._changing = changing
        self._known: dict[int, str] = {}
        self._kept: list[Any] = []  # ids are unique among living objects only
        self._objects = 0

    def text(self, value: Any) -> str:
        """Return a constant as text; of what cannot be seen its type."""
        if type(value) in _PLAIN:
            return f"{type(value).__name__}:{value!r}"
        found = self._known.get(id(value))
        if found is None:
            self._kept.append(value)
            self._known[id(value)] = "…"  # what an object that holds itself reads there
            try:
                found = self._described(value)
            except RecursionError:
                found = kind_name(type(value))
            if len(found) > 200:
                found = f"{kind_name(type(value))} {digest(found)}"
            self._known[id(value)] = found
        return found

    def _described(self, value: Any) -> str:
        code = self._refer(value)
        if code is not None:
            return code
        kind = self.text(type(value)) if is_own(type(value)) else kind_name(type(value))
        if isinstance(value, enum.Enum):
            return f"{kind}.{value.name}={self.text(value.value)}"
        if isinstance(value, np.generic | np.ndarray):
            return f"{kind}:{self._array(np.asanyarray(value))}"
        if isinstance(value, list | tuple):
            return f"{kind}:[{self._joined(value)}]{self._fields(value)}"
        if isinstance(value, set | frozenset):
            return f"{kind}:{sorted(map(self.text, sorted(value, key=_order)))}"
        if isinstance(value, Mapping):
            items = (f"{self.text(k)}={self.text(v)}" for k, v in value.items())
            return f"{kind}:{{{','.join(items)}}}{self._fields(value)}"
        for base in (int, float, complex, str, bytes):
            if isinstance(value, base):
                return f"{kind}:{base.__repr__(value)}{self._fields(value)}"
        if isinstance(value, _DRAWING) or hasattr(value, "__next__"):
            return kind  # another one after each use
        if hasattr(value, "detach") and hasattr(value, "numpy"):
            return f"{kind}:{self._array(np.asarray(value.detach().cpu()))}"
        if is_own(type(value)) and not _says_its_state(type(value)):
            return f"{kind}{self._fields(value)}"
        return f"{kind}{self._reduced(value)}"

    def _array(self, array: Any) -> str:
        if array.dtype == object:
            return f"{array.shape}[{self._joined(array.ravel().tolist())}]"
        data = np.ascontiguousarray(np.ma.getdata(array))
        content = (
            data.astype(str).astype("U").tobytes() if data.dtype.kind == "T" else data.tobytes()
        )
        mask = np.ma.getmask(array)
        hidden = (
            "" if mask is np.ma.nomask else f"mask {hashlib.blake2b(mask.tobytes()).hexdigest()}"
        )
        return f"{data.dtype}:{array.shape}:{hashlib.blake2b(content).hexdigest()}{hidden}"

    def _fields(self, value: Any) -> str:
        changing = self._changing(value)
        fields = dict(getattr(value, "__dict__", None) or {})
        for name in _slots(type(value)):
            if hasattr(value, name):
                fields[name] = getattr(value, name)
        kept = {name: each for name, each in fields.items() if name not in changing}
        if not kept:
            return ""
        return "(" + ",".join(f"{name}={self.text(each)}" for name, each in kept.items()) + ")"

    def _reduced(self, value: Any) -> str:
        """Return what an object would be pickled as, in words; nothing where it refuses."""
        self._objects += 1
        if self._objects > _MOST_OBJECTS:
            return ""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001  (any object may refuse in its own way)
            return ""
        if isinstance(reduced, str):
            return f":{reduced}"
        parts = [part if _is_kept(part) else list(part) for part in reduced]
        return f"({self._joined(parts)})"

    def _joined(self, values: Iterable[Any]) -> str:
        return ",".join(map(self.text, values))


def kind_name(kind: Any) -> str:
    """Return the name of a function or class; the user's own without their module."""
    name = getattr(kind, "__qualname__", None) or getattr(kind, "__name__", str(kind))
    return str(name) if is_own(kind) else f"{module_of(kind)}.{name}"


def digest(text: str) -> str:
    """Return a short hash of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _is_kept(part: Any) -> bool:
    """Whether a part of a reduced object is no iterator, which would be used up."""
    return not hasattr(part, "__next__")


def _order(value: Any) -> tuple[str, str]:
    """Order the items of a set in the same way in every process."""
    name = getattr(value, "__qualname__", None)
    return type(value).__qualname__, repr(value) if name is None else str(name)


def _says_its_state(kind: type) -> bool:
    names = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")
    return any(name in vars(base) for base in kind.__mro__ if is_own(base) for name in names)


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        given = vars(base).get("__slots__", ())
        for name in [given] if isinstance(given, str) else given:
            if name not in ("__dict__", "__weakref__"):
                is_hidden = name.startswith("__") and not name.endswith("__")
                yield f"_{base.__name__.lstrip('_')}{name}" if is_hidden else name
