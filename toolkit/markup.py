"""The look of what notebooks show: HTML without scripts, for light and dark themes."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = (
    "<style>.tk-view{font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px);color:var(--jp-content-font-color1,inherit)}"
    ".tk-view table{border-collapse:collapse;margin:4px 0}"
    ".tk-view td{text-align:left;padding:1px 12px 1px 0;vertical-align:top;background:none}"
    ".tk-view .tk-dim{color:var(--jp-content-font-color2,inherit);opacity:.75}"
    ".tk-view .tk-inner{margin-left:1.2em}"
    ".tk-view summary{cursor:pointer}</style>"
)


def view(kind: str, summary: str, *parts: str) -> str:
    """Return the whole view of one object, which folds.

    Parameters
    ----------
    kind, summary
        What it is, and one line about it: texts.
    parts
        HTML of what is inside.
    """
    body = "".join(parts)
    return (
        f"{STYLE}<div class='tk-view'><details open>"
        f"<summary><b>{escape(kind)}</b>: {escape(summary)}</summary>{body}</details></div>"
    )


def folded(summary: str, body: str) -> str:
    """Return a line of text that unfolds to a body of HTML."""
    return (
        f"<details><summary>{escape(summary)}</summary><div class='tk-inner'>{body}</div></details>"
    )


def rows(lines: Iterable[Sequence[str]]) -> str:
    """Return a table: in each line a name, then cells of HTML."""
    cells = "".join(
        f"<tr><td class='tk-dim'>{escape(name)}</td>"
        + "".join(f"<td>{cell}</td>" for cell in rest)
        + "</tr>"
        for name, *rest in lines
    )
    return f"<table>{cells}</table>"
