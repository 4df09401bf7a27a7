"""Values of a store as JSON and terminals may have them."""

import re
from collections.abc import Mapping
from typing import Any

# Control characters but tab and newline, other line ends, and what turns the direction of text.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(value: Any) -> Any:
    """Return a value as JSON has it; what is missing or not finite is None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if hasattr(value, "tolist") and not hasattr(value, "isoformat"):
        if getattr(value, "dtype", None) is not None and value.dtype.kind in "mM":
            return plain(value.astype(str).tolist())
        return plain(value.tolist())
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value != value:
        return None
    return str(value)


def printable(text: str) -> str:
    """Return text from a store without what a terminal would obey."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
