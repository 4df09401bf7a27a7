"""The arguments of any callable, and what is wrong with those that cannot be a stage."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from toolkit.errors import StageError


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of a function.

    Parameters
    ----------
    name
        As the function calls it.
    passing
        Whether it is passed by position, by keyword or either way.
    default
        Its default, where ``has_default``.
    """

    name: str
    passing: Literal["position", "either", "keyword"] = "either"
    default: object = None
    has_default: bool = False


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The arguments of a function without ``*args``, and whether it takes ``**kwargs``."""

    parameters: tuple[Parameter, ...]
    takes_others: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arguments."""
        return tuple(parameter.name for parameter in self.parameters)


_PASSING: Mapping[object, Literal["position", "either", "keyword"]] = {
    inspect.Parameter.POSITIONAL_ONLY: "position",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
}


def read_signature(
    function: Callable[..., Any], stage: str, rename: Mapping[str, str] | None = None
) -> Signature:
    """Return the arguments of a callable.

    Parameters
    ----------
    function
        Anything that can be called: function, partial, method, class, instance, builtin.
    stage
        Name of the stage, for messages.
    rename
        For a callable that does not tell its arguments: they are its keys, passed by position.

    Raises
    ------
    StageError
        If the arguments cannot be known, or ``rename`` names one that there is not.

    Examples
    --------
    >>> read_signature(lambda beta, *, gamma=.1: None, "sir").names
    ('beta', 'gamma')
    """
    rename = rename or {}
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        if rename:
            return Signature(
                parameters=tuple(Parameter(name=name, passing="position") for name in rename)
            )
        raise StageError(
            f"The arguments of {describe(function)} cannot be known. Wrap it in a function with "
            "named arguments, or name them in order: rename={'argument': 'parameter'}."
        ) from None
    # Options of C functions (out=, casting=…) are no parameters of anybody's model.
    is_compiled = isinstance(function, types.BuiltinFunctionType | np.ufunc)
    parameters = tuple(
        Parameter(
            name=parameter.name,
            passing=_PASSING[parameter.kind],
            default=None if parameter.default is parameter.empty else parameter.default,
            has_default=parameter.default is not parameter.empty,
        )
        for parameter in found
        if parameter.kind in _PASSING
        and not (
            is_compiled
            and parameter.default is not parameter.empty
            and parameter.name not in rename
        )
    )
    takes_others = not is_compiled and any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in found
    )
    signature = Signature(parameters=parameters, takes_others=takes_others)
    unknown = [name for name in rename if name not in signature.names and not takes_others]
    if unknown:
        raise StageError(
            f"rename= of stage {stage!r} names {', '.join(map(repr, unknown))}, and "
            f"{describe(function)} has no such argument. It has: "
            f"{', '.join(signature.names) or 'none'}. Write rename={{'argument': 'parameter'}}."
        )
    return signature


def default_name(function: Callable[..., Any]) -> str:
    """Return what a stage of this callable is called: its own name, or that of its class.

    Examples
    --------
    >>> default_name(functools.partial(sorted, reverse=True)), default_name(lambda x: x)
    ('sorted', 'result')
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "result" if name == "<lambda>" else str(name)


def describe(function: Callable[..., Any]) -> str:
    """Return the callable in words, for messages."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return f"{name}()" if name else repr(function)


def check_callable(function: object) -> None:
    """Refuse what cannot be called, and functions that return before their work is done.

    Raises
    ------
    StageError
        For those, with the remedy.
    """
    if not callable(function):
        raise StageError(
            f"A stage holds a function; this is a {type(function).__name__}: {function!r:.80}."
        )
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inspect.unwrap(inner)
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        raise StageError(
            f"{describe(inner)} is asynchronous. Hold a plain function that calls asyncio.run(…)."
        )
    if inspect.isgeneratorfunction(inner):
        raise StageError(
            f"{describe(inner)} is a generator: it has yield. Return the values, for example as a "
            "list or an array."
        )
