"""What a program finds on its standard input and in its files: text, JSON, a function's, a file."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from toolkit.errors import StageError
from toolkit.stages.command_template import Field, Template, Values, to_json


class Content(Protocol):
    """Makes the bytes of one file of a run."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    def put(self, values: Values, path: Path) -> None: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class TextContent:
    """A file of text with fields."""

    template: Template

    @property
    def names(self) -> tuple[str, ...]:
        """Names that it takes."""
        return self.template.names

    def put(self, values: Values, path: Path) -> None:
        """Write the file of a run."""
        path.write_text(self.template.fill(values), encoding="utf-8", newline="")


@dataclass(frozen=True, kw_only=True)
class JsonContent:
    """A file of JSON; text that is one field alone stands for the value, with its type."""

    document: Any

    @property
    def names(self) -> tuple[str, ...]:
        """Names that it takes."""
        return tuple(dict.fromkeys(_names_in(self.document)))

    def put(self, values: Values, path: Path) -> None:
        """Write the file of a run."""
        path.write_text(to_json(_filled(self.document, values)) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class FunctionContent:
    """A file that a function of the parameters returns as text or bytes."""

    function: Callable[..., Any]
    names: tuple[str, ...]

    def put(self, values: Values, path: Path) -> None:
        """Write the file of a run."""
        made = self.function(**{name: values[name] for name in self.names})
        if not isinstance(made, str | bytes | bytearray | memoryview):
            raise StageError(
                f"{self.function!r} returned {type(made).__name__} for the file {path.name!r}. "
                "Return text or bytes."
            )
        path.write_bytes(made.encode() if isinstance(made, str) else made)


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """A file that is there already; each run gets a link to it."""

    path: str
    names: tuple[str, ...] = ()

    def put(self, values: Values, path: Path) -> None:
        """Link the file."""
        del values
        path.symlink_to(self.path)


def content_of(given: object, what: str, folder: Path) -> Content:
    """Return what makes a file: of text, a dict or list, a function, or a Path.

    Parameters
    ----------
    given
        As the user gives it.
    what
        Where, for messages: ``stdin=``.
    folder
        Where relative paths begin.

    Raises
    ------
    StageError
        If it is none of these, or the file is not there.
    """
    if isinstance(given, str):
        return TextContent(template=Template.parse(given))
    if isinstance(given, dict | list):
        for _ in _names_in(given):  # templates that are none are found now
            pass
        return JsonContent(document=given)
    if isinstance(given, os.PathLike):
        return FileContent(path=str(existing_file(given, what, folder)))
    if callable(given):
        return FunctionContent(function=given, names=required_names(given, what))
    raise StageError(
        f"{what} is of type {type(given).__name__}. Give text with {{fields}}, a dict or list for "
        "JSON, a Path, or a function of parameters that returns text or bytes."
    )


def existing_file(given: "os.PathLike[Any]", what: str, folder: Path) -> Path:
    """Return the absolute path of a file.

    Raises
    ------
    StageError
        If it is not there.
    """
    path = folder / Path(os.fspath(given)).expanduser()
    if not path.is_file():
        raise StageError(f"{what}: there is no file {str(path)!r}.")
    return path


def required_names(function: Callable[..., Any], what: str) -> tuple[str, ...]:
    """Return the arguments without a default of a function that is called by keyword.

    Raises
    ------
    StageError
        If they cannot be known, or are not passed by keyword.
    """
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        raise StageError(
            f"{what}: the arguments of {function!r} cannot be known. Wrap it in a function."
        ) from None
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [p for p in found if p.default is p.empty and p.kind not in skipped]
    for parameter in needed:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise StageError(
                f"{what}: {parameter.name!r} of {function!r} has no keyword. Wrap it in a function."
            )
    return tuple(parameter.name for parameter in needed)


def _names_in(document: Any) -> list[str]:
    if isinstance(document, str):
        return list(Template.parse(document).names)
    inner: list[Any] = []
    if isinstance(document, Mapping):
        inner = list(document.values())
    elif isinstance(document, list | tuple):
        inner = list(document)
    return [name for each in inner for name in _names_in(each)]


def _filled(document: Any, values: Values) -> Any:
    if isinstance(document, str):
        template = Template.parse(document)
        if len(template.parts) == 1 and isinstance(only := template.parts[0], Field):
            return template.fill(values) if only.spec or only.conversion else values[only.name]
        return template.fill(values)
    if isinstance(document, Mapping):
        return {key: _filled(each, values) for key, each in document.items()}
    if isinstance(document, list | tuple):
        return [_filled(each, values) for each in document]
    return document
