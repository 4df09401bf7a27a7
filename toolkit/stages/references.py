"""What the code of a function refers to, and what it changes, read from its instructions."""

import dis
import functools
import types
from dataclasses import dataclass

_CHANGING = frozenset(
    [
        *("append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse"),
        *("add", "discard", "update", "setdefault", "appendleft", "popleft"),
    ]
)
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_OUTER = (*_GLOBALS, "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_STORES = ("STORE_GLOBAL", "STORE_DEREF", "STORE_NAME", "DELETE_GLOBAL")
_ATTRIBUTES = ("LOAD_METHOD", "LOAD_ATTR")
_ASSIGNS = ("STORE_SUBSCR", "DELETE_SUBSCR", "COPY")

Path = tuple[str, ...]


@dataclass(frozen=True)
class References:
    """What code refers to, with the code of functions inside of it.

    Parameters
    ----------
    paths
        Global names with the attributes taken of them: ``("helper", "rates", "growth")``.
    names
        All names of globals and attributes.
    imports
        Module name, level and what is taken from it, of each import inside.
    changed
        Outer names that are bound anew, or whose list, set or dict is changed in place.
    changed_attributes
        Attributes that are set, or changed in place, with the outer name or the first argument
        whose attributes they are.
    """

    paths: frozenset[Path]
    names: frozenset[str]
    imports: frozenset[tuple[str, int, tuple[str, ...]]]
    changed: frozenset[str]
    changed_attributes: frozenset[tuple[str, str]]


def changed_names(code: types.CodeType) -> frozenset[str]:
    """Return the outer names that code binds anew, or whose list, set or dict it changes.

    A counter or a log that a function keeps differs after each call, though its code does not.

    Examples
    --------
    >>> calls, scale = [], 2
    >>> def model(x):
    ...     calls.append(x)
    ...     return scale * x
    >>> changed_names(model.__code__)
    frozenset({'calls'})
    """
    return references(code).changed


@functools.lru_cache(maxsize=4096)
def references(code: types.CodeType) -> References:
    """Return what code refers to, and what it changes."""
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("CACHE", "PUSH_NULL", "NOP")]
    paths, changed = set[Path](), set[str]()
    imports, attributes = set[tuple[str, int, Path]](), set[tuple[str, str]]()
    itself = code.co_varnames[0] if code.co_argcount else None
    for at, step in enumerate(steps):
        name = _loaded(step)
        is_outer = step.opname in _OUTER
        if step.opname in _STORES:
            changed.add(str(step.argval))
        elif step.opname == "IMPORT_NAME":
            taken = tuple(steps[at - 1].argval or ())
            imports.add((str(step.argval), int(steps[at - 2].argval), taken))
        elif is_outer or (name is not None and name == itself):
            assert name is not None
            chain = _chain(steps, at + 1)
            if step.opname in _GLOBALS:
                paths.add((name, *chain))
            if is_outer and _is_changed(steps, at + 1):
                changed.add(name)
            if (attribute := _changed_attribute(steps, at + 1)) is not None:
                attributes.add((name, attribute))
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = references(constant)
            paths |= inner.paths
            names |= inner.names
            imports |= inner.imports
            changed |= inner.changed - set(constant.co_varnames)
            attributes |= inner.changed_attributes
    changed -= set(code.co_cellvars)
    return References(
        paths=frozenset(paths),
        names=frozenset(names),
        imports=frozenset(imports),
        changed=frozenset(changed),
        changed_attributes=frozenset(attributes),
    )


def _loaded(step: dis.Instruction) -> str | None:
    """Return the variable that a step puts on top of the stack, None where it loads none."""
    if step.opname in _OUTER:
        return str(step.argval)
    if step.opname.startswith(("LOAD_FAST", "STORE_FAST_LOAD_FAST")):
        found = step.argval
        return str(found[-1] if isinstance(found, tuple) else found)
    return None


def _chain(steps: list[dis.Instruction], at: int) -> Path:
    found = []
    while at < len(steps) and steps[at].opname in _ATTRIBUTES:
        found.append(str(steps[at].argval))
        at += 1
    return tuple(found)


def _is_changed(steps: list[dis.Instruction], at: int) -> bool:
    """Whether what is on top of the stack before a step is changed in place."""
    after, later = [*steps[at : at + 2], None, None][:2]
    if after is None:
        return False
    if after.opname in _ATTRIBUTES and after.argval in _CHANGING:
        return True
    return later is not None and later.opname in _ASSIGNS and after.opname.startswith("LOAD_")


def _changed_attribute(steps: list[dis.Instruction], at: int) -> str | None:
    """Return the attribute, of what is on top of the stack, that is set or changed in place."""
    after, later = [*steps[at : at + 2], None, None][:2]
    if after is None:
        return None
    if after.opname in ("STORE_ATTR", "DELETE_ATTR"):
        return str(after.argval)
    if later is not None and after.opname == "COPY" and later.opname == "LOAD_ATTR":
        return str(later.argval)
    if after.opname in _ATTRIBUTES and _is_changed(steps, at + 1):
        return str(after.argval)
    return None
