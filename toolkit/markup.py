"""The look of what notebooks show: HTML without scripts, for light and dark themes."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = (
    "<style>.tk-view{font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px);color:var(--jp-content-font-color1,inherit)}"
    ".tk-view table{border-collapse:collapse;margin:4px 0}"
    # twice the class: JupyterLab's own look of tables comes before a single one
    ".tk-view.tk-view td{text-align:left;padding:1px 12px 1px 0;vertical-align:top;background:none}"
    ".tk-view.tk-view tr{background:none}"
    ".tk-view .tk-dim{color:var(--jp-content-font-color2,inherit);opacity:.75}"
    ".tk-view .tk-inner{margin-left:1.2em}"
    ".tk-view summary{cursor:pointer}"
    ".tk-view a{color:var(--jp-content-link-color,inherit)}"
    ".tk-view pre{margin:4px 0;padding:4px 8px;overflow-x:auto;"
    "background:var(--jp-layout-color2,transparent);color:inherit}"
    ".tk-view .tk-bar{display:flex;width:20em;max-width:100%;height:.8em;margin:.25em 0;"
    "border-radius:.2em;overflow:hidden;background:var(--jp-layout-color3,#bbb)}"
    ".tk-view .tk-bar>span{min-width:2px}"
    ".tk-view .tk-sign{display:inline-block;width:.7em;height:.7em;margin-right:.35em;"
    "border-radius:.15em}"
    ".tk-view .tk-count{display:inline-block;margin-right:1em;white-space:nowrap}</style>"
)

COLORS = {
    "done": "#0072b2",
    "stale": "#cc79a7",
    "failed": "#d55e00",
    "blocked": "#e69f00",
    "running": "#56b4e9",
}
"""Of runs by state: color-blind eyes tell them apart, on light and on dark (Okabe and Ito)."""


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


def bar(counts: Mapping[str, int], total: int) -> str:
    """Return a bar of runs by state.

    Parameters
    ----------
    counts
        By state, as :data:`COLORS` names them; others are left out.
    total
        That makes the whole bar.
    """
    parts = "".join(
        f"<span style='background:{color};width:{100 * counts[state] / total:.2f}%' "
        f"title='{counts[state]:,} {state}'></span>"
        for state, color in COLORS.items()
        if counts.get(state)
    )
    return f"<div class='tk-bar'>{parts}</div>"


def legend(counts: Mapping[str, int]) -> str:
    """Return counts by state in words, each beside the color that it has in a bar."""
    signs = {
        state: f"<span class='tk-sign' style='background:{color}'></span>"
        for state, color in COLORS.items()
    }
    return "".join(
        f"<span class='tk-count'>{signs.get(state, '')}{count:,} {escape(state)}</span>"
        for state, count in counts.items()
    )


def table(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return a table of texts under their headings."""
    head = "".join(f"<td class='tk-dim'>{escape(each)}</td>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(each))}</td>" for each in line) + "</tr>"
        for line in lines
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def link(address: str, words: str) -> str:
    """Return a link to a page, or its address as text where it is none."""
    if not address.startswith(("http://", "https://")):
        return escape(address)
    return f"<a href='{escape(address)}' target='_blank' rel='noopener'>{escape(words)}</a>"
