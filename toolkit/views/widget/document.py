"""What the front of the widget is told, as small documents of JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.views.picture import Along, Picture
from toolkit.views.plain import plain, printable
from toolkit.views.snapshot import Snapshot

_WORKERS = 64
_FAILURES = 20
_STAGES = 40
_LONGEST = 8_000  # characters of a traceback
_LONGEST_MESSAGE = 600
_WORDS = 500
_FAILED = 0x7FC0_0001  # the bits of a NaN that carries a 1


def state_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return how a sweep stands, without its failures."""
    found = snapshot.document()
    for name in ("failures", "slowest", "schema", "version", "store"):
        found.pop(name, None)
    found["workers"] = found["workers"][:_WORKERS]
    found["stages"] = found["stages"][:_STAGES]
    return {**found, "is_ended": snapshot.is_ended, "can": _can(snapshot), "rate": snapshot.rate}


def failure_documents(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the failures by kind, their texts cut to what a person reads."""
    return [
        {
            "stage": group.stage,
            "exception": group.exception.rpartition(".")[2],
            "where": group.where,
            "count": group.count,
            "runs": list(group.runs[:1]),
            "message": printable(_cut(group.message, _LONGEST_MESSAGE)),
            "traceback": printable(_cut(group.traceback, _LONGEST)),
            "reason": group.reason,
            "host": group.host,
            "tier": group.tier,
            "labels": {name: _word(label) for name, label in group.labels.items()},
            "reproduce": group.reproduce,
        }
        for group in snapshot.failures[:_FAILURES]
    ]


def side_documents(picture: Picture) -> dict[str, Any]:
    """Return the sides of a picture with their labels."""
    return {
        "x": _side(picture.x),
        "y": None if picture.y is None else _side(picture.y),
    }


def picture_document(picture: Picture) -> dict[str, Any]:
    """Return all of a picture but its sides and its values."""
    return {
        "kind": picture.kind,
        "name": picture.name,
        "title": picture.title,
        "low": picture.low,
        "high": picture.high,
        "note": picture.note,
        "band": picture.band is not None,
        "words": {str(code): word for code, word in picture.words.items()} or None,
        "n_missing": picture.n_missing,
        "n_failed": picture.n_failed,
        "size": picture.values.size + (0 if picture.band is None else picture.band.size),
    }


def grid_bytes(picture: Picture) -> bytes:
    """Return the values as float32, row by row from the first label of y; then the band.

    Where a run failed lies a NaN of its own, which the front tells by its bits.
    """
    values = picture.values
    if picture.failed is not None:
        values = values.copy()
        values.view(np.uint32)[picture.failed] = _FAILED
    parts = [values] if picture.band is None else [values, picture.band]
    return b"".join(part.tobytes() for part in parts)


def dim_documents(dims: Mapping[str, Along], picture: Picture | None) -> list[dict[str, Any]]:
    """Return the dims of an output, and for which of them a label can be chosen."""
    sides = set() if picture is None else {picture.x.name, picture.y.name if picture.y else None}
    is_points = picture is not None and picture.kind == "scatter"
    return [
        {
            "name": dim.name,
            "title": dim.title,
            "n": len(dim),
            "words": dim.words() if len(dim) <= _WORDS else None,
            "is_sliced": dim.is_whole and len(dim) > 1 and dim.name not in sides and not is_points,
        }
        for dim in dims.values()
    ]


def _can(snapshot: Snapshot) -> list[str]:
    again = ["retry"] if snapshot.counts.failed or snapshot.counts.pending else []
    if snapshot.is_ended:
        return again if snapshot.state != "error" else []
    if snapshot.state == "stopping":
        return []
    turn = "resume" if snapshot.state == "paused" else "pause"
    return [turn, *(["retry"] if snapshot.counts.failed else []), "cancel"]


def _side(side: Along) -> dict[str, Any]:
    labels = side.labels
    if side.is_number:
        kind, shown = "number", labels.tolist()
        if not np.isfinite(labels).all():
            shown = plain(shown)
    elif labels.dtype.kind == "M":
        kind = "date"
        shown = labels.astype("datetime64[ms]").astype(np.int64).tolist()
    else:
        kind, shown = "word", side.words()
    return {
        "name": side.name,
        "title": side.title,
        "kind": kind,
        "labels": shown,
        "log": side.is_log,
        "each": side.each,
    }


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n…\n{text[-half:]}"


def _word(label: object) -> str:
    return f"{label:.6g}" if isinstance(label, float) else _cut(str(label), 80)
