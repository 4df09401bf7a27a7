"""Requests to whoever runs a store, as small files in it: stop, scale a tier.

Whoever may write into the store may ask. What is found there is believed nothing: files are plain,
small and few, and of their content only what is known here is taken.
"""

import contextlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.errors import StoreError
from toolkit.stores.files.inside import check_folders, open_plain
from toolkit.stores.files.storage import JOURNALS, reported

FOLDER = f"{JOURNALS}/control"
MOST_JOBS = 100_000
_LONGEST, _MOST, _MOST_TIERS = 4096, 32, 64
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request.

    Parameters
    ----------
    stop
        Whether the sweep is to end.
    now
        Whether what runs is to be ended too.
    scale
        Jobs by tier; None: as many as the work needs.
    """

    stop: bool = False
    now: bool = False
    scale: Mapping[str, int | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the content of its file."""
        found: dict[str, object] = {"stop": {"now": self.now}} if self.stop else {}
        return found | ({"scale": dict(self.scale)} if self.scale else {})


def ask(path: str, asked: Asked) -> str:
    """Put a request into a store, there as a whole or not at all; return its name.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    name = uuid.uuid4().hex
    folder = os.path.join(path, FOLDER)
    check_folders(path, f"{FOLDER}/{name}")
    with reported(path):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        temporary = os.path.join(folder, f"{name}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(asked.to_json(), file)
        os.rename(temporary, os.path.join(folder, f"{name}.json"))
    return name


def is_waiting(path: str, name: str) -> bool:
    """Whether a request is still there: nobody has looked at it."""
    return os.path.lexists(os.path.join(path, FOLDER, f"{name}.json"))


def read_requests(path: str) -> dict[str, Asked | None]:
    """Return the requests that lie in a store by name, the oldest first; None: not understood.

    Of more than 32 files the rest is left for the next look.
    """
    try:
        check_folders(path, f"{FOLDER}/x")
        if os.path.islink(os.path.join(path, FOLDER)):
            return {}
        names = [each for each in os.listdir(os.path.join(path, FOLDER)) if _is_name(each)]
    except (OSError, StoreError):
        return {}
    found: dict[str, tuple[float, Asked | None]] = {}
    for file_name in sorted(names)[:_MOST]:
        with contextlib.suppress(FileNotFoundError):
            found[file_name.removesuffix(".json")] = _read(os.path.join(path, FOLDER, file_name))
    in_order = sorted(found, key=lambda name: (found[name][0], name))
    return {name: found[name][1] for name in in_order}


def remove_request(path: str, name: str) -> None:
    """Remove a request; nothing happens where it is gone or cannot be removed."""
    with contextlib.suppress(OSError, StoreError):
        check_folders(path, f"{FOLDER}/x")
        os.unlink(os.path.join(path, FOLDER, f"{name}.json"))


def _is_name(file_name: str) -> bool:
    name, dot, kind = file_name.rpartition(".")
    return dot == "." and kind == "json" and _NAME.fullmatch(name) is not None


def _read(path: str) -> tuple[float, Asked | None]:
    """Return when a request was made, and what it asks; raise where it is gone."""
    at = 0.0
    try:
        at = os.lstat(path).st_mtime
        with open(path, encoding="utf-8", opener=open_plain) as file:
            text = file.read(_LONGEST + 1)
        return at, _understood(json.loads(text)) if len(text) <= _LONGEST else None
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError):
        return at, None


def _understood(content: object) -> Asked | None:
    if not isinstance(content, dict) or not content or set(content) - {"stop", "scale"}:
        return None
    stop, scale = content.get("stop"), content.get("scale", {})
    if "stop" in content and not (isinstance(stop, dict) and isinstance(stop.get("now"), bool)):
        return None
    if (
        not isinstance(scale, dict)
        or len(scale) > _MOST_TIERS
        or not all(map(_is_jobs, scale.values()))
    ):
        return None
    if not all(_NAME.fullmatch(tier) for tier in scale):
        return None
    return Asked(stop="stop" in content, now=bool(stop and stop["now"]), scale=scale)


def _is_jobs(value: object) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value is None or (is_number and 0 <= value <= MOST_JOBS)  # type: ignore[operator]
