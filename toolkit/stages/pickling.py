"""Functions travel to the workers by value, with the user's own modules that they refer to.

Workers live longer than scripts and notebook cells: were a module beside the script sent by
name, a worker would look for it in a folder it may not know, or run the version that it imported
an hour ago.
"""

import contextlib
import functools
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import cloudpickle

from toolkit.errors import StageError


def dumps(value: object) -> bytes:
    """Pickle a value; functions and classes of the user's own modules go by value."""
    with _own_modules_by_value():
        payload: bytes = cloudpickle.dumps(value, protocol=5)
        return payload


def dumps_function(function: object, name: str) -> bytes:
    """Pickle a stage's function, or say which of the things it refers to cannot be pickled.

    Raises
    ------
    StageError
        If it cannot be pickled (the message names the culprit).
    """
    try:
        return dumps(function)
    except Exception as error:
        raise StageError(_blame(function, name, error)) from error


def is_own(module: types.ModuleType) -> bool:
    """Whether a module is the user's: a file that is neither installed nor Python's nor ours."""
    path = getattr(module, "__file__", None)
    if path is None or module.__name__ == "__main__":
        return False
    return module.__name__.partition(".")[0] != "toolkit" and _is_own_file(path)


@functools.cache
def _is_own_file(path: str) -> bool:
    if path.startswith(_INSTALLED) or "site-packages" in path:
        return False
    resolved = str(Path(path).resolve())
    return not resolved.startswith(_INSTALLED) and "site-packages" not in resolved


def _installed_prefixes() -> tuple[str, ...]:
    roots = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update(site.getsitepackages())
    roots.add(site.getusersitepackages())
    return tuple(f"{Path(root).resolve()}/" for root in roots)


_INSTALLED = _installed_prefixes()


@contextlib.contextmanager
def _own_modules_by_value() -> Iterator[None]:
    registered = set(cloudpickle.list_registry_pickle_by_value())
    own = [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType) and name not in registered and is_own(module)
    ]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


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
    for position, value in enumerate(inner.__defaults__ or ()):
        yield f"default {position}", value


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
