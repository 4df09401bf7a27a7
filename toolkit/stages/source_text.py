"""The code of a function as text in which comments, docstrings and layout do not show."""

import ast
import dis
import functools
import linecache
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_SKIPPED = frozenset(
    ["ctx", "kind", "type_comment", "returns", "annotation", "type_params", "type_ignores"]
)
_known: "weakref.WeakKeyDictionary[types.CodeType, str]" = weakref.WeakKeyDictionary()


def function_text(function: types.FunctionType) -> str:
    """Return the code of a function as text, the same wherever and however it is written down.

    It is read from the source, which outlives versions of Python; where there is none, or where
    the file has been edited since it was loaded, from the instructions that run.
    """
    code = function.__code__
    text = _known.get(code)
    if text is None:
        definition = _definition(code, function.__globals__)
        if definition is None:
            text = instructions_text(code)
        else:
            text = _definition_text(definition, function.__globals__)
        _known[code] = text
    return text


def tree_text(node: Any) -> str:
    """Return a syntax tree as text that is the same in every version of Python that has it."""
    if isinstance(node, ast.AnnAssign) and node.value is not None and node.simple:
        return f"Assign(targets=[{tree_text(node.target)}],value={tree_text(node.value)})"
    if isinstance(node, ast.AST):
        inner = (
            f"{name}={tree_text(value)}"
            for name, value in ast.iter_fields(node)
            if name not in _SKIPPED
            and ((isinstance(node, ast.Constant) and name == "value") or value not in (None, []))
        )
        return f"{type(node).__name__}({','.join(inner)})"
    if isinstance(node, list):
        return f"[{','.join(tree_text(each) for each in node if not _is_idle(each))}]"
    return f"{type(node).__name__}:{node!r}"


def instructions_text(code: types.CodeType) -> str:
    """Return the instructions of a function as text; lines, file and docstring do not show."""
    steps = [s for s in dis.get_instructions(code) if s.opname not in _IDLE]
    ordinal = {step.offset: number for number, step in enumerate(steps)}
    lines = []
    for step in steps:
        if step.opcode in dis.hasconst:
            argument = _constant_text(step.argval)
        elif step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            argument = str(ordinal.get(step.argval, step.arg))
        else:
            argument = repr(step.argval)
        lines.append(f"{step.opname} {argument}")
    flags = code.co_flags & ~0x4000000  # whether it has a docstring
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags)
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return "\n".join([repr(shape), repr(arguments), code.co_exceptiontable.hex(), *lines])


_IDLE = ("CACHE", "EXTENDED_ARG", "NOP", "RESUME")


def _constant_text(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return f"({instructions_text(value)})"
    if isinstance(value, frozenset):
        return f"frozenset{sorted(map(_constant_text, value))}"
    if isinstance(value, tuple):
        return f"({','.join(map(_constant_text, value))})"
    return f"{type(value).__name__}:{value!r}"


def _is_idle(node: Any) -> bool:
    """Whether a statement does nothing: a docstring, another constant alone, ``pass``."""
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant or isinstance(node, ast.Pass)


def _definition_text(definition: Definition, names: Mapping[str, Any]) -> str:
    text = tree_text(definition)
    if isinstance(definition, ast.Lambda) or not definition.decorator_list:
        return text
    kept = [each for each in definition.decorator_list if not _is_ours(each, names)]
    plain = {name: getattr(definition, name) for name in definition._fields}
    return tree_text(type(definition)(**{**plain, "decorator_list": kept}))


def _is_ours(decorator: ast.expr, names: Mapping[str, Any]) -> bool:
    """Whether a decorator is the toolkit's, whose options are no code."""
    node: ast.AST = decorator
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    found = names.get(node.id) if isinstance(node, ast.Name) else None
    module = (
        found.__name__ if isinstance(found, types.ModuleType) else getattr(found, "__module__", "")
    )
    return str(module).partition(".")[0] == "toolkit"


def _definition(code: types.CodeType, names: dict[str, Any]) -> Definition | None:
    """Return where a function is defined in its source, None where that is not what runs."""
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, names))
    if not text:
        return None
    wanted = None
    for definition, compiled in _definitions(text, code.co_name):
        if compiled.co_qualname != code.co_qualname:
            continue
        same = compiled == code or instructions_text(compiled) == (
            wanted := wanted or instructions_text(code)
        )
        if same:
            return definition
    return None


@functools.lru_cache(maxsize=1024)
def _definitions(text: str, name: str) -> tuple[tuple[Definition, types.CodeType], ...]:
    return tuple(each for each in _all_definitions(text) if each[1].co_name == name)


@functools.lru_cache(maxsize=16)
def _all_definitions(text: str) -> tuple[tuple[Definition, types.CodeType], ...]:
    """Return every function of a source with its code, in the order of the source."""
    try:
        tree = ast.parse(text)
        module = compile(text, "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    nodes: dict[tuple[str, int], list[Definition]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            nodes.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            nodes.setdefault(("<lambda>", node.lineno), []).append(node)
    found: list[tuple[Definition, types.CodeType]] = []
    for code in _codes(module):
        among = nodes.get((code.co_name, code.co_firstlineno), [])
        definition = among[0] if len(among) == 1 else _around(among, code)
        if definition is not None:
            found.append((definition, code))
    return tuple(found)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _around(among: list[Definition], code: types.CodeType) -> Definition | None:
    """Return which of several lambdas in a line has this code: the smallest that holds it all."""
    places = [
        (first, column, last, end)
        for first, last, column, end in code.co_positions()
        if first is not None and last is not None and column is not None and end
    ]
    if not places:
        return None
    start = min((first, column) for first, column, _, _ in places)
    stop = max((last, end) for _, _, last, end in places)
    holding = [
        node
        for node in among
        if (node.lineno, node.col_offset) <= start
        and stop <= (node.end_lineno or 0, node.end_col_offset or 0)
    ]
    return max(holding, key=lambda node: (node.lineno, node.col_offset), default=None)
