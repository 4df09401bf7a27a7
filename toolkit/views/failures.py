"""The table of failed runs as notebooks show it: by kind, with tracebacks folded away."""

import os
from html import escape
from types import MethodType
from typing import TYPE_CHECKING, Any

from toolkit.markup import folded, table, view
from toolkit.stages.failure import own_frame
from toolkit.views.plain import printable

if TYPE_CHECKING:
    import pandas as pd

_LOOKED_AT = 5_000  # rows that are sorted by kind
_KINDS = 20
_ROWS = 20
_LONGEST = 200  # characters in a cell
_LONGEST_TRACEBACK = 8_000
_LEFT_OUT = ("traceback", "log", "peak_memory", "exit_code", "reason")


def failures(path: str | os.PathLike[str], *, stage: str | None = None) -> "pd.DataFrame":
    """Return the failed runs of a store, a row each: labels, reason, exception, traceback, host.

    A notebook shows them by kind; what is selected of the table is shown as pandas does.

    Parameters
    ----------
    path
        Folder of the store.
    stage
        Name of the stage; None for all.

    Raises
    ------
    StoreError
        If there is no store at the path, or no such stage in it.
    """
    from toolkit.stores.reading import open as stored

    return shown_by_kind(stored.failures(path, stage=stage))


def shown_by_kind(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Let notebooks show a table of failed runs by kind, and return it.

    It is an ordinary table, and this one object has a look of its own: nothing else is changed, and
    whatever is made of it, be it ``frame.head()``, looks as pandas has it.
    """
    vars(frame)["_repr_html_"] = MethodType(failures_html, frame)
    return frame


def failures_html(frame: "pd.DataFrame") -> str:
    """Return failed runs by kind of error and place, each with a traceback, then a table of them.

    Parameters
    ----------
    frame
        As :meth:`toolkit.Sweep.failures` returns it, or what the user has made of it since.
    """
    total = len(frame)
    if not total:
        return view("Failures", "none")
    known = frame.head(_LOOKED_AT)
    groups = _groups(known)
    many = f"{total:,} run{'' if total == 1 else 's'}"
    ways = f"{len(groups):,} way{'' if len(groups) == 1 else 's'}"
    of = f" (by the first {_LOOKED_AT:,})" if total > _LOOKED_AT else ""
    body = "".join(_group(known, rows) for rows in groups[:_KINDS])
    if len(groups) > _KINDS:
        body += f"<div class='tk-dim'>and {len(groups) - _KINDS:,} more ways</div>"
    return view("Failures", f"{many} in {ways}{of}", body, _table(frame))


def _groups(frame: "pd.DataFrame") -> list[list[int]]:
    """Return the positions of the rows of each kind, the largest kind first."""
    found: dict[tuple[str, ...], list[int]] = {}
    places: dict[str, str] = {}
    columns = [_texts(frame, name) for name in ("stage", "exception", "traceback")]
    for at, (stage, exception, traceback) in enumerate(zip(*columns, strict=True)):
        if traceback not in places:
            places[traceback] = own_frame(traceback)
        found.setdefault((stage, exception, places[traceback]), []).append(at)
    return sorted(found.values(), key=lambda rows: -len(rows))


def _group(frame: "pd.DataFrame", rows: list[int]) -> str:
    first = frame.iloc[rows[0]]
    words = {name: _text(first.get(name)) for name in ("exception", "message", "traceback", "log")}
    place = own_frame(words["traceback"])
    error = words["exception"].rpartition(".")[2]
    summary = f"{len(rows):,} × {error}{f' at {place}' if place else ''}: {words['message']}"
    labels = [
        f"{name}={_text(first[name])}" for name in _labels(frame) if _text(first[name]) != "None"
    ]
    facts = [f"stage {_text(first.get('stage'))}, such as run {_text(first.get('run'))}", *labels]
    body = f"<div class='tk-dim'>{escape(_short(', '.join(facts)))}</div>"
    for name in ("traceback", "log"):
        if words[name].strip():
            text = printable(words[name].strip())
            if len(text) > _LONGEST_TRACEBACK:
                half = _LONGEST_TRACEBACK // 2
                text = f"{text[:half]}\n…\n{text[-half:]}"
            body += f"<pre>{escape(text)}</pre>"
    return folded(_short(summary), body)


def _table(frame: "pd.DataFrame") -> str:
    names = [name for name in frame.columns if name not in _LEFT_OUT]
    lines = [
        [_short(_text(row[name])) for name in names] for _, row in frame.head(_ROWS).iterrows()
    ]
    more = f", the first {_ROWS}" if len(frame) > _ROWS else ""
    return folded(f"the runs{more}", table([_short(_text(name)) for name in names], lines))


def _labels(frame: "pd.DataFrame") -> list[Any]:
    from toolkit.stores.reading.failures import COLUMNS

    return [name for name in frame.columns if name not in COLUMNS]


def _texts(frame: "pd.DataFrame", name: str) -> list[str]:
    if name not in frame.columns:
        return [""] * len(frame)
    return [_text(each) for each in frame[name]]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _short(words: str) -> str:
    words = printable(" ".join(words.split()))
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 2]} …"
