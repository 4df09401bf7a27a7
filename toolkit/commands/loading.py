"""The sweep that a file describes. Reading a file starts nothing."""

import contextlib
import os
import shlex
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from toolkit.commands.outcome import CommandError
from toolkit.commands.streams import results_apart
from toolkit.commands.target import Target
from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from toolkit.sweep import Sweep


class _Started(BaseException):
    """The file being read has come to where it runs a sweep."""


def load_sweep(target: Target) -> "tuple[Sweep, str]":
    """Return the sweep of a file and the name of its variable.

    The file is executed under its own name, so what stands under
    ``if __name__ == "__main__":`` is not; and only as far as its first ``run``, ``start`` or
    ``retry``. What it prints goes to standard error.

    Raises
    ------
    CommandError
        If the file fails (with the line), or does not have that sweep, or has several and none
        was named.
    """
    module, stopped_at = _execute(target.file)
    sweeps = _sweeps_of(module)
    if target.name is not None:
        found = vars(module).get(target.name)
        if target.name in sweeps:
            return sweeps[target.name], target.name
        what = "is not there" if found is None else f"is a {type(found).__name__}, not a sweep"
        raise CommandError(
            f"{target} {what}. {_listed(target.file, sweeps)}{_cut(stopped_at)}",
            _next(target.file, sweeps),
        )
    distinct = {id(sweep): name for name, sweep in reversed(sweeps.items())}
    if len(distinct) != 1:
        raise CommandError(
            f"Which sweep of {target.file}? {_listed(target.file, sweeps)}{_cut(stopped_at)}",
            _next(target.file, sweeps),
        )
    [name] = distinct.values()
    return sweeps[name], name


def _execute(file: Path) -> tuple[types.ModuleType, int | None]:
    """Return the file as a module, and the line where it was stopped from running a sweep."""
    module = types.ModuleType(_module_name(file))
    path = str(file.resolve())
    module.__file__ = path
    sys.modules[module.__name__] = module
    sys.path.insert(0, os.path.dirname(path))
    arguments, sys.argv = sys.argv, [str(file)]
    try:
        # Compiled here: a cached version is known by its time in seconds, an edit may be faster.
        code = compile(file.read_bytes(), path, "exec")
        with results_apart(), _nothing_starts():
            exec(code, vars(module))
    except _Started as stop:
        return module, _line_in(path, stop)
    except SystemExit as end:
        raise CommandError(
            f"{file}{_at(_line_in(path, end))} ended itself (exit code {end.code!r}) before its "
            'sweep could be read. Put what ends it under `if __name__ == "__main__":`.'
        ) from None
    except ToolkitError as error:
        raise CommandError(f"{file}{_at(_line_in(path, error))}: {error}") from error
    except Exception as error:
        raise CommandError(
            f"{file}{_at(_line_in(path, error))} cannot be read: "
            f"{''.join(traceback.format_exception_only(error)).strip()}",
            f"python {shlex.quote(str(file))}",
        ) from error
    finally:
        sys.argv = arguments
    return module, None


@contextlib.contextmanager
def _nothing_starts() -> Iterator[None]:
    """Have a sweep that is started raise instead: a file may run what it describes."""
    from toolkit.sweep import Sweep

    def refuse(*_: object, **__: object) -> NoReturn:
        raise _Started

    before = Sweep._job
    Sweep._job = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        Sweep._job = before  # type: ignore[method-assign]


def _module_name(file: Path) -> str:
    """Return the file's own name unless an installed module bears it."""
    name = file.stem
    if not name.isidentifier() or name in sys.modules or name in sys.stdlib_module_names:
        return f"_file_{name}"
    return name


def _sweeps_of(module: types.ModuleType) -> "dict[str, Sweep]":
    from toolkit.sweep import Sweep

    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Sweep) and not name.startswith("_")
    }


def _listed(file: Path, sweeps: "dict[str, Sweep]") -> str:
    if not sweeps:
        return f"{file} has no sweep: write sweep = tk.Sweep(...) in it."
    return f"The sweeps of {file} are {', '.join(sweeps)}."


def _cut(stopped_at: int | None) -> str:
    if stopped_at is None:
        return ""
    return (
        f" It was read up to line {stopped_at}, where it runs a sweep; for all of it to be read, "
        'put what runs under `if __name__ == "__main__":`.'
    )


def _next(file: Path, sweeps: "dict[str, Sweep]") -> str | None:
    return f"toolkit explain {shlex.quote(f'{file}:{next(iter(sweeps))}')}" if sweeps else None


def _line_in(path: str, error: BaseException) -> int | None:
    """Return the line of the file that an exception came through, the innermost one."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    return lines[-1] if lines else None


def _at(line: int | None) -> str:
    return "" if line is None else f", line {line}"
