"""Functions travel to the workers by value, with the user's own modules that they refer to."""

import contextlib
import types
from collections.abc import Iterator, Mapping

import cloudpickle

from toolkit.errors import StageError
from toolkit.inputs.own_modules import own_modules_by_value

LARGEST = 1_000_000
"""Bytes that a function may bring along."""


def dumps(value: object) -> bytes:
    """Pickle a value; functions and classes of the user's own modules go by value."""
    with own_modules_by_value():
        payload: bytes = cloudpickle.dumps(value, protocol=5)
        return payload


def dumps_function(function: object, name: str) -> bytes:
    """Pickle a stage's function, or say which of the things it refers to cannot be pickled.

    Raises
    ------
    StageError
        If it cannot be pickled, or what it refers to is over 1 MB (the message names the culprit).
    """
    try:
        payload = dumps(function)
    except Exception as error:
        raise StageError(_blame(function, name, error)) from error
    if len(payload) > LARGEST:
        raise StageError(_too_large(function, name, len(payload)))
    return payload


def _too_large(function: object, name: str, size: int) -> str:
    variable, value, large = max(
        _sizes(function, set()), key=lambda found: found[2], default=("", None, 0)
    )
    said = f"The function of stage {name!r} refers to {size / 1e6:,.1f} MB of data"
    if large * 2 > size:
        said += f", most of it in {variable!r} ({type(value).__name__}, {large / 1e6:,.1f} MB)"
    argument = variable if variable.isidentifier() else "data"
    return (
        f"{said}, which every worker would hold for itself. Take an argument {argument!r} instead "
        f"and give the sweep frozen={{{argument!r}: …}}: one copy for each machine."
    )


def _sizes(function: object, seen: set[int]) -> Iterator[tuple[str, object, int]]:
    """Yield what a function, and those that it calls, refer to, each with its size pickled."""
    seen.add(id(function))
    for variable, value in _parts(function):
        if isinstance(value, types.ModuleType) or id(value) in seen:
            continue
        if isinstance(value, types.FunctionType):
            yield from _sizes(value, seen)
            continue
        with contextlib.suppress(Exception):
            yield variable, value, len(dumps(value))


def _parts(function: object) -> Iterator[tuple[str, object]]:
    """Yield what a function refers to: its closure, its globals, its defaults, its object."""
    inner = function
    while hasattr(inner, "func"):
        keywords: Mapping[str, object] = getattr(inner, "keywords", {})
        yield from keywords.items()
        inner = inner.func
    if isinstance(inner, types.MethodType):
        yield "self", inner.__self__
        inner = inner.__func__
    if not isinstance(inner, types.FunctionType):
        yield from getattr(inner, "__dict__", {}).items()
        return
    for variable, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            yield variable, cell.cell_contents
    names = {name for code in _codes(inner.__code__) for name in code.co_names}
    for variable in sorted(names & inner.__globals__.keys()):
        yield variable, inner.__globals__[variable]
    defaults = inner.__defaults__ or ()
    last = inner.__code__.co_argcount
    yield from zip(inner.__code__.co_varnames[last - len(defaults) : last], defaults, strict=True)
    yield from (inner.__kwdefaults__ or {}).items()


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _blame(function: object, name: str, error: Exception) -> str:
    culprits = []
    for variable, value in _parts(function):
        try:
            dumps(value)
        except Exception as reason:  # noqa: BLE001 - any object may refuse in its own way
            culprits.append(f"{variable!r} ({type(value).__name__}: {reason})")
    found = "; ".join(culprits) or f"{type(error).__name__}: {error}"
    return (
        f"The function of stage {name!r} cannot be sent to the workers, because it cannot be "
        f"pickled. The culprit: {found}. Make that object inside the function, or pass what it "
        "is made from as a parameter."
    )
