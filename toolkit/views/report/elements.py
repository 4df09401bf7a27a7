"""Pieces of HTML that a report is made of; whatever is a text is escaped here."""

import datetime
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from toolkit.views.plain import printable
from toolkit.views.text import duration

LONGEST = 2_000
"""Characters of a text that are shown; tracebacks have more."""

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def text(value: Any, longest: int = LONGEST) -> str:
    """Return a value as text that no browser takes for anything else, cut where it is long."""
    shown = printable(str(value))
    return escape(shown if len(shown) <= longest else f"{shown[: longest - 1]}…")


def dim(value: Any) -> str:
    """Return text that stands back."""
    return f'<span class="dim">{text(value)}</span>'


def code(value: Any, longest: int = LONGEST) -> str:
    """Return text that is typed, or that a machine wrote."""
    return f"<code>{text(value, longest)}</code>"


def section(heading: str, *parts: str) -> str:
    """Return a part of the page under its heading."""
    name = _NOT_IN_NAMES.sub("-", heading.lower()).strip("-")
    return f'<section id="{name}"><h2>{text(heading)}</h2>{"".join(parts)}</section>'


def subheading(heading: Any) -> str:
    """Return a heading within a section."""
    return f"<h3>{text(heading)}</h3>"


def note(sentence: str) -> str:
    """Return a paragraph of HTML."""
    return f"<p>{sentence}</p>"


def facts(lines: Iterable[tuple[str, str]]) -> str:
    """Return names beside what they are: texts, and HTML; lines without a word are left out."""
    cells = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{what}</td></tr>' for name, what in lines if what
    )
    return f'<table class="facts"><tbody>{cells}</tbody></table>' if cells else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str]) -> str:
    """Return a table.

    Parameters
    ----------
    heads
        Names of the columns: texts.
    rows
        HTML of their cells.
    numbers
        Names of the columns that stand to the right.
    """
    right = {heads.index(name) for name in numbers if name in heads}
    kinds = [' class="number"' if at in right else "" for at in range(len(heads))]
    head = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, body: str, *, is_open: bool = False) -> str:
    """Return a line of HTML that unfolds to more."""
    state = " open" if is_open else ""
    return f"<details{state}><summary>{summary}</summary><div>{body}</div></details>"


def verbatim(value: Any, longest: int = 20_000) -> str:
    """Return lines of text as they are; of a long one the end, where a traceback says most."""
    shown = str(value).strip("\n")
    if len(shown) > longest:
        shown = f"… {len(shown) - longest:,} characters left out\n{shown[-longest:]}"
    return f"<pre>{escape(printable(shown))}</pre>"


def figure(picture: str, caption: str) -> str:
    """Return a picture over its caption, both HTML."""
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def time_of(value: Any) -> str:
    """Return a moment, in seconds since 1970 or as ISO has it, as text in UTC.

    What is no moment is shown as it is.
    """
    try:
        if isinstance(value, int | float):
            moment = datetime.datetime.fromtimestamp(value, datetime.UTC)
        else:
            moment = datetime.datetime.fromisoformat(str(value)).astimezone(datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return text(value, 100)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def count(number: int, what: str) -> str:
    """Return ``"1 run"`` or ``"1,024 runs"``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def took(seconds: float) -> str:
    """Return a duration as HTML.

    Examples
    --------
    >>> took(0.00012), took(3725)
    ('120 µs', '1 h 02 min')
    """
    return text(duration(seconds).replace(" us", " µs"))


def hours(amount: float) -> str:
    """Return core- or GPU-hours with as many digits as say something.

    Examples
    --------
    >>> hours(0), hours(0.00001), hours(0.01129), hours(1234.5)
    ('0', '< 0.001', '0.0113', '1,234')
    """
    if 0 < amount < 0.001:
        return "< 0.001"
    return f"{amount:,.0f}" if amount >= 1000 else f"{amount:.3g}"
