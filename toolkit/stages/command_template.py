"""Text with fields such as ``{flow:.3f}``, and how the values of a run are put into words."""

import json
import keyword
import os
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import StageError

Values = Mapping[str, Any]

PROVIDED = ("scratch", "checkpoint", "threads")
"""Names that every template may use, whatever the space."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a template.

    Parameters
    ----------
    name
        What stands there before ``!`` and ``:``: the whole of it is a name.
    spec
        How it is formatted: as Python formats it, or one of ``npy``, ``txt``, ``bin``, ``json``.
    conversion
        ``r``, ``s``, ``a`` or nothing.
    """

    name: str
    spec: str = ""
    conversion: str = ""

    def word(self, values: Values) -> str:
        """Return the value of a run as text.

        Raises
        ------
        StageError
            If no text stands for it.
        """
        value = values[self.name]
        write = _FORMATS.get(self.spec)
        if write is not None:
            return write(value, self.name, Path(values["scratch"]))
        value = _plain(value)
        if value is None or _has_parts(value) or not _has_text(value):
            raise StageError(self._said(value))
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if self.conversion:
            value = _CONVERSIONS[self.conversion](value)
        return format(value, self.spec)

    def _said(self, value: object) -> str:
        if value is None:
            return (
                f"{{{self.name}}} is None here, and no text stands for that. Give the space a "
                "value that the program knows."
            )
        return (
            f"{{{self.name}}} is {_kind(value)}, and no text stands for that. Write "
            f"{{{self.name}:npy}}, {{{self.name}:txt}} or {{{self.name}:bin}} for the path of a "
            f"file with its values, {{{self.name}:json}} for the values as JSON."
        )


@dataclass(frozen=True, kw_only=True)
class Template:
    """Text with fields.

    Parameters
    ----------
    text
        As it was written.
    parts
        Text that stays, and fields.
    """

    text: str
    parts: tuple[str | Field, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Return a template from text, in which ``{{`` and ``}}`` stand for braces.

        Raises
        ------
        StageError
            If braces do not match, or a field has no name.

        Examples
        --------
        >>> Template.parse("--flow={flow:.2f}").fill({"flow": 0.5})
        '--flow=0.50'
        """
        parts: list[str | Field] = []
        try:
            for literal, name, spec, conversion in string.Formatter().parse(text):
                if literal:
                    parts.append(literal)
                if name is None:
                    continue
                if not name.strip() or name.isdigit() or "{" in (spec or ""):
                    raise ValueError(f"a field {{{name}}} without a name")
                parts.append(Field(name=name, spec=spec or "", conversion=conversion or ""))
        except ValueError as problem:
            raise StageError(
                f"{text!r} is no template: {problem}. Write {{name}} for a value, {{{{ and }}}} "
                "for braces."
            ) from None
        unknown = [
            p.conversion for p in parts if isinstance(p, Field) and p.conversion not in "rsa"
        ]
        if unknown:
            raise StageError(f"{text!r} has !{unknown[0]}: write !r, !s or !a.")
        return cls(text=text, parts=tuple(parts))

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields in their order."""
        return tuple(part for part in self.parts if isinstance(part, Field))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, each once."""
        return tuple(dict.fromkeys(field.name for field in self.fields))

    @property
    def literal(self) -> str | None:
        """The text, if it has no fields."""
        return None if self.fields else "".join(map(str, self.parts))

    def fill(self, values: Values) -> str:
        """Return the text of a run.

        Raises
        ------
        StageError
            If no text stands for a value.
        ValueError
            If a value cannot be formatted as the field says.
        """
        return "".join(p.word(values) if isinstance(p, Field) else p for p in self.parts)


_CONVERSIONS: Mapping[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}


def argument_name(name: str) -> str:
    """Return what Python can call an argument of this name.

    Examples
    --------
    >>> argument_name("flow"), argument_name("lambda"), argument_name("layer.0.R2")
    ('flow', 'lambda_', 'layer_0_R2')
    """
    word = re.sub(r"\W", "_", name)
    if not word.isidentifier():
        word = f"_{word}"
    return f"{word}_" if keyword.iskeyword(word) else word


def file_name(name: str) -> str:
    """Return a name for a file, from that of a parameter."""
    return re.sub(r"[^\w.-]", "_", name)


def to_json(value: object) -> str:
    """Return a value as JSON; arrays as lists, paths as text."""
    return json.dumps(value, default=_json_value)


def _json_value(value: Any) -> object:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(value)
    if hasattr(value, "__array__") or isinstance(value, np.generic):
        return np.asarray(value).tolist()
    raise StageError(f"{_kind(value)} cannot be written as JSON.")


def _as_npy(value: Any, name: str, scratch: Path) -> str:
    path = scratch / f"{file_name(name)}.npy"
    np.save(path, _array(value, name))
    return str(path)


def _as_txt(value: Any, name: str, scratch: Path) -> str:
    path = scratch / f"{file_name(name)}.txt"
    array = _array(value, name)
    if array.ndim > 2:
        raise StageError(
            f"{{{name}:txt}}: it has {array.ndim} dims, and a text file two. Write {{{name}:npy}}."
        )
    fmt = {"f": "%.17g", "i": "%d", "u": "%d", "b": "%d", "U": "%s"}.get(array.dtype.kind, "%.18e")
    np.savetxt(path, array, fmt=fmt)
    return str(path)


def _as_bin(value: Any, name: str, scratch: Path) -> str:
    path = scratch / f"{file_name(name)}.bin"
    np.ascontiguousarray(_array(value, name)).tofile(path)
    return str(path)


def _as_json(value: Any, name: str, scratch: Path) -> str:
    del name, scratch
    return to_json(value)


_FORMATS: Mapping[str, Callable[[Any, str, Path], str]] = {
    "npy": _as_npy,
    "txt": _as_txt,
    "bin": _as_bin,
    "json": _as_json,
}


def _array(value: Any, name: str) -> np.ndarray[Any, Any]:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise StageError(f"{{{name}}} is {_kind(value)}, of which no array of numbers can be made.")
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, np.generic) or (getattr(value, "ndim", None) == 0):
        return value.item()
    return value


def _has_parts(value: Any) -> bool:
    return isinstance(value, bytes | list | tuple | dict | set | frozenset) or bool(
        getattr(value, "ndim", 0)
    )


def _has_text(value: Any) -> bool:
    """Whether the type says how it is written."""
    says = any("__str__" in vars(kind) or "__repr__" in vars(kind) for kind in _own_kinds(value))
    return isinstance(value, os.PathLike) or says


def _own_kinds(value: Any) -> tuple[type, ...]:
    return type(value).__mro__[:-1]


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}" + (f" and shape {tuple(shape)}" if shape else "")
