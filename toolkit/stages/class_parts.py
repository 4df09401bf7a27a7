"""What a class is made of, as it is in memory: methods, constants, fields."""

import functools
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from typing import Any

from toolkit.stages.constants import kind_name
from toolkit.stages.references import references

_MAKING = frozenset(
    ["__init__", "__new__", "__post_init__", "__setstate__", "__init_subclass__", "__set_name__"]
)
_SPECIAL = frozenset(["__pydantic_fields__", "__attrs_attrs__"])
_NO_VALUES = (types.GetSetDescriptorType, types.MemberDescriptorType)


@dataclass(frozen=True)
class Member:
    """A name in a class: what it is (``"method"``, ``"property"``, …) and what it holds."""

    name: str
    kind: str
    value: Any


def members_of(kind: type) -> Iterator[Member]:
    """Yield what counts of a class; docstrings, module and the like do not."""
    made = _is_made_by_dataclass(kind)
    for name, value in vars(kind).items():
        is_special = name.startswith("__") and name.endswith("__")
        if isinstance(value, _NO_VALUES) or name.startswith(("_abc_", "__abstract")):
            continue
        if isinstance(value, types.FunctionType):
            if not (made and value.__code__.co_filename.startswith("<")):
                yield Member(name, "method", value)
        elif isinstance(value, staticmethod | classmethod | functools.cached_property):
            inner = value.func if isinstance(value, functools.cached_property) else value.__func__
            yield Member(name, type(value).__name__, inner)
        elif isinstance(value, property):
            for part in ("fget", "fset", "fdel"):
                if (function := getattr(value, part)) is not None:
                    yield Member(name, f"property {part}", function)
        elif not is_special or name in _SPECIAL:
            yield Member(name, "value", value)
    yield from _annotations(kind)
    if made:
        yield from _fields(kind)


def changes_itself(member: Member) -> frozenset[str]:
    """Return the attributes of itself that a method changes, other than where it is made."""
    if member.name in _MAKING:
        return frozenset()
    if member.kind == "cached_property":
        return frozenset([member.name])
    code = member.value.__code__
    itself = code.co_varnames[0] if code.co_argcount else None
    return frozenset(
        attribute for name, attribute in references(code).changed_attributes if name == itself
    )


def _is_made_by_dataclass(kind: type) -> bool:
    return is_dataclass(kind) and "__dataclass_fields__" in vars(kind)


def _annotations(kind: type) -> Iterator[Member]:
    """Yield annotations: what validates or stores by them behaves differently."""
    for name, given in sorted(getattr(kind, "__annotations__", {}).items()):
        if name in vars(kind).get("__annotations__", {}):
            said = given if isinstance(given, str) else _type_text(given)
            yield Member(name, "annotation", " ".join(said.split()))


def _type_text(given: Any) -> str:
    return kind_name(given) if isinstance(given, type) else repr(given)


def _fields(kind: type) -> Iterator[Member]:
    """Yield the fields of a dataclass, whose methods are made of them, and its options."""
    described: Any = kind
    for name, given in described.__dataclass_fields__.items():
        options = (given.init, given.repr, given.compare, given.kw_only)
        yield Member(name, "field", [repr(options)])
        if given.default is not MISSING:
            yield Member(name, "default", given.default)
        elif given.default_factory is not MISSING:
            yield Member(name, "default factory", given.default_factory)
    yield Member("dataclass", "options", repr(described.__dataclass_params__))
