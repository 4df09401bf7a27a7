"""The source of cells of a notebook, for tracebacks of processes that have no such file."""

import inspect
import linecache
import types
from collections.abc import Callable, Iterable
from typing import Any

from toolkit.stages.failure import is_cell

Sources = tuple[tuple[str, str], ...]

_MOST = 2**20  # characters of all cells together


def sources_of(function: Callable[..., Any]) -> Sources:
    """Return the name and text of each cell that defines a function or what it calls by name.

    Examples
    --------
    >>> sources_of(len)
    ()
    """
    found: dict[str, str] = {}
    seen: set[types.CodeType] = set()
    waiting: list[Any] = [function]
    while waiting:
        value = inspect.unwrap(waiting.pop())
        code = getattr(value, "__code__", None)
        if not isinstance(code, types.CodeType) or code in seen or not is_cell(code.co_filename):
            continue
        seen.add(code)
        if code.co_filename not in found:
            text = "".join(linecache.getlines(code.co_filename))
            if sum(map(len, found.values())) + len(text) > _MOST:
                break
            found[code.co_filename] = text
        waiting += [
            value.__globals__[name]
            for name in code.co_names
            if callable(value.__globals__.get(name))
        ]
    return tuple(found.items())


def remember(sources: Iterable[tuple[str, str]]) -> None:
    """Have tracebacks of this process show lines of these cells."""
    for file, text in sources:
        if file not in linecache.cache:
            linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
