"""What the settings of a cluster are made of: amounts with units, addresses, words for a shell."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from toolkit.errors import ToolkitError
from toolkit.resources import parse_memory, parse_walltime

MOST = 1024  # workers, threads or GPUs of one tier: a slip of the pen starts no million processes

_MEMORY = r"^\s*[0-9]*\.?[0-9]+\s*([kKMGT]i?)?[bB]\s*$"
_TIME = r"^\s*([0-9.]+\s*[A-Za-z]+|([0-9]+-)?[0-9]+:[0-9]{1,2}(:[0-9]{1,2})?)\s*$"
_SHELL_WORD = re.compile(r"[^\s;&|<>()'\"`\\*?#!]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def _with_unit(value: object) -> object:
    if not isinstance(value, str) or value.strip().replace(".", "", 1).isdigit():
        raise ValueError("needs a unit, such as '4GB'")
    try:
        parse_memory(value)
    except ToolkitError as error:
        raise ValueError(str(error)) from None
    return value


def _memory_or_auto(value: object) -> object:
    return value if value in ("auto", None) else _with_unit(value)


def _duration(value: object) -> object:
    if not isinstance(value, str) or value.strip().replace(".", "", 1).isdigit():
        # YAML reads 1:30:00 without quotes as one number, 5400.
        raise ValueError("needs a unit, or quotes: '90min', '2h', \"1:30:00\", \"2-12:00:00\"")
    try:
        parse_walltime(value)
    except ToolkitError as error:
        raise ValueError(str(error)) from None
    return value


def _address(value: str | None) -> str | None:
    _, _, port = (value or ":0").rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 1 << 16):
        raise ValueError("needs a port, such as '127.0.0.1:8787'")
    return value


def _one_line(value: str) -> str:
    if _UNPRINTABLE.search(value) or not value.strip():
        raise ValueError("must be one line of text")
    return value


def _shell_word(value: str) -> str:
    if not _SHELL_WORD.fullmatch(value):
        raise ValueError("must be one word, without spaces, quotes or signs that a shell obeys")
    return value


Count = Annotated[int, Field(ge=0, le=MOST)]
Number = Annotated[int, Field(ge=1, le=MOST)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Address = Annotated[str | None, AfterValidator(_address)]
Memory = Annotated[
    str,
    BeforeValidator(_with_unit),
    WithJsonSchema({"type": "string", "pattern": _MEMORY, "examples": ["4GB", "512MiB"]}),
]
ShareOfMemory = Annotated[
    str | None,
    BeforeValidator(_memory_or_auto),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "string", "pattern": _MEMORY}, {"type": "null"}]}
    ),
]
Duration = Annotated[
    str,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": _TIME, "examples": ["90min", "1:30:00"]}),
]
Line = Annotated[str, AfterValidator(_one_line)]
Word = Annotated[str, AfterValidator(_shell_word)]
TierName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
