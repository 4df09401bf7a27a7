"""Which outer names a function changes itself: these are no constants of its code."""

import dis
import types

_CHANGING = frozenset(
    [
        *("append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse"),
        *("add", "discard", "update", "setdefault", "appendleft", "popleft"),
    ]
)
_OUTER = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME")
_STORES = ("STORE_GLOBAL", "STORE_DEREF", "STORE_NAME")
_ATTRIBUTES = ("LOAD_METHOD", "LOAD_ATTR")
_ASSIGNS = ("STORE_SUBSCR", "DELETE_SUBSCR", "COPY")


def changed_names(code: types.CodeType) -> set[str]:
    """Return the outer names that code rebinds, or whose list, set or dict it changes in place.

    A counter or a log that a function keeps differs after each call, though its code does not.

    Examples
    --------
    >>> calls, scale = [], 2
    >>> def model(x):
    ...     calls.append(x)
    ...     return scale * x
    >>> changed_names(model.__code__)
    {'calls'}
    """
    names: set[str] = set()
    steps = [
        step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PUSH_NULL")
    ]
    for step, after, later in zip(
        steps, [*steps[1:], None], [*steps[2:], None, None], strict=False
    ):
        if step.opname in _STORES:
            names.add(str(step.argval))
        elif step.opname in _OUTER and after is not None:
            calls = after.opname in _ATTRIBUTES and after.argval in _CHANGING
            assigns = later is not None and later.opname in _ASSIGNS
            if calls or (assigns and after.opname.startswith("LOAD_")):
                names.add(str(step.argval))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= changed_names(constant)
    return names
