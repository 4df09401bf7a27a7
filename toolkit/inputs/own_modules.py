"""Which modules are the user's own, and pickling what they define by value.

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
from collections.abc import Iterator
from pathlib import Path

import cloudpickle


def is_own(module: types.ModuleType) -> bool:
    """Whether a module is the user's: a file that is neither installed nor Python's nor ours."""
    path = getattr(module, "__file__", None)
    if path is None or module.__name__ == "__main__":
        return False
    return module.__name__.partition(".")[0] != "toolkit" and _is_own_file(path)


@contextlib.contextmanager
def own_modules_by_value() -> Iterator[None]:
    """Have cloudpickle pickle functions and classes of the user's modules by value."""
    registered = set(cloudpickle.list_registry_pickle_by_value())
    # By the name it gives itself: a module may be loaded under another one, too.
    named = {
        module.__name__: module
        for module in list(sys.modules.values())
        if isinstance(module, types.ModuleType) and is_own(module)
    }
    own = [
        module for name, module in named.items() if name not in registered and name in sys.modules
    ]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


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
