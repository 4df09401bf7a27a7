"""Which code is the user's own: not installed, not Python's, not this package's."""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
import types
from typing import Any


def is_own_module(name: str | None, file: str | None = None) -> bool:
    """Whether a module is the user's own.

    Parameters
    ----------
    name
        Its name.
    file
        Its file, where that is known; else that of the loaded module of this name.
    """
    if name is None:
        return False
    if name == "__main__" or name.startswith("toolkit.demo"):
        return True
    root = name.partition(".")[0]
    if root == "toolkit":
        return False
    file = file or getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        # Notebook cells and modules sent by value have no file; compiled-in ones are Python's.
        return root not in sys.stdlib_module_names and root not in sys.builtin_module_names
    return _is_own_file(file)


def is_own(value: Any) -> bool:
    """Whether a function or class is the user's own.

    Of a function its globals are asked: a decorator may have given it another's name.
    """
    if isinstance(value, types.FunctionType):
        names = value.__globals__
        return is_own_module(names.get("__name__"), names.get("__file__"))
    return is_own_module(getattr(value, "__module__", None))


def module_of(value: Any) -> str:
    """Return the name of the module that defines a function or class."""
    if isinstance(value, types.FunctionType):
        return str(value.__globals__.get("__name__", ""))
    return str(getattr(value, "__module__", ""))


def imported_by(name: str, level: int, package: str | None) -> types.ModuleType | None:
    """Return the user's own module that a function imports, None where it is not the user's.

    It is imported, as the function will do when it runs; a script that is running is not imported
    a second time.
    """
    with contextlib.suppress(Exception, SystemExit):
        full = importlib.util.resolve_name("." * level + name, package or "") if level else name
        if full in sys.modules:
            found = sys.modules[full]
            return found if is_own_module(full) else None
        root = importlib.util.find_spec(full.partition(".")[0])
        origin = None if root is None else root.origin
        if root is None or not is_own_module(root.name, origin):
            return None
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        if origin is not None and main is not None and os.path.samefile(origin, main):
            return sys.modules["__main__"]
        return importlib.import_module(full)
    return None


@functools.lru_cache(maxsize=4096)
def _is_own_file(file: str) -> bool:
    real = os.path.realpath(file)
    installed = ("site-packages", "dist-packages")
    return not any(part in real for part in installed) and not real.startswith(_libraries())


@functools.cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(
        os.path.realpath(paths[name]) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if name in paths
    )
