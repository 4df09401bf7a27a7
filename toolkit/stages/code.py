"""The hash of a stage's code: the function and all of the user's own code that it refers to."""

import functools
import types
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from toolkit.stages.class_parts import Member, changes_itself, members_of
from toolkit.stages.constants import CODE, Constants, digest, kind_name
from toolkit.stages.own_code import imported_by, is_own, is_own_module, module_of
from toolkit.stages.references import Path, References, references
from toolkit.stages.source_text import function_text


@dataclass(frozen=True, kw_only=True)
class CodeHash:
    """What a stage's results depend on in code.

    Parameters
    ----------
    token
        Equal for equal code.
    parts
        By name of each function, class and constant: a short hash of it alone. Names of the
        function's own module stand without it: ``growth_rate``, ``Model.step``, ``helper.RATE``.
    """

    token: str
    parts: Mapping[str, str] = field(default_factory=dict)

    def changes(self, before: Mapping[str, str]) -> list[str]:
        """Return the names that differ from the parts of an earlier hash, sorted."""
        names = {*self.parts, *before}
        return sorted(name for name in names if self.parts.get(name) != before.get(name))


@runtime_checkable
class KnowsItsCode(Protocol):
    """A callable of this package that says itself what its results depend on."""

    def toolkit_code_parts(self) -> Mapping[str, str]:
        """Return a short hash of each thing that counts, by its name."""


def code_hash(function: object, *, version: str | None = None) -> CodeHash:
    """Return the hash of a function and of the user's functions, classes and constants it uses.

    Comments, docstrings, annotations of functions and layout do not count, nor do installed
    packages, the standard library, data files, and what is looked up by ``getattr``.

    Parameters
    ----------
    function
        Any callable.
    version
        Replaces the hash.

    Examples
    --------
    >>> code_hash(len, version="2").token
    'version:2'
    """
    if version is not None:
        return CodeHash(token=f"version:{version}", parts={"version=": version})
    if isinstance(function, KnowsItsCode):
        parts = dict(sorted(function.toolkit_code_parts().items()))
        return CodeHash(token=digest(repr(parts)), parts=parts)
    first = _Walk(function, _Changing())
    first.run()
    if first.changing.is_empty:
        walk = first
    else:  # what some part changes is no constant of any
        walk = _Walk(function, first.changing)
        walk.run()
    lines = (f"{name} {part}" for name, part in sorted(walk.parts.items()))
    return CodeHash(token=digest("\n".join(lines)), parts=dict(sorted(walk.parts.items())))


class _Changing:
    """What the code that was looked at changes itself; by identity of what it belongs to."""

    def __init__(self) -> None:
        self.names: set[tuple[int, str]] = set()  # of globals (a module's dict) and cells
        self.attributes: dict[int, set[str]] = {}  # of objects and classes
        self.called: set[str] = set()  # names by which methods may be called
        self.methods: dict[int, list[tuple[str, frozenset[str]]]] = {}  # of classes

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of the kind."""
        return not (self.names or self.attributes or any(self.methods.values()))

    def of(self, value: Any) -> frozenset[str]:
        """Return the attributes of an object that change as it is used."""
        found = set(self.attributes.get(id(value), ()))
        for base in type(value).__mro__:
            found |= self.attributes.get(id(base), set())
            for name, attributes in self.methods.get(id(base), ()):
                if name in self.called or (name.startswith("__") and name.endswith("__")):
                    found |= attributes
        return frozenset(found)


class _Walk:
    """Looks at a function and all that it refers to; every part gets a name and a hash."""

    def __init__(self, root: object, changing: _Changing) -> None:
        self.parts: dict[str, str] = {}
        self.known = changing
        self.changing = _Changing()
        self._root = root
        self._home = module_of(_innermost(root))
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._waiting: deque[tuple[str, Any]] = deque()
        self._kept: list[Any] = []
        self._constants = Constants(self._refer, changing.of)

    def run(self) -> None:
        """Look at everything."""
        text = self._constants.text(self._root)
        if not isinstance(self._root, types.FunctionType | type):
            self.parts[f"{kind_name(_innermost(self._root))} as given"] = digest(text)
        while self._waiting:
            name, value = self._waiting.popleft()
            if isinstance(value, type):
                self._class(name, value)
            else:
                self._function(name, value)

    def _refer(self, value: Any) -> str | None:
        """Return the name of code, which is then looked at if it is the user's; None for others."""
        if isinstance(value, types.FunctionType):
            if is_own(value) or value is self._root:
                return self._node(value)
            return self._library_function(value)
        if isinstance(value, type):
            return self._node(value) if is_own(value) else kind_name(value)
        if isinstance(value, functools.partial):
            inner = map(self._constants.text, (value.func, value.args, value.keywords))
            return f"partial({','.join(inner)})"
        if isinstance(value, types.MethodType):
            return (
                f"{self._constants.text(value.__func__)} of {self._constants.text(value.__self__)}"
            )
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            bound = owner is not None and not isinstance(owner, types.ModuleType)
            return kind_name(value) + (f" of {self._constants.text(owner)}" if bound else "")
        if isinstance(value, CODE):
            return str(value.__name__)
        if callable(value) and isinstance(inner := _wrapped(value), types.FunctionType | type):
            ours = type(value).__module__.partition(".")[0] == "toolkit"
            return (
                self._constants.text(inner)
                if ours
                else (f"{kind_name(type(value))}({self._constants.text(inner)})")
            )
        if isinstance(value, _BY_NAME):
            return str(value.__qualname__)
        return None

    def _library_function(self, value: types.FunctionType) -> str:
        """Return the name of a library's function; where it wraps the user's, with these."""
        inside = [getattr(value, "__wrapped__", None), *_cell_contents(value)]
        registry = getattr(value, "registry", None)  # functools.singledispatch
        if isinstance(registry, Mapping):
            inside += registry.values()
        own = [each for each in inside if isinstance(each, types.FunctionType | type)]
        names = list(dict.fromkeys(self._constants.text(each) for each in own if is_own(each)))
        name = f"{module_of(value)}.{value.__code__.co_qualname}"
        return f"{name}({','.join(names)})" if names else name

    def _node(self, value: Any) -> str:
        """Return the one name of a function or class, and have it looked at."""
        name = self._names.get(id(value))
        if name is None:
            is_function = isinstance(value, types.FunctionType)
            plain = value.__code__.co_qualname if is_function else value.__qualname__
            name = self._unused(self._shown(module_of(value), plain))
            self._names[id(value)] = name
            self._kept.append(value)
            self._waiting.append((name, value))
        return name

    def _shown(self, module: str, name: str) -> str:
        name = name.replace("<locals>.", "")
        return name if module == self._home else f"{module}.{name}"

    def _unused(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}#{number}"
        self._taken.add(found)
        return found

    def _constant(self, name: str, value: Any) -> str:
        """Note a constant; return the name by which code is known, and that of other things."""
        if isinstance(value, types.FunctionType | type):
            return self._constants.text(value)
        self.parts[name] = digest(self._constants.text(value))
        return name

    def _function(self, name: str, function: types.FunctionType) -> None:
        refers = references(function.__code__)
        self._note_changes(function, refers)
        edges = self._globals(function, refers)
        edges |= self._outer(name, function, refers)
        edges |= self._defaults(name, function)
        wrapped = getattr(function, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType | type):
            edges["__wrapped__"] = self._constants.text(wrapped)
        changing = self.known.of(function)
        for attribute, value in vars(function).items():
            if attribute not in changing and attribute != "__wrapped__":
                edges[attribute] = self._constant(f"{name}.{attribute}", value)
        lines = (f"{path}={target}" for path, target in sorted(edges.items()))
        self.parts[name] = digest("\n".join([function_text(function), *lines]))

    def _note_changes(self, function: types.FunctionType, refers: References) -> None:
        self.changing.called |= refers.names
        cells = _cells(function)
        for name in refers.changed:
            if name in cells:
                self.changing.names.add((id(cells[name]), ""))
            else:
                self.changing.names.add((id(function.__globals__), name))
        for name, attribute in refers.changed_attributes:
            holder = function.__globals__.get(name)
            if name in cells:
                holder = _contents(cells[name])
            if holder is not None:
                self.changing.attributes.setdefault(id(holder), set()).add(attribute)
                self._kept.append(holder)

    def _globals(self, function: types.FunctionType, refers: References) -> dict[str, str]:
        names = function.__globals__
        edges: dict[str, str] = {}
        for path in sorted(refers.paths):
            if path[0] not in names or self._is_changing(names, path[0]):
                continue
            self._follow(module_of(function), names[path[0]], path, refers, edges)
        package = names.get("__package__")
        for name, level, taken in sorted(refers.imports):
            module = imported_by(name, level, package)
            if module is not None:
                for each in taken or sorted(refers.names & vars(module).keys()):
                    value = imported_by(f"{name}.{each}" if name else each, level, package)
                    found = vars(module).get(each, value)
                    self._follow(module.__name__, found, (each,), refers, edges)
        return edges

    def _follow(
        self, module: str, value: Any, path: Path, refers: References, edges: dict[str, str]
    ) -> None:
        """Follow a name with its attributes through the user's modules to what it stands for."""
        for at, name in enumerate(path):
            if not isinstance(value, types.ModuleType):
                shown = self._shown(module, name)
                edges[".".join(path[: at + 1])] = self._constant(shown, value)
                return
            if not is_own_module(value.__name__, getattr(value, "__file__", None)):
                return
            if at + 1 == len(path):
                break
            module, held = value.__name__, vars(value)
            if path[at + 1] not in held or self._is_changing(held, path[at + 1]):
                return
            value = held[path[at + 1]]
        # The module itself is used, in ways that are not seen: all its names that occur count.
        if isinstance(value, types.ModuleType) and len(path) < _DEEPEST:
            for name in sorted(refers.names & vars(value).keys()):
                inner = vars(value)[name]
                if inner is not value:
                    self._follow(value.__name__, inner, (*path, name)[-1:], refers, edges)

    def _is_changing(self, names: dict[str, Any], name: str) -> bool:
        """Whether code that was looked at changes what a global name stands for."""
        return (id(names), name) in self.known.names and not isinstance(names[name], CODE)

    def _outer(
        self, owner: str, function: types.FunctionType, refers: References
    ) -> dict[str, str]:
        edges: dict[str, str] = {}
        for name, cell in _cells(function).items():
            value = _contents(cell)
            if value is None and not _is_filled(cell):
                continue
            if isinstance(value, types.ModuleType):
                self._follow(value.__name__, value, (name,), refers, edges)
            elif (id(cell), "") not in self.known.names or isinstance(value, CODE):
                edges[name] = self._constant(f"{owner}.{name}", value)
        return edges

    def _defaults(self, owner: str, function: types.FunctionType) -> dict[str, str]:
        code = function.__code__
        given = function.__defaults__ or ()
        names = code.co_varnames[code.co_argcount - len(given) : code.co_argcount]
        defaults = {**dict(zip(names, given, strict=True)), **(function.__kwdefaults__ or {})}
        return {
            f"default {name}": self._constant(f"{owner}.{name}", value)
            for name, value in defaults.items()
        }

    def _class(self, name: str, kind: type) -> None:
        methods = self.changing.methods.setdefault(id(kind), [])
        changing = self.known.of(kind) | self.known.attributes.get(id(kind), set())
        lines = [f"base {self._constants.text(base)}" for base in kind.__bases__]
        if is_own(type(kind)):
            lines.append(f"made by {self._constants.text(type(kind))}")
        for member in members_of(kind):
            if isinstance(member.value, types.FunctionType):
                methods.append((member.name, changes_itself(member)))
            lines.append(f"{member.kind} {member.name} {self._member(name, member, changing)}")
        self.parts[name] = digest("\n".join(lines))

    def _member(self, owner: str, member: Member, changing: frozenset[str] | set[str]) -> str:
        if isinstance(member.value, types.FunctionType | type):
            return self._constants.text(member.value)
        if member.name in changing:
            return ""
        return self._constant(f"{owner}.{member.name}", member.value)


_DEEPEST = 6
_BY_NAME = (types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType)


def _wrapped(value: Any) -> Any:
    found = getattr(value, "__wrapped__", None)
    return getattr(value, "py_func", None) if found is None else found


def _innermost(value: Any) -> Any:
    """Return the function or class that a callable is about."""
    while True:
        if isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, types.MethodType):
            value = value.__func__
        elif not (is_own(value) if isinstance(value, types.FunctionType | type) else False) and (
            _wrapped(value) is not None
        ):
            value = _wrapped(value)
        else:
            break
    if isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
        return value
    return type(value)


def _cells(function: types.FunctionType) -> dict[str, types.CellType]:
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (to look at it is the question)
    except ValueError:
        return False
    return True


def _contents(cell: types.CellType) -> Any:
    return cell.cell_contents if _is_filled(cell) else None


def _cell_contents(function: types.FunctionType) -> list[Any]:
    return [_contents(cell) for cell in _cells(function).values()]
