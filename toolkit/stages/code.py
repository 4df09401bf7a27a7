"""The hash of a stage's code: the function and all of the user's own code that it refers to."""

import ast
import enum
import functools
import hashlib
import inspect
import os
import sys
import sysconfig
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.stages.mutation import changed_names


@dataclass(frozen=True, kw_only=True)
class CodeHash:
    """What a stage's results depend on in code.

    Parameters
    ----------
    token
        Equal for equal code.
    parts
        By qualified name of each function, class and constant: a short hash of it alone.
    """

    token: str
    parts: Mapping[str, str] = field(default_factory=dict)

    def changes(self, before: Mapping[str, str]) -> list[str]:
        """Return the names that differ from the parts of an earlier hash, sorted."""
        names = {*self.parts, *before}
        return sorted(name for name in names if self.parts.get(name) != before.get(name))


def code_hash(function: object, *, version: str | None = None) -> CodeHash:
    """Return the hash of a function and of the user's functions, classes and constants it uses.

    Comments, docstrings and layout do not count, nor do installed packages, the standard library,
    data files, and what is looked up by ``getattr`` or imported inside of a function that has not
    yet run.

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
    walk = _Walk()
    walk.visit(_qualified(function), function, is_root=True)
    walk.run()
    # A file is the same whether it runs as __main__ or is loaded under a name.
    own = f"{getattr(function, '__module__', None)}."
    lines = sorted(f"{name.removeprefix(own)} {part}" for name, part in walk.parts.items())
    return CodeHash(token=_digest("\n".join(lines)), parts=dict(sorted(walk.parts.items())))


class _Walk:
    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.seen: set[int] = set()
        self.waiting: list[tuple[str, Any, bool]] = []
        self.kept: list[Any] = []  # ids are unique only among living objects

    def visit(self, name: str, value: Any, *, is_root: bool = False) -> None:
        if id(value) in self.seen and not _is_plain(value):
            return
        self.seen.add(id(value))
        self.kept.append(value)
        self.waiting.append((name, value, is_root))

    def run(self) -> None:
        while self.waiting:
            self._look(*self.waiting.pop())

    def _look(self, name: str, value: Any, is_root: bool) -> None:
        if isinstance(value, types.FunctionType):
            if is_root or _is_users(value.__module__):
                name = _qualified(value)
                self.parts[name] = _digest(_function_text(value))
                self._follow(name, value)
            if (wrapped := getattr(value, "__wrapped__", None)) is not None:
                self.visit(name, wrapped, is_root=is_root)
        elif isinstance(value, type):
            if is_root or _is_users(value.__module__):
                self._class(value)
        elif isinstance(value, functools.partial):
            self.visit(name, value.func, is_root=is_root)
            self._value(f"{name}.arguments", (value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self.visit(name, value.__func__, is_root=is_root)
            self.visit(f"{name}.self", value.__self__)
        elif (wrapped := getattr(value, "__wrapped__", None)) is not None and callable(value):
            self.visit(name, wrapped, is_root=is_root)
        elif isinstance(value, types.ModuleType | types.BuiltinFunctionType | np.ufunc):
            if is_root:
                self.parts[name] = _digest(name)
        else:
            self._value(name, value)

    def _class(self, kind: type) -> None:
        name = _qualified(kind)
        self.parts[name] = _digest(_class_text(kind))
        for base in kind.__bases__:
            self.visit(_qualified(base), base)
        for member in vars(kind).values():
            inner = member
            if isinstance(member, staticmethod | classmethod):
                inner = member.__func__
            elif isinstance(member, property):
                inner = member.fget
            elif isinstance(member, functools.cached_property):
                inner = member.func
            if isinstance(inner, types.FunctionType):
                self._follow(name, inner)

    def _value(self, name: str, value: Any) -> None:
        self.parts[name] = _digest(_value_text(value, set()))
        for inner in _within(value):
            if isinstance(inner, types.FunctionType | type | functools.partial):
                self.visit(_qualified(inner), inner)
            elif _is_users(type(inner).__module__) and not isinstance(inner, type):
                self.visit(_qualified(type(inner)), type(inner))

    def _follow(self, owner: str, function: types.FunctionType) -> None:
        changed = changed_names(function.__code__)
        names = set(_names(function.__code__)) - changed
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if name in changed:
                continue
            try:
                self._refer(f"{owner}.<locals>.{name}", cell.cell_contents, names)
            except ValueError:  # a cell that is still empty
                continue
        module = function.__module__
        for name in sorted(names & function.__globals__.keys()):
            self._refer(f"{module}.{name}", function.__globals__[name], names)
        for name in sorted(names & sys.modules.keys() - function.__globals__.keys()):
            self._refer(name, sys.modules[name], names)
        for position, default in enumerate(function.__defaults__ or ()):
            self.visit(f"{owner}.default{position}", default)
        for name, default in (function.__kwdefaults__ or {}).items():
            self.visit(f"{owner}.default.{name}", default)

    def _refer(self, name: str, value: Any, names: set[str]) -> None:
        if not isinstance(value, types.ModuleType):
            self.visit(name, value)
        elif _is_users(value.__name__) and (id(value), "module") not in self._modules:
            self._modules.add((id(value), "module"))
            # Which attribute belongs to which module is not asked: one too many is harmless.
            for attribute in sorted(names & vars(value).keys()):
                self._refer(f"{value.__name__}.{attribute}", vars(value)[attribute], names)
            self._modules.discard((id(value), "module"))

    @functools.cached_property
    def _modules(self) -> set[tuple[int, str]]:
        return set()


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@functools.lru_cache(maxsize=4096)
def _is_users(module: str | None) -> bool:
    """Whether a module is the user's own: not installed, not Python's, not ours."""
    if module is None:
        return False
    if module == "__main__" or module.startswith("toolkit.demo"):
        return True
    root = module.partition(".")[0]
    if root == "toolkit" or root in sys.stdlib_module_names:
        return False
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if file is None:
        # Notebook cells and modules sent by value have no file; compiled-in ones are Python's.
        return root not in sys.builtin_module_names
    file = os.path.realpath(file)
    return (
        "site-packages" not in file
        and "dist-packages" not in file
        and not file.startswith(_libraries())
    )


@functools.cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(
        os.path.realpath(paths[name]) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if name in paths
    )


def _qualified(value: Any) -> str:
    while isinstance(value, functools.partial):
        value = value.func
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    module = getattr(value, "__module__", None) or type(value).__module__
    return f"{module}.{name}"


def _function_text(function: types.FunctionType) -> str:
    if function.__name__ == "<lambda>":
        return _lambda_text(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return _code_text(function.__code__)
    definition = tree.body[0] if tree.body else None
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        return _code_text(function.__code__)
    definition.decorator_list = [
        decorator
        for decorator in definition.decorator_list
        if not _is_ours(decorator, function.__globals__)
    ]
    return _tree_text(_without_docstrings(definition))


def _lambda_text(function: types.FunctionType) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return _code_text(function.__code__)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return _tree_text(found[0]) if len(found) == 1 else _code_text(function.__code__)


def _class_text(kind: type) -> str:
    try:
        return _tree_text(_without_docstrings(ast.parse(textwrap.dedent(inspect.getsource(kind)))))
    except (OSError, TypeError, SyntaxError, ValueError):
        members = (
            f"{name} {_code_text(member.__code__)}"
            if isinstance(member, types.FunctionType)
            else f"{name} {_value_text(member, set())}"
            for name, member in sorted(vars(kind).items())
            if not name.startswith("__") or isinstance(member, types.FunctionType)
        )
        return "\n".join(members)


def _is_ours(decorator: ast.expr, names: Mapping[str, Any]) -> bool:
    """Whether a decorator is the toolkit's, whose options do not change what is computed."""
    node: ast.AST = decorator
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    found = names.get(node.id) if isinstance(node, ast.Name) else None
    module = (
        found.__name__ if isinstance(found, types.ModuleType) else getattr(found, "__module__", "")
    )
    return str(module).partition(".")[0] == "toolkit"


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _tree_text(node: Any) -> str:
    """Return a syntax tree as text that is the same in every version of Python that has it."""
    if isinstance(node, ast.AST):
        inner = (
            f"{name}={_tree_text(value)}"
            for name, value in ast.iter_fields(node)
            if (isinstance(node, ast.Constant) and name == "value")
            or (name not in ("ctx", "kind", "type_comment") and value not in (None, []))
        )
        return f"{type(node).__name__}({','.join(inner)})"
    if isinstance(node, list):
        return f"[{','.join(map(_tree_text, node))}]"
    return f"{type(node).__name__}:{node!r}"


def _code_text(code: types.CodeType) -> str:
    constants = [
        _code_text(constant) if isinstance(constant, types.CodeType) else repr(constant)
        for constant in code.co_consts
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(
        value, bool | int | float | complex | str | bytes | tuple | frozenset
    )


def _kind(value: Any) -> str:
    """Return the name of a function or class; the user's without their module."""
    return str(value.__qualname__) if _is_users(value.__module__) else _qualified(value)


def _value_text(value: Any, above: set[int]) -> str:
    """Return a constant as text; of objects that are no plain data their type and plain fields."""
    kind = _kind(type(value))
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | range):
        return f"{kind}:{value!r}"
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        data = np.ascontiguousarray(value)
        content = data.astype(str).tobytes() if data.dtype.kind == "T" else data.tobytes()
        return f"{kind}:{value.dtype}:{value.shape}:{hashlib.blake2b(content).hexdigest()}"
    if isinstance(value, types.FunctionType | type):
        return _kind(value)
    if isinstance(value, types.BuiltinFunctionType):
        return _qualified(value)
    if isinstance(value, enum.Enum):
        return f"{kind}:{value.name}"
    if id(value) in above:
        return f"{kind}:…"
    above = above | {id(value)}
    if isinstance(value, list | tuple):
        return f"{kind}:[{','.join(_value_text(item, above) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"{kind}:{sorted(_value_text(item, above) for item in value)}"
    if isinstance(value, Mapping):
        items = (f"{_value_text(k, above)}={_value_text(v, above)}" for k, v in value.items())
        return f"{kind}:{{{','.join(items)}}}"
    if _is_users(type(value).__module__) and hasattr(value, "__dict__"):
        return f"{kind}:{_value_text(vars(value), above)}"
    return kind


def _within(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, Mapping):
        yield from value.values()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
