"""What a run of a program returns: its output as JSON, a file by its suffix, or a function's."""

import csv
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from toolkit.errors import CommandError, StageError
from toolkit.stages.command_content import required_names
from toolkit.stages.command_template import Template, Values

STDOUT, STDERR = "stdout.txt", "stderr.txt"


class Reading(Protocol):
    """Makes what the stage returns, when its program has ended well."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def needs_stdout(self) -> bool: ...  # noqa: D102
    def read(self, values: Values) -> Any: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class NothingReading:
    """Of programs with effects only."""

    names: tuple[str, ...] = ()
    needs_stdout: bool = False

    def read(self, values: Values) -> None:
        """Return None."""
        del values


@dataclass(frozen=True, kw_only=True)
class StdoutReading:
    """JSON on the standard output: one number, a list of numbers, or a dict of outputs."""

    names: tuple[str, ...] = ()
    needs_stdout: bool = True

    def read(self, values: Values) -> Any:
        """Return the value."""
        text = (Path(values["scratch"]) / STDOUT).read_text(encoding="utf-8", errors="replace")
        try:
            return from_json(text)
        except ValueError as problem:
            shown = text if len(text) <= 200 else text[:200] + "…"
            raise CommandError(
                f"The standard output is not one JSON value ({problem}): {shown!r}. Print a "
                'number or an object such as {"peak": 1.5}, or say what to read: '
                'read="out.csv", or a function.',
            ) from None


@dataclass(frozen=True, kw_only=True)
class FileReading:
    """A file that the program has written, read by its suffix."""

    template: Template
    suffix: str
    needs_stdout: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names that its name takes."""
        return self.template.names

    def read(self, values: Values) -> Any:
        """Return its content."""
        scratch = Path(values["scratch"])
        path = scratch / self.template.fill(values)
        if not path.is_file():
            there = sorted(each.name for each in scratch.iterdir()) if scratch.is_dir() else []
            raise CommandError(
                f"The program ended well and has not written {str(path)!r}. In its scratch folder "
                f"there are: {', '.join(there[:20])}."
            )
        return _READERS[self.suffix](path)


@dataclass(frozen=True, kw_only=True)
class FunctionReading:
    """What a function returns that is given the scratch folder.

    Parameters
    ----------
    function
        The user's function.
    first
        Whether its first argument takes the folder by position.
    taken
        Arguments passed by keyword.
    """

    function: Callable[..., Any]
    first: bool
    taken: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names that it takes."""
        return tuple(name for name in self.taken if name not in ("stdout", "stderr"))

    @property
    def needs_stdout(self) -> bool:
        """Whether it takes the whole standard output."""
        return "stdout" in self.taken

    def read(self, values: Values) -> Any:
        """Return what the function returns."""
        scratch = Path(values["scratch"])
        texts = {"stdout": STDOUT, "stderr": STDERR}
        given = {
            name: (scratch / texts[name]).read_text(encoding="utf-8", errors="replace")
            if name in texts
            else values[name]
            for name in self.taken
        }
        return self.function(*([scratch] if self.first else []), **given)


@dataclass(frozen=True, kw_only=True)
class SeveralReading:
    """Several outputs, each read for itself."""

    parts: Mapping[str, Reading]

    @property
    def names(self) -> tuple[str, ...]:
        """Names that they take."""
        return tuple(dict.fromkeys(name for each in self.parts.values() for name in each.names))

    @property
    def needs_stdout(self) -> bool:
        """Whether any takes the whole standard output."""
        return any(each.needs_stdout for each in self.parts.values())

    def read(self, values: Values) -> dict[str, Any]:
        """Return all by name."""
        return {name: each.read(values) for name, each in self.parts.items()}


def reading_of(given: object, outputs: object) -> Reading:
    """Return what reads the results: from ``read=`` and ``outputs=`` as the user gives them.

    Raises
    ------
    StageError
        If it has no meaning.
    """
    if given is None:
        return NothingReading() if outputs == "effects" else StdoutReading()
    if isinstance(given, str):
        if given == "stdout":
            return StdoutReading()
        suffix = Path(given).suffix.lower()
        if suffix not in _READERS:
            raise StageError(
                f"read={given!r}: write 'stdout', the name of a file that ends in "
                f"{', '.join(_READERS)}, or a function that is given the scratch folder."
            )
        return FileReading(template=Template.parse(given), suffix=suffix)
    if isinstance(given, Mapping) and given:
        return SeveralReading(parts={str(k): reading_of(v, None) for k, v in given.items()})
    if callable(given):
        needed = _needed(given)
        first = bool(needed) and not {"scratch", "stdout", "stderr"} & set(needed)
        return FunctionReading(function=given, first=first, taken=needed[1:] if first else needed)
    raise StageError(
        f"read= is of type {type(given).__name__}. Give 'stdout', the name of a file, a function, "
        "or a dict of these by output."
    )


def from_json(text: str) -> Any:
    """Return a JSON value, lists of numbers as arrays.

    Raises
    ------
    ValueError
        If the text is not one.
    """
    value = json.loads(text)
    if isinstance(value, dict):
        return {name: _as_array(each) for name, each in value.items()}
    return _as_array(value)


def _needed(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the arguments that it needs; the first may be one that has no keyword."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return ("folder",)
    if found and found[0].kind is inspect.Parameter.POSITIONAL_ONLY:
        return ("folder",)
    if found and found[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return ("folder",)
    asked = required_names(function, "read=")
    optional = [p.name for p in found if p.name in ("stdout", "stderr", "scratch")]
    return (*asked, *(name for name in optional if name not in asked))


def _as_array(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        return np.zeros(0) if isinstance(value, list) else value
    try:
        array = np.asarray(value)
    except ValueError:
        return value
    return array if array.dtype.kind in "biufU" else value


def _read_json(path: Path) -> Any:
    return from_json(path.read_text(encoding="utf-8"))


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _read_csv(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise CommandError(f"{str(path)!r} is empty; its first line should name the columns.")
    names = [name.strip() for name in rows[0]]
    if any(len(row) != len(names) for row in rows):
        raise CommandError(f"Not all lines of {str(path)!r} have {len(names)} columns.")
    return {name: _column([row[at] for row in rows[1:]]) for at, name in enumerate(names)}


def _column(words: list[str]) -> Any:
    for kind in (int, float):
        try:
            return np.array([kind(word) for word in words])
        except (ValueError, OverflowError):
            continue
    return np.array(words)


def _read_npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".txt": np.loadtxt,
    ".dat": np.loadtxt,
}
